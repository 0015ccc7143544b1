"""What the rounds leave in Redis, besides the frames (stores.segments).

om:{shard}:state      hash: server -> what the round remembers; `@round` -> how many rounds committed
om:{shard}:latest     hash: server -> JSON of its last values and attributes; `server|verdict` -> its last verdict
om:{shard}:verdicts   hash: `server|minute` -> JSON verdict, until the archive has moved it
om:{shard}:archived   start (s) of the segment below which the archive left nothing
om:feed               stream of live events (stores.feed reads it)
om:lease:{name}       who does a job now
om:carried            JSON: shard -> start (s) of the first minute that it owes, since ticks ran out of time
"""

import json
from collections.abc import Mapping, Sequence
from typing import Any

from openmanager.stores.redis import connect, pairs
from openmanager.stores.segments import BACKLOG, StoredFrame, frames_key, shard_of, stored_frames

FEED = "om:feed"
_FEED_LENGTH = 2_000

# One conditional write: a round that another one overtook changes nothing.
# KEYS: state, latest, verdicts, feed. ARGV: expected round, then four groups, each a count followed by its items:
# server and state; field and latest; field and verdict; event name and data; and last the servers to forget.
_COMMIT = """
local at = tonumber(redis.call('HGET', KEYS[1], '@round') or '0')
if at ~= tonumber(ARGV[1]) then return 0 end
local p = 2
local function each(n, f)
  local count = tonumber(ARGV[p]); p = p + 1
  for i = 1, count do f(ARGV[p], ARGV[p + 1]); p = p + n end
end
each(2, function(k, v) redis.call('HSET', KEYS[1], k, v) end)
each(2, function(k, v) redis.call('HSET', KEYS[2], k, v) end)
each(2, function(k, v) redis.call('HSET', KEYS[3], k, v) end)
each(2, function(k, v) redis.call('XADD', KEYS[4], 'MAXLEN', '~', 'FEED_LENGTH', '*', 'event', k, 'data', v) end)
each(1, function(k) redis.call('HDEL', KEYS[1], k); redis.call('HDEL', KEYS[2], k, k .. '|verdict') end)
redis.call('HSET', KEYS[1], '@round', at + 1)
return 1
""".replace("FEED_LENGTH", str(_FEED_LENGTH))


def read_round(shard: int, segments: Sequence[int]) -> tuple[int, dict[str, str], list[StoredFrame]]:
    """(rounds committed so far, state of each server, frames of the segments and the backlog), in one request."""
    places: list[int | str] = [*segments, BACKLOG]
    keys = [frames_key(shard, place) for place in places]
    state, *hashes = connect().run(
        ("HGETALL", f"om:{shard}:state"), *(("HGETALL", key) for key in keys), repeatable=True
    )
    states = pairs(state)
    number = int(states.pop("@round", "0"))
    found = [f for key, flat in zip(keys, hashes, strict=True) for f in stored_frames(key, pairs(flat))]
    return number, states, found


def commit_round(
    shard: int,
    number: int,
    states: Mapping[str, str],
    latest: Mapping[str, Any],
    verdicts: Mapping[str, Any],
    events: Sequence[tuple[str, Any]],
    forget: Sequence[str],
) -> bool:
    """Write a round's outcome, all or nothing; False if another round of the shard committed first."""
    args: list[str] = [str(number)]
    groups = (
        list(states.items()),
        [(k, _json(v)) for k, v in latest.items()],
        [(k, _json(v)) for k, v in verdicts.items()],
        [(k, _json(v)) for k, v in events],
    )
    for group in groups:
        args += [str(len(group)), *(part for item in group for part in item)]
    args += [str(len(forget)), *forget]
    keys = (f"om:{shard}:state", f"om:{shard}:latest", f"om:{shard}:verdicts", FEED)
    committed: int = connect().call("EVAL", _COMMIT, len(keys), *keys, *args)
    return committed == 1


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


def read_latest(shard: int) -> dict[str, dict[str, Any]]:
    """Server -> what the last round left of it, its verdict under `verdict`."""
    fields = pairs(connect().call("HGETALL", f"om:{shard}:latest", repeatable=True))
    return {
        server: json.loads(text) | {"verdict": json.loads(fields.get(f"{server}|verdict", "null"))}
        for server, text in fields.items()
        if "|" not in server
    }


def read_server_latest(server: str) -> dict[str, Any] | None:
    """One server as in `read_latest`, None before its first round."""
    key = f"om:{shard_of(server)}:latest"
    text, verdict = connect().call("HMGET", key, server, f"{server}|verdict", repeatable=True)
    return json.loads(text) | {"verdict": json.loads(verdict or "null")} if text else None


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


def set_archived_until(shard: int, segment: int) -> None:
    """Record how far the archive came."""
    connect().call("SET", f"om:{shard}:archived", segment, repeatable=True)
