"""The even grid: samples at any cadence become one value a bucket, counters become rates."""

from collections.abc import Sequence

import numpy as np
from numpy.typing import NDArray

from openmanager.catalog import METRIC_KEYS, part_of
from openmanager.telemetry.fold import fold
from openmanager.telemetry.samples import Samples

# A counter's increase is only a rate if the sample before is near: Prometheus' own staleness limit. Whoever grids a
# range must also load this much before it; older samples change nothing.
LOOKBACK_MS = 300_000
# Linux sets idle and iowait back by centiseconds now and then; a counter that began anew is far lower.
_JITTER = 0.99


def buckets(samples: Samples, start_ms: int, stop_ms: int, step_ms: int) -> NDArray[np.float64]:
    """Values per bucket and series (n, k), n = ceil((stop - start) / step); NaN where there is nothing.

    A gauge is the mean of its samples in [bucket, bucket + step). A counter is its increase per second over the
    samples that fall in the bucket, each measured from the sample before it, at most LOOKBACK_MS earlier; a counter
    that went down was reset, and counted from zero since, unless it went down by less than a hundredth.
    """
    n = -((start_ms - stop_ms) // step_ms)
    k = len(samples.series)
    table = np.full((n, k), np.nan)
    first, last = np.searchsorted(samples.times, (start_ms - LOOKBACK_MS, stop_ms))
    times, values = samples.times[first:last], samples.values[first:last]
    if not len(times) or not k:
        return table
    index = (times - start_ms) // step_ms
    counter = np.array([part_of(name).kind == "counter" for name in samples.series])
    present = ~np.isnan(values)
    amount = np.where(present, values, 0.0)
    weight = present.astype(np.float64)
    if counter.any():
        amount[:, counter], weight[:, counter] = increases(times, values[:, counter], present[:, counter])
    inside = index >= 0
    sums, weights = np.zeros((n, k)), np.zeros((n, k))
    np.add.at(sums, index[inside], amount[inside])
    np.add.at(weights, index[inside], weight[inside])
    np.divide(sums, weights, out=table, where=weights > 0)
    return table


def increases(
    times: NDArray[np.int64], values: NDArray[np.float64], present: NDArray[np.bool_]
) -> tuple[NDArray[np.float64], NDArray[np.float64]]:
    """For each sample (n, k) of counters: the increase since the one before, and over how many seconds."""
    n = len(times)
    rows = np.where(present, np.arange(n)[:, None], -1)
    before = np.full_like(rows, -1)
    before[1:] = np.maximum.accumulate(rows, axis=0)[:-1]
    seconds = (times[:, None] - times[before]) / 1000.0
    known = present & (before >= 0) & (seconds <= LOOKBACK_MS / 1000.0)
    earlier = np.take_along_axis(values, np.maximum(before, 0), axis=0)
    drop = values < earlier * _JITTER
    increase = np.where(drop, values, np.maximum(values - earlier, 0.0))
    return np.where(known, increase, 0.0), np.where(known, seconds, 0.0)


def metrics(samples: Samples, start_ms: int, stop_ms: int, step_ms: int) -> NDArray[np.float64]:
    """The catalogue's metrics on the grid (n, len(METRIC_KEYS)); NaN where unknown."""
    table = buckets(samples, start_ms, stop_ms, step_ms)
    ends = np.arange(1, len(table) + 1, dtype=np.int64) * step_ms + start_ms
    if not samples.series:
        return np.full((len(table), len(METRIC_KEYS)), np.nan)
    return fold({name: table[:, i] for i, name in enumerate(samples.series)}, ends)


def newest(tables: Sequence[Samples], width_ms: int = 1) -> NDArray[np.float64]:
    """The metrics (n, len(METRIC_KEYS)) of the last `width_ms` up to the last row, of several servers' tables, none of
    them empty: of the last row alone unless a width is given.

    Servers with the same series, as those of one fleet are, are folded together, which costs hardly more than one.
    """
    rows = [buckets(t, int(t.times[-1]) + 1 - width_ms, int(t.times[-1]) + 1, width_ms)[0] for t in tables]
    alike: dict[tuple[str, ...], list[int]] = {}
    for i, table in enumerate(tables):
        alike.setdefault(table.series, []).append(i)
    out = np.full((len(tables), len(METRIC_KEYS)), np.nan)
    for series, places in alike.items():
        if series:
            values = np.stack([rows[i] for i in places])
            ends = np.array([tables[i].times[-1] + 1 for i in places], np.int64)
            out[places] = fold({name: values[:, k] for k, name in enumerate(series)}, ends)
    return out
