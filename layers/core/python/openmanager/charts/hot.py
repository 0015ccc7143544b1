"""The part of a server's samples that the archive has not moved yet."""

from openmanager.errors import DamagedFrame
from openmanager.stores import hot
from openmanager.stores.segments import BACKLOG, SEGMENT_MS, read_server_frames, segments_between
from openmanager.stores.shards import shard_of
from openmanager.telemetry.samples import Samples

# How far back to look before the archive has ever run.
_UNARCHIVED_MS = 48 * 3600 * 1000


def samples(server: str, first_ms: int, last_ms: int, now_ms: int) -> list[Samples]:
    """Tables that hold at least what Redis has in [first, last]."""
    until = hot.archived_until(shard_of(server))
    begin_ms = now_ms - _UNARCHIVED_MS if until is None else until * 1000 + SEGMENT_MS
    segments = segments_between(max(first_ms, begin_ms), last_ms)
    found = []
    for frame in read_server_frames(server, [*segments, BACKLOG]):
        try:
            found.append(frame.read()[0])
        except DamagedFrame:
            continue  # the round reports it and the archive sets it aside
    return found
