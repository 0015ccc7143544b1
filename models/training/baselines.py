"""What the forecaster is measured beside: paths by old, simple methods, fitted on each series' own train part.

Each method gets the same windows (n, 60) at the same origins as the network and answers paths (n, 30) in the series'
own units. Fitted ones get what the network does not have: the train part of the very series they are judged on.
"""

from collections.abc import Callable, Iterable
from functools import partial
from itertools import product

import numpy as np
from numpy.typing import NDArray
from openmanager.inference import forecast

from models.training.data import Series

Table = NDArray[np.float64]
Method = Callable[[Table], Table]
WINDOW, STEPS = forecast.WINDOW, forecast.STEPS
DAY_MINUTES = 1440
STEP_MINUTES = {"smd": 1, "asd": 5, "nab": 5}
# Windows of the train part that a grid search is judged on.
FIT_WINDOWS = 400
WEIGHTS = (0.1, 0.2, 0.3, 0.5, 0.7, 0.9, 1.0)
TRENDS, DAMPINGS = (0.02, 0.1, 0.3), (0.8, 0.9, 0.98)


def paths(series: Series, at: NDArray[np.int64]) -> dict[str, Table]:
    """Paths (len(at), 30) by name for windows that start at the indices `at` of a series with a train part."""
    windows = series.values[at[:, None] + np.arange(WINDOW)]
    train = series.values[: series.test]
    methods: dict[str, Method] = {
        "ewma": _fitted(train, (partial(ewma, weight=w) for w in WEIGHTS)),
        "holt": _fitted(
            train,
            (partial(holt, weight=w, trend=b, damping=d) for w, b, d in product(WEIGHTS, TRENDS, DAMPINGS)),
        ),
        "ar5": partial(autoregression, coefficients=fit_autoregression(train, 5), span=_span(train)),
        "ar60": partial(autoregression, coefficients=fit_autoregression(train, 60), span=_span(train)),
        "theil_sen": theil_sen,
    }
    out = {name: method(windows) for name, method in methods.items()}
    out["seasonal"] = seasonal(series, at)
    return out


def ewma(windows: Table, weight: float) -> Table:
    """Exponentially weighted mean of each window, held."""
    level = windows[:, 0]
    for column in windows.T[1:]:
        level = level + weight * (column - level)
    return np.repeat(level[:, None], STEPS, axis=1)


def holt(windows: Table, weight: float, trend: float, damping: float) -> Table:
    """Level and damped trend (Gardner and McKenzie 1985) of each window, carried on."""
    level, slope = windows[:, 0], np.zeros(len(windows))
    for column in windows.T[1:]:
        ahead = level + damping * slope
        level, before = ahead + weight * (column - ahead), level
        slope = trend * (level - before) + (1 - trend) * damping * slope
    return np.asarray(level[:, None] + slope[:, None] * np.cumsum(damping ** np.arange(1, STEPS + 1)))


def theil_sen(windows: Table) -> Table:
    """The line through each window's last value with the median slope of all pairs (Sen 1968)."""
    i, j = np.triu_indices(WINDOW, 1)
    slopes = np.array([np.median((row[j] - row[i]) / (j - i)) for row in windows])
    return np.asarray(windows[:, -1:] + slopes[:, None] * np.arange(1, STEPS + 1))


def fit_autoregression(train: Table, order: int) -> Table:
    """Least squares (order + 1,): the constant, then the weights of the last `order` values, oldest first."""
    lags = np.lib.stride_tricks.sliding_window_view(train[:-1], order)
    design = np.column_stack([np.ones(len(lags)), lags])
    return np.asarray(np.linalg.lstsq(design, train[order:], rcond=None)[0])


def autoregression(windows: Table, coefficients: Table, span: tuple[float, float]) -> Table:
    """The fitted recursion, each value fed back, held within `span`."""
    order = len(coefficients) - 1
    known = windows[:, -order:]
    for _ in range(STEPS):
        ahead = np.clip(coefficients[0] + known[:, -order:] @ coefficients[1:], *span)
        known = np.column_stack([known, ahead])
    return known[:, order:]


def seasonal(series: Series, at: NDArray[np.int64]) -> Table:
    """What the series did at the same time of the day before; NaN where it has no day before."""
    back = at[:, None] + WINDOW + np.arange(STEPS) - DAY_MINUTES // STEP_MINUTES[series.source]
    return np.where(back < 0, np.nan, series.values[np.maximum(back, 0)])


def _fitted(train: Table, methods: Iterable[Method]) -> Method:
    """The method with the least error on the next value over windows of the train part."""
    every = max(1, (len(train) - WINDOW - 1) // FIT_WINDOWS)
    at = np.arange(0, len(train) - WINDOW - 1, every)
    rows = train[at[:, None] + np.arange(WINDOW + 1)]
    return min(methods, key=lambda method: float(np.abs(method(rows[:, :WINDOW])[:, 0] - rows[:, WINDOW]).mean()))


def _span(train: Table) -> tuple[float, float]:
    """Twice the range of the train part on: a recursion fitted on outliers may else leave for infinity."""
    low, high = float(train.min()), float(train.max())
    return low - (high - low), high + (high - low)
