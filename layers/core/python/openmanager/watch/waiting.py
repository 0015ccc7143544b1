"""What waits to be learnt or judged of one server: its samples on the grid of minutes."""

from collections.abc import Mapping
from dataclasses import field

import numpy as np
from numpy.typing import NDArray

from openmanager.catalog import METRIC_KEYS
from openmanager.telemetry import windows
from openmanager.telemetry.samples import MINUTE_MS, Samples
from openmanager.values import frozen


@frozen(eq=False)
class Waiting:
    """From minute `first` on (minutes since 1970), one row of each array a minute.

    `table` (n, len(METRICS)) the metrics, NaN where unknown; `rows` (n,) how many instants had samples; `newest_ms`
    (n,) the newest of them, 0 where there was none.
    """

    first: int
    table: NDArray[np.float64]
    rows: NDArray[np.int64]
    newest_ms: NDArray[np.int64]
    attributes: Mapping[str, str] = field(default_factory=dict)

    def after(self, minute: int) -> "Waiting":
        """What is left when everything up to `minute` is done."""
        n = min(max(0, minute + 1 - self.first), len(self.rows))
        return Waiting(self.first + n, self.table[n:], self.rows[n:], self.newest_ms[n:], self.attributes)


def gridded(samples: Samples, first: int, last: int, attributes: Mapping[str, str] | None = None) -> Waiting:
    """A server's samples as the minutes first to last, which are none if last lies before first."""
    n = max(0, last - first + 1)
    start, stop = first * MINUTE_MS, (first + n) * MINUTE_MS
    table = windows.metrics(samples, start, stop, MINUTE_MS) if n else np.empty((0, len(METRIC_KEYS)))
    inside = samples.times[(samples.times >= start) & (samples.times < stop)]
    minute = inside // MINUTE_MS - first
    newest_ms = np.zeros(n, np.int64)
    newest_ms[minute] = inside  # times increase, so each minute keeps its last
    return Waiting(first, table, np.bincount(minute, minlength=n), newest_ms, attributes or {})
