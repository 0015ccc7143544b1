"""A series' rolling back-test: which candidate speaks for it, and how wide its intervals must be. Pure and causal.

Each step of the back-test looks at the path that a candidate would have given 30 steps ago and at what came since.
The candidate with the least discounted mean absolute error wins. The intervals are its path ± a quantile of its own
past errors: conformal prediction with quantiles that follow the series (Gibbs & Candès, NeurIPS 2021, in the
multiplicative form of Robbins & Monro's stochastic approximation), so that a share of about 80 % of the outcomes lies
in the 80 % interval whatever the distribution, in the long run and on average over time, not at each single moment.
Moments at rest are left out of that (`at_rest`): there one value takes nearly every outcome, and an interval that holds
it holds more than 80 %; learnt from, they would make the intervals too narrow for when the series moves again.

A step costs one more path of the network; every 10 to 30 steps of the grid is enough (measured at 15). One record of
106 bytes a series and grid; only + − * / sqrt and comparisons, element by element: the same bits in any batch.
"""

from typing import Any

import numpy as np
from numpy.typing import NDArray

from openmanager.inference import candidates, forecast
from openmanager.inference.runtime import Network
from openmanager.values import frozen

HISTORY = forecast.WINDOW + forecast.STEPS
COVERAGES = (0.5, 0.8, 0.95)
# Steps of the minute grid between two back-tests of a series.
EVERY = 15
# Steps ahead at which errors are learnt; between them the quantiles are interpolated over log(step).
KNOTS = (1, 3, 10, 30)
# Half-life of the discounted error, in back-tests; 25 to 400 pick alike on the development servers.
HALF_LIFE = 100
# Until this many back-tests the last value speaks.
WARM_UP = 8
# A candidate must be better than the one that speaks by this share; 0 to 5 % score alike, 0 changes twice as often.
MARGIN = 0.03
# A disk that starts to fill must not wait for the long memory: with less than this share of the speaker's error in the
# short memory a candidate speaks at once, from the third back-test on; .2 to .5 score alike on ordinary series.
SHORT_HALF_LIFE, BREAK, FEWEST = 2, 0.5, 3
# The quantiles' gain, from 1 / n down to this; .07 to .15 cover alike.
GAIN = 0.1
# The memory of the series' usual error, in back-tests.
USUAL_WEIGHT = 0.02
# A window in which one value takes more than this share is at rest.
STILL = 0.8
# Error over scale on the development servers, (knots, coverages): where a series starts. Medians over its series of
# each source, the sources weighing alike, by `models.training.backtests.start`.
START = (
    (0.32, 0.80, 1.80),
    (0.41, 0.99, 2.32),
    (0.54, 1.55, 3.48),
    (0.79, 2.38, 7.37),
)

RECORD = np.dtype(
    [
        ("error", "<f4", (len(candidates.NAMES),)),  # discounted sum of mean absolute errors, in the series' unit
        ("recent", "<f4", (len(candidates.NAMES),)),  # the same with the short half-life
        ("usual", "<f4"),  # slow mean of the speaker's absolute error, in the series' unit
        ("quantile", "<f4", (len(KNOTS), len(COVERAGES))),  # of the absolute error over the scale
        ("count", "<f4"),  # back-tests so far
        ("steady", "u1"),  # who has the least error in the long memory, index in candidates.NAMES
        ("winner", "u1"),  # who speaks now, index in candidates.NAMES
    ]
)
Records = NDArray[np.void]
Table = NDArray[np.float64]

_KEEP = np.float32(0.5 ** (1 / HALF_LIFE))
_KEEP_SHORT = np.float32(0.5 ** (1 / SHORT_HALF_LIFE))
_LEAST = np.float32(1e-3)
_MISS = 1 - np.array(COVERAGES, np.float32)
_POSITION = np.interp(np.log(np.arange(1, forecast.STEPS + 1)), np.log(KNOTS), np.arange(len(KNOTS)))
_BEFORE = np.minimum(_POSITION.astype(int), len(KNOTS) - 2)
_SHARE = _POSITION - _BEFORE
_AT_KNOTS = np.array(KNOTS) - 1


@frozen(eq=False)
class Ahead:
    """Forecasts of n series in their own units: `path` (n, 30); `lower` and `upper` (n, 3, 30), one pair for each of
    COVERAGES; `winner` (n,) index in candidates.NAMES of who gave the path; `tested` (n,) back-tests behind it."""

    path: Table
    lower: Table
    upper: Table
    winner: NDArray[np.uint8]
    tested: NDArray[np.float32]


def new(n: int) -> Records:
    """Records (n,) of series that nothing is known about: the last value speaks, intervals are the fleet's."""
    records = np.zeros(n, RECORD)
    records["winner"] = records["steady"] = candidates.LAST
    records["quantile"] = START
    return records


def learn(
    records: Records,
    history: NDArray[np.floating[Any]],
    floor: NDArray[np.floating[Any]],
    season: int | None = None,
    network: Network | None = None,
) -> Records:
    """The records (n,) after one back-test on the last 90 values of each series, `history` (n, 90), none missing.

    `floor`, `season` and `network` as in `candidates.paths`. Raises ValueError for another shape or gaps.
    """
    history = np.asarray(history, np.float64)
    if history.ndim != 2 or history.shape[1] != HISTORY:
        raise ValueError(f"history must be (n, {HISTORY}), got {history.shape}")
    windows = history[:, : forecast.WINDOW]
    paths = candidates.paths(windows, floor, season=season, network=network)
    return update(records, paths, history[:, forecast.WINDOW :], forecast.step_size(windows, floor), at_rest(windows))


def at_rest(windows: NDArray[np.floating[Any]]) -> NDArray[np.bool_]:
    """Whether one and the same value takes more than STILL of each window (n, 60)."""
    # More than half of a window is one value only if the value in its middle is that one.
    middle = np.partition(windows, windows.shape[1] // 2, axis=1)[:, windows.shape[1] // 2]
    rest: NDArray[np.bool_] = (windows == middle[:, None]).sum(axis=1) > STILL * windows.shape[1]
    return rest


def update(
    records: Records, paths: Table, truth: Table, scale: Table, rest: NDArray[np.bool_] | bool = False
) -> Records:
    """The records (n,) after one back-test of paths already at hand.

    `paths` (n, candidates, 30) as `candidates.paths` gave them 30 steps ago (NaN where a candidate does not apply),
    `truth` (n, 30) what came since, `scale` (n,) the step size of the windows that the paths started from, `rest` (n,)
    whether those were `at_rest`: then the candidates' errors count, and the intervals stay.
    """
    before, records = records, records.copy()
    off = np.abs(truth[:, None] - paths)
    error = _mean(off).astype(np.float32)
    speaker = np.take_along_axis(off, records["winner"].astype(np.int64)[:, None, None], axis=1)[:, 0]
    ratio = (speaker[:, _AT_KNOTS] / _scale(records, scale)[:, None]).astype(np.float32)
    gain = np.maximum(np.float32(GAIN), np.float32(1) / (np.float32(1) + records["count"]))[:, None, None]
    missed = (ratio[:, :, None] > records["quantile"]).astype(np.float32)
    moved = np.maximum(records["quantile"] * (np.float32(1) + gain * (missed - _MISS)), _LEAST)
    records["quantile"] = np.maximum.accumulate(moved, axis=2)
    mean = _mean(speaker).astype(np.float32)
    weight = np.maximum(np.float32(USUAL_WEIGHT), np.float32(1) / (np.float32(1) + records["count"]))
    records["usual"] += weight * (mean - records["usual"])
    for name in ("quantile", "usual"):
        records[name][np.broadcast_to(rest, len(records))] = before[name][np.broadcast_to(rest, len(records))]
    records["error"] = records["error"] * _KEEP + error
    records["recent"] = records["recent"] * _KEEP_SHORT + error
    records["count"] += np.float32(1)
    records["steady"] = _steady(records)
    records["winner"] = _winner(records)
    return records


def ahead(
    records: Records,
    windows: NDArray[np.floating[Any]],
    floor: NDArray[np.floating[Any]],
    low: NDArray[np.floating[Any]] | float = -np.inf,
    high: NDArray[np.floating[Any]] | float = np.inf,
    season: int | None = None,
    network: Network | None = None,
) -> Ahead:
    """What comes after `windows` (n, 60), and how sure that is; `low` and `high` (n,) or numbers bound the metric."""
    paths = candidates.paths(windows, floor, season=season, network=network)
    return intervals(records, paths, forecast.step_size(np.asarray(windows, np.float64), floor), low, high)


def intervals(
    records: Records,
    paths: Table,
    scale: Table,
    low: NDArray[np.floating[Any]] | float = -np.inf,
    high: NDArray[np.floating[Any]] | float = np.inf,
) -> Ahead:
    """The winner's path with its intervals; `paths` (n, candidates, 30) and `scale` (n,) as for `update`, of now."""
    winner = records["winner"].astype(np.int64)
    low, high = (np.broadcast_to(np.asarray(b, np.float64), len(records))[:, None] for b in (low, high))
    path = np.take_along_axis(paths, winner[:, None, None], axis=1)[:, 0]
    quantile = records["quantile"].astype(np.float64).transpose(0, 2, 1)
    grown = quantile[:, :, _BEFORE] * (1 - _SHARE) + quantile[:, :, _BEFORE + 1] * _SHARE
    half = grown * _scale(records, scale)[:, None, None]
    lower, upper = (np.clip(path[:, None] + side * half, low[:, None], high[:, None]) for side in (-1, 1))
    return Ahead(np.clip(path, low, high), lower, upper, records["winner"].copy(), records["count"].copy())


def _scale(records: Records, scale: Table) -> Table:
    """What errors are measured in (n,): the geometric mean of the window's step and the series' usual error.

    The window alone forgets how the series behaves on other days, the usual error alone is late when it gets rough;
    on the development servers the mean has the best interval score.
    """
    usual = np.maximum(records["usual"].astype(np.float64), 0.1 * scale)
    mixed: Table = np.where(records["count"] > 0, np.sqrt(scale * usual), scale)
    return mixed


def _steady(records: Records) -> NDArray[np.uint8]:
    """The least error of the long memory (n,), once it is less by the margin and never more than the last value's."""
    error = _known(records["error"])
    now = records["steady"].astype(np.int64)
    best = error.argmin(axis=1)
    rows = np.arange(len(records))
    takes_over = (error[rows, best] < np.float32(1 - MARGIN) * error[rows, now]) & (records["count"] >= WARM_UP)
    chosen = np.where(takes_over, best, now)
    worse = error[rows, chosen] >= error[:, candidates.LAST]
    return np.where(worse, candidates.LAST, chosen).astype(np.uint8)


def _winner(records: Records) -> NDArray[np.uint8]:
    """Who speaks (n,): the long memory's choice, unless the short one has seen it fail beside another."""
    recent = _known(records["recent"])
    best = recent.argmin(axis=1)
    rows = np.arange(len(records))
    fails = recent[rows, best] < np.float32(BREAK) * recent[rows, records["steady"]]
    return np.where(fails & (records["count"] >= FEWEST), best, records["steady"]).astype(np.uint8)


def _known(error: NDArray[np.float32]) -> NDArray[np.float32]:
    return np.where(np.isnan(error), np.float32(np.inf), error)


def _mean(a: Table) -> Table:
    # Step by step: the order of a row's additions must not depend on the array's shape.
    total = np.zeros(a.shape[:-1])
    for t in range(a.shape[-1]):
        total += a[..., t]
    return total / a.shape[-1]
