"""Postgres: this process's one connection, kept while warm."""

import threading
from collections.abc import Callable
from datetime import UTC, datetime
from functools import lru_cache
from typing import Any, Self, TypeVar

import psycopg

from openmanager import meter
from openmanager.errors import InvalidSettings, StoreUnavailable
from openmanager.settings import settings

T = TypeVar("T")
_STATEMENT_TIMEOUT_S = 20


def instant(seconds: float) -> datetime:
    """Seconds since 1970 as Postgres' driver takes them."""
    return datetime.fromtimestamp(seconds, UTC)


class _Cursor(psycopg.Cursor[Any]):
    """A cursor that counts what it asks for."""

    def execute(self, *args: Any, **kwargs: Any) -> Self:
        super().execute(*args, **kwargs)
        self._count()
        return self

    def executemany(self, *args: Any, **kwargs: Any) -> None:
        super().executemany(*args, **kwargs)
        self._count()

    def _count(self) -> None:
        meter.count("postgres_statements")
        # -1 where a statement has none.
        meter.count("postgres_rows", max(0, self.rowcount))


class Postgres:
    """One connection, kept while warm, opened again once when it turns out to be dead."""

    def __init__(self, url: str, timeout_s: float) -> None:
        self._url = url
        self._connect_timeout_s = max(1, int(timeout_s))
        self._connection: psycopg.Connection | None = None
        self._lock = threading.Lock()

    def _open(self) -> psycopg.Connection:
        try:
            return self._connected(options=f"-c statement_timeout={_STATEMENT_TIMEOUT_S * 1000}")
        except psycopg.OperationalError as error:
            # PgBouncer, which providers put before their databases, takes no options unless it is told to.
            if "unsupported startup parameter" not in str(error):
                raise
        connection = self._connected()
        connection.execute(f"SET statement_timeout = {_STATEMENT_TIMEOUT_S * 1000:d}")
        return connection

    def _connected(self, options: str | None = None) -> psycopg.Connection:
        # Behind a pooler in transaction mode prepared statements belong to somebody else.
        return psycopg.connect(
            self._url,
            autocommit=True,
            prepare_threshold=None,
            connect_timeout=self._connect_timeout_s,
            options=options,
            cursor_factory=_Cursor,
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


@lru_cache(maxsize=1)
def connect() -> Postgres:
    """This process's Postgres; the connection itself opens at the first query."""
    s = settings()
    if not s.database_url:
        raise InvalidSettings("DATABASE_URL: needed and not set")
    return Postgres(s.database_url, s.store_timeout_s)
