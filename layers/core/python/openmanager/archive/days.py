"""Closing days: what is rolled up, and when a day is over."""

from collections.abc import Callable

from openmanager.stores import rollups as stored
from openmanager.stores.partitions import DAY_MS, ROLLUPS, day_ms, day_of
from openmanager.telemetry.rollups import LEVELS, Rollup, compute, fill

# Frames leave Redis within the hour after they were judged; what comes later opens the day again.
SETTLED_AFTER_MS = 2 * 3_600_000
# Server-days closed in one transaction: a few seconds' work, of which a run that dies loses at most one.
_BATCH = 16


def close_due(now_ms: int, out_of_time: Callable[[], bool]) -> tuple[int, bool]:
    """Close the days that are over and have changed; (how many, whether time ran out before all were)."""
    before = day_of(now_ms - SETTLED_AFTER_MS)
    closed = 0
    while not out_of_time():
        done = stored.close_days(before, _BATCH, lambda day: _roll_up(day, now_ms))
        closed += done
        if done < _BATCH:
            return closed, False
    return closed, True


def _roll_up(day: stored.OpenDay, now_ms: int) -> dict[str, Rollup]:
    start, stop = day_ms(day.day), day_ms(day.day) + DAY_MS
    levels = [n for n in LEVELS if n not in ROLLUPS or stop > ROLLUPS[n].kept_from_ms(now_ms)]
    made = compute(day.samples, day.judged, start, stop, [LEVELS[name] for name in levels])
    found = {}
    for name, rollup in zip(levels, made, strict=True):
        whole = fill(day.standing[name], rollup) if name in day.standing else rollup
        if not whole.empty:
            found[name] = whole
    return found
