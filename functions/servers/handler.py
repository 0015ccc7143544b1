"""GET /api/servers…: the fleet, one server, its metrics."""

import time
from typing import Annotated, Any, Literal

from openmanager import charts, fleet, spans
from openmanager.web import Query, Request, Viewer, create_app, lambda_handler
from openmanager.web.caching import PAST_LONGER, unless_held

Status = Literal["healthy", "warning", "critical", "offline", "maintenance", "unknown"]
From = Annotated[str | None, Query(alias="from", description="else an hour before", json_schema_extra=spans.INSTANT)]
To = Annotated[str | None, Query(description="else now", json_schema_extra=spans.INSTANT)]
Limit = Annotated[int | None, Query(ge=1, le=fleet.MOST, description="how many a page holds; else all come at once")]
Cursor = Annotated[str | None, Query(json_schema_extra=fleet.CURSOR)]

app = create_app("servers")


@app.get("/api/servers")
def list_servers(
    _: Viewer, request: Request, status: Status | None = None, limit: Limit = None, cursor: Cursor = None
) -> dict[str, Any]:
    """Every server with its newest values and last verdict, worst first; with a limit a page of them, and `next`."""
    unless_held(request, fleet.version())
    return fleet.page(limit, cursor, status)


@app.get("/api/servers/{id}")
def get_server(_: Viewer, id: str) -> dict[str, Any]:
    """One server with its whole verdict."""
    return fleet.detail(id)


@app.get("/api/servers/{id}/metrics", dependencies=[PAST_LONGER])
def get_metrics(
    _: Viewer,
    id: str, from_: From = None, to: To = None,
    step: Annotated[float | None, Query(json_schema_extra=charts.STEP)] = None,
    stat: Annotated[str, Query(description="of each step", json_schema_extra={"enum": charts.STATS})] = "mean",
    metrics: Annotated[str | None, Query(json_schema_extra=charts.KEYS)] = None,
) -> dict[str, Any]:  # fmt: skip
    """A statistic of a server's metrics on an even grid, null where nothing is known; `resolution` says from what."""
    now_ms = int(time.time() * 1000)
    span = charts.Range.of(*spans.span(from_, to, now_ms), step)
    return charts.metrics(id, span, now_ms, stat, None if metrics is None else metrics.split(","))


@app.get("/api/servers/{id}/samples", dependencies=[PAST_LONGER])
def get_samples(
    _: Viewer,
    id: str, from_: From = None, to: To = None,
    cursor: Annotated[str | None, Query(json_schema_extra=charts.CURSOR)] = None,
) -> dict[str, Any]:  # fmt: skip
    """A server's samples as they were sent, a page at a time; times in milliseconds."""
    now_ms = int(time.time() * 1000)
    return charts.page(id, *spans.span(from_, to, now_ms), cursor, now_ms)


handler = lambda_handler(app)
