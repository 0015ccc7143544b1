"""The history of alerts in Postgres: every transition, and what follows from them."""

from collections.abc import Iterable, Mapping
from typing import Any

import psycopg
from psycopg.types.json import Jsonb

from openmanager.stores.postgres import connect, instant


def store(transitions: Iterable[Mapping[str, Any]]) -> None:
    """Transitions as watch.outcome records them; one that is there stays as it is. Raises StoreUnavailable."""
    rows = [
        (
            t["id"], t["alert"]["server"] + "|" + t["alert"]["rule"] + "|" + str(t["alert"]["since"]),
            t["alert"]["server"], t["alert"]["rule"], t["alert"]["incident"], instant(t["at"]), t["what"], t["notice"],
            Jsonb(t["alert"]),
        )
        for t in transitions
    ]  # fmt: skip

    def work(c: psycopg.Connection) -> None:
        with c.transaction(), c.cursor() as cursor:
            cursor.executemany(
                "INSERT INTO alert_transitions (id, alert, server, rule, incident, at, what, notice, body)"
                " VALUES (%s, %s, %s, %s, %s, %s, %s, %s, %s) ON CONFLICT (id) DO NOTHING",
                rows,
            )

    connect().run(work)


def read(
    start_s: float, stop_s: float, server: str | None, rule: str | None, limit: int, before: tuple[float, str] | None
) -> list[dict[str, Any]]:
    """Transitions of [start, stop), newest first, at most `limit`; `before` continues after (at, id)."""
    clauses = ["at >= %s", "at < %s"]
    args: list[Any] = [instant(start_s), instant(stop_s)]
    for column, value in (("server", server), ("rule", rule)):
        if value is not None:
            clauses.append(f"{column} = %s")
            args.append(value)
    if before:
        clauses.append("(at, id) < (%s, %s)")
        args += [instant(before[0]), before[1]]
    rows = connect().run(
        lambda c: c.execute(
            f"SELECT id, at, what, notice, body FROM alert_transitions WHERE {' AND '.join(clauses)}"
            " ORDER BY at DESC, id DESC LIMIT %s",
            (*args, limit),
        ).fetchall()
    )
    return [
        {"id": i, "at": at.timestamp(), "what": what, "notice": notice, "alert": body}
        for i, at, what, notice, body in rows
    ]


def delete_before(at_s: float) -> None:
    """Let go of old history."""
    connect().run(lambda c: c.execute("DELETE FROM alert_transitions WHERE at < %s", (instant(at_s),)))


def of_incident(incident: str) -> list[dict[str, Any]]:
    """All transitions of an incident's alerts, oldest first."""
    rows = connect().run(
        lambda c: c.execute(
            "SELECT id, at, what, notice, body FROM alert_transitions WHERE alert IN"
            " (SELECT alert FROM alert_transitions WHERE incident = %s) ORDER BY at, id",
            (incident,),
        ).fetchall()
    )
    return [
        {"id": i, "at": at.timestamp(), "what": what, "notice": notice, "alert": body}
        for i, at, what, notice, body in rows
    ]


def statistics(start_s: float, stop_s: float) -> list[dict[str, Any]]:
    """By rule, of alerts that fired in [start, stop): how many, how many told and acknowledged, and the mean seconds to
    acknowledgement (MTTA) and to resolution (MTTR) of those that came so far."""
    rows = connect().run(
        lambda c: c.execute(
            """
            WITH fired AS (
                SELECT alert, rule, min(at) AS at FROM alert_transitions
                WHERE what = 'firing' AND at >= %s AND at < %s GROUP BY alert, rule
            ), ends AS (
                SELECT alert,
                    min(at) FILTER (WHERE what = 'acknowledged') AS acknowledged,
                    min(at) FILTER (WHERE what = 'resolved') AS resolved,
                    bool_or(notice = 'firing') AS told
                FROM alert_transitions WHERE alert IN (SELECT alert FROM fired) GROUP BY alert
            )
            SELECT rule, count(*), count(*) FILTER (WHERE told), count(acknowledged), count(resolved),
                extract(epoch FROM avg(acknowledged - fired.at))::float8,
                extract(epoch FROM avg(resolved - fired.at))::float8
            FROM fired JOIN ends USING (alert) GROUP BY rule ORDER BY rule
            """,
            (instant(start_s), instant(stop_s)),
        ).fetchall()
    )
    names = ("rule", "fired", "told", "acknowledged", "resolved", "mtta_s", "mttr_s")
    return [dict(zip(names, row, strict=True)) for row in rows]
