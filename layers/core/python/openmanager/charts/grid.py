"""A server's metrics over time, on an even grid: samples where they must be read, rollups where they will do."""

from collections.abc import Sequence
from datetime import date
from typing import Any

import numpy as np

from openmanager.catalog import COLUMN, METRIC_KEYS, METRICS
from openmanager.charts import hot as hot_samples
from openmanager.charts.resolution import RAW, choose
from openmanager.errors import InvalidInput, NotFound
from openmanager.stores import history, rollups
from openmanager.stores.latest import read_server_latest
from openmanager.stores.partitions import BLOCKS, DAY_MS, day_ms, day_of
from openmanager.telemetry.rollups import LEVELS, NO_VERDICTS, STATS, Judged, Rollup, compute, join, regroup
from openmanager.telemetry.samples import Samples, merge
from openmanager.telemetry.windows import LOOKBACK_MS
from openmanager.values import frozen

MAX_POINTS = 1_500
_DEFAULT_POINTS = 500
# A century, so that the end of the last step is still a date.
_LONGEST_STEP_S = 3_155_760_000
STEP = {
    "minimum": 1,
    "maximum": _LONGEST_STEP_S,
    "description": f"seconds; else a minute, or what keeps {_DEFAULT_POINTS} points",
}
KEYS = {
    "type": "string",
    "pattern": "^({0})(,({0}))*$".format("|".join(METRIC_KEYS)),
    "description": "comma-separated; else all that are known",
}
# Steps that people read easily, in seconds; beyond them whole days.
_STEPS_S = (60, 120, 300, 600, 900, 1800, 3600, 7200, 10_800, 21_600, 43_200, 86_400)


@frozen
class Range:
    """A span of time (ms) cut into steps, both ends on a step."""

    start_ms: int
    stop_ms: int
    step_ms: int

    @classmethod
    def of(cls, start_s: float, stop_s: float, step_s: float | None) -> "Range":
        """Raises InvalidInput naming `from` or `step`. Without a step: a minute, or one that keeps 500 points."""
        if start_s >= stop_s:
            raise InvalidInput("from", "must lie before `to`")
        least = (stop_s - start_s) / _DEFAULT_POINTS
        usual = next((s for s in _STEPS_S if s >= least), -(-least // 86_400) * 86_400)
        step_s = usual if step_s is None else step_s
        # Not a number is neither.
        if not 1 <= step_s <= _LONGEST_STEP_S:
            raise InvalidInput("step", f"must be from 1 to {_LONGEST_STEP_S} seconds")
        step_ms = int(step_s * 1000)
        span = cls._aligned(int(start_s * 1000), int(stop_s * 1000), step_ms)
        if span.points > MAX_POINTS:
            raise InvalidInput("step", f"gives {span.points} points; at most {MAX_POINTS} are returned")
        return span

    @classmethod
    def _aligned(cls, start_ms: int, stop_ms: int, step_ms: int) -> "Range":
        return cls(start_ms // step_ms * step_ms, -(-stop_ms // step_ms) * step_ms, step_ms)

    def widened(self, step_ms: int) -> "Range":
        """The same span in longer steps."""
        return self if step_ms == self.step_ms else self._aligned(self.start_ms, self.stop_ms, step_ms)

    @property
    def points(self) -> int:
        """How many steps it has."""
        return (self.stop_ms - self.start_ms) // self.step_ms


def metrics(
    server: str, span: Range, now_ms: int, stat: str = "mean", only: Sequence[str] | None = None
) -> dict[str, Any]:
    """A statistic of a server's metrics over a span, hot and archived joined, `only` some or all that are known.

    `resolution` says what the answer was drawn from, where the step was made of buckets: `raw`, or the rollups that
    answered for the days that are closed. `anomalous` is the share of each step's minutes that were called anomalous,
    of those with a verdict in the archive. Raises InvalidInput naming `stat` or `metrics`, and NotFound for a server
    nothing is known of.
    """
    if stat not in STATS:
        raise InvalidInput("stat", f"{stat!r} is none of {', '.join(STATS)}")
    for key in only or ():
        if key not in COLUMN:
            raise InvalidInput("metrics", f"{key!r} is not a metric of the catalogue")
    level, step_ms = choose(span.start_ms, span.step_ms, now_ms)
    span = span.widened(step_ms)
    resolution, rollup = _rollup(server, span, level, now_ms)
    if rollup.empty and read_server_latest(server) is None and history.read_server(server) is None:
        raise NotFound(f"server {server!r} has sent nothing")
    values = getattr(rollup, stat)
    starts = np.arange(span.start_ms, span.stop_ms, span.step_ms)
    shown = [COLUMN[key] for key in (METRIC_KEYS if only is None else only)]
    return {
        "server": server,
        "from": span.start_ms / 1000,
        "to": span.stop_ms / 1000,
        "step": span.step_ms / 1000,
        "stat": stat,
        "resolution": resolution,
        "times": (starts / 1000).tolist(),
        "metrics": {
            METRIC_KEYS[i]: [None if v != v else v for v in np.round(values[:, i], METRICS[i].decimals).tolist()]
            for i in shown
            if not np.isnan(values[:, i]).all()
        },
        "anomalous": [round(a / j, 3) if j else None for a, j in zip(rollup.anomalous, rollup.judged, strict=True)],
        "late": (starts[rollup.late] / 1000).tolist(),
    }


def _rollup(server: str, span: Range, level: str, now_ms: int) -> tuple[str, Rollup]:
    """(what answered, the span's steps)."""
    # Hot before cold: what the archive moves in between is then seen twice, which `merge` undoes, and never missed.
    newest = min(span.stop_ms, now_ms + DAY_MS)
    tables = hot_samples.samples(server, span.start_ms - LOOKBACK_MS, newest, now_ms)
    closed = {} if level == RAW else _closed(server, span, level, tables, now_ms)
    first, last = day_of(span.start_ms), day_of(min(span.stop_ms - 1, newest))
    if not closed:
        table = merge([*tables, *history.read_blocks(server, span.start_ms - LOOKBACK_MS, span.stop_ms)])
        judged = _judged(server, _days(first, last, now_ms))
        return RAW, compute(table, judged, span.start_ms, span.stop_ms, [span.step_ms])[0]
    bucket_ms = LEVELS[level]
    parts = list(closed.values())
    spans = _open_spans(first, last, closed)
    reads = [(start - LOOKBACK_MS, stop) for start, stop in spans]
    table = merge([*tables, *history.read_spans(server, reads)])
    open_days = [d for start, stop in spans for d in _days(day_of(start), day_of(stop - 1), now_ms)]
    judged = _judged(server, open_days)
    for start, stop in spans:
        low, high = np.searchsorted(table.times, (start - LOOKBACK_MS, stop))
        if low < high or len(judged.times):
            parts += compute(table, judged, start, stop, [bucket_ms])
    whole = join(parts, day_ms(first), day_ms(last) + DAY_MS, bucket_ms)
    return level, regroup(whole, span.start_ms, span.stop_ms, span.step_ms)


def _closed(server: str, span: Range, level: str, tables: Sequence[Samples], now_ms: int) -> dict[date, Rollup]:
    """The days that their rollup answers for: it is up to date, or the samples are not kept any more."""
    found, due = rollups.read(server, level, day_of(span.start_ms), day_of(span.stop_ms - 1))
    for table in tables:
        # Samples that are still hot change their day, and the first rates after them.
        for times in (table.times, table.times + LOOKBACK_MS):
            due |= {day_of(int(day) * DAY_MS) for day in np.unique(times // DAY_MS)}
    kept = BLOCKS.kept_from_ms(now_ms)
    return {day: r for day, r in found.items() if day not in due or day_ms(day) < kept}


def _open_spans(first: date, last: date, closed: dict[date, Rollup]) -> list[tuple[int, int]]:
    """Runs of days that no rollup answers for, as [start, stop) in ms."""
    spans: list[tuple[int, int]] = []
    for start in range(day_ms(first), day_ms(last) + DAY_MS, DAY_MS):
        if day_of(start) in closed:
            continue
        if spans and spans[-1][1] == start:
            spans[-1] = (spans[-1][0], start + DAY_MS)
        else:
            spans.append((start, start + DAY_MS))
    return spans


def _days(first: date, last: date, now_ms: int) -> list[date]:
    """The days from `first` to `last` that verdicts may be kept of."""
    oldest = max(day_ms(first), day_ms(day_of(BLOCKS.kept_from_ms(now_ms))))
    return [day_of(ms) for ms in range(oldest, day_ms(last) + DAY_MS, DAY_MS)]


def _judged(server: str, days: Sequence[date]) -> Judged:
    parts = rollups.read_judged(server, list(days))
    if not parts:
        return NO_VERDICTS
    return Judged(np.concatenate([p.times for p in parts]), np.concatenate([p.anomalous for p in parts]))
