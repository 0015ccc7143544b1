"""Rollups: what a server's samples come to in buckets of a minute, five minutes, an hour, a day.

Every statistic of a metric in a bucket [start, start + bucket) is one over its *points*:

- A metric that arrives as gauges has one point at each instant at which all it is made of was sent: its value.
- A metric that arrives as counters has one at each instant but a series' first: the rate since the sample before, if
  that is at most windows.LOOKBACK_MS older, be it in an earlier bucket. So a rate belongs to the bucket it ends in.
- A metric whose ingredients never share an instant has one point in each bucket: the bucket's mean.

`min`, `max` and `last` are the smallest, largest and newest point, `count` their number, `p95` the point of rank
ceil(0.95 * count) in ascending order, itself a point, never something between two. `mean` is the bucket's value on the
grid (windows.metrics): the mean of gauges, a counter's whole increase over its whole time, a quotient of such. So a
chart does not show whether it was drawn from samples or from rollups. Means are kept to one decimal more than the
metric, the others to the metric's own.

`judged` and `anomalous` count a bucket's minutes with a verdict on the anomaly, and those that were called anomalous.
`late` marks buckets that hold late samples.
"""

from collections.abc import Sequence
from dataclasses import fields

import numpy as np
from numpy.typing import NDArray

from openmanager.catalog import METRICS, part_of
from openmanager.telemetry import windows
from openmanager.telemetry.fold import fold
from openmanager.telemetry.samples import Samples
from openmanager.values import frozen

# Finest first; a day's rollups of all levels are made together (`of_day`).
LEVELS = {"1m": 60_000, "5m": 300_000, "1h": 3_600_000, "1d": 86_400_000}
STATS = ("mean", "min", "max", "last", "p95")
MEAN_DECIMALS = 1
# The largest integers that survive being stored.
_MOST = 4e18

Table = NDArray[np.float64]
SCALES = np.array([10.0**m.decimals for m in METRICS])


@frozen(eq=False)
class Judged:
    """Verdicts on the anomaly: `times` (n,) starts of their minutes in ms, `anomalous` (n,)."""

    times: NDArray[np.int64]
    anomalous: NDArray[np.bool_]


NO_VERDICTS = Judged(np.empty(0, np.int64), np.empty(0, np.bool_))


@frozen(eq=False)
class Rollup:
    """n buckets from `start_ms` on: statistics (n, len(METRICS)), NaN and count 0 where nothing is known."""

    start_ms: int
    bucket_ms: int
    mean: Table
    min: Table
    max: Table
    last: Table
    p95: Table
    count: NDArray[np.int64]
    judged: NDArray[np.int64]
    anomalous: NDArray[np.int64]
    late: NDArray[np.bool_]

    def __len__(self) -> int:
        return len(self.late)

    @property
    def empty(self) -> bool:
        """Whether it says nothing at all."""
        return not (self.count.any() or self.judged.any())


_COLUMNS = tuple(f.name for f in fields(Rollup) if f.name not in ("start_ms", "bucket_ms"))


def blank(start_ms: int, n: int, bucket_ms: int) -> Rollup:
    """n buckets that say nothing."""
    mean, low, high, last, p95 = np.full((len(STATS), n, len(METRICS)), np.nan)
    count = np.zeros((n, len(METRICS)), np.int64)
    judged, anomalous = np.zeros((2, n), np.int64)
    return Rollup(start_ms, bucket_ms, mean, low, high, last, p95, count, judged, anomalous, np.zeros(n, np.bool_))


def compute(samples: Samples, judged: Judged, start_ms: int, stop_ms: int, buckets_ms: Sequence[int]) -> list[Rollup]:
    """Rollups of [start, stop), one for each width of bucket; `samples` begin LOOKBACK_MS before or do not exist."""
    times, values = _points(samples, start_ms, stop_ms)
    late = samples.times[samples.late]
    late = late[(late >= start_ms) & (late < stop_ms)]
    inside = (judged.times >= start_ms) & (judged.times < stop_ms)
    done = []
    for bucket_ms in buckets_ms:
        n = -((start_ms - stop_ms) // bucket_ms)
        mean = windows.metrics(samples, start_ms, stop_ms, bucket_ms)
        of = (judged.times[inside] - start_ms) // bucket_ms
        marks = np.zeros(n, np.bool_)
        marks[(late - start_ms) // bucket_ms] = True
        low, high, last, p95, count = _statistics((times - start_ms) // bucket_ms, values, mean)
        mean = _rounded(np.where(np.isnan(mean), last, mean), SCALES * 10.0**MEAN_DECIMALS)
        verdicts = np.bincount(of, minlength=n)
        alarms = np.bincount(of[judged.anomalous[inside]], minlength=n)
        done.append(Rollup(start_ms, bucket_ms, mean, low, high, last, p95, count, verdicts, alarms, marks))
    return done


def _points(samples: Samples, start_ms: int, stop_ms: int) -> tuple[NDArray[np.int64], Table]:
    """Instants of [start, stop) (n,) and the points that the metrics have there (n, len(METRICS))."""
    first, last = np.searchsorted(samples.times, (start_ms - windows.LOOKBACK_MS, stop_ms))
    times, values = samples.times[first:last], samples.values[first:last]
    if not len(times):
        return times, np.empty((0, len(METRICS)))
    counter = np.array([part_of(name).kind == "counter" for name in samples.series])
    if counter.any():
        increase, seconds = windows.increases(times, values[:, counter], ~np.isnan(values[:, counter]))
        values = values.copy()
        values[:, counter] = np.divide(increase, seconds, out=np.full_like(increase, np.nan), where=seconds > 0)
    inside = times >= start_ms
    times, values = times[inside], values[inside]
    return times, fold({name: values[:, i] for i, name in enumerate(samples.series)}, times)


def _statistics(
    index: NDArray[np.int64], points: Table, mean: Table
) -> tuple[Table, Table, Table, Table, NDArray[np.int64]]:
    """min, max, last, p95 and count (n, m) of points (k, m) in the buckets (k,) that they belong to."""
    n, m = mean.shape
    rows, columns = np.nonzero(~np.isnan(points))
    values = points[rows, columns]
    place = index[rows] * m + columns
    count = np.bincount(place, minlength=n * m)
    used = np.flatnonzero(count)
    ends = np.cumsum(count[used])
    # A metric that has a mean but no points: the mean stands in.
    smallest, largest, newest, high = (mean.ravel().copy() for _ in range(4))
    in_time = values[np.argsort(place, kind="stable")]
    newest[used] = in_time[ends - 1]
    ascending = values[np.lexsort((values, place))]
    smallest[used] = ascending[ends - count[used]]
    largest[used] = ascending[ends - 1]
    high[used] = ascending[ends - count[used] + -(-count[used] * 95 // 100) - 1]
    low, top, last, p95 = (_rounded(row.reshape(n, m), SCALES) for row in (smallest, largest, newest, high))
    alone = (count.reshape(n, m) == 0) & ~np.isnan(mean)
    return low, top, last, p95, count.reshape(n, m) + alone


def _rounded(values: Table, scales: Table) -> Table:
    whole: Table = np.clip(np.rint(values * scales), -_MOST, _MOST) / scales
    return whole


def regroup(rollup: Rollup, start_ms: int, stop_ms: int, step_ms: int) -> Rollup:
    """The same in steps of [start, stop), a bucket belonging to the step that it begins in.

    Exact for min, max, last, count and the verdicts; the mean is exact where points lie at an even cadence (buckets
    weigh as many as they hold); the p95 is the largest of the buckets': never below the true one.
    """
    n = -((start_ms - stop_ms) // step_ms)
    out = blank(start_ms, n, step_ms)
    begin = rollup.start_ms + np.arange(len(rollup)) * rollup.bucket_ms
    inside = (begin >= start_ms) & (begin < stop_ms)
    of = (begin[inside] - start_ms) // step_ms
    if not len(of):
        return out
    count = rollup.count[inside]
    np.add.at(out.count, of, count)
    np.add.at(out.judged, of, rollup.judged[inside])
    np.add.at(out.anomalous, of, rollup.anomalous[inside])
    np.logical_or.at(out.late, of, rollup.late[inside])
    np.fmin.at(out.min, of, rollup.min[inside])
    np.fmax.at(out.max, of, rollup.max[inside])
    np.fmax.at(out.p95, of, rollup.p95[inside])
    total = np.zeros_like(out.mean)
    np.add.at(total, of, np.where(count > 0, rollup.mean[inside] * count, 0.0))
    np.divide(total, out.count, out=out.mean, where=out.count > 0)
    # Of one bucket the mean must come out as it went in.
    out.mean[:] = _rounded(out.mean, SCALES * 10.0**MEAN_DECIMALS)
    rows = np.where(count > 0, np.arange(len(of))[:, None], -1)
    newest = np.full(out.count.shape, -1)
    np.maximum.at(newest, of, rows)
    np.copyto(out.last, np.take_along_axis(rollup.last[inside], np.maximum(newest, 0), axis=0), where=newest >= 0)
    return out


def join(parts: Sequence[Rollup], start_ms: int, stop_ms: int, bucket_ms: int) -> Rollup:
    """Rollups of one width, apart in time, on one grid; what lies outside [start, stop) is left out."""
    out = blank(start_ms, -((start_ms - stop_ms) // bucket_ms), bucket_ms)
    for part in parts:
        at = (part.start_ms - start_ms) // bucket_ms
        low, high = max(0, -at), min(len(part), len(out) - at)
        if low < high:
            for name in _COLUMNS:
                getattr(out, name)[at + low : at + high] = getattr(part, name)[low:high]
    return out


def fill(known: Rollup, more: Rollup) -> Rollup:
    """`known`, and where it knows nothing of a metric and bucket, what `more` says; both on one grid."""
    new = known.count == 0
    stats = {name: np.where(new, getattr(more, name), getattr(known, name)) for name in (*STATS, "count")}
    unjudged = known.judged == 0
    return Rollup(
        known.start_ms,
        known.bucket_ms,
        **stats,
        judged=np.where(unjudged, more.judged, known.judged),
        anomalous=np.where(unjudged, more.anomalous, known.anomalous),
        late=known.late | more.late,
    )
