"""/api/incidents…, and the history of alerts: what belongs together, and what was."""

import time
from typing import Annotated, Any

from openmanager import spans
from openmanager.oncall import alerts
from openmanager.oncall.explain import explain
from openmanager.stores.alerts import statistics
from openmanager.web import Query, Viewer, create_app, lambda_handler
from openmanager.web.caching import A_MINUTE

from functions.incidents import report

From = Annotated[str | None, Query(alias="from", description="else a day before `to`", json_schema_extra=spans.INSTANT)]
To = Annotated[str | None, Query(description="else now", json_schema_extra=spans.INSTANT)]
_DAY_S = 86_400

app = create_app("incidents")
app.include_router(report.router)


@app.get("/api/alerts/history")
def get_history(
    _: Viewer, from_: From = None, to: To = None, server: str | None = None, rule: str | None = None,
    cursor: Annotated[str | None, Query(json_schema_extra=alerts.CURSOR)] = None,
) -> dict[str, Any]:  # fmt: skip
    """Everything that happened to alerts, newest first, a page at a time."""
    span = spans.span(from_, to, int(time.time() * 1000), _DAY_S)
    return alerts.history(*span, server, rule, cursor)


@app.get("/api/alerts/statistics", dependencies=[A_MINUTE])
def get_statistics(_: Viewer, from_: From = None, to: To = None) -> dict[str, Any]:
    """By rule: how many fired and were told, and mean times to acknowledge (MTTA) and to resolve (MTTR)."""
    start, stop = spans.span(from_, to, int(time.time() * 1000), 7 * _DAY_S)
    return {"from": start, "to": stop, "rules": statistics(start, stop)}


@app.get("/api/incidents")
def list_incidents(_: Viewer) -> dict[str, Any]:
    """Open incidents, the gravest first, each with its alerts."""
    return {"incidents": alerts.open_incidents()}


@app.get("/api/incidents/{id}")
def get_incident(_: Viewer, id: str) -> dict[str, Any]:
    """One incident, open or past, with everything that happened to its alerts."""
    return alerts.incident(id)


@app.get("/api/servers/{id}/explanation")
def get_explanation(_: Viewer, id: str) -> dict[str, Any]:
    """Why a server is judged as it is: what contributes, when it was like this before, what it needs and affects."""
    return explain(id)


handler = lambda_handler(app)
