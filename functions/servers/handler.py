"""GET /api/servers…: the fleet, one server, its metrics."""

import time
from datetime import datetime
from typing import Annotated, Any, Literal

from fastapi import Query
from openmanager import charts, fleet
from openmanager.errors import InvalidInput
from openmanager.web import Caller, create_app, lambda_handler

Status = Literal["healthy", "warning", "critical", "offline", "maintenance", "unknown"]

app = create_app("servers")


@app.get("/api/servers")
def list_servers(_: Caller, status: Status | None = None) -> dict[str, Any]:
    """Every server with its newest values and last verdict, worst first."""
    return {"servers": [s for s in fleet.listing() if status in (None, s["status"])]}


@app.get("/api/servers/{id}")
def get_server(_: Caller, id: str) -> dict[str, Any]:
    """One server with its whole verdict."""
    return fleet.detail(id)


@app.get("/api/servers/{id}/metrics")
def get_metrics(
    _: Caller,
    id: str,
    from_: Annotated[str | None, Query(alias="from", description="ISO 8601 or Unix seconds; else an hour")] = None,
    to: Annotated[str | None, Query(description="ISO 8601 or Unix seconds; now")] = None,
    step: Annotated[float | None, Query(description="seconds; a minute, or what keeps 500 points")] = None,
) -> dict[str, Any]:
    """A server's metrics on an even grid: gauges as means, counters as rates, null where nothing is known."""
    stop = _instant("to", to) if to else time.time()
    start = _instant("from", from_) if from_ else stop - 3600
    return charts.metrics(id, charts.Range.of(start, stop, step))


def _instant(field: str, text: str) -> float:
    try:
        return float(text) if text.replace(".", "", 1).isdigit() else datetime.fromisoformat(text).timestamp()
    except ValueError:
        raise InvalidInput(field, f"{text!r} is neither ISO 8601 nor Unix seconds") from None


handler = lambda_handler(app)
