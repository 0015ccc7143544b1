"""What the models say of a table, and the file of it."""

import csv
from pathlib import Path
from typing import Any

import numpy as np
from numpy.lib.stride_tricks import sliding_window_view
from numpy.typing import NDArray

from openmanager import evaluation
from openmanager.catalog import COLUMN, FORECAST_METRICS, METRIC, METRICS, MODEL_METRICS
from openmanager.errors import InvalidInput
from openmanager.evaluation import AnomalyScores
from openmanager.evaluation.arguments import Floats
from openmanager.evaluation.scores import Progress
from openmanager.inference import backtest, forecast
from openmanager.inference.runtime import Array
from openmanager.sources.table import Table, moment
from openmanager.values import frozen

_PERCENT = [COLUMN[m.key] for m in METRICS if m.high is not None]
_MODEL_COLUMNS = [COLUMN[key] for key in MODEL_METRICS]
_WITHIN = backtest.COVERAGES.index(0.8)
_NAMED = 3


@frozen(eq=False)
class Scored:
    """Scores of n rows: `values` (n, len(METRICS)) percent metrics in percent; the no-model lines (n,) beside.

    `forecasts` holds by metric the mean absolute errors of `forecast_errors`; `shares` says how percent was read.
    """

    values: Floats
    anomaly: AnomalyScores
    failure: Array
    plain_anomaly: Array
    plain_failure: Array
    forecasts: dict[str, dict[str, float]]
    shares: bool


def score(table: Table, shares: bool | None, progress: Progress | None = None) -> Scored:
    """Everything the models say of a table. Raises ModelUnavailable."""
    values = table.values.copy()
    percent = values[:, _PERCENT]
    known = percent[~np.isnan(percent)]
    if shares is None:
        shares = bool(known.size and 0 < known.max() <= 1)
    if shares:
        values[:, _PERCENT] *= 100
    z = evaluation.standardize([], values[:, _MODEL_COLUMNS], shares=False, progress=progress)
    return Scored(
        values,
        evaluation.anomaly_of(z),
        evaluation.failure_of(z),
        evaluation.no_model_anomaly(z),
        evaluation.no_model_failure(z),
        forecast_errors(values),
        shares,
    )


def forecast_errors(values: Floats) -> dict[str, dict[str, float]]:
    """By forecast metric that is known: mean absolute errors from origins 15 rows apart, in its unit.

    `next` and `path` are the network's of the next value and of 30, `last_value_*` those of the forecast that nothing
    changes, `chosen_path` the round's, which picks among both and others; `within_80` is the share of outcomes within
    its 80 % interval. `values` (n, len(METRICS)).
    """
    out = {}
    for key in FORECAST_METRICS:
        errors = _errors(values[:, COLUMN[key]], METRIC[key].high)
        if errors:
            out[key] = errors
    return out


def _errors(series: Floats, high: float | None) -> dict[str, float]:
    if len(series) <= forecast.STEPS:
        return {}
    said = evaluation.rolling(series, low=0, high=high)
    known = said.origin[said.origin < len(series) - forecast.STEPS]
    truth = sliding_window_view(series, forecast.STEPS)[known + 1]
    # From an origin in a gap nothing is asked of the next value.
    asked = ~np.isnan(truth[:, 0]) & ~np.isnan(series[known])
    if not asked.any():
        return {}
    at, truth = np.flatnonzero(asked), truth[asked]
    off, chosen = np.abs(truth - said.network[at]), np.abs(truth - said.path[at])
    naive = np.abs(truth - series[known[at], None])
    came = ~np.isnan(truth)
    inside = (truth >= said.lower[at, _WITHIN]) & (truth <= said.upper[at, _WITHIN])
    return {
        "origins": len(at),
        "next": float(off[:, 0].mean()),
        "last_value_next": float(naive[:, 0].mean()),
        "path": float(off[came].mean()),
        "last_value_path": float(naive[came].mean()),
        "chosen_path": float(chosen[came].mean()),
        "within_80": float(inside[came].mean()),
    }


def write(path: Path, table: Table, scored: Scored) -> None:
    """A CSV with one line of scores for each row. Raises InvalidInput."""
    a = scored.anomaly
    try:
        with path.open("w", newline="", encoding="utf-8") as file:
            writer = csv.writer(file, lineterminator="\n")
            writer.writerow(["time", "score", "threshold", "anomalous", "failure_probability", "contributions"])
            for i, time_ms in enumerate(table.times_ms.tolist()):
                numbers = [_cell(a.score[i]), _cell(a.threshold[i]), int(a.anomalous[i]), _cell(scored.failure[i])]
                writer.writerow([moment(time_ms), *numbers, _top(a.contributions[i])])
    except OSError as fault:
        raise InvalidInput(str(path), f"cannot be written ({fault.strerror or fault})") from None


def shares_of(contributions: NDArray[np.floating[Any]], named: int) -> dict[str, float]:
    """The metrics that contribute most (20,), with their shares of the whole."""
    total = float(np.nansum(contributions))
    order = np.argsort(-np.nan_to_num(contributions), kind="stable")[:named]
    return {MODEL_METRICS[i]: round(float(contributions[i]) / total, 2) for i in order if contributions[i] > 0}


def _top(contributions: Array) -> str:
    return " ".join(f"{key}={share}" for key, share in shares_of(contributions, _NAMED).items())


def _cell(value: np.float32) -> str:
    return "" if np.isnan(value) else f"{value:.4g}"
