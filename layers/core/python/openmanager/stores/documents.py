"""What people set, in Postgres: JSON documents by kind and id. Redis holds a copy for the rounds (stores.config)."""

from collections.abc import Callable
from typing import Any

import psycopg
from psycopg.types.json import Jsonb

from openmanager.stores import audit
from openmanager.stores.postgres import connect

# Whoever changes or publishes documents takes turns, so that what is published last is what was stored last.
_LOCK = 0x6F6D_646F
Documents = dict[str, dict[str, Any]]


def read(kind: str) -> Documents:
    """Id -> body of all documents of a kind. Raises StoreUnavailable."""
    return connect().run(lambda c: _read(c, kind))


def change(
    kind: str,
    identity: str,
    body: dict[str, Any] | None,
    by: str,
    check: Callable[[Documents], None],
    publish: Callable[[Callable[[str], Documents]], None],
) -> dict[str, Any] | None:
    """Replace a document (None deletes it), record it in the audit log and publish, all or nothing.

    Returns what it was before. `check` sees the kind as it will be and may raise; `publish` gets a function that reads
    any kind as it will be.
    """

    def work(c: psycopg.Connection) -> dict[str, Any] | None:
        with c.transaction():
            c.execute("SELECT pg_advisory_xact_lock(%s)", (_LOCK,))
            before = _read(c, kind).get(identity)
            if body is None:
                c.execute("DELETE FROM documents WHERE kind = %s AND id = %s", (kind, identity))
            else:
                c.execute(
                    "INSERT INTO documents (kind, id, body, changed, changed_by) VALUES (%s, %s, %s, now(), %s)"
                    " ON CONFLICT (kind, id) DO UPDATE"
                    " SET body = excluded.body, changed = excluded.changed, changed_by = excluded.changed_by",
                    (kind, identity, Jsonb(body), by),
                )
            check(_read(c, kind))
            if not (before is None and body is None):
                audit.append(c, f"{kind}.{'delete' if body is None else 'put'}", identity, before, body)
            publish(lambda other: _read(c, other))
            return before

    return connect().run(work)


def publish(publish: Callable[[Callable[[str], Documents]], None]) -> None:
    """Publish while nobody changes anything. Raises StoreUnavailable."""

    def work(c: psycopg.Connection) -> None:
        with c.transaction():
            c.execute("SELECT pg_advisory_xact_lock(%s)", (_LOCK,))
            publish(lambda kind: _read(c, kind))

    connect().run(work)


def delete_ended(kind: str, before_s: float) -> None:
    """Let go of documents of a kind whose `end` (s) lies before an instant. Raises StoreUnavailable."""
    connect().run(
        lambda c: c.execute("DELETE FROM documents WHERE kind = %s AND (body->>'end')::float8 < %s", (kind, before_s))
    )


def _read(c: psycopg.Connection, kind: str) -> Documents:
    rows = c.execute("SELECT id, body FROM documents WHERE kind = %s ORDER BY id", (kind,)).fetchall()
    return {identity: dict(body) for identity, body in rows}
