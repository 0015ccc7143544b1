"""Partitions: how wide they are, how long they are kept, and how they come and go.

A partition is named after its table and the day it starts on, `blocks_20251124`. All instants are UTC.
"""

from collections.abc import Iterable
from datetime import UTC, date, datetime, timedelta
from typing import Any, Literal

import psycopg
from psycopg import sql

from openmanager.stores.postgres import connect
from openmanager.values import frozen

DAY_MS = 86_400_000
# How long a statement of ours may hold up readers of a table before it gives way and tries again at the next run.
_LOCK_TIMEOUT = "1s"
# Any number will do as long as it is everywhere the same.
_LOCK = 0x6F6D7074


@frozen
class Partitioned:
    """A table cut by time: the width of a partition, and for how many days its rows are kept."""

    name: str
    width: Literal["day", "week", "month", "year"]
    keep_days: int

    def start(self, day: date) -> date:
        """The first day of the partition that holds a day."""
        if self.width == "week":
            return day - timedelta(days=day.weekday())
        if self.width == "month":
            return day.replace(day=1)
        return day.replace(month=1, day=1) if self.width == "year" else day

    def stop(self, start: date) -> date:
        """The first day of the partition after the one that starts on `start`."""
        return self.start(start + timedelta(days={"day": 1, "week": 7, "month": 31, "year": 366}[self.width]))

    def partition(self, start: date) -> str:
        """The name of the partition that starts on `start`."""
        return f"{self.name}_{start:%Y%m%d}"

    def kept_from_ms(self, now_ms: int) -> int:
        """The instant before which nothing is promised to be there."""
        return now_ms - self.keep_days * DAY_MS


BLOCKS = Partitioned("blocks", "day", 7)
PREDICTIONS = Partitioned("predictions", "week", 30)
# By level, finest first; rollups_1d is one table and kept for ever.
ROLLUPS = {
    "1m": Partitioned("rollups_1m", "week", 30),
    "5m": Partitioned("rollups_5m", "month", 90),
    "1h": Partitioned("rollups_1h", "year", 396),
}
ALL = (BLOCKS, PREDICTIONS, *ROLLUPS.values())


def day_of(ms: int) -> date:
    """The day (UTC) of an instant in ms."""
    return datetime.fromtimestamp(ms / 1000, UTC).date()


def day_ms(day: date) -> int:
    """The instant (ms) at which a day begins."""
    return round(datetime(day.year, day.month, day.day, tzinfo=UTC).timestamp() * 1000)


def ensure(cursor: psycopg.Cursor[Any], wanted: Iterable[tuple[Partitioned, date]]) -> int:
    """Make the partitions that these days need and that are not there, in the cursor's transaction; how many."""
    by_name = {t.partition(t.start(day)): (t, t.start(day)) for t, day in wanted}
    missing = "SELECT name FROM unnest(%s::text[]) AS name WHERE to_regclass(name) IS NULL ORDER BY name"
    names = [name for (name,) in cursor.execute(missing, (sorted(by_name),))]
    if not names:
        return 0
    cursor.execute("SELECT pg_advisory_xact_lock(%s)", (_LOCK,))
    names = [name for (name,) in cursor.execute(missing, (names,)).fetchall()]
    for name in names:
        table, start = by_name[name]
        # Attaching, unlike creating in place, does not wait for those who read the table.
        cursor.execute(
            sql.SQL("CREATE TABLE {} (LIKE {} INCLUDING ALL)").format(sql.Identifier(name), sql.Identifier(table.name))
        )
        cursor.execute(
            sql.SQL("ALTER TABLE {} ATTACH PARTITION {} FOR VALUES FROM ({}) TO ({})").format(
                sql.Identifier(table.name),
                sql.Identifier(name),
                sql.Literal(f"{start.isoformat()} 00:00:00+00"),
                sql.Literal(f"{table.stop(start).isoformat()} 00:00:00+00"),
            )
        )
    return len(names)


def make_ahead(now_ms: int) -> int:
    """Make the partitions of today and the next; how many were made. Raises StoreUnavailable."""
    today = day_of(now_ms)
    wanted = [(t, day) for t in ALL for day in (today, t.stop(t.start(today)))]

    def work(c: psycopg.Connection) -> int:
        with c.transaction(), c.cursor() as cursor:
            return ensure(cursor, wanted)

    return connect().run(work)


def drop_expired(now_ms: int) -> int:
    """Drop the partitions of which every row is past its time; how many. Raises StoreUnavailable.

    Blocks stay while a day of theirs is still to be rolled up, and a table that is being read for longer than a moment
    is left for the next run.
    """
    listing = (
        "SELECT p.relname, c.relname FROM pg_inherits i JOIN pg_class p ON p.oid = i.inhparent"
        " JOIN pg_class c ON c.oid = i.inhrelid WHERE p.relname = ANY(%s) ORDER BY c.relname"
    )
    rows = connect().run(lambda c: c.execute(listing, ([t.name for t in ALL],)).fetchall())
    tables = {t.name: t for t in ALL}
    dropped = 0
    for parent, name in rows:
        table = tables[parent]
        start = datetime.strptime(name.rpartition("_")[2], "%Y%m%d").replace(tzinfo=UTC).date()
        if day_ms(table.stop(start)) <= table.kept_from_ms(now_ms):
            dropped += _drop(table, start)
    return dropped


def _drop(table: Partitioned, start: date) -> bool:
    stop = table.stop(start)

    def work(c: psycopg.Connection) -> bool:
        try:
            with c.transaction(), c.cursor() as cursor:
                cursor.execute(sql.SQL("SET LOCAL lock_timeout = {}").format(sql.Literal(_LOCK_TIMEOUT)))
                # Whoever writes holds a mark, and waits here until the partition is gone:
                cursor.execute("LOCK TABLE days_due IN EXCLUSIVE MODE")
                due = cursor.execute("SELECT 1 FROM days_due WHERE day >= %s AND day < %s LIMIT 1", (start, stop))
                if table is BLOCKS and due.fetchone():
                    return False
                cursor.execute(sql.SQL("DROP TABLE IF EXISTS {}").format(sql.Identifier(table.partition(start))))
                cursor.execute(
                    "INSERT INTO partitions_dropped (name, until) VALUES (%s, %s)"
                    " ON CONFLICT (name) DO UPDATE SET until = greatest(partitions_dropped.until, excluded.until)",
                    (table.name, stop),
                )
        except psycopg.errors.LockNotAvailable:
            return False
        return True

    return connect().run(work)
