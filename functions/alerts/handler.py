"""/api/alerts…: what is wrong, and who takes care."""

from typing import Annotated, Any

from openmanager.json_body import json_object
from openmanager.oncall import alerts
from openmanager.oncall.standing import open_alerts
from openmanager.web import Depends, Operator, Viewer, bounded_body, create_app, documented, lambda_handler

Body = Annotated[bytes, Depends(bounded_body(16 << 10))]

app = create_app("alerts")


@app.get("/api/alerts")
def list_alerts(_: Viewer, server: str | None = None) -> dict[str, Any]:
    """Open alerts, what needs people first; suppressed ones last, with the reason."""
    return {"alerts": open_alerts() if server is None else alerts.of_server(server)}


@app.post("/api/alerts/{server}/{rule}/acknowledge", openapi_extra=documented(alerts.NOTE, required=False))
def acknowledge(who: Operator, server: str, rule: str, body: Body) -> dict[str, Any]:
    """Take care of an alert: no more reminders unless it worsens."""
    note = alerts.read_note(json_object(body)) if body else ""
    return alerts.acknowledge(server, rule, who.name, note)


@app.delete("/api/alerts/{server}/{rule}/acknowledge")
def unacknowledge(who: Operator, server: str, rule: str) -> dict[str, Any]:
    """Give it back to everybody."""
    return alerts.unacknowledge(server, rule, who.name)


handler = lambda_handler(app)
