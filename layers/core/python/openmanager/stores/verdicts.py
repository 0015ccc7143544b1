"""Reading archived verdicts."""

from typing import Any

from openmanager.stores.postgres import connect, instant


def anomalous(server: str, start_s: float, stop_s: float, limit: int) -> list[dict[str, Any]]:
    """The anomalies of a server's anomalous minutes in [start, stop), newest first, each with its `minute` (s)."""
    rows = connect().run(
        lambda c: c.execute(
            "SELECT extract(epoch FROM minute)::bigint, verdict->'anomaly' FROM predictions"
            " WHERE server = %s AND minute >= %s AND minute < %s AND verdict->'anomaly'->>'anomalous' = 'true'"
            " ORDER BY minute DESC LIMIT %s",
            (server, instant(start_s), instant(stop_s), limit),
        ).fetchall()
    )
    return [{"minute": minute} | found for minute, found in rows]
