"""What the models say of a table, and the file of it."""

import csv
from dataclasses import dataclass
from pathlib import Path
from typing import Any

import numpy as np
from numpy.lib.stride_tricks import sliding_window_view
from numpy.typing import NDArray

from openmanager import evaluation
from openmanager.catalog import COLUMN, FORECAST_METRICS, METRIC, METRICS, MODEL_METRICS
from openmanager.cli.table import Table, moment
from openmanager.errors import InvalidInput
from openmanager.evaluation import AnomalyScores, Floats, Progress
from openmanager.inference import forecast
from openmanager.inference.runtime import Array

_PERCENT = [COLUMN[m.key] for m in METRICS if m.high is not None]
_MODEL_COLUMNS = [COLUMN[key] for key in MODEL_METRICS]
# Origins of the rolling forecast, spread evenly: more would not tell more, their paths overlap.
_ORIGINS = 500
_NAMED = 3


@dataclass(frozen=True, slots=True, eq=False)
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
    """By forecast metric that is known: mean absolute errors of the next value and the 30-step path, in its unit.

    `last_value_*` are those of the forecast that nothing changes, from the same origins of `values`
    (n, len(METRICS)).
    """
    out = {}
    for key in FORECAST_METRICS:
        errors = _errors(values[:, COLUMN[key]], METRIC[key].high)
        if errors:
            out[key] = errors
    return out


def _errors(series: Floats, high: float | None) -> dict[str, float]:
    length = forecast.WINDOW + forecast.STEPS
    known = np.flatnonzero(~np.isnan(series))
    series = series[known[0] :] if len(known) else series[:0]
    if len(series) < length:
        return {}
    rows = sliding_window_view(series, length)
    rows = rows[:: max(1, len(rows) // _ORIGINS)]
    # Live, a gap holds the value before it; here a window that begins in one is left out, and so is what never came.
    rows = rows[~np.isnan(rows[:, 0]) & ~np.isnan(rows[:, forecast.WINDOW])]
    if not len(rows):
        return {}
    windows, truth = rows[:, : forecast.WINDOW], rows[:, forecast.WINDOW :]
    ahead = evaluation.forecasts(windows, low=0, high=high)
    held = np.array([window[~np.isnan(window)][-1] for window in windows])
    off, naive = np.abs(truth - ahead), np.abs(truth - held[:, None])
    return {
        "origins": len(rows),
        "next": float(off[:, 0].mean()),
        "last_value_next": float(naive[:, 0].mean()),
        "path": float(np.nanmean(off)),
        "last_value_path": float(np.nanmean(naive)),
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
