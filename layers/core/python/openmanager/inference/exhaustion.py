"""When a bounded metric meets its limit: between then and then, or not within the horizon. Never a bare number. Pure.

A crossing is said where the forecast path itself meets the limit, on the finest grid on which it does; when it comes is
bounded by the interval around the path. Thirty steps reach 30 minutes on the minute grid, 2.5 hours on that of five
minutes, 30 hours on that of an hour.
"""

from collections.abc import Sequence
from typing import Any, Literal, NamedTuple

import numpy as np
from numpy.typing import NDArray

from openmanager.inference.backtest import COVERAGES, Ahead
from openmanager.values import frozen

Reason = Literal["crosses", "resets_before_limit", "at_limit", "not_within_horizon", "unknown"]

# A fall that ends a climb: this share of the history's range, this many mean steps, within two steps of the grid.
FALL_SHARE, FALL_STEPS = 0.5, 5.0
# So many falls make it a habit.
FALLS = 2

Table = NDArray[np.float64]


@frozen(eq=False)
class View:
    """n series on one grid: the step in seconds, `history` (n, w) oldest first up to now (90 values if there are that
    many; more show longer habits), and what is `ahead` of them. Rows of NaN where this grid knows too little. `age_s`
    is how long ago the last step ended: a coarse grid's forecast may stand until its next step is complete."""

    step_s: float
    history: NDArray[np.floating[Any]]
    ahead: Ahead
    age_s: float = 0.0


@frozen
class Exhaustion:
    """When one series meets its limit.

    `reason`: "crosses"; "resets_before_limit" (it climbs, but its habit is to fall back before); "at_limit" already;
    "not_within_horizon"; "unknown" on every grid. Only with "crosses" and "at_limit" there are times, seconds from
    now: the crossing lies between `earliest_s` and `latest_s` with the share `coverage`; `latest_s` None means that
    it may also lie beyond `horizon_s`, the farthest that was looked; `likely_s` is where the path itself meets the
    limit. `grid_s` is the step of the grid that says so.
    """

    reason: Reason
    earliest_s: float | None
    latest_s: float | None
    coverage: float
    horizon_s: float
    grid_s: float | None
    likely_s: float | None = None


class _Crossing(NamedTuple):
    """One series on one grid: whether the grid knows it, whether it is at the limit now, and the first steps, counted
    from 1, at which the near bound, the path and the far bound are there, 0 for never. `straight`: in how many steps
    the near bound would be there if it went on beyond its end as it goes on average; infinite if it goes away."""

    known: bool
    there: bool
    near: int
    path: int
    far: int
    straight: float


def exhaustion(
    views: Sequence[View], limit: NDArray[np.floating[Any]] | float, rising: bool = True, coverage: float = 0.8
) -> list[Exhaustion]:
    """For each of n series when it meets `limit` (n,) or one number, in the series' unit.

    `views` the same series on each grid, in any order. `rising` False for what drains towards its limit. `coverage` is
    one of `backtest.COVERAGES`. Raises ValueError for another one or without views.
    """
    if coverage not in COVERAGES or not views:
        raise ValueError(f"needs a view and a coverage among {COVERAGES}, got {len(views)} views and {coverage}")
    views = sorted(views, key=lambda v: v.step_s)
    limits = np.broadcast_to(np.asarray(limit, np.float64), len(views[0].history))
    level = COVERAGES.index(coverage)
    seen = [_crossings(v, limits, rising, level) for v in views]
    return [_one(views, [row[i] for row in seen], limits[i], rising, i, coverage) for i in range(len(limits))]


def resets(
    history: NDArray[np.floating[Any]], limit: NDArray[np.floating[Any]], rising: bool = True, steps: int = 30
) -> NDArray[np.bool_]:
    """Which of n series (n,) fall back by habit before they meet the limit, as logs do when they are rotated.

    `history` (n, w), `limit` (n,). At least two sudden falls; their peaks, growing on as they grew so far, stay below
    the limit for `steps` more; and the series has not outgrown them yet.
    """
    sign = 1 if rising else -1
    return np.array(
        [_falls_back(sign * row, sign * end, steps) for row, end in zip(np.asarray(history), limit, strict=True)], bool
    )


def _falls_back(x: Table, limit: float, steps: int) -> bool:
    spread = float(np.ptp(x))
    if len(x) < 4 or not np.isfinite(spread) or spread == 0:
        return False
    drop = x[:-2] - x[2:]
    falling = drop > max(FALL_SHARE * spread, FALL_STEPS * float(np.abs(np.diff(x)).mean()))
    starts = np.flatnonzero(falling & ~np.r_[False, falling[:-1]])
    if len(starts) < FALLS:
        return False
    peaks = np.array([x[at : at + 3].max() for at in starts])
    growth = max(0.0, float(peaks[-1] - peaks[0]) / (len(peaks) - 1))
    period = float(starts[-1] - starts[0]) / (len(starts) - 1)
    highest = max(float(peaks[-1]) + growth * np.ceil(steps / period), float(peaks.max()))
    return highest < limit and float(x[-1]) <= float(peaks.max()) + growth


def _crossings(view: View, limit: Table, rising: bool, level: int) -> list[_Crossing]:
    sign = 1.0 if rising else -1.0
    near, far = (view.ahead.upper, view.ahead.lower) if rising else (view.ahead.lower, view.ahead.upper)
    now = np.asarray(view.history, np.float64)[:, -1]
    firsts = (_first(sign * x >= sign * limit[:, None]) for x in (near[:, level], view.ahead.path, far[:, level]))
    known = np.isfinite(view.ahead.path[:, 0])
    pace = sign * (near[:, level, -1] - now) / near.shape[2]
    straight = sign * (limit - now) / np.where(pace > 0, pace, np.nan)
    return [
        _Crossing(bool(k), bool(t), int(n), int(p), int(f), float(end))
        for k, t, n, p, f, end in zip(
            known, sign * now >= sign * limit, *firsts, np.nan_to_num(straight, nan=np.inf), strict=True
        )
    ]


def _first(met: NDArray[np.bool_]) -> NDArray[np.int64]:
    return np.where(met.any(axis=1), met.argmax(axis=1) + 1, 0).astype(np.int64)


def _one(
    views: Sequence[View], seen: Sequence[_Crossing], limit: float, rising: bool, i: int, coverage: float
) -> Exhaustion:
    known = [k for k, crossing in enumerate(seen) if crossing.known]
    if not known:
        return Exhaustion("unknown", None, None, coverage, 0.0, None)
    horizon_s = views[known[-1]].step_s * views[known[-1]].ahead.path.shape[1]
    if seen[known[0]].there:
        return Exhaustion("at_limit", 0.0, 0.0, coverage, horizon_s, views[known[0]].step_s, 0.0)
    meets = [k for k in known if seen[k].path]
    if not meets:
        return Exhaustion("not_within_horizon", None, None, coverage, horizon_s, None)
    sign = 1 if rising else -1
    steps = views[0].ahead.path.shape[1]
    habit = [k for k in known if _falls_back(sign * views[k].history[i].astype(np.float64), sign * limit, steps)]
    # A habit explains the climbs on its own grid and on finer ones; what climbs beneath it shows on a coarser one.
    unexplained = [k for k in meets if not any(h >= k for h in habit)]
    if not unexplained:
        return Exhaustion("resets_before_limit", None, None, coverage, horizon_s, None)
    first = unexplained[0]
    # A value stands for its whole step: the bounds are those of the steps.
    earliest_s = (seen[first].near - 1) * views[first].step_s - views[first].age_s
    # A coarse grid is late to see a climb that began within its last steps: its back-tests know none as young.
    sooner = (seen[k].straight * views[k].step_s for k in known if k < first)
    earliest_s = max(0.0, min(earliest_s, *sooner, float("inf")))
    latest_s = next(
        (max(0.0, seen[k].far * views[k].step_s - views[k].age_s) for k in unexplained if seen[k].far), None
    )
    likely_s = (seen[first].path - 0.5) * views[first].step_s - views[first].age_s
    likely_s = max(earliest_s, min(likely_s, float("inf") if latest_s is None else latest_s))
    return Exhaustion("crosses", earliest_s, latest_s, coverage, horizon_s, views[first].step_s, likely_s)
