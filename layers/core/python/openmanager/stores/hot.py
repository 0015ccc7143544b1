"""What the rounds leave in Redis, besides the frames (stores.segments).

om:{shard}:state      hash: server -> what the round remembers; `server|past` -> a rebuilt record; `@round` -> how many
                      rounds committed
om:{shard}:alerts     hash: server -> its open alerts (watch.alerting)
om:{shard}:coarse     hash: server -> the bounded metrics on coarser grids (watch.coarse)
om:{shard}:latest     hash: server -> JSON of its last values and attributes; `server|verdict` -> its last verdict;
                      `server|said` -> that in short, for the live feed; `server|outlook` -> what its risk is about
om:{shard}:verdicts   hash: `server|minute` -> JSON verdict, until the archive has moved it
om:{shard}:transitions  hash: id -> JSON of what happened to an alert, until the archive has moved it
om:{shard}:archived   start (s) of the segment below which the archive left nothing
om:feed, om:said      streams of live events (stores.feed)
om:lease:{name}       who does a job now
om:hourly             the hour (since 1970) whose share of the archive's work is done
om:carried            JSON: shard -> start (s) of the first minute that it owes, since ticks ran out of time
"""

import json
from collections.abc import Mapping, Sequence
from dataclasses import field
from typing import Any

from openmanager.settings import settings
from openmanager.stores import awaited
from openmanager.stores.config import CONFIG
from openmanager.stores.feed import FEED, FEED_LENGTH, MODELS, SAID, SAID_LENGTH, WATCHED, pack
from openmanager.stores.outbox import OUTBOX, TARGETS
from openmanager.stores.redis import connect, pairs
from openmanager.stores.segments import BACKLOG, StoredFrame, frames_key, stored_frames, stored_traces
from openmanager.values import frozen, mutable

# Everything a round needs, in one command. KEYS: state, alerts, config, coarse, targets, then hashes: those of frames,
# those of ages. ARGV: coarse?
_READ = """
local found = {}
for i = 1, 4 do
  if i < 4 or ARGV[1] == '1' then found[i] = redis.call('HGETALL', KEYS[i]) else found[i] = {} end
end
for i = 6, #KEYS do found[i - 1] = redis.call('HGETALL', KEYS[i]) end
found[#KEYS] = redis.call('GET', KEYS[5])
return found
"""
# One conditional write: a round that another one overtook changes nothing.
# KEYS: state, latest, verdicts, feed, transitions, outbox, config, coarse, alerts, watched, said, models, awaited.
# ARGV: expected round, how many shards there are, then groups, each a count followed by its items: field and value for
# the hashes and the feed in this order; then the servers to forget, the fields of state and alerts to delete, and those
# of config with the values that they were read with: a request that somebody changed since stays for the next round;
# then what was said, for whoever watches, and what is loaded of the models, which is an event if it changed; at last
# whether samples were judged, so that none wait any more.
_COMMIT = """
local at = tonumber(redis.call('HGET', KEYS[1], '@round') or '0')
if at ~= tonumber(ARGV[1]) then return 0 end
local p = 3
local function each(n, f)
  local count = tonumber(ARGV[p]); p = p + 1
  for i = 1, count do f(ARGV[p], ARGV[p + 1]); p = p + n end
end
local function set(key)
  each(2, function(k, v) redis.call('HSET', key, k, v) end)
end
local function tell(k, v)
  redis.call('XADD', KEYS[4], 'MAXLEN', '~', 'FEED_LENGTH', '*', 'event', k, 'data', v)
end
set(KEYS[1]); set(KEYS[2])
-- A round that lost its memory comes across judged minutes again; what was said of them stays.
each(2, function(k, v) redis.call('HSETNX', KEYS[3], k, v) end)
each(2, tell)
set(KEYS[5]); set(KEYS[6]); set(KEYS[7]); set(KEYS[8]); set(KEYS[9])
each(1, function(k)
  redis.call('HDEL', KEYS[1], k); redis.call('HDEL', KEYS[8], k)
  redis.call('HDEL', KEYS[2], k, k .. '|verdict', k .. '|said', k .. '|outlook')
end)
for _, key in ipairs({KEYS[1], KEYS[9]}) do
  each(1, function(k) redis.call('HDEL', key, k) end)
end
each(2, function(k, v) if redis.call('HGET', KEYS[7], k) == v then redis.call('HDEL', KEYS[7], k) end end)
local watched = redis.call('EXISTS', KEYS[10]) == 1
each(1, function(text)
  if watched then redis.call('XADD', KEYS[11], 'MAXLEN', '~', SAID_LENGTH * tonumber(ARGV[2]), '*', 'said', text) end
end)
local loaded = false
each(2, function(k, v)
  if redis.call('HGET', KEYS[12], k) ~= v then redis.call('HSET', KEYS[12], k, v); loaded = true end
end)
if loaded then tell('model', '{}') end
if ARGV[p] == '1' then redis.call('DEL', KEYS[13]) end
redis.call('HSET', KEYS[1], '@round', at + 1)
return 1
""".replace("FEED_LENGTH", str(FEED_LENGTH)).replace("SAID_LENGTH", str(SAID_LENGTH))


@frozen
class Before:
    """What a round begins with: how many rounds committed so far, the state hash's fields, the text of each server's
    open alerts, the config hash (stores.config), the targets' JSON, the coarse records asked for, the frames, the
    `traceparent` of servers' minutes (since 1970) whose senders gave one; and the sums of the stages' ages that were
    asked for (stores.stages)."""

    number: int
    states: dict[str, str]
    books: dict[str, str]
    config: dict[str, str]
    targets: str | None
    coarse: dict[str, str]
    frames: list[StoredFrame]
    traces: dict[tuple[str, int], str]
    ages: list[dict[str, str]] = field(default_factory=list)


@mutable
class Writes:
    """What a round leaves: fields and values of each hash (`books` by server, empty to delete), events of the feed,
    servers to forget, fields of the state to delete, the requests that were carried out, as they were read, what was
    said in the newest minute, and what is loaded of which model. `judged` says that it is a round's, and not what
    others have to say of rounds (watch.deadman)."""

    states: dict[str, str] = field(default_factory=dict)
    latest: dict[str, Any] = field(default_factory=dict)
    verdicts: dict[str, Any] = field(default_factory=dict)
    events: list[tuple[str, Any]] = field(default_factory=list)
    transitions: dict[str, Any] = field(default_factory=dict)
    notices: dict[str, str] = field(default_factory=dict)
    config: dict[str, Any] = field(default_factory=dict)
    coarse: dict[str, str] = field(default_factory=dict)
    books: dict[str, str] = field(default_factory=dict)
    forget: list[str] = field(default_factory=list)
    drop: list[str] = field(default_factory=list)
    answered: dict[str, str] = field(default_factory=dict)
    said: dict[str, Any] = field(default_factory=dict)
    models: dict[str, Any] = field(default_factory=dict)
    judged: bool = True


def read_round(shard: int, segments: Sequence[int], coarse: bool = False, ages: Sequence[str] = ()) -> Before:
    """All that a round of a shard begins with, in one request; `ages` are the keys of those that it needs."""
    places: list[int | str] = [*segments, BACKLOG]
    keys = [frames_key(shard, place) for place in places]
    hot = [f"om:{shard}:{name}" for name in ("state", "alerts", "coarse")]
    own = (*hot[:2], CONFIG, hot[2], TARGETS, *keys, *ages)
    state, books, config, coarser, *rest = connect().call(
        "EVAL", _READ, len(own), *own, str(int(coarse)), repeatable=True
    )
    hashes, sums, after = rest[: len(keys)], rest[len(keys) : len(keys) + len(ages)], rest[len(keys) + len(ages) :]
    # A trailing nothing may be left out of a script's answer.
    targets = after[0] if after else None
    states = pairs(state)
    number = int(states.pop("@round", "0"))
    parts = {key: pairs(flat) for key, flat in zip(keys, hashes, strict=True)}
    found = [f for key, fields in parts.items() for f in stored_frames(key, fields)]
    traces = {at: header for fields in parts.values() for at, header in stored_traces(fields).items()}
    told = [pairs(flat) for flat in sums]
    return Before(number, states, pairs(books), pairs(config), targets, pairs(coarser), found, traces, told)


def commit_round(shard: int, number: int, writes: Writes) -> bool:
    """Write a round's outcome, all or nothing; False if another round of the shard committed first."""
    w = writes
    groups: list[list[tuple[str, str]]] = [
        list(w.states.items()),
        *([(k, _json(v)) for k, v in group.items()] for group in (w.latest, w.verdicts)),
        [(k, _json(v)) for k, v in w.events],
        [(k, _json(v)) for k, v in w.transitions.items()],
        list(w.notices.items()),
        [(k, _json(v)) for k, v in w.config.items()],
        list(w.coarse.items()),
        [(k, text) for k, text in w.books.items() if text],
    ]
    args: list[str] = [str(number), str(settings().shards)]
    for group in groups:
        args += [str(len(group)), *(part for item in group for part in item)]
    for names in (w.forget, w.drop, [k for k, text in w.books.items() if not text]):
        args += [str(len(names)), *names]
    args += [str(len(w.answered)), *(part for item in w.answered.items() for part in item)]
    args += ["1", pack(w.said)] if w.said else ["0"]
    args += [str(len(w.models)), *(part for name, about in w.models.items() for part in (name, _json(about)))]
    args += [str(int(w.judged))]
    own = [f"om:{shard}:{name}" for name in ("state", "latest", "verdicts", "transitions", "coarse", "alerts")]
    keys = (*own[:3], FEED, own[3], OUTBOX, CONFIG, *own[4:], WATCHED, SAID, MODELS, awaited.KEY)
    committed: int = connect().call("EVAL", _COMMIT, len(keys), *keys, *args)
    return committed == 1


def read_coarse(shard: int) -> dict[str, str]:
    """Server -> text of its coarse record."""
    return pairs(connect().call("HGETALL", f"om:{shard}:coarse", repeatable=True))


def read_transitions(shard: int) -> dict[str, str]:
    """Id -> JSON of what happened to alerts and is not yet archived."""
    return pairs(connect().call("HGETALL", f"om:{shard}:transitions", repeatable=True))


def delete_transitions(shard: int, fields: Sequence[str]) -> None:
    """Forget archived transitions."""
    delete_fields(f"om:{shard}:transitions", fields)


def _json(value: Any) -> str:
    return json.dumps(value, separators=(",", ":"), allow_nan=False)


def take_lease(name: str, seconds: int) -> bool:
    """True for the first caller of a name within its seconds."""
    answer: str | None = connect().call("SET", f"om:lease:{name}", "1", "NX", "EX", seconds)
    return answer == "OK"


def read_carried() -> dict[int, int]:
    """Shard -> start (s) of the first minute it owes, as the last tick that ran out of time left it."""
    text = connect().call("GET", "om:carried", repeatable=True)
    return {int(shard): since for shard, since in json.loads(text or "{}").items()}


def set_carried(since: Mapping[int, int]) -> None:
    """Leave word to the next tick."""
    connect().call("SET", "om:carried", _json(since), repeatable=True)


def read_verdicts(shard: int) -> dict[str, str]:
    """`server|minute` -> JSON verdict, of those not yet archived."""
    return pairs(connect().call("HGETALL", f"om:{shard}:verdicts", repeatable=True))


def delete_fields(key: str, fields: Sequence[str]) -> None:
    """Remove just these fields of a hash; what came meanwhile stays."""
    if fields:
        connect().call("HDEL", key, *fields, repeatable=True)


def delete_verdicts(shard: int, fields: Sequence[str]) -> None:
    """Forget archived verdicts."""
    delete_fields(f"om:{shard}:verdicts", fields)


def archived_until(shard: int) -> int | None:
    """Start (s) of the segment below which the archive left nothing; None before its first run."""
    text = connect().call("GET", f"om:{shard}:archived", repeatable=True)
    return int(text) if text else None


def read_archived() -> tuple[int | None, list[int | None]]:
    """(newest hour since 1970 whose hourly work is done, `archived_until` of each shard); None before the first run.

    One command.
    """
    keys = ("om:hourly", *(f"om:{shard}:archived" for shard in range(settings().shards)))
    hour, *untils = [int(text) if text else None for text in connect().call("MGET", *keys, repeatable=True)]
    return hour, untils


def set_hour_done(hour: int) -> None:
    """Record that an hour's hourly work is done."""
    connect().call("SET", "om:hourly", hour, repeatable=True)


def set_archived_until(shard: int, segment: int) -> None:
    """Record how far the archive came."""
    connect().call("SET", f"om:{shard}:archived", segment, repeatable=True)
