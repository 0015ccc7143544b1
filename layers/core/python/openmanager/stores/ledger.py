"""The ledger in Postgres: what waits to be settled, what was, and the sums that scores are made of."""

from collections.abc import Callable, Iterable, Mapping, Sequence
from datetime import date
from typing import Any

import psycopg
from psycopg.types.json import Jsonb

from openmanager.stores.postgres import connect, instant
from openmanager.values import frozen

_MINUTE_S = 60
Sums = dict[str, Any]


@frozen
class Row:
    """A server's track after some verdicts, and what they settled, as rows; `sums` (week, what) -> sums to add."""

    server: str
    track: Sums
    episodes: Sequence[tuple[Any, ...]]
    incidents: Sequence[tuple[Any, ...]]
    sums: Mapping[tuple[date, str], Sums]


def settle(
    servers: Iterable[str],
    work: Callable[[str, Sums | None], Row],
    add: Callable[[str, Sums, Sums], Sums],
) -> None:
    """Have `work` go on with each server's track (None for a new one) and keep what it settles, all or nothing.

    `add` makes the sum of two `sums` of a kind. Episodes are (model, began, ended, outcome, lead in s, incident),
    incidents (began, ended, kind, announced), times in minutes since 1970. Raises StoreUnavailable.
    """
    names = sorted(set(servers))

    def transaction(c: psycopg.Connection) -> None:
        with c.transaction(), c.cursor() as cursor:
            cursor.execute(
                "INSERT INTO ledger_tracks (server, body) SELECT *, '{}' FROM unnest(%s::text[])"
                " ON CONFLICT (server) DO NOTHING",
                (names,),
            )
            tracks: dict[str, Sums] = dict(
                cursor.execute(
                    "SELECT server, body FROM ledger_tracks WHERE server = ANY(%s) ORDER BY server FOR UPDATE", (names,)
                ).fetchall()
            )
            rows = [work(server, tracks[server] or None) for server in names]
            _write(cursor, rows, add)

    connect().run(transaction)


def _write(cursor: psycopg.Cursor[Any], rows: Sequence[Row], add: Callable[[str, Sums, Sums], Sums]) -> None:
    cursor.executemany(
        "UPDATE ledger_tracks SET body = %s WHERE server = %s", [(Jsonb(row.track), row.server) for row in rows]
    )
    cursor.executemany(
        "INSERT INTO ledger_episodes (server, model, began, ended, outcome, lead_s, incident)"
        " VALUES (%s, %s, %s, %s, %s, %s, %s) ON CONFLICT (server, model, began) DO NOTHING",
        [
            (row.server, model, _at(began), _at(ended), outcome, lead, None if incident is None else _at(incident))
            for row in rows
            for model, began, ended, outcome, lead, incident in row.episodes
        ],
    )
    cursor.executemany(
        "INSERT INTO ledger_incidents (server, began, ended, kind, announced)"
        " VALUES (%s, %s, %s, %s, %s) ON CONFLICT (server, began) DO NOTHING",
        [
            (row.server, _at(began), _at(ended), kind, Jsonb(announced))
            for row in rows
            for began, ended, kind, announced in row.incidents
        ],
    )
    places = [(row.server, week, what) for row in rows for week, what in row.sums]
    if not places:
        return
    standing = {
        (server, week, what): body
        for server, week, what, body in cursor.execute(
            "SELECT server, week, what, body FROM ledger_sums"
            " JOIN unnest(%s::text[], %s::date[], %s::text[]) AS w (server, week, what) USING (server, week, what)",
            tuple(map(list, zip(*places, strict=True))),
        ).fetchall()
    }
    cursor.executemany(
        "INSERT INTO ledger_sums (server, week, what, body) VALUES (%s, %s, %s, %s)"
        " ON CONFLICT (server, week, what) DO UPDATE SET body = excluded.body",
        [
            (row.server, week, what, Jsonb(add(what, standing[place], sums) if place in standing else sums))
            for row in rows
            for (week, what), sums in row.sums.items()
            for place in [(row.server, week, what)]
        ],
    )


def silent_since(minute: int) -> list[str]:
    """The servers whose last verdict is from before a minute (since 1970)."""
    rows = connect().run(
        lambda c: c.execute(
            "SELECT server FROM ledger_tracks WHERE (body->>'minute')::bigint < %s", (minute,)
        ).fetchall()
    )
    return [server for (server,) in rows]


def forget_ended() -> None:
    """Let go of servers that were left with an empty track."""
    connect().run(lambda c: c.execute("DELETE FROM ledger_tracks WHERE body = '{}'"))


def delete_before(at_s: float) -> None:
    """Let go of old episodes, incidents and sums."""

    def work(c: psycopg.Connection) -> None:
        with c.transaction():
            c.execute("DELETE FROM ledger_episodes WHERE began < %s", (instant(at_s),))
            c.execute("DELETE FROM ledger_incidents WHERE began < %s", (instant(at_s),))
            c.execute("DELETE FROM ledger_sums WHERE week < %s::date - 7", (instant(at_s).date(),))

    connect().run(work)


# Of whom: one server or all, and of these all but those whose name begins with something ('' leaves nobody out).
_WHOSE = " AND (%s::text IS NULL OR server = %s) AND (%s = '' OR NOT starts_with(server, %s))"


def episodes(start_s: float, stop_s: float, server: str | None = None, without: str = "") -> list[dict[str, Any]]:
    """Settled warning episodes that began in [start, stop), oldest first; times in s."""
    rows = connect().run(
        lambda c: c.execute(
            "SELECT server, model, extract(epoch FROM began)::float8, extract(epoch FROM ended)::float8,"
            f" outcome, lead_s FROM ledger_episodes WHERE began >= %s AND began < %s{_WHOSE}"
            " ORDER BY began, server, model",
            (instant(start_s), instant(stop_s), server, server, without, without),
        ).fetchall()
    )
    names = ("server", "model", "began", "ended", "outcome", "lead_s")
    return [dict(zip(names, row, strict=True)) for row in rows]


def incidents(start_s: float, stop_s: float, server: str | None = None, without: str = "") -> list[dict[str, Any]]:
    """Incidents that began in [start, stop), oldest first; `announced` is by model, minutes ahead."""
    rows = connect().run(
        lambda c: c.execute(
            "SELECT server, extract(epoch FROM began)::float8, extract(epoch FROM ended)::float8, kind, announced"
            f" FROM ledger_incidents WHERE began >= %s AND began < %s{_WHOSE} ORDER BY began, server",
            (instant(start_s), instant(stop_s), server, server, without, without),
        ).fetchall()
    )
    names = ("server", "began", "ended", "kind", "announced")
    return [dict(zip(names, row, strict=True)) for row in rows]


def sums(start_s: float, stop_s: float, server: str | None = None, without: str = "") -> list[tuple[date, str, Sums]]:
    """(week, what, sums) of the weeks that touch [start, stop), a row a server."""
    return connect().run(
        lambda c: c.execute(
            "SELECT week, what, body FROM ledger_sums WHERE week > %s::date - 7 AND week <= %s::date"
            f"{_WHOSE} ORDER BY week, what, server",
            (instant(start_s).date(), instant(stop_s).date(), server, server, without, without),
        ).fetchall()
    )


def _at(minute: int) -> Any:
    return instant(minute * _MINUTE_S)
