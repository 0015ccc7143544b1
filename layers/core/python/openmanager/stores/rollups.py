"""Closing days: a server's day becomes one block and one rollup a level; and reading rollups back.

A closed day that changes is marked (stores.blocks) and closed again, with the same outcome for the same samples.
"""

import logging
from collections import defaultdict
from collections.abc import Callable, Mapping
from datetime import date, timedelta
from typing import Any

import numpy as np
import psycopg

from openmanager.errors import DamagedFrame
from openmanager.stores.blocks import read_aside
from openmanager.stores.partitions import BLOCKS, DAY_MS, ROLLUPS, Partitioned, day_ms, day_of, ensure
from openmanager.stores.postgres import connect, instant
from openmanager.telemetry.blocks import encode_block
from openmanager.telemetry.rollup_codec import decode, encode
from openmanager.telemetry.rollups import NO_VERDICTS, Judged, Rollup
from openmanager.telemetry.samples import Samples, merge
from openmanager.telemetry.windows import LOOKBACK_MS
from openmanager.values import frozen

_DAY_S = DAY_MS // 1000
# SQL holds no name that is not written out: one statement a level for each thing done with it.
_READ = {
    "1m": "SELECT server, day, body FROM rollups_1m",
    "5m": "SELECT server, day, body FROM rollups_5m",
    "1h": "SELECT server, day, body FROM rollups_1h",
    "1d": "SELECT server, day, body FROM rollups_1d",
}
_WRITE = {
    "1m": "INSERT INTO rollups_1m (server, day, body)",
    "5m": "INSERT INTO rollups_5m (server, day, body)",
    "1h": "INSERT INTO rollups_1h (server, day, body)",
    "1d": "INSERT INTO rollups_1d (server, day, body)",
}

Place = tuple[str, date]

log = logging.getLogger(__name__)


@frozen
class OpenDay:
    """What is known of a server's day before it is closed.

    `samples` hold the day and what they need before it. `standing` are the rollups that must not be overwritten,
    because samples they were made of are gone.
    """

    server: str
    day: date
    samples: Samples
    judged: Judged
    standing: Mapping[str, Rollup]


Close = Callable[[OpenDay], Mapping[str, Rollup]]


def close_days(before: date, limit: int, close: Close) -> int:
    """Close up to `limit` days that are due and lie before `before`, oldest first; how many were closed.

    All in one transaction: rollups and the day's block written, the blocks they were made of and the marks deleted.
    Days that somebody else is closing or writing to are passed over.
    """

    def work(c: psycopg.Connection) -> int:
        with c.transaction(), c.cursor() as cursor:
            due: list[Place] = cursor.execute(
                "SELECT server, day FROM days_due WHERE day < %s ORDER BY day, server LIMIT %s FOR UPDATE SKIP LOCKED",
                (before, limit),
            ).fetchall()
            if due:
                _close(cursor, due, close)
                cursor.execute(
                    "DELETE FROM days_due d USING unnest(%s::text[], %s::date[]) AS w (server, day)"
                    " WHERE d.server = w.server AND d.day = w.day",
                    _columns(due),
                )
        return len(due)

    return connect().run(work)


def _close(cursor: psycopg.Cursor[Any], due: list[Place], close: Close) -> None:
    bodies = _blocks(cursor, due)
    judged = _judged(cursor, due)
    standing = _standing(cursor, due)
    rollups: dict[str, list[tuple[str, date, bytes]]] = defaultdict(list)
    whole: list[tuple[str, date, int, bytes]] = []
    for server, day in due:
        start = day_ms(day)
        rows = [row for row in bodies[server] if start - DAY_MS <= row[1] * 1000 < start + DAY_MS]
        tables = read_aside(cursor, rows)
        samples = merge([t.rows(t.times >= start - LOOKBACK_MS) for t in tables])
        own = samples.rows((samples.times >= start) & (samples.times < start + DAY_MS))
        if len(own):
            whole.append((server, day, len(own), encode_block(own)))
        done = close(OpenDay(server, day, samples, judged[server, day], standing.get((server, day), {})))
        for level, rollup in done.items():
            rollups[level].append((server, day, encode(rollup)))
    wanted: list[tuple[Partitioned, date]] = [(BLOCKS, day) for _, day, _, _ in whole]
    wanted += [(ROLLUPS[level], day) for level in rollups.keys() & ROLLUPS.keys() for _, day, _ in rollups[level]]
    ensure(cursor, wanted)
    _compact(cursor, due, whole)
    for level, done_rows in rollups.items():
        cursor.execute(
            _WRITE[level] + " SELECT * FROM unnest(%s::text[], %s::date[], %s::bytea[])"
            " ON CONFLICT (server, day) DO UPDATE SET body = excluded.body",
            _columns(done_rows),
        )


def _blocks(cursor: psycopg.Cursor[Any], due: list[Place]) -> dict[str, list[tuple[str, int, int, bytes]]]:
    """Server -> (server, start in s, span in s, body) of its due days and of what their first rates lean on."""
    days = [day for _, day in due]
    rows = cursor.execute(
        "SELECT DISTINCT b.server, b.segment, b.span, b.body FROM blocks b"
        " JOIN unnest(%s::text[], %s::timestamptz[]) AS w (server, start) ON b.server = w.server"
        "   AND b.segment >= w.start - interval '1 day' AND b.segment < w.start + interval '1 day'"
        "   AND b.segment + make_interval(secs => b.span) > w.start - interval '10 minutes'"
        " WHERE b.segment >= %s AND b.segment < %s",
        (
            [server for server, _ in due],
            [instant(day_ms(day) / 1000) for day in days],
            instant(day_ms(min(days)) / 1000 - _DAY_S),
            instant(day_ms(max(days)) / 1000 + _DAY_S),
        ),
    )
    found: dict[str, list[tuple[str, int, int, bytes]]] = defaultdict(list)
    for server, segment, span, body in rows:
        found[server].append((server, round(segment.timestamp()), span, bytes(body)))
    return found


def _judged(cursor: psycopg.Cursor[Any], due: list[Place]) -> dict[Place, Judged]:
    """What the verdicts of each due day say of the anomaly; minutes without a baseline are left out."""
    days = [day for _, day in due]
    rows = cursor.execute(
        "SELECT p.server, w.start, array_agg(extract(epoch FROM p.minute)::bigint ORDER BY p.minute),"
        " array_agg((p.verdict #>> '{anomaly,anomalous}')::boolean ORDER BY p.minute)"
        " FROM predictions p JOIN unnest(%s::text[], %s::timestamptz[]) AS w (server, start)"
        "   ON p.server = w.server AND p.minute >= w.start AND p.minute < w.start + interval '1 day'"
        " WHERE p.minute >= %s AND p.minute < %s AND jsonb_typeof(p.verdict -> 'anomaly') = 'object'"
        " GROUP BY p.server, w.start",
        (
            [server for server, _ in due],
            [instant(day_ms(day) / 1000) for day in days],
            instant(day_ms(min(days)) / 1000),
            instant(day_ms(max(days)) / 1000 + _DAY_S),
        ),
    )
    found = defaultdict(lambda: NO_VERDICTS)
    for server, start, minutes, anomalous in rows:
        day = day_of(round(start.timestamp() * 1000))
        found[server, day] = Judged(np.array(minutes, np.int64) * 1000, np.array(anomalous, np.bool_))
    return found


def _standing(cursor: psycopg.Cursor[Any], due: list[Place]) -> dict[Place, dict[str, Rollup]]:
    """Rollups of due days whose samples were dropped."""
    row = cursor.execute("SELECT until FROM partitions_dropped WHERE name = %s", (BLOCKS.name,)).fetchone()
    gone = [place for place in due if row and place[1] < row[0]]
    found: dict[Place, dict[str, Rollup]] = defaultdict(dict)
    for level in _READ if gone else ():
        days = [day for _, day in gone]
        rows = cursor.execute(
            _READ[level] + " JOIN unnest(%s::text[], %s::date[]) AS w (server, day) USING (server, day)"
            " WHERE day >= %s AND day <= %s",
            (*_columns(gone), min(days), max(days)),
        )
        for server, day, body in rows:
            if rollup := _decoded(server, day, level, bytes(body)):
                found[server, day][level] = rollup
    return found


def _compact(cursor: psycopg.Cursor[Any], due: list[Place], whole: list[tuple[str, date, int, bytes]]) -> None:
    """Each due day's blocks become one."""
    days = [day for _, day in due]
    servers, starts = [s for s, _ in due], [instant(day_ms(day) / 1000) for day in days]
    # Nobody has added a block since they were read: the marks are held.
    cursor.execute(
        "DELETE FROM blocks b USING unnest(%s::text[], %s::timestamptz[]) AS w (server, start)"
        " WHERE b.server = w.server AND b.segment >= w.start AND b.segment < w.start + interval '1 day'"
        " AND b.segment >= %s AND b.segment < %s",
        (servers, starts, min(starts), max(starts) + timedelta(days=1)),
    )
    if whole:
        cursor.execute(
            "INSERT INTO blocks (server, segment, span, rows, body) SELECT server, start, %s, rows, body"
            " FROM unnest(%s::text[], %s::timestamptz[], %s::integer[], %s::bytea[]) AS w (server, start, rows, body)",
            (
                _DAY_S,
                [server for server, _, _, _ in whole],
                [instant(day_ms(day) / 1000) for _, day, _, _ in whole],
                [rows for _, _, rows, _ in whole],
                [body for _, _, _, body in whole],
            ),
        )


def read(server: str, level: str, first: date, last: date) -> tuple[dict[date, Rollup], set[date]]:
    """Day -> rollup of the days from `first` to `last`, and which days of those are due to be closed (again)."""

    def work(c: psycopg.Connection) -> tuple[list[tuple[str, date, bytes]], list[tuple[date]]]:
        span = (server, first, last)
        # Marks before rollups: a day that is closed in between is then only read from its samples needlessly.
        due = c.execute("SELECT day FROM days_due WHERE server = %s AND day >= %s AND day <= %s", span).fetchall()
        return c.execute(_READ[level] + " WHERE server = %s AND day >= %s AND day <= %s", span).fetchall(), due

    rows, due = connect().run(work)
    found = {day: _decoded(server, day, level, bytes(body)) for _, day, body in rows}
    return {day: rollup for day, rollup in found.items() if rollup}, {day for (day,) in due}


def read_judged(server: str, days: list[date]) -> list[Judged]:
    """The archived verdicts on the anomaly of some days."""
    if not days:
        return []
    return list(connect().run(lambda c: _judged(c.cursor(), [(server, day) for day in days])).values())


def _decoded(server: str, day: date, level: str, body: bytes) -> Rollup | None:
    try:
        return decode(body)
    except DamagedFrame as error:
        log.error("%s rollup of %s at %s: %s", level, server, day, error)
        return None


def _columns(rows: list[Any]) -> list[list[Any]]:
    return [list(column) for column in zip(*rows, strict=True)]
