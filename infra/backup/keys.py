"""What only Redis holds, as JSON lines: `{"key", "type", "until_ms", "value"}`, a line a key.

`value` is what HGETALL, GET, ZRANGE … WITHSCORES or XRANGE answers; `until_ms` when the key goes by itself (ms), null
for those that stay.
"""

import json
import re
import secrets
from collections.abc import Iterable, Iterator
from typing import Any

from openmanager.stores.redis import Command, Redis

from infra.transfer.api import Failed

ALL = "om:*"
# Where a restore puts keys that nobody is to see yet; not below `om:`.
_STAGED = "om-restore:"
# A restore that was killed leaves them, and they go by themselves.
_STAGED_S = 86_400
# Upstash takes a megabyte a request.
_REQUEST_BYTES = 256 << 10
_MANY = 500
# A round is held for so long after a restore, or it would call every server offline before its next push.
HOLD_MIN = 3
_HOLD_S = 60 * (HOLD_MIN + 2)

# Everything else is kept, so that a key which is new is not forgotten.
_NOT_KEPT = re.compile(
    # Of this moment: who does a job, who has asked how often, tickets, what a question was about, failed logins, what
    # the audit log need not be told again, how far ticks came, the archive's hour, how often to push.
    r"om:(lease:.*|limit\|.*|ticket\|.*|session\|.*|login:.*|told:.*|carried|hourly|cadence|doctor"
    # Of readers of the feed, who begin with a snapshot.
    r"|feed|said|live|watched"
    # A copy of Postgres, from where doors publish it anew where it is missing. Of the other two, config and targets,
    # rounds would do without until the archive's next run, and tell nobody.
    r"|keys)"
)
_READ: dict[str, tuple[str, ...]] = {
    "hash": ("HGETALL",),
    "string": ("GET",),
    "zset": ("ZRANGE", "0", "-1", "WITHSCORES"),
    "stream": ("XRANGE", "-", "+"),
}


def kept(key: str) -> bool:
    """Whether a key belongs into a backup."""
    return _NOT_KEPT.fullmatch(key) is None


def found(redis: Redis) -> list[str]:
    """All keys of ours, in order. Raises StoreUnavailable."""
    cursor, keys = "0", set[str]()
    while True:
        cursor, some = redis.call("SCAN", cursor, "MATCH", ALL, "COUNT", 1000, repeatable=True)
        keys.update(some)
        if str(cursor) == "0":
            return sorted(keys)


def dump(redis: Redis, shards: int, now_ms: int) -> Iterator[bytes]:
    """The lines of every key that is kept. Raises StoreUnavailable, and Failed for a type that nobody here writes.

    What a round goes on from is read first and at once: what the round after it left elsewhere comes out the same when
    it is done again.
    """
    first = [f"om:{shard}:{name}" for shard in range(shards) for name in ("state", "alerts", "coarse")]
    for i in range(0, len(first), 3):
        answers = redis.run(*(("HGETALL", key) for key in first[i : i + 3]), atomic=True, repeatable=True)
        for key, flat in zip(first[i : i + 3], answers, strict=True):
            if flat:
                yield _line(key, "hash", None, flat)
    keys = [key for key in found(redis) if kept(key) and key not in set(first)]
    for i in range(0, len(keys), _MANY):
        some = keys[i : i + _MANY]
        about = redis.run(*(c for key in some for c in (("TYPE", key), ("PTTL", key))), repeatable=True)
        for key, kind, left_ms in zip(some, about[::2], about[1::2], strict=True):
            if kind == "none":
                continue
            if kind not in _READ:
                raise Failed(f"Redis: {key} is a {kind}, which nobody here writes")
            name, *rest = _READ[kind]
            value = redis.call(name, key, *rest, repeatable=True)
            # Gone meanwhile.
            if value:
                yield _line(key, kind, now_ms + int(left_ms) if int(left_ms) >= 0 else None, value)


def _line(key: str, kind: str, until_ms: int | None, value: Any) -> bytes:
    record = {"key": key, "type": kind, "until_ms": until_ms, "value": value}
    return json.dumps(record, separators=(",", ":"), ensure_ascii=False).encode() + b"\n"


class Staged:
    """Keys that are in Redis under names that nobody reads, until `switch` puts them in the place of all others."""

    def __init__(self, redis: Redis) -> None:
        self._redis = redis
        self._prefix = f"{_STAGED}{secrets.token_hex(8)}:"
        # Key -> when it goes by itself.
        self._until: dict[str, int | None] = {}

    def __len__(self) -> int:
        return len(self._until)

    def put(self, lines: Iterable[bytes], now_ms: int) -> None:
        """Write what `dump` made, but for what has had its time. Raises StoreUnavailable."""
        waiting: list[Command] = []
        size = 0
        for line in lines:
            record = json.loads(line)
            if record["until_ms"] is not None and record["until_ms"] <= now_ms:
                continue
            self._until[record["key"]] = record["until_ms"]
            name = self._prefix + record["key"]
            for command in (*_commands(name, record["type"], record["value"]), ("EXPIRE", name, _STAGED_S)):
                waiting.append(command)
                size += sum(len(str(part)) for part in command)
                if size > _REQUEST_BYTES:
                    self._redis.run(*waiting)
                    waiting, size = [], 0
        if waiting:
            self._redis.run(*waiting)

    def switch(self, now_ms: int) -> None:
        """Replace all keys of ours by these, at once, and hold the rounds for a while. Raises StoreUnavailable."""
        names = [self._prefix + key for key in self._until]
        there = sum(self._redis.call("EXISTS", *some, repeatable=True) for some in _some(names))
        if there != len(names):
            raise Failed("Redis has lost what was put there a moment ago; the same command begins anew")
        commands: list[Command] = [("DEL", *some) for some in _some(found(self._redis))]
        for key, until_ms in self._until.items():
            commands.append(("RENAME", self._prefix + key, key))
            commands.append(("PERSIST", key) if until_ms is None else ("PEXPIREAT", key, until_ms))
        minute = now_ms // 60_000
        held = range(minute - HOLD_MIN - 1, minute + HOLD_MIN - 1)
        commands += [("SET", f"om:lease:tick:{minute}", "restore", "EX", _HOLD_S) for minute in held]
        self._redis.run(*commands, atomic=True)
        self._until = {}

    def discard(self) -> None:
        """Take back what `put` wrote and `switch` did not. Raises StoreUnavailable."""
        for some in _some([self._prefix + key for key in self._until]):
            self._redis.call("DEL", *some, repeatable=True)


def _some(names: list[str]) -> Iterator[list[str]]:
    yield from (names[i : i + _MANY] for i in range(0, len(names), _MANY))


def _commands(name: str, kind: str, value: Any) -> Iterator[Command]:
    """What makes a key of this type and value."""
    if kind == "string":
        yield ("SET", name, value)
    elif kind == "stream":
        yield from (("XADD", name, place, *fields) for place, fields in value)
    elif kind == "hash":
        yield from (("HSET", name, *some) for some in _pairs(value))
    else:
        # Redis tells member and score, and takes score and member.
        yield from (("ZADD", name, *reversed(some)) for some in _pairs(value))


def _pairs(flat: list[str]) -> Iterator[list[str]]:
    """Pieces of an even list, each small enough for a request beside what else is in it."""
    piece: list[str] = []
    size = 0
    for i in range(0, len(flat), 2):
        piece += flat[i : i + 2]
        size += len(flat[i]) + len(flat[i + 1])
        if size > _REQUEST_BYTES // 2:
            yield piece
            piece, size = [], 0
    if piece:
        yield piece
