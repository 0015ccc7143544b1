"""Writing blocks. Whoever changes a server's day first marks it as due to be closed (again).

The mark is also the lock: two writers of one server and day take turns at its row, and so does who closes the day.
"""

import logging
from base64 import b64encode
from collections.abc import Iterable, Mapping
from datetime import date
from typing import Any

import psycopg

from openmanager.errors import DamagedFrame
from openmanager.stores.history import SET_ASIDE
from openmanager.stores.partitions import BLOCKS, DAY_MS, day_of, ensure
from openmanager.stores.postgres import connect, instant
from openmanager.telemetry.blocks import decode_block, encode_block
from openmanager.telemetry.samples import Samples, merge
from openmanager.telemetry.windows import LOOKBACK_MS

SEGMENT_S = 600

log = logging.getLogger(__name__)


def store_segments(tables: Mapping[tuple[str, int], Samples]) -> None:
    """Merge samples into the blocks of (server, segment start in s); repeating it changes nothing."""
    places = sorted(tables)
    days = {(server, day_of(segment * 1000)) for server, segment in places}
    # The first rates of a day are measured from the last samples of the day before.
    for server, segment in places:
        if segment * 1000 % DAY_MS + SEGMENT_S * 1000 > DAY_MS - LOOKBACK_MS:
            days.add((server, day_of((segment + SEGMENT_S) * 1000)))

    def work(c: psycopg.Connection) -> None:
        with c.transaction(), c.cursor() as cursor:
            # Marks first: while they are held, no partition goes.
            mark(cursor, days)
            ensure(cursor, ((BLOCKS, day_of(segment * 1000)) for _, segment in places))
            servers, segments = [s for s, _ in places], [instant(at) for _, at in places]
            found = cursor.execute(
                "SELECT b.server, b.segment, b.body FROM blocks b"
                " JOIN unnest(%s::text[], %s::timestamptz[]) AS w (server, segment) USING (server, segment)"
                " WHERE span = %s AND segment >= %s AND segment <= %s",
                (servers, segments, SEGMENT_S, min(segments), max(segments)),
            ).fetchall()
            standing = {(server, round(at.timestamp())): bytes(body) for server, at, body in found}
            whole = [merge([tables[p], *_read(cursor, "blocks", p, standing.get(p))]) for p in places]
            cursor.execute(
                "INSERT INTO blocks (server, segment, span, rows, body)"
                " SELECT server, segment, %s, rows, body"
                " FROM unnest(%s::text[], %s::timestamptz[], %s::integer[], %s::bytea[])"
                "   AS w (server, segment, rows, body)"
                " ON CONFLICT (server, segment, span) DO UPDATE SET rows = excluded.rows, body = excluded.body",
                (SEGMENT_S, servers, segments, [len(t) for t in whole], [encode_block(t) for t in whole]),
            )

    connect().run(work)


def mark(cursor: psycopg.Cursor[Any], days: Iterable[tuple[str, date]]) -> None:
    """Mark days as due, in the cursor's transaction, and hold them until it ends."""
    # In order, so that two who mark the same days cannot wait for each other:
    ordered = sorted(days)
    cursor.execute(
        "INSERT INTO days_due (server, day) SELECT * FROM unnest(%s::text[], %s::date[])"
        " ON CONFLICT (server, day) DO UPDATE SET day = excluded.day",
        ([server for server, _ in ordered], [day for _, day in ordered]),
    )


def read_aside(cursor: psycopg.Cursor[Any], rows: Iterable[tuple[str, int, int, bytes]]) -> list[Samples]:
    """Samples of (server, segment start in s, span in s, body) each; a block that does not decode is set aside."""
    found: list[Samples] = []
    for server, segment, span, body in rows:
        found += _read(cursor, "blocks" if span == SEGMENT_S else "blocks of a day", (server, segment), body)
    return found


def _read(cursor: psycopg.Cursor[Any], key: str, place: tuple[str, int], body: bytes | None) -> list[Samples]:
    if body is None:
        return []
    try:
        return [decode_block(body)]
    except DamagedFrame as error:
        log.error("block of %s at %s: %s", *place, error)
        cursor.execute(SET_ASIDE, (key, f"{place[0]}|{place[1]}", b64encode(body).decode(), str(error)))
        return []
