"""What is needed to find servers whose record Redis lost: who was there, since when, and the shard's state as it is."""

from collections.abc import Mapping, Sequence

from openmanager.stores.postgres import connect as history
from openmanager.stores.postgres import instant
from openmanager.stores.redis import connect as redis
from openmanager.stores.redis import pairs
from openmanager.values import frozen


@frozen
class Known:
    """A server of the archive: its attributes, and when it was last heard of (s)."""

    attributes: Mapping[str, str]
    last_seen: float


def known_servers(since_s: float) -> dict[str, Known]:
    """The servers heard of since then. Raises StoreUnavailable."""
    rows = history().run(
        lambda c: c.execute(
            "SELECT id, attributes, last_seen FROM servers WHERE last_seen >= %s", (instant(since_s),)
        ).fetchall()
    )
    return {server: Known(dict(attributes), seen.timestamp()) for server, attributes, seen in rows}


def oldest_blocks(servers: Sequence[str], since_s: float) -> dict[str, int]:
    """Server -> start (s) of its oldest block since then; none for who has none. Raises StoreUnavailable."""
    rows = history().run(
        lambda c: c.execute(
            "SELECT server, min(segment) FROM blocks WHERE server = ANY(%s) AND segment >= %s GROUP BY server",
            (list(servers), instant(since_s)),
        ).fetchall()
    )
    return {server: round(at.timestamp()) for server, at in rows}


def read_state(shard: int) -> dict[str, str]:
    """All fields of a shard's state hash. Raises StoreUnavailable."""
    return pairs(redis().call("HGETALL", f"om:{shard}:state", repeatable=True))


def put_state(shard: int, fields: Mapping[str, str], drop: Sequence[str]) -> None:
    """Set and delete fields of a shard's state hash that no round writes at the same time. Raises StoreUnavailable."""
    key = f"om:{shard}:state"
    commands: list[tuple[str, ...]] = []
    if fields:
        commands.append(("HSET", key, *(part for item in fields.items() for part in item)))
    if drop:
        commands.append(("HDEL", key, *drop))
    if commands:
        redis().run(*commands, repeatable=True)
