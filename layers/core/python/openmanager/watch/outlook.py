"""What comes next on the minute grid: each forecast metric's path with its interval, and its rolling back-test."""

from typing import Any

import numpy as np
from numpy.typing import NDArray

from openmanager.catalog import COLUMN, FORECAST_METRICS, METRIC
from openmanager.errors import ModelUnavailable
from openmanager.inference import backtest, candidates, forecast
from openmanager.inference.exhaustion import View
from openmanager.watch.state import BOUNDED, WINDOW, States, kept

# The interval that is published: 80 %.
PUBLISHED = backtest.COVERAGES.index(0.8)
BOUNDED_AT = [FORECAST_METRICS.index(key) for key in BOUNDED]

_COLUMNS = [COLUMN[k] for k in FORECAST_METRICS]
_HIGH = np.array([METRIC[k].high or np.inf for k in FORECAST_METRICS])

Table = NDArray[np.float64]


def learn(states: States, minute: int, x: Table, absent: list[str]) -> None:
    """The minute enters the windows, a short gap as the last value; servers whose turn it is are back-tested.

    `x` (n, len(METRICS)); `absent` gathers why the model cannot be used.
    """
    windows = states["windows"]
    value = kept(x[:, _COLUMNS])
    value = np.where(np.isnan(value), windows[:, :, -1], value)
    windows[:, :, :-1] = windows[:, :, 1:].copy()
    windows[:, :, -1] = value
    # A server's first minute decides which ones are its turn, so that a shard's are spread.
    due = np.flatnonzero((minute - states["first"]) % backtest.EVERY == 0)
    at, series = np.nonzero(~np.isnan(windows[due]).any(axis=2))
    if not len(at):
        return
    rows = due[at]
    history = windows[rows, series].astype(np.float64)
    try:
        states["tests"][rows, series] = backtest.learn(states["tests"][rows, series], history, floors(history, series))
    except ModelUnavailable as reason:
        absent.append(str(reason))


def say(states: States, absent: list[str]) -> tuple[list[dict[str, Any]], View | None]:
    """(of each server the forecasts whose last hour is complete, the bounded metrics as a view (3 n rows))."""
    answers: list[dict[str, Any]] = [{} for _ in range(len(states))]
    windows = states["windows"][:, :, WINDOW - forecast.WINDOW :]
    rows, series = np.nonzero(~np.isnan(windows).any(axis=2))
    if not len(rows):
        return answers, None
    full = windows[rows, series].astype(np.float64)
    records = states["tests"][rows, series]
    try:
        ahead = backtest.ahead(records, full, floors(full, series), 0.0, _HIGH[series])
    except ModelUnavailable as reason:
        absent.append(str(reason))
        return answers, None
    earned = skilled(records)
    for i, (row, column) in enumerate(zip(rows, series, strict=True)):
        key = FORECAST_METRICS[column]
        decimals = METRIC[key].decimals
        answers[row][key] = {
            "path": np.round(ahead.path[i], decimals).tolist(),
            "low": np.round(ahead.lower[i, PUBLISHED], decimals).tolist(),
            "high": np.round(ahead.upper[i, PUBLISHED], decimals).tolist(),
            "method": candidates.NAMES[ahead.winner[i]],
            "skilled": bool(earned[i]),
        }
    return answers, _view(states, rows, series, ahead)


def floors(windows: Table, series: NDArray[np.int64]) -> Table:
    """The smallest step (n,) worth telling from rest: a thousandth of the range, or of the largest value."""
    high = _HIGH[series]
    return forecast.FLOOR_SHARE * np.where(np.isfinite(high), high, np.abs(windows).max(axis=1))


def skilled(records: backtest.Records) -> NDArray[np.bool_]:
    """Whether something beat the last value (n,) on this series, so that its forecast may page."""
    return np.asarray((records["winner"] != candidates.LAST) & (records["count"] >= backtest.WARM_UP))


def _view(states: States, rows: NDArray[np.int64], series: NDArray[np.int64], ahead: backtest.Ahead) -> View:
    """The bounded metrics of all servers, server by server; NaN where there is no forecast."""
    n = len(states) * len(BOUNDED)
    place = np.full((len(states), len(FORECAST_METRICS)), -1)
    place[rows, series] = np.arange(len(rows))
    at = place[:, BOUNDED_AT].reshape(-1)
    have = at >= 0
    path = np.full((n, ahead.path.shape[1]), np.nan)
    lower = np.full((n, *ahead.lower.shape[1:]), np.nan)
    upper = lower.copy()
    path[have], lower[have], upper[have] = ahead.path[at[have]], ahead.lower[at[have]], ahead.upper[at[have]]
    winner, tested = np.zeros(n, np.uint8), np.zeros(n, np.float32)
    winner[have], tested[have] = ahead.winner[at[have]], ahead.tested[at[have]]
    history = states["windows"][:, BOUNDED_AT].reshape(n, WINDOW).astype(np.float64)
    return View(60.0, history, backtest.Ahead(path, lower, upper, winner, tested))
