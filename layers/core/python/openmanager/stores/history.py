"""The cold half in Postgres: reading blocks; servers, and frames that could not be read.

Blocks and verdicts are written in stores.blocks, rollups kept in stores.rollups, partitions in stores.partitions.
"""

import logging
from collections.abc import Iterable, Mapping, Sequence

import psycopg
from psycopg.types.json import Jsonb

from openmanager.errors import DamagedFrame
from openmanager.stores.postgres import connect, instant
from openmanager.telemetry.blocks import decode_block
from openmanager.telemetry.samples import Samples

SET_ASIDE = (
    "INSERT INTO damaged_frames (key, field, body, reason) VALUES (%s, %s, %s, %s) ON CONFLICT (key, field) DO NOTHING"
)

log = logging.getLogger(__name__)


def read_blocks(server: str, first_ms: int, last_ms: int) -> list[Samples]:
    """The archived samples of a server in blocks that touch [first, last]; damaged ones are logged."""
    return read_spans(server, [(first_ms, last_ms + 1)])


def read_spans(server: str, spans: Sequence[tuple[int, int]]) -> list[Samples]:
    """The same for several spans [start, stop) in ms."""
    if not spans:
        return []
    starts, stops = ([instant(ms / 1000) for ms in side] for side in zip(*spans, strict=True))
    rows = connect().run(
        lambda c: c.execute(
            "SELECT segment, body FROM blocks"
            " WHERE server = %s AND segment > %s - interval '1 day' AND segment < %s AND EXISTS ("
            "   SELECT 1 FROM unnest(%s::timestamptz[], %s::timestamptz[]) AS wanted (start, stop)"
            "   WHERE segment < wanted.stop AND segment + make_interval(secs => span) > wanted.start)"
            " ORDER BY segment, span",
            (server, min(starts), max(stops), starts, stops),
        ).fetchall()
    )
    found = []
    for segment, body in rows:
        try:
            found.append(decode_block(bytes(body)))
        except DamagedFrame as error:
            log.error("block of %s at %s: %s", server, segment.isoformat(), error)
    return found


def next_block(server: str, first_ms: int, stop_ms: int) -> int | None:
    """Start (ms) of the earliest block that touches [first, stop); None if there is none."""
    row = connect().run(
        lambda c: c.execute(
            "SELECT min(segment) FROM blocks WHERE server = %s AND segment > %s - interval '1 day'"
            " AND segment < %s AND segment + make_interval(secs => span) > %s",
            (server, instant(first_ms / 1000), instant(stop_ms / 1000), instant(first_ms / 1000)),
        ).fetchone()
    )
    return round(row[0].timestamp() * 1000) if row and row[0] else None


def read_server(server: str) -> dict[str, str] | None:
    """A server's attributes, None for one that was never archived."""
    row = connect().run(lambda c: c.execute("SELECT attributes FROM servers WHERE id = %s", (server,)).fetchone())
    return dict(row[0]) if row else None


def store_servers(servers: Mapping[str, tuple[Mapping[str, str], float, float]]) -> None:
    """Server -> (attributes, first and last instant in s); widens what is known of each."""
    if not servers:
        return
    attributes, first, last = zip(*servers.values(), strict=True)
    connect().run(
        lambda c: c.execute(
            "INSERT INTO servers (id, attributes, first_seen, last_seen)"
            " SELECT * FROM unnest(%s::text[], %s::jsonb[], %s::timestamptz[], %s::timestamptz[])"
            " ON CONFLICT (id) DO UPDATE SET"
            " attributes = CASE WHEN excluded.last_seen >= servers.last_seen"
            "   THEN excluded.attributes ELSE servers.attributes END,"
            " first_seen = least(servers.first_seen, excluded.first_seen),"
            " last_seen = greatest(servers.last_seen, excluded.last_seen)",
            (
                list(servers),
                [Jsonb(dict(a)) for a in attributes],
                [instant(at) for at in first],
                [instant(at) for at in last],
            ),
        )
    )


def store_damaged(frames: Iterable[tuple[str, str, str, str]]) -> None:
    """(key, field, text, reason) of frames that did not decode."""
    rows = list(frames)

    def work(c: psycopg.Connection) -> None:
        with c.transaction(), c.cursor() as cursor:
            cursor.executemany(SET_ASIDE, rows)

    connect().run(work)
