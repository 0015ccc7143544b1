"""Paths that the network must beat on a series before it may speak for it. Pure, on any grid.

Every row is computed by itself, element by element and column by column: its bits do not depend on the batch.
"""

from typing import Any

import numpy as np
from numpy.typing import NDArray

from openmanager.inference import forecast
from openmanager.inference.runtime import Network

NAMES = ("last", "level", "damped", "theil_sen", "seasonal", "lstm")
LAST = NAMES.index("last")
# Simple exponential smoothing and damped trend: within what Gardner (Journal of Forecasting 4, 1985) calls usual
# for the weights (.05 to .3) and Hyndman & Athanasopoulos (Forecasting, 3rd ed., 8.2) for the damping (.8 to .98).
LEVEL_WEIGHT = 0.2
DAMPED_LEVEL, DAMPED_TREND, DAMPING = 0.3, 0.05, 0.95

Table = NDArray[np.float64]


def paths(
    windows: NDArray[np.floating[Any]],
    floor: NDArray[np.floating[Any]],
    steps: int = forecast.STEPS,
    season: int | None = None,
    network: Network | None = None,
) -> Table:
    """Every candidate's next `steps` values (n, len(NAMES), steps) in the series' unit, for windows (n, 60).

    `floor` (n,) as in `forecast.path`. `season` is a day in steps of the grid; the seasonal path is NaN without one
    or where it does not fit in the window. Raises ValueError for windows of another shape or with gaps.
    """
    network_path = forecast.path(windows, floor, steps, network)
    windows = np.asarray(windows, np.float64)
    seasonal = np.full_like(network_path, np.nan)
    if season is not None and season <= windows.shape[1]:
        seasonal = seasonal_naive(windows, steps, season)
    known = (last_value(windows, steps), level(windows, steps), damped_trend(windows, steps), theil_sen(windows, steps))
    return np.stack([*known, seasonal, network_path], axis=1)


def last_value(windows: Table, steps: int) -> Table:
    """The last value of windows (n, w), held: (n, steps)."""
    return np.repeat(windows[:, -1:], steps, axis=1)


def level(windows: Table, steps: int) -> Table:
    """Simple exponential smoothing of windows (n, w), held: (n, steps)."""
    smoothed = windows[:, 0]
    for column in windows.T[1:]:
        smoothed = smoothed + LEVEL_WEIGHT * (column - smoothed)
    return np.repeat(smoothed[:, None], steps, axis=1)


def damped_trend(windows: Table, steps: int) -> Table:
    """Holt's line whose trend fades (Gardner & McKenzie, Management Science 31, 1985): (n, steps).

    level + (phi + phi² + … + phi^h) · trend at h steps; it starts at the first value without a trend.
    """
    at, trend = windows[:, 0], np.zeros(len(windows))
    for column in windows.T[1:]:
        expected = at + DAMPING * trend
        moved = expected + DAMPED_LEVEL * (column - expected)
        trend = DAMPING * trend + DAMPED_TREND * (moved - at - DAMPING * trend)
        at = moved
    reach = np.cumsum(DAMPING ** np.arange(1, steps + 1))
    line: Table = at[:, None] + reach * trend[:, None]
    return line


def theil_sen(windows: Table, steps: int) -> Table:
    """The line through the window's middle with a median slope: (n, steps).

    Theil's incomplete method (Proc. KNAW 53, 1950): each value of the first half is paired with the one half a window
    later; the complete method's 1,770 pairs cost as much as the network. Breaks down at a quarter of outliers.
    """
    half = windows.shape[1] // 2
    early, late = windows[:, :half], windows[:, -half:]
    slope = np.median(late - early, axis=1) / (windows.shape[1] - half)
    t = np.arange(windows.shape[1], dtype=np.float64)
    start = np.median(windows - slope[:, None] * t, axis=1)
    line: Table = start[:, None] + slope[:, None] * (len(t) + np.arange(steps))
    return line


def seasonal_naive(windows: Table, steps: int, season: int) -> Table:
    """The values of windows (n, w) one season before, repeated: (n, steps). `season` in steps, at most w."""
    cycle = windows[:, -season:]
    again: Table = cycle[:, np.arange(steps) % season]
    return again
