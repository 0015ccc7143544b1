"""The cold half in Postgres: its connection; reading blocks; servers, and frames that could not be read.

Blocks and verdicts are written in stores.blocks, rollups kept in stores.rollups, partitions in stores.partitions.
"""

import logging
import threading
from collections.abc import Callable, Iterable, Mapping, Sequence
from datetime import UTC, datetime
from functools import lru_cache
from typing import TypeVar

import psycopg
from psycopg.types.json import Jsonb

from openmanager.errors import DamagedFrame, InvalidSettings, StoreUnavailable
from openmanager.settings import settings
from openmanager.telemetry.blocks import decode_block
from openmanager.telemetry.samples import Samples

T = TypeVar("T")
_STATEMENT_TIMEOUT_S = 20

SET_ASIDE = (
    "INSERT INTO damaged_frames (key, field, body, reason) VALUES (%s, %s, %s, %s) ON CONFLICT (key, field) DO NOTHING"
)

log = logging.getLogger(__name__)


def instant(seconds: float) -> datetime:
    """Seconds since 1970 as Postgres' driver takes them."""
    return datetime.fromtimestamp(seconds, UTC)


class History:
    """One connection, kept while warm, opened again once when it turns out to be dead."""

    def __init__(self, url: str, timeout_s: float) -> None:
        self._url = url
        self._connect_timeout_s = max(1, int(timeout_s))
        self._connection: psycopg.Connection | None = None
        self._lock = threading.Lock()

    def _open(self) -> psycopg.Connection:
        # Behind a pooler in transaction mode prepared statements belong to somebody else.
        return psycopg.connect(
            self._url,
            autocommit=True,
            prepare_threshold=None,
            connect_timeout=self._connect_timeout_s,
            options=f"-c statement_timeout={_STATEMENT_TIMEOUT_S * 1000}",
        )

    def run(self, work: Callable[[psycopg.Connection], T]) -> T:
        """Run `work`, which may happen twice, on the connection. Raises StoreUnavailable."""
        with self._lock:
            for last in (False, True):
                try:
                    if self._connection is None or self._connection.closed:
                        self._connection = self._open()
                    return work(self._connection)
                except (psycopg.OperationalError, psycopg.InterfaceError) as error:
                    if self._connection is not None:
                        self._connection.close()
                    self._connection = None
                    if last:
                        raise StoreUnavailable(f"Postgres: {error}") from error
        raise AssertionError("unreachable")

    def close(self) -> None:
        """Give the connection back."""
        with self._lock:
            if self._connection is not None:
                self._connection.close()
            self._connection = None

    def read_blocks(self, server: str, first_ms: int, last_ms: int) -> list[Samples]:
        """The archived samples of a server in blocks that touch [first, last]; damaged ones are logged."""
        return self.read_spans(server, [(first_ms, last_ms + 1)])

    def read_spans(self, server: str, spans: Sequence[tuple[int, int]]) -> list[Samples]:
        """The same for several spans [start, stop) in ms."""
        if not spans:
            return []
        starts, stops = ([instant(ms / 1000) for ms in side] for side in zip(*spans, strict=True))
        rows = self.run(
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

    def next_block(self, server: str, first_ms: int, stop_ms: int) -> int | None:
        """Start (ms) of the earliest block that touches [first, stop); None if there is none."""
        row = self.run(
            lambda c: c.execute(
                "SELECT min(segment) FROM blocks WHERE server = %s AND segment > %s - interval '1 day'"
                " AND segment < %s AND segment + make_interval(secs => span) > %s",
                (server, instant(first_ms / 1000), instant(stop_ms / 1000), instant(first_ms / 1000)),
            ).fetchone()
        )
        return round(row[0].timestamp() * 1000) if row and row[0] else None

    def read_server(self, server: str) -> dict[str, str] | None:
        """A server's attributes, None for one that was never archived."""
        row = self.run(lambda c: c.execute("SELECT attributes FROM servers WHERE id = %s", (server,)).fetchone())
        return dict(row[0]) if row else None

    def store_servers(self, servers: Mapping[str, tuple[Mapping[str, str], float, float]]) -> None:
        """Server -> (attributes, first and last instant in s); widens what is known of each."""
        if not servers:
            return
        attributes, first, last = zip(*servers.values(), strict=True)
        self.run(
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

    def store_damaged(self, frames: Iterable[tuple[str, str, str, str]]) -> None:
        """(key, field, text, reason) of frames that did not decode."""
        rows = list(frames)

        def work(c: psycopg.Connection) -> None:
            with c.transaction(), c.cursor() as cursor:
                cursor.executemany(SET_ASIDE, rows)

        self.run(work)


@lru_cache(maxsize=1)
def connect() -> History:
    """This process's history; the connection itself opens at the first query."""
    s = settings()
    if not s.database_url:
        raise InvalidSettings("DATABASE_URL: needed and not set")
    return History(s.database_url, s.store_timeout_s)
