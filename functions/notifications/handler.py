"""/api/notifications…: who is told of alerts, and what waits to be told."""

import time
from typing import Annotated, Any

from openmanager.json_body import json_object
from openmanager.notify import described, manage
from openmanager.notify.targets import ID
from openmanager.web import Admin, Depends, Path, bounded_body, create_app, documented, lambda_handler
from openmanager.web.caching import NEVER
from openmanager.web.described import problems

from functions.notifications import outbox

Id = Annotated[str, Path(json_schema_extra={"pattern": f"^{ID.pattern}$"})]
Body = Annotated[bytes, Depends(bounded_body(256 << 10))]

app = create_app("notifications", kept=NEVER)
app.include_router(outbox.router)


@app.get("/api/notifications/targets")
def list_targets(_: Admin) -> dict[str, Any]:
    """Everybody who is told of alerts; secrets are masked."""
    return {"targets": manage.targets()}


@app.get("/api/notifications/targets/{id}")
def get_target(_: Admin, id: str) -> dict[str, Any]:
    """One target; secrets are masked."""
    return manage.target(id)


@app.put("/api/notifications/targets/{id}", responses=problems(409), openapi_extra=documented(described.SCHEMA))
def put_target(_: Admin, id: Id, body: Body) -> dict[str, Any]:
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


@app.post("/api/notifications/targets/seal")
def seal_targets(_: Admin) -> dict[str, Any]:
    """Encrypt every target's secrets with the first key; `changed` are those that had been otherwise."""
    return manage.seal_targets()


handler = lambda_handler(app)
