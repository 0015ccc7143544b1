"""What waits in Redis between the round and the receivers.

om:outbox           hash: idempotency key -> JSON entry, until it is delivered or parked; the round's commit writes here
om:outbox:failed    hash: idempotency key -> JSON entry that is not tried again unless somebody asks for it
om:notices          stream of outcomes, one an attempt, until the archive has moved them
om:targets          JSON list of targets; Postgres holds the truth
om:lease:notify     who delivers now
"""

from collections.abc import Mapping, Sequence
from typing import Literal

from openmanager.stores.redis import Command, connect, pairs
from openmanager.values import frozen

OUTBOX = "om:outbox"
FAILED = "om:outbox:failed"
OUTCOMES = "om:notices"
TARGETS = "om:targets"
_LEASE = "om:lease:notify"
_OUTCOMES_LENGTH = 10_000

# One command while nothing waits, which is nearly always. KEYS: outbox, lease, targets. ARGV: token, seconds.
_TAKE = """
if redis.call('HLEN', KEYS[1]) == 0 then return {'empty'} end
if not redis.call('SET', KEYS[2], ARGV[1], 'NX', 'EX', ARGV[2]) then return {'held'} end
return {'taken', redis.call('HGETALL', KEYS[1]), redis.call('GET', KEYS[3])}
"""
# An entry that somebody else changed meanwhile stays as they left it, so that a second execution changes nothing.
# KEYS: outbox, failed, outcomes. ARGV: five for each entry: key, entry as read, what becomes of it, new entry, outcome.
_SETTLE = """
local settled = 0
for i = 1, #ARGV, 5 do
  local key, read, move, new, outcome = ARGV[i], ARGV[i + 1], ARGV[i + 2], ARGV[i + 3], ARGV[i + 4]
  if redis.call('HGET', KEYS[1], key) == read then
    if move == 'stay' then redis.call('HSET', KEYS[1], key, new) else redis.call('HDEL', KEYS[1], key) end
    if move == 'park' then redis.call('HSET', KEYS[2], key, new) end
    redis.call('XADD', KEYS[3], 'MAXLEN', '~', 'LENGTH', '*', 'outcome', outcome)
    settled = settled + 1
  end
end
return settled
""".replace("LENGTH", str(_OUTCOMES_LENGTH))
# KEYS: where it is, outbox. ARGV: key, entry as read, new entry.
_RETRY = """
if redis.call('HGET', KEYS[1], ARGV[1]) ~= ARGV[2] then return 0 end
redis.call('HDEL', KEYS[1], ARGV[1])
redis.call('HSET', KEYS[2], ARGV[1], ARGV[3])
return 1
"""
# KEYS: outbox. ARGV: key, entry as read, then the keys and entries that come in its place.
_ROUTE = """
if redis.call('HGET', KEYS[1], ARGV[1]) ~= ARGV[2] then return 0 end
redis.call('HDEL', KEYS[1], ARGV[1])
for i = 3, #ARGV, 2 do redis.call('HSET', KEYS[1], ARGV[i], ARGV[i + 1]) end
return 1
"""
_RELEASE = "if redis.call('GET', KEYS[1]) == ARGV[1] then return redis.call('DEL', KEYS[1]) end return 0"


@frozen
class Taken:
    """What a deliverer that got the lease finds: entries by key, and the targets' JSON (None if Redis lost it)."""

    entries: dict[str, str]
    targets: str | None


@frozen
class Settlement:
    """What becomes of an entry: `gone` from the outbox, `stay` with new text, or `park` with it among the failed."""

    key: str
    read: str
    move: Literal["gone", "stay", "park"]
    new: str
    outcome: str


def take(token: str, seconds: int) -> Taken | Literal["empty", "held"]:
    """All that waits, under a lease of so many seconds; or that nothing waits, or that somebody else delivers."""
    answer = connect().call("EVAL", _TAKE, 3, OUTBOX, _LEASE, TARGETS, token, seconds)
    if answer[0] == "taken":
        # A trailing nothing may be left out of a script's answer.
        return Taken(pairs(answer[1]), answer[2] if len(answer) > 2 else None)
    return "held" if answer[0] == "held" else "empty"


def release(token: str) -> None:
    """Let the next deliverer in at once; a lease that is somebody else's by now stays."""
    connect().call("EVAL", _RELEASE, 1, _LEASE, token, repeatable=True)


def settle(settlements: Sequence[Settlement]) -> int:
    """Write what became of entries, all at once; how many had not been changed by somebody else."""
    args = [part for s in settlements for part in (s.key, s.read, s.move, s.new, s.outcome)]
    settled: int = connect().call("EVAL", _SETTLE, 3, OUTBOX, FAILED, OUTCOMES, *args, repeatable=True)
    return settled


def put_in_place(entries: Sequence[tuple[str, str, Mapping[str, str]]]) -> list[bool]:
    """Of each (key, entry as read, entries by key) put the latter in its place; False where it changed meanwhile."""
    commands: list[Command] = []
    for key, read, fields in entries:
        commands.append(("EVAL", _ROUTE, 1, OUTBOX, key, read, *(part for item in fields.items() for part in item)))
    answers = connect().run(*commands)
    return [answer == 1 for answer in answers]


def waiting_and_failed() -> tuple[dict[str, str], dict[str, str]]:
    """(entries that wait, entries that are parked), key -> JSON."""
    waiting, failed = connect().run(("HGETALL", OUTBOX), ("HGETALL", FAILED), repeatable=True)
    return pairs(waiting), pairs(failed)


def failed() -> dict[str, str]:
    """Entries that are parked, key -> JSON."""
    return pairs(connect().call("HGETALL", FAILED, repeatable=True))


def entry(key: str) -> tuple[str | None, str | None]:
    """One key's (waiting, parked) entry."""
    waiting, failed = connect().run(("HGET", OUTBOX, key), ("HGET", FAILED, key), repeatable=True)
    return waiting, failed


def put_back(key: str, read: str, new: str, parked: bool) -> bool:
    """Make an entry wait with new text; False if it changed since it was read."""
    place = FAILED if parked else OUTBOX
    moved: int = connect().call("EVAL", _RETRY, 2, place, OUTBOX, key, read, new)
    return moved == 1


def delete_failed(keys: Sequence[str]) -> None:
    """Let go of parked entries."""
    if keys:
        connect().call("HDEL", FAILED, *keys, repeatable=True)


def outcomes(count: int) -> list[tuple[str, str]]:
    """The oldest outcomes as (place in the stream, JSON)."""
    rows = connect().call("XRANGE", OUTCOMES, "-", "+", "COUNT", count, repeatable=True)
    return [(place, flat[1]) for place, flat in rows]


def delete_outcomes(places: Sequence[str]) -> None:
    """Forget outcomes that were archived."""
    if places:
        connect().call("XDEL", OUTCOMES, *places, repeatable=True)


def read_targets() -> str | None:
    """The published targets, None if Redis lost them."""
    text: str | None = connect().call("GET", TARGETS, repeatable=True)
    return text


def publish_targets(text: str) -> None:
    """Put the targets where rounds and deliveries read them."""
    connect().call("SET", TARGETS, text, repeatable=True)
