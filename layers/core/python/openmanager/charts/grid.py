"""A server's metrics over time: hot and archived samples joined, on an even grid."""

import time
from dataclasses import dataclass
from typing import Any

import numpy as np

from openmanager.catalog import METRIC_KEYS, METRICS
from openmanager.charts import hot as hot_samples
from openmanager.errors import InvalidInput, NotFound
from openmanager.stores import history, hot
from openmanager.telemetry import windows
from openmanager.telemetry.samples import merge

MAX_POINTS = 1_500


@dataclass(frozen=True, slots=True)
class Range:
    """A span of time (ms) cut into steps, both ends on a step."""

    start_ms: int
    stop_ms: int
    step_ms: int

    @classmethod
    def of(cls, start_s: float, stop_s: float, step_s: float | None) -> "Range":
        """Raises InvalidInput naming `from` or `step`. Without a step: a minute, or as many as keep 500 points."""
        if start_s >= stop_s:
            raise InvalidInput("from", "must lie before `to`")
        minutes = -(-(stop_s - start_s) // (500 * 60))
        step_ms = int((step_s if step_s is not None else minutes * 60) * 1000)
        if step_ms < 1000:
            raise InvalidInput("step", "must be at least 1 second")
        start = int(start_s * 1000) // step_ms * step_ms
        stop = -(-int(stop_s * 1000) // step_ms) * step_ms
        if (stop - start) // step_ms > MAX_POINTS:
            raise InvalidInput("step", f"gives {(stop - start) // step_ms} points; at most {MAX_POINTS} are returned")
        return cls(start, stop, step_ms)


def metrics(server: str, span: Range, now_ms: int | None = None) -> dict[str, Any]:
    """A server's metrics over a span, hot and archived joined. Raises NotFound for a server nothing is known of."""
    now_ms = now_ms or int(time.time() * 1000)
    first = span.start_ms - windows.LOOKBACK_MS
    # Hot before cold: what the archive moves in between is then seen twice, which `merge` undoes, and never missed.
    samples = hot_samples.samples(server, first, min(span.stop_ms, now_ms), now_ms)
    samples += history.connect().read_blocks(server, first, span.stop_ms)
    table = merge(samples)
    if not len(table) and hot.read_server_latest(server) is None:
        raise NotFound(f"server {server!r} has sent nothing in this time, nor lately")
    values = windows.metrics(table, span.start_ms, span.stop_ms, span.step_ms)
    starts = np.arange(span.start_ms, span.stop_ms, span.step_ms)
    late = np.unique((table.times[table.late] - span.start_ms) // span.step_ms)
    return {
        "server": server,
        "from": span.start_ms / 1000,
        "to": span.stop_ms / 1000,
        "step": span.step_ms / 1000,
        "times": (starts / 1000).tolist(),
        "metrics": {
            key: [None if np.isnan(v) else float(v) for v in np.round(values[:, i], METRICS[i].decimals)]
            for i, key in enumerate(METRIC_KEYS)
            if not np.isnan(values[:, i]).all()
        },
        "late": (starts[late[(late >= 0) & (late < len(starts))]] / 1000).tolist(),
    }
