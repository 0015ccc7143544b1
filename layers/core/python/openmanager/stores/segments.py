"""Frames in Redis: where they lie, and how a round, a chart or the archive reads them; stores.pushes writes them.

    om:{shard}:frames:{segment}  hash: `server|first ms|digest[|late]` -> frame, `server|baseline|id` -> baseline,
                                 `server|trace|minute` -> the `traceparent` of the last sampled push for that minute
    om:{shard}:frames:backlog    the same without traces, for samples older than the segment before the current one

Servers are grouped into shards and time into segments, so that commands stay few. A segment's hash is self-contained:
whoever writes a server's first frame there writes its baseline with it. A server's name cannot hold `|`, `@` or a glob
character, so fields never collide.
"""

import re
from collections import defaultdict
from collections.abc import Mapping, Sequence

from openmanager.errors import DamagedFrame
from openmanager.names import SERVER_ID
from openmanager.stores.redis import connect, pairs
from openmanager.stores.shards import shard_of
from openmanager.telemetry import frames
from openmanager.telemetry.samples import MINUTE_MS, Samples
from openmanager.values import frozen

SEGMENT_MS = 600_000
BACKLOG = "backlog"
_HEX = re.compile("[0-9a-f]+")
# What is judged later than this is recorded, but nobody is told of it unless it goes on.
TOLD_MIN = 15
# What changes with every frame and every round of a shard, in one command. KEYS: state, the hashes.
_VERSION = """
local found = {redis.call('HGET', KEYS[1], '@round') or '0'}
for i = 2, #KEYS do found[i] = redis.call('HLEN', KEYS[i]) end
return found
"""


def segment_of(ms: int) -> int:
    """Start (s) of the segment that holds an instant (ms)."""
    return ms // SEGMENT_MS * SEGMENT_MS // 1000


def frames_key(shard: int, segment: int | str) -> str:
    """The hash of a segment."""
    return f"om:{shard}:frames:{segment}"


@frozen
class StoredFrame:
    """A frame where it lies: key and field, what the field says of it, and by field the baselines it may lean on."""

    key: str
    field: str
    server: str
    first_ms: int
    digest: str
    late: bool
    text: str
    baselines: Mapping[str, str]

    def read(self) -> tuple[Samples, Mapping[str, str]]:
        """Its samples and the server's attributes. Raises DamagedFrame naming key and field."""
        reason = "frame: its baseline is gone"
        for text in self.baselines.values():
            try:
                baseline = frames.read_baseline(text)
                return frames.decode_frame(self.text, baseline, self.digest, self.late), baseline.attributes
            except DamagedFrame as error:
                reason = str(error)
        raise DamagedFrame(f"{self.key} {self.field}: {reason}")


def stored_frames(key: str, fields: Mapping[str, str]) -> list[StoredFrame]:
    """The frames of a segment's hash; a field that is neither frame nor baseline is one that does not read."""
    found = []
    baselines: dict[tuple[str, int], dict[str, str]] = defaultdict(dict)
    others = []
    for name, text in fields.items():
        match name.split("|"):
            case [server, "baseline", identifier] if _HEX.fullmatch(identifier):
                baselines[server, frames.mark_of(identifier)][name] = text
            case [_, "trace", _]:
                continue
            case [server, first, digest, *late] if first.isdecimal():
                others.append((name, server, int(first), digest, late == ["late"], text))
            case [server, *_]:
                found.append(StoredFrame(key, name, server, 0, "", False, text, {}))
    for name, server, first_ms, digest, is_late, text in others:
        try:
            candidates = baselines.get((server, frames.baseline_mark(text)), {})
        except DamagedFrame:
            candidates = {}
        found.append(StoredFrame(key, name, server, first_ms, digest, is_late, text, candidates))
    return found


def stored_traces(fields: Mapping[str, str]) -> dict[tuple[str, int], str]:
    """(server, minute since 1970) -> `traceparent`, of a segment's hash; what does not read is left out."""
    found = {}
    for name, text in fields.items():
        match name.split("|"):
            case [server, "trace", minute] if minute.isdecimal():
                found[server, int(minute)] = text
    return found


def told_minutes(samples: Samples, now_ms: int) -> list[int]:
    """The minutes (since 1970) of some samples, oldest first, of which somebody may still be told."""
    since_ms = (now_ms // MINUTE_MS - TOLD_MIN + 1) * MINUTE_MS
    return sorted({ms // MINUTE_MS for ms in samples.times[samples.times >= since_ms].tolist()})


def segments_between(first_ms: int, last_ms: int) -> list[int]:
    """Segments whose hashes may hold rows of [first, last]: a frame may begin one segment earlier."""
    start, stop = segment_of(first_ms - SEGMENT_MS), segment_of(last_ms)
    return list(range(start, stop + 1, SEGMENT_MS // 1000))


def has_sent(server: str, now_ms: int) -> bool:
    """Whether any of a server's frames are here."""
    return bool(read_server_frames(server, [*segments_between(now_ms, now_ms), BACKLOG]))


def read_server_frames(server: str, segments: Sequence[int | str]) -> list[StoredFrame]:
    """One server's frames of some segments; none of what is no server's name."""
    if not SERVER_ID.fullmatch(server):
        # Signs of a pattern would match the frames of others, and some patterns keep Redis busy for minutes.
        return []
    shard = shard_of(server)
    found: list[StoredFrame] = []
    cursors: dict[str, str] = {frames_key(shard, s): "0" for s in segments}
    fields: dict[str, dict[str, str]] = {key: {} for key in cursors}
    while cursors:
        replies = connect().run(
            *(("HSCAN", key, cursor, "MATCH", f"{server}|*", "COUNT", 100_000) for key, cursor in cursors.items()),
            repeatable=True,
        )
        following = {}
        for key, (cursor, flat) in zip(cursors, replies, strict=True):
            fields[key].update(pairs(flat))
            if str(cursor) != "0":
                following[key] = str(cursor)
        cursors = following
    for key, content in fields.items():
        found.extend(stored_frames(key, content))
    return found


def read_hash(key: str) -> dict[str, str]:
    """All fields of a segment's hash."""
    return pairs(connect().call("HGETALL", key, repeatable=True))


def oldest_segment(shard: int) -> int | None:
    """The oldest segment (s) that Redis holds; walks the key space, so only for who does not know where to start."""
    found: list[int] = []
    cursor = "0"
    while True:
        cursor, keys = connect().call("SCAN", cursor, "MATCH", frames_key(shard, "*"), "COUNT", 1000, repeatable=True)
        found += [int(place) for key in keys if (place := key.rpartition(":")[2]) != BACKLOG]
        if str(cursor) == "0":
            return min(found, default=None)


def read_version(shard: int, segments: Sequence[int | str]) -> list[object]:
    """What is another one once a frame of these segments has come or a round of the shard is over.

    A frame's field never changes, so that their number says enough.
    """
    keys = [f"om:{shard}:state", *(frames_key(shard, s) for s in segments)]
    found: list[object] = connect().call("EVAL", _VERSION, len(keys), *keys, repeatable=True)
    return [*segments, *found]


def read_shard_frames(shard: int, segments: Sequence[int | str]) -> list[StoredFrame]:
    """All frames of some segments of a shard."""
    if not segments:
        return []
    keys = [frames_key(shard, s) for s in segments]
    replies = connect().run(*(("HGETALL", key) for key in keys), repeatable=True)
    return [f for key, flat in zip(keys, replies, strict=True) for f in stored_frames(key, pairs(flat))]
