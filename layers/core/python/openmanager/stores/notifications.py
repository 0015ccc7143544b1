"""Notifications in Postgres: the targets, their secrets as `notify.secrecy` seals them, and the history of attempts."""

import json
from collections.abc import Callable, Mapping, Sequence
from datetime import datetime
from typing import Any

import psycopg
from psycopg.types.json import Jsonb

from openmanager.stores import audit
from openmanager.stores.postgres import connect, instant

# Whoever changes or publishes targets takes turns, so that what is published last is what was stored last.
_LOCK = 0x6F6D_6E74
Body = dict[str, Any]


def read_targets() -> list[Body]:
    """All targets, by id. Raises StoreUnavailable."""
    return connect().run(_all)


def read_target(identity: str) -> Body | None:
    """One target. Raises StoreUnavailable."""
    row = connect().run(
        lambda c: c.execute("SELECT body FROM notification_targets WHERE id = %s", (identity,)).fetchone()
    )
    return dict(row[0]) if row else None


def change_target(
    identity: str,
    change: Callable[[Body | None], Body | None],
    masked: Callable[[Body], Body],
    publish: Callable[[Sequence[Body]], None],
) -> Body | None:
    """Replace a target by what `change` makes of it (None deletes it) and publish all, both or neither.

    Returns what it was before. What `change` and `publish` raise leaves everything as it was. The audit log gets the
    digests of the bodies as `masked` shows them.
    """

    def work(c: psycopg.Connection) -> Body | None:
        with c.transaction():
            c.execute("SELECT pg_advisory_xact_lock(%s)", (_LOCK,))
            row = c.execute("SELECT body FROM notification_targets WHERE id = %s", (identity,)).fetchone()
            before = dict(row[0]) if row else None
            after = change(before)
            if after is None:
                c.execute("DELETE FROM notification_targets WHERE id = %s", (identity,))
            else:
                c.execute(
                    "INSERT INTO notification_targets (id, body, changed) VALUES (%s, %s, now())"
                    " ON CONFLICT (id) DO UPDATE SET body = excluded.body, changed = excluded.changed",
                    (identity, Jsonb(after)),
                )
            if not (before is None and after is None):
                action = "target.delete" if after is None else "target.put"
                audit.append(c, action, identity, before and masked(before), after and masked(after))
            publish(_all(c))
            return before

    return connect().run(work)


def change_targets(
    action: str,
    change: Callable[[Body], Body],
    masked: Callable[[Body], Body],
    publish: Callable[[Sequence[Body]], None],
) -> list[str]:
    """Replace every target by what `change` makes of it and publish all, all or nothing; the ids of those it changed.

    Each of these gets a row in the audit log, as in `change_target`.
    """

    def work(c: psycopg.Connection) -> list[str]:
        with c.transaction():
            c.execute("SELECT pg_advisory_xact_lock(%s)", (_LOCK,))
            changed = []
            for before in _all(c):
                after, identity = change(before), before["id"]
                if after == before:
                    continue
                c.execute(
                    "UPDATE notification_targets SET body = %s, changed = now() WHERE id = %s", (Jsonb(after), identity)
                )
                audit.append(c, action, identity, masked(before), masked(after))
                changed.append(identity)
            publish(_all(c))
            return changed

    return connect().run(work)


def publish_targets(publish: Callable[[Sequence[Body]], None]) -> None:
    """Hand all targets to `publish` while nobody changes them. Raises StoreUnavailable."""

    def work(c: psycopg.Connection) -> None:
        with c.transaction():
            c.execute("SELECT pg_advisory_xact_lock(%s)", (_LOCK,))
            publish(_all(c))

    connect().run(work)


def _all(c: psycopg.Connection) -> list[Body]:
    rows = c.execute("SELECT body FROM notification_targets ORDER BY id").fetchall()
    return [dict(body) for (body,) in rows]


def store_outcomes(outcomes: Sequence[tuple[str, str]]) -> None:
    """Keep outcomes, (place in the stream, JSON); those that are kept already stay as they are."""
    rows = [(place, _at(outcome), outcome["target"], Jsonb(outcome)) for place, outcome in _decoded(outcomes)]

    def work(c: psycopg.Connection) -> None:
        with c.transaction(), c.cursor() as cursor:
            cursor.executemany(
                "INSERT INTO notification_outcomes (place, at, target, outcome) VALUES (%s, %s, %s, %s)"
                " ON CONFLICT (place, at) DO NOTHING",
                rows,
            )

    connect().run(work)


def delete_outcomes_before(at_s: float) -> None:
    """Let go of old history."""
    connect().run(lambda c: c.execute("DELETE FROM notification_outcomes WHERE at < %s", (instant(at_s),)))


def outcomes_of(alerts: Sequence[str], start_s: float) -> list[dict[str, Any]]:
    """Outcomes since `start_s` of notices whose names begin with those of these alerts, oldest first."""
    rows = connect().run(
        lambda c: c.execute(
            "SELECT outcome FROM notification_outcomes WHERE at >= %s AND EXISTS"
            " (SELECT 1 FROM unnest(%s::text[]) AS a (alert) WHERE starts_with(outcome->>'notice', a.alert || '|'))"
            " ORDER BY at, place",
            (instant(start_s), list(alerts)),
        ).fetchall()
    )
    return [dict(outcome) for (outcome,) in rows]


def _decoded(outcomes: Sequence[tuple[str, str]]) -> list[tuple[str, Mapping[str, Any]]]:
    return [(place, json.loads(text)) for place, text in outcomes]


def _at(outcome: Mapping[str, Any]) -> datetime:
    return instant(outcome["at_ms"] / 1000)
