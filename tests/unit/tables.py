"""Tables of samples for the tests of the codec."""

import numpy as np
from hypothesis import strategies as st
from openmanager.catalog import PARTS
from openmanager.telemetry import frames
from openmanager.telemetry.samples import Samples

START_MS = 1_764_000_000_000
SERIES = (*PARTS, "cpu_idle_total/0", "disk_reads_total/sda", "filesystem_size_bytes//var/lib")


@st.composite
def tables(draw: st.DrawFn) -> Samples:
    """Any samples a push can carry, already at the catalogue's precision."""
    series = tuple(draw(st.lists(st.sampled_from(SERIES), min_size=1, max_size=6, unique=True)))
    offsets = draw(st.lists(st.integers(0, 3_600_000), min_size=1, max_size=20, unique=True))
    times = np.array(sorted(offsets), np.int64) + START_MS
    cells = st.one_of(st.none(), st.integers(-5, 5), st.integers(-(10**9), 10**15), st.just(4096 * 10**6))
    rows = draw(st.lists(st.tuples(*[cells] * len(series)), min_size=len(times), max_size=len(times)))
    numbers = np.array([[np.nan if c is None else float(c) for c in row] for row in rows])
    late = np.array(draw(st.lists(st.booleans(), min_size=len(times), max_size=len(times))))
    return Samples(series, times, numbers / frames.scales(series), late)


def same(a: Samples, b: Samples) -> bool:
    """Equal where either has samples, whatever the order of series."""
    both = sorted(set(a.series) | set(b.series))

    def full(s: Samples) -> np.ndarray:
        return np.column_stack(
            [s.values[:, s.series.index(n)] if n in s.series else np.full(len(s), np.nan) for n in both]
        )

    return bool(
        np.array_equal(a.times, b.times)
        and np.array_equal(full(a), full(b), equal_nan=True)
        and np.array_equal(a.late, b.late)
    )
