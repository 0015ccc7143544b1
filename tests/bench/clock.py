"""The time of day, as it is set: a fleet's minutes go by as fast as they can."""

import time
from collections.abc import Callable, Iterator
from contextlib import contextmanager


@contextmanager
def clock(at_s: float) -> Iterator[Callable[[float], None]]:
    """`time.time()` stands still at `at_s`; what is yielded sets it. Other clocks go on."""
    now, real = [at_s], time.time
    time.time = lambda: now[0]  # type: ignore[assignment]
    try:
        yield lambda to: now.__setitem__(0, to)
    finally:
        time.time = real
