"""/api/notifications…: who is told of alerts, and what waits to be told."""

import time
from typing import Annotated, Any

from fastapi import Depends
from openmanager.notify import manage
from openmanager.sources.limits import json_object
from openmanager.web import Admin, Operator, bounded_body, create_app, documented, lambda_handler

EXAMPLE = {"channel": "slack", "settings": {"url": "https://hooks.slack.com/services/…"}, "severity": "warning"}

Body = Annotated[bytes, Depends(bounded_body(256 << 10))]

app = create_app("notifications")


@app.get("/api/notifications/targets")
def list_targets(_: Admin) -> dict[str, Any]:
    """Everybody who is told of alerts; secrets are masked."""
    return {"targets": manage.targets()}


@app.get("/api/notifications/targets/{id}")
def get_target(_: Admin, id: str) -> dict[str, Any]:
    """One target; secrets are masked."""
    return manage.target(id)


@app.put("/api/notifications/targets/{id}", openapi_extra=documented("application/json", EXAMPLE))
def put_target(_: Admin, id: str, body: Body) -> dict[str, Any]:
    """Make or replace a target. Secrets that are left out stay as they were, unless the place they go to changes."""
    return manage.put_target(id, json_object(body))


@app.delete("/api/notifications/targets/{id}", status_code=204)
def delete_target(_: Admin, id: str) -> None:
    """Forget a target. What waits for it fails, visibly."""
    manage.delete_target(id)


@app.post("/api/notifications/targets/{id}/test")
def try_target(_: Admin, id: str) -> dict[str, Any]:
    """Send a test notice now; answers with what the receiver said."""
    return manage.try_target(id, time.time())


@app.get("/api/notifications/outbox")
def get_outbox(_: Operator) -> dict[str, Any]:
    """Notices that wait for their receiver, and those that failed, each with the reason."""
    return manage.waiting()


@app.post("/api/notifications/outbox/{key}/retry")
def retry(_: Operator, key: str) -> dict[str, Any]:
    """Have a notice tried with the next delivery, as if for the first time."""
    return manage.retry(key)


handler = lambda_handler(app)
