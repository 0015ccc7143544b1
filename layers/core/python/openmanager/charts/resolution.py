"""Which resolution answers a range: by its step, and by its age, for what is fine is not kept as long."""

from openmanager.stores.partitions import BLOCKS, ROLLUPS
from openmanager.telemetry.rollups import LEVELS

RAW = "raw"
# A step is put together from at most so many buckets; a step that would need more is made a little longer.
_MOST_BUCKETS = 60


def choose(start_ms: int, step_ms: int, now_ms: int) -> tuple[str, int]:
    """(resolution, step in ms) for a range that begins at `start_ms`; the step is never shorter than asked for.

    Rollups where one divides the step, the coarsest of those; else samples, as long as they are kept; else the step
    becomes a multiple of the finest rollup that is kept and fine enough.
    """
    kept = [n for n in LEVELS if n not in ROLLUPS or start_ms >= ROLLUPS[n].kept_from_ms(now_ms)]
    for name in reversed(kept):
        # The longest has nothing above it, however long the step:
        if step_ms % LEVELS[name] == 0 and (step_ms <= _MOST_BUCKETS * LEVELS[name] or name == kept[-1]):
            return name, step_ms
    if start_ms >= BLOCKS.kept_from_ms(now_ms):
        return RAW, step_ms
    fitting = next((n for n in kept if step_ms <= _MOST_BUCKETS * LEVELS[n]), kept[-1])
    longer = -(-step_ms // LEVELS[fitting]) * LEVELS[fitting]
    # The longer step may be a whole number of something coarser.
    return [n for n in kept if longer % LEVELS[n] == 0][-1], longer
