"""Pushes that Postgres holds for Redis."""

from base64 import b64encode
from collections.abc import Sequence
from datetime import UTC, datetime
from hashlib import blake2s

import psycopg
from psycopg.types.json import Jsonb

from openmanager.errors import DamagedFrame
from openmanager.stores.postgres import connect
from openmanager.telemetry.blocks import decode_block, encode_block
from openmanager.telemetry.samples import Push
from openmanager.values import frozen


@frozen
class Held:
    """A push that Postgres holds, and when it came."""

    push: Push
    digest: str
    arrived_ms: int


def add(pushes: Sequence[Push], now_ms: int) -> None:
    """Hold the pushes, all or none; one that is held already stays as it is. Raises StoreUnavailable."""
    arrived = datetime.fromtimestamp(now_ms / 1000, UTC)
    rows = []
    for push in pushes:
        if len(push.samples):
            body = encode_block(push.samples)
            digest = blake2s(body, digest_size=16).hexdigest()
            rows.append((push.server, digest, arrived, Jsonb(push.attributes), body))

    def work(c: psycopg.Connection) -> None:
        with c.transaction(), c.cursor() as cursor:
            cursor.executemany(
                "INSERT INTO intake (server, digest, arrived, attributes, body) VALUES (%s, %s, %s, %s, %s)"
                " ON CONFLICT (server, digest) DO NOTHING",
                rows,
            )

    connect().run(work)


def oldest(limit: int) -> list[Held]:
    """The pushes that came first. Raises StoreUnavailable."""
    rows = connect().run(
        lambda c: c.execute(
            "SELECT server, digest, arrived, attributes, body FROM intake ORDER BY arrived LIMIT %s", (limit,)
        ).fetchall()
    )
    held = []
    for server, digest, arrived, attributes, body in rows:
        try:
            samples = decode_block(bytes(body))
        except DamagedFrame as error:
            _set_aside(server, digest, bytes(body), str(error))
        else:
            held.append(Held(Push(server, samples, attributes), digest, round(arrived.timestamp() * 1000)))
    return held


def _set_aside(server: str, digest: str, body: bytes, reason: str) -> None:
    def work(c: psycopg.Connection) -> None:
        with c.transaction(), c.cursor() as cursor:
            cursor.execute(
                "INSERT INTO damaged_frames (key, field, body, reason) VALUES ('intake', %s, %s, %s)"
                " ON CONFLICT (key, field) DO NOTHING",
                (f"{server}|{digest}", b64encode(body).decode(), reason),
            )
            cursor.execute("DELETE FROM intake WHERE server = %s AND digest = %s", (server, digest))

    connect().run(work)


def remove(held: Held) -> None:
    """Let go of a push that has been put elsewhere. Raises StoreUnavailable."""
    connect().run(
        lambda c: c.execute("DELETE FROM intake WHERE server = %s AND digest = %s", (held.push.server, held.digest))
    )


def count() -> int:
    """How many pushes are held. Raises StoreUnavailable."""
    row = connect().run(lambda c: c.execute("SELECT count(*) FROM intake").fetchone())
    return int(row[0]) if row else 0
