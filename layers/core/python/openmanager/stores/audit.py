"""The audit log in Postgres: rows are added, read and never changed (the table refuses it)."""

import logging
from datetime import UTC, datetime
from typing import Any

import psycopg

from openmanager import acting
from openmanager.audit import START, Head, digest, row_hash
from openmanager.errors import InvalidSettings, StoreUnavailable
from openmanager.stores.postgres import connect

# Whoever adds a row takes turns, to the end of the transaction: the next row is bound to this one.
_LOCK = 0x6F6D_6175
_LONGEST = 500
_COLUMNS = "seq, at, actor, address, action, target, before, after, previous, hash"

log = logging.getLogger(__name__)


def append(c: psycopg.Connection, action: str, target: str, before: Any, after: Any) -> None:
    """Add a row in the transaction of the change itself: who acts (openmanager.acting) did what, such as rule.put.

    `before` and `after` are JSON values without secrets, None where there was nothing; their digests are kept.
    """
    c.execute("SELECT pg_advisory_xact_lock(%s)", (_LOCK,))
    found = c.execute(
        "SELECT clock_timestamp(), seq, hash FROM (VALUES (1)) AS one"
        " LEFT JOIN (SELECT seq, hash FROM audit_log ORDER BY seq DESC LIMIT 1) AS head ON true"
    ).fetchone()
    assert found is not None
    at, seq, previous = found
    by = acting.actor()
    row = {
        "seq": (seq or 0) + 1,
        "at": _shown(at),
        "actor": _clean(by.name),
        "address": _clean(by.address),
        "action": action,
        "target": _clean(target),
        "before": digest(before),
        "after": digest(after),
        "previous": previous or START,
    }
    c.execute(
        f"INSERT INTO audit_log ({_COLUMNS}) VALUES (%s, %s, %s, %s, %s, %s, %s, %s, %s, %s)",
        (*(row | {"at": at}).values(), row_hash(row)),
    )


def record(action: str, target: str, before: Any = None, after: Any = None) -> None:
    """Add a row for what was done elsewhere than in Postgres, and is not undone because Postgres is away.

    Then the log says what the row would have been.
    """

    def work(c: psycopg.Connection) -> None:
        with c.transaction():
            append(c, action, target, before, after)

    try:
        connect().run(work)
    except (StoreUnavailable, InvalidSettings) as error:
        by = acting.actor()
        lost = {"actor": by.name, "address": by.address, "action": action, "target": target}
        log.error("not in the audit log: %s", error, extra={"audit": lost})


def read(after: int, limit: int) -> list[dict[str, Any]]:
    """Rows beyond `after`, oldest first, as they were hashed. Raises StoreUnavailable."""
    return connect().run(lambda c: rows(c, after, limit))


def rows(c: psycopg.Connection, after: int, limit: int) -> list[dict[str, Any]]:
    """The same over a connection that is there."""
    found = c.execute(f"SELECT {_COLUMNS} FROM audit_log WHERE seq > %s ORDER BY seq LIMIT %s", (after, limit))
    names = _COLUMNS.split(", ")
    return [dict(zip(names, row, strict=True)) | {"at": _shown(row[1])} for row in found.fetchall()]


def head() -> Head:
    """The last row. Raises StoreUnavailable."""
    row = connect().run(lambda c: c.execute("SELECT seq, hash FROM audit_log ORDER BY seq DESC LIMIT 1").fetchone())
    return Head(*row) if row else Head(0, START)


def _shown(at: datetime) -> str:
    return at.astimezone(UTC).isoformat(timespec="microseconds")


def _clean(text: str) -> str:
    # Postgres takes no NUL in a text.
    return text.replace("\0", "�")[:_LONGEST]
