"""The part of a server's samples that the archive has not moved yet."""

from openmanager.errors import DamagedFrame
from openmanager.stores import hot
from openmanager.stores.segments import BACKLOG, read_server_frames, segments_between, shard_of
from openmanager.telemetry.samples import Samples

_MAX_HOT_MS = 48 * 3600 * 1000


def samples(server: str, first_ms: int, last_ms: int, now_ms: int) -> list[Samples]:
    """Tables that hold at least what Redis has in [first, last]."""
    until = hot.archived_until(shard_of(server))
    segments = [
        s for s in segments_between(max(first_ms, now_ms - _MAX_HOT_MS), last_ms) if until is None or s >= until
    ]
    found = []
    for frame in read_server_frames(server, [*segments, BACKLOG]):
        try:
            found.append(frame.read()[0])
        except DamagedFrame:
            continue  # the round reports it and the archive sets it aside
    return found
