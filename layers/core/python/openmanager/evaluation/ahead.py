"""Where a series goes: the network alone, and the live round's outlook with its rolling back-test. Causal."""

import numpy as np
from numpy.lib.stride_tricks import sliding_window_view
from numpy.typing import ArrayLike, NDArray

from openmanager.evaluation.arguments import Floats, numbers
from openmanager.inference import backtest, candidates, forecast
from openmanager.values import frozen

# Windows in one call of the network: bounds its memory, and does not change a bit of the result.
_BATCH = 1024


@frozen(eq=False)
class Outlook:
    """What the live round says of one series: `path` (30,) by the candidate `method` (one of candidates.NAMES).

    `lower` and `upper` (3, 30) are the ends of the 50, 80 and 95 % intervals; `tested` the back-tests behind them,
    below 8 of which the last value speaks and intervals are the development servers'.
    """

    path: Floats
    lower: Floats
    upper: Floats
    method: str
    tested: int


@frozen(eq=False)
class Rolling:
    """Outlooks of one series from m origins: `origin` (m,) index of the last value that each knew.

    `path` and `network` (m, 30) what the round and what the network alone said, `lower` and `upper` (m, 3, 30).
    """

    origin: NDArray[np.int64]
    path: Floats
    lower: Floats
    upper: Floats
    network: Floats


def forecasts(
    history: ArrayLike, steps: int = forecast.STEPS, *, low: float | None = None, high: float | None = None
) -> Floats:
    """The network's next `steps` values (steps,) of a series (h,), or (k, steps) of k series (k, h), on an even grid.

    Only the last 60 values count; a gap holds the value before it. `low` and `high` are the ends of the natural
    range, None where there is none: forecasts stay between them, and a thousandth of `high` (else of the window's
    largest value) is the smallest step worth telling from rest. Raises ValueError naming the argument.
    """
    table = numbers("history", history)
    if table.ndim not in (1, 2):
        raise ValueError(f"history: must be (h,) or (k, h), got {table.shape}")
    if steps < 1:
        raise ValueError(f"steps: must be at least 1, got {steps}")
    bounds = _bounds(low, high)
    windows = _held(np.atleast_2d(table))[:, -forecast.WINDOW :]
    _complete(windows)
    parts = [windows[at : at + _BATCH] for at in range(0, len(windows), _BATCH)]
    ahead = np.concatenate([np.empty((0, steps)), *(forecast.path(part, _floor(part, high), steps) for part in parts)])
    clipped: Floats = np.clip(ahead, *bounds)
    return clipped if table.ndim == 2 else clipped[0]


def outlook(history: ArrayLike, *, low: float | None = None, high: float | None = None) -> Outlook:
    """What the live round would say after a series (h,) whose first value is the server's first.

    Every 15 steps, once 90 values are there, the candidates' paths from 30 steps ago are held against what came; the
    winner speaks and its errors make the intervals. Arguments and errors as in `forecasts`.
    """
    series = _series(history)
    bounds = _bounds(low, high)
    window = series[-forecast.WINDOW :]
    _complete(window[None, :])
    records = backtest.new(1)
    for past in _tests(series, high):
        records = backtest.update(records, *past)
    said = backtest.ahead(records, window[None, :], _floor(window[None, :], high), *bounds)
    return Outlook(said.path[0], said.lower[0], said.upper[0], candidates.NAMES[said.winner[0]], int(said.tested[0]))


def rolling(series: ArrayLike, *, low: float | None = None, high: float | None = None) -> Rolling:
    """The outlooks of a series (n,) at each of its back-tests, none of which knows what follows its origin.

    Arguments as in `outlook`; a series of fewer than 90 values has none.
    """
    values = _series(series)
    low, high_end = _bounds(low, high)
    origin = _test_ends(values)
    windows = _ending(values, origin, forecast.WINDOW)
    floor = _floor(windows, high)
    paths, scale = _paths(windows, floor), forecast.step_size(windows, floor)
    records = backtest.new(1)
    said = []
    for i, past in enumerate(_tests(values, high)):
        records = backtest.update(records, *past)
        said.append(backtest.intervals(records, paths[i : i + 1], scale[i : i + 1], low, high_end))
    shape = (0, len(backtest.COVERAGES), forecast.STEPS)
    return Rolling(
        origin,
        np.concatenate([np.empty((0, forecast.STEPS)), *(s.path for s in said)]),
        np.concatenate([np.empty(shape), *(s.lower for s in said)]),
        np.concatenate([np.empty(shape), *(s.upper for s in said)]),
        np.clip(paths[:, candidates.NAMES.index("lstm")], low, high_end),
    )


def _tests(series: Floats, high: float | None) -> list[tuple[Floats, Floats, Floats, NDArray[np.bool_]]]:
    """What `backtest.update` takes at each back-test of a series, beside the records."""
    histories = _ending(series, _test_ends(series), backtest.HISTORY)
    windows, truth = histories[:, : forecast.WINDOW], histories[:, forecast.WINDOW :]
    floor = _floor(histories, high)
    paths, scale = _paths(windows, floor), forecast.step_size(windows, floor)
    rest = backtest.at_rest(windows)
    each = (slice(i, i + 1) for i in range(len(paths)))
    return [(paths[i], truth[i], scale[i], rest[i]) for i in each]


def _test_ends(series: Floats) -> NDArray[np.int64]:
    """The index of the newest value at each back-test of a series (n,)."""
    known = np.flatnonzero(~np.isnan(series))
    first = int(known[0]) + backtest.HISTORY - 1 if len(known) else len(series)
    return np.arange(-(-first // backtest.EVERY) * backtest.EVERY, len(series), backtest.EVERY)


def _ending(series: Floats, ends: NDArray[np.int64], length: int) -> Floats:
    """The `length` values up to each end (m,), (m, length)."""
    if not len(ends):
        return np.empty((0, length))
    rows: Floats = sliding_window_view(series, length)[ends - length + 1]
    return rows


def _paths(windows: Floats, floor: Floats) -> Floats:
    """Every candidate's path (m, candidates, 30)."""
    parts = [
        candidates.paths(windows[at : at + _BATCH], floor[at : at + _BATCH]) for at in range(0, len(windows), _BATCH)
    ]
    return np.concatenate([np.empty((0, len(candidates.NAMES), forecast.STEPS)), *parts])


def _series(values: ArrayLike) -> Floats:
    series = numbers("history", values)
    if series.ndim != 1:
        raise ValueError(f"history: must be (h,), got {series.shape}")
    held: Floats = _held(series[None, :])[0]
    return held


def _bounds(low: float | None, high: float | None) -> tuple[float, float]:
    if high is not None and not 0 < high < np.inf:
        raise ValueError(f"high: must be above 0, got {high}")
    return -np.inf if low is None else low, np.inf if high is None else high


def _complete(windows: Floats) -> None:
    if windows.shape[1] < forecast.WINDOW or np.isnan(windows).any():
        known = int(windows.shape[1] - np.isnan(windows).sum(axis=1).max(initial=0))
        raise ValueError(f"history: needs {forecast.WINDOW} values from the first known one on, has {known}")


def _floor(windows: Floats, high: float | None) -> Floats:
    reach: Floats = np.abs(windows).max(axis=1) if high is None else np.full(len(windows), float(high))
    return forecast.FLOOR_SHARE * reach


def _held(table: Floats) -> Floats:
    """Each gap of (k, h) filled with the value before it; in float32's precision, as the round keeps windows."""
    known = np.where(np.isnan(table), 0, np.arange(table.shape[1]))
    held = np.take_along_axis(table, np.maximum.accumulate(known, axis=1), axis=1) if table.size else table
    return held.astype(np.float32).astype(np.float64)
