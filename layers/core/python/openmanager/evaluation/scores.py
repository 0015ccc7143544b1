"""How unusual a server's minutes are and how likely they end in an incident, over arrays of its metrics. Causal."""

from collections.abc import Callable

import numpy as np
from numpy.typing import ArrayLike, NDArray

from openmanager.catalog import FAILURE_INPUTS, METRIC, MODEL_METRICS
from openmanager.evaluation.arguments import Floats, numbers
from openmanager.inference import anomaly, failure
from openmanager.inference.runtime import Array, model
from openmanager.telemetry.scaling import WARM_UP, Scaler, step
from openmanager.values import frozen

Progress = Callable[[int, int], None]

_HIGH = np.array([METRIC[key].high or np.nan for key in MODEL_METRICS], np.float32)
# Where the five inputs stand among the twenty metrics: the first metric of each.
_FIVE = [MODEL_METRICS.index(keys[0]) for keys in FAILURE_INPUTS.values()]
# Rows in one call of a network: bounds its memory, and does not change a bit of the result.
_BATCH = 4096
_TELL_EVERY = 1000


@frozen(eq=False)
class AnomalyScores:
    """How unusual each of n rows is; NaN and False in rows that hold nothing known against a past.

    `score` (n,) the smoothed error in sigma²; `threshold` (n,) the server's own, from the rows before; `anomalous`
    (n,) bool, score above threshold; `error` (n,) the row's own error, before smoothing; `contributions` (n, 20) what
    each metric adds to `error`.
    """

    score: Array
    threshold: Array
    anomalous: NDArray[np.bool_]
    error: Array
    contributions: Array

    def __getitem__(self, rows: slice) -> "AnomalyScores":
        """The scores of some rows."""
        return AnomalyScores(
            self.score[rows], self.threshold[rows], self.anomalous[rows], self.error[rows], self.contributions[rows]
        )


def anomaly_scores(history: ArrayLike, live: ArrayLike, *, shares: bool | None = None) -> AnomalyScores:
    """How unusual each live row is for this server.

    `history` (h, 20) the rows just before `live` (n, 20), in the metrics' units and the order of
    `catalog.MODEL_METRICS`; it may be empty, and below 240 rows the first scores are of little worth. `shares` says
    that percent metrics are written 0 to 1; None takes it so if the history has 240 rows and none of its percent
    values lies above 1. Raises ValueError naming the argument.
    """
    past, z = _scaled(history, live, len(MODEL_METRICS), shares)
    return anomaly_of(z)[past:]


def failure_probabilities(history: ArrayLike, live: ArrayLike, *, shares: bool | None = None) -> Array:
    """The calibrated probability (n,) that an incident is active or starts within 30 minutes of each live row.

    Arguments as in `anomaly_scores`; or `history` (h, 5) and `live` (n, 5) with cpu, memory and disk in percent,
    network and load in any unit, the order of `catalog.FAILURE_INPUTS`. NaN where nothing is known against a past.
    """
    past, z = _scaled(history, live, len(_FIVE) if np.shape(live)[1:] == (len(_FIVE),) else len(MODEL_METRICS), shares)
    return failure_of(z)[past:]


def standardize(
    history: ArrayLike, live: ArrayLike, *, shares: bool | None = None, progress: Progress | None = None
) -> Array:
    """z (h + n, 20) of the rows, each by the server's own past; arguments as in `anomaly_scores`.

    `progress` is told (rows done, rows in all) now and then.
    """
    return _scaled(history, live, len(MODEL_METRICS), shares, progress)[1]


def anomaly_of(z: Array) -> AnomalyScores:
    """The scores of a server whose life begins with the first row of z (n, 20)."""
    network = model("anomaly")
    known = np.flatnonzero(~np.isnan(z).all(axis=1))
    out = AnomalyScores(_nan(len(z)), _nan(len(z)), np.zeros(len(z), np.bool_), _nan(len(z)), _nan(*z.shape))
    for at in range(0, len(known), _BATCH):
        rows = known[at : at + _BATCH]
        out.error[rows], out.contributions[rows] = anomaly.score(z[rows], network)
    score, quantile = _nan(1), _nan(1)
    for row in known:
        score = anomaly.smooth(score, out.error[row : row + 1])
        limit = anomaly.threshold(quantile, network)
        quantile = anomaly.update_quantile(quantile, score, network)
        out.score[row], out.threshold[row], out.anomalous[row] = score[0], limit[0], score[0] > limit[0]
    return out


def failure_of(z: Array) -> Array:
    """The failure probabilities (n,) of a server whose life begins with the first row of z (n, 20)."""
    network = model("failure")
    known, smoothed = smoothed_inputs(z)
    out = _nan(len(z))
    for at in range(0, len(known), _BATCH):
        out[known[at : at + _BATCH]] = failure.probability(smoothed[at : at + _BATCH], network)
    return out


def smoothed_inputs(z: Array) -> tuple[NDArray[np.intp], Array]:
    """(rows k of z (n, 20) in which something is known, their five smoothed squared deviations (k, 5))."""
    known = np.flatnonzero(~np.isnan(z).all(axis=1))
    five = failure.inputs(z[known], model("failure"))
    state = _nan(1, five.shape[1])
    for i in range(len(five)):
        state = failure.smooth(state, five[i : i + 1])
        five[i] = state[0]
    return known, five


def no_model_anomaly(z: Array) -> Array:
    """The line that an anomaly model must beat: mean z² (n,) within ±20, smoothed alike, without any network."""
    clip = np.float32(model("anomaly").constants["error_clip"])
    known = np.flatnonzero(~np.isnan(z).all(axis=1))
    error = (np.clip(np.nan_to_num(z[known]), -clip, clip) ** 2).mean(axis=1)
    out, score = _nan(len(z)), _nan(1)
    for i, row in enumerate(known):
        score = anomaly.smooth(score, error[i : i + 1])
        out[row] = score[0]
    return out


def no_model_failure(z: Array) -> Array:
    """The line that a failure model must beat: the mean of its five smoothed inputs (n,), without any network."""
    known, five = smoothed_inputs(z)
    out = _nan(len(z))
    out[known] = five.mean(axis=1)
    return out


def _scaled(
    history: ArrayLike, live: ArrayLike, width: int, shares: bool | None, progress: Progress | None = None
) -> tuple[int, Array]:
    """(rows of history, z of all rows in the places of the twenty metrics)."""
    past, now = _rows("history", history, width), _rows("live", live, width)
    rows = np.concatenate([past, now])
    if width == len(_FIVE):
        twenty = np.full((len(rows), len(MODEL_METRICS)), np.nan)
        twenty[:, _FIVE] = rows
        rows = twenty
    percent = ~np.isnan(_HIGH)
    if _are_shares(rows[: len(past), percent]) if shares is None else shares:
        rows[:, percent] *= 100
    x = rows.astype(np.float32)
    scaler = Scaler.new(1, x.shape[1])
    z = np.empty_like(x)
    for i in range(len(x)):
        if progress and i % _TELL_EVERY == 0:
            progress(i, len(x))
        z[i] = step(scaler, x[i : i + 1], _HIGH)[0]
    if progress:
        progress(len(x), len(x))
    return len(past), z


def _are_shares(past: Floats) -> bool:
    known = past[~np.isnan(past)]
    return len(past) >= WARM_UP and known.size > 0 and 0 < known.max() <= 1


def _rows(name: str, values: ArrayLike, width: int) -> Floats:
    rows = numbers(name, values)
    if rows.size == 0 and rows.ndim < 2:
        return np.empty((0, width))
    if rows.ndim != 2 or rows.shape[1] != width:
        raise ValueError(f"{name}: must be (rows, {width}), got {rows.shape}")
    return rows


def _nan(*shape: int) -> Array:
    return np.full(shape, np.nan, np.float32)
