"""The cold half in Postgres: blocks of samples, predictions, servers, and frames that could not be read."""

import base64
import logging
import threading
from collections.abc import Callable, Iterable, Mapping
from datetime import UTC, datetime
from functools import lru_cache
from typing import TypeVar

import psycopg
from psycopg.types.json import Jsonb

from openmanager.errors import DamagedFrame, InvalidSettings, StoreUnavailable
from openmanager.settings import settings
from openmanager.telemetry.blocks import decode_block, encode_block
from openmanager.telemetry.samples import Samples, merge

T = TypeVar("T")
_STATEMENT_TIMEOUT_S = 20

log = logging.getLogger(__name__)


def _instant(seconds: float) -> datetime:
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

    def _do(self, work: Callable[[psycopg.Connection], T]) -> T:
        """Run `work`, all of which may run twice. Raises StoreUnavailable."""
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
        """The archived samples of a server in segments that touch [first, last]; damaged ones are logged."""
        rows = self._do(
            lambda c: c.execute(
                "SELECT segment, body FROM blocks WHERE server = %s"
                " AND segment > %s - interval '10 minutes' AND segment <= %s ORDER BY segment",
                (server, _instant(first_ms / 1000), _instant(last_ms / 1000)),
            ).fetchall()
        )
        found = []
        for segment, body in rows:
            try:
                found.append(decode_block(bytes(body)))
            except DamagedFrame as error:
                log.error("block of %s at %s: %s", server, segment.isoformat(), error)
        return found

    def store_segments(self, tables: Mapping[tuple[str, int], Samples]) -> None:
        """Merge samples into the blocks of (server, segment start in s); repeating it changes nothing."""

        def work(c: psycopg.Connection) -> None:
            with c.transaction(), c.cursor() as cursor:
                for (server, segment), samples in sorted(tables.items()):
                    cursor.execute(
                        "SELECT body FROM blocks WHERE server = %s AND segment = %s FOR UPDATE",
                        (server, _instant(segment)),
                    )
                    whole = _joined(cursor, server, segment, samples, cursor.fetchone())
                    cursor.execute(
                        "INSERT INTO blocks (server, segment, rows, body) VALUES (%s, %s, %s, %s)"
                        " ON CONFLICT (server, segment) DO UPDATE SET rows = excluded.rows, body = excluded.body",
                        (server, _instant(segment), len(whole), encode_block(whole)),
                    )

        self._do(work)

    def store_servers(self, servers: Mapping[str, tuple[Mapping[str, str], float, float]]) -> None:
        """Server -> (attributes, first and last instant in s); widens what is known of each."""
        rows = [(s, Jsonb(dict(a)), _instant(first), _instant(last)) for s, (a, first, last) in servers.items()]

        def work(c: psycopg.Connection) -> None:
            with c.transaction(), c.cursor() as cursor:
                cursor.executemany(
                    "INSERT INTO servers (id, attributes, first_seen, last_seen) VALUES (%s, %s, %s, %s)"
                    " ON CONFLICT (id) DO UPDATE SET"
                    " attributes = CASE WHEN excluded.last_seen >= servers.last_seen"
                    "   THEN excluded.attributes ELSE servers.attributes END,"
                    " first_seen = least(servers.first_seen, excluded.first_seen),"
                    " last_seen = greatest(servers.last_seen, excluded.last_seen)",
                    rows,
                )

        self._do(work)

    def store_predictions(self, verdicts: Iterable[tuple[str, int, object]]) -> None:
        """(server, minute in s, verdict) each; a verdict once written is never rewritten."""
        rows = [(server, _instant(minute), Jsonb(verdict)) for server, minute, verdict in verdicts]

        def work(c: psycopg.Connection) -> None:
            with c.transaction(), c.cursor() as cursor:
                cursor.executemany(
                    "INSERT INTO predictions (server, minute, verdict) VALUES (%s, %s, %s)"
                    " ON CONFLICT (server, minute) DO NOTHING",
                    rows,
                )

        self._do(work)

    def store_damaged(self, frames: Iterable[tuple[str, str, str, str]]) -> None:
        """(key, field, text, reason) of frames that did not decode."""
        rows = list(frames)

        def work(c: psycopg.Connection) -> None:
            with c.transaction(), c.cursor() as cursor:
                cursor.executemany(
                    "INSERT INTO damaged_frames (key, field, body, reason) VALUES (%s, %s, %s, %s)"
                    " ON CONFLICT (key, field) DO NOTHING",
                    rows,
                )

        self._do(work)


def _joined(
    cursor: psycopg.Cursor[tuple[bytes]], server: str, segment: int, samples: Samples, row: tuple[bytes] | None
) -> Samples:
    """New samples together with the block that stands already; one that does not decode is set aside."""
    if row is None:
        return samples
    body = bytes(row[0])
    try:
        return merge([samples, decode_block(body)])
    except DamagedFrame as error:
        log.error("block of %s at %s: %s", server, segment, error)
        cursor.execute(
            "INSERT INTO damaged_frames (key, field, body, reason) VALUES ('blocks', %s, %s, %s)"
            " ON CONFLICT (key, field) DO NOTHING",
            (f"{server}|{segment}", base64.b64encode(body).decode(), str(error)),
        )
        return samples


@lru_cache(maxsize=1)
def connect() -> History:
    """This process's history; the connection itself opens at the first query."""
    s = settings()
    if not s.database_url:
        raise InvalidSettings("DATABASE_URL: needed and not set")
    return History(s.database_url, s.store_timeout_s)
