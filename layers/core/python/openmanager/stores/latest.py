"""What the last rounds left of each server, for whoever asks: values, verdict, outlook, open alerts (stores.hot)."""

import json
from collections.abc import Iterable, Sequence
from typing import Any

from openmanager.names import SERVER_ID
from openmanager.stores.redis import connect, pairs
from openmanager.stores.shards import shard_of

# What else is kept of a server has its name and a bar before it.
_COUNT = """
local n = 0
for _, field in ipairs(redis.call('HKEYS', KEYS[1])) do
  if not string.find(field, '|', 1, true) then n = n + 1 end
end
return n
"""


def read_latest(shard: int) -> dict[str, dict[str, Any]]:
    """Server -> what the last round left of it, its verdict under `verdict`."""
    fields = pairs(connect().call("HGETALL", f"om:{shard}:latest", repeatable=True))
    return {
        server: json.loads(text) | {"verdict": json.loads(fields.get(f"{server}|verdict", "null"))}
        for server, text in fields.items()
        if "|" not in server
    }


def read_server_latest(server: str) -> dict[str, Any] | None:
    """One server as in `read_latest`, None before its first round and for what is no server's name."""
    if not SERVER_ID.fullmatch(server):
        # `web-01|verdict` is a field, too.
        return None
    key = f"om:{shard_of(server)}:latest"
    text, verdict = connect().call("HMGET", key, server, f"{server}|verdict", repeatable=True)
    return json.loads(text) | {"verdict": json.loads(verdict or "null")} if text else None


def read_outlooks(servers: Sequence[str]) -> dict[str, tuple[dict[str, Any], dict[str, Any] | None]]:
    """Server -> (its last verdict, what its risk is about), of those that were judged; one command a shard."""
    shards: dict[int, list[str]] = {}
    for server in servers:
        if SERVER_ID.fullmatch(server):
            shards.setdefault(shard_of(server), []).append(server)
    if not shards:
        return {}
    replies = connect().run(
        *(
            ("HMGET", f"om:{shard}:latest", *(f"{name}|{part}" for name in names for part in ("verdict", "outlook")))
            for shard, names in shards.items()
        ),
        repeatable=True,
    )
    found = {}
    for names, flat in zip(shards.values(), replies, strict=True):
        for name, verdict, outlook in zip(names, flat[::2], flat[1::2], strict=True):
            if verdict:
                found[name] = (json.loads(verdict), json.loads(outlook or "null"))
    return found


def count_servers(shards: Iterable[int]) -> int:
    """How many servers were judged of late; one command a shard."""
    replies = connect().run(*(("EVAL", _COUNT, 1, f"om:{shard}:latest") for shard in shards), repeatable=True)
    return sum(replies)


def read_book(shard: int, server: str) -> str | None:
    """Text of one server's open alerts, None if it has none."""
    text: str | None = connect().call("HGET", f"om:{shard}:alerts", server, repeatable=True)
    return text


def read_books(shards: Iterable[int]) -> dict[str, str]:
    """Server -> text of its open alerts, of all servers that have any."""
    replies = connect().run(*(("HGETALL", f"om:{shard}:alerts") for shard in shards), repeatable=True)
    return {server: text for reply in replies for server, text in pairs(reply).items()}
