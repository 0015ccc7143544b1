"""/api/silences… and /api/maintenance…: when nobody is to be told."""

from typing import Annotated, Any

from openmanager.alerts import quiet
from openmanager.json_body import json_object
from openmanager.oncall import settings as desk
from openmanager.web import Depends, Operator, Path, Viewer, bounded_body, create_app, documented, lambda_handler
from openmanager.web.described import problems

Body = Annotated[bytes, Depends(bounded_body(64 << 10))]
Id = Annotated[str, Path(json_schema_extra=quiet.ID)]

app = create_app("silences")


@app.get("/api/silences")
def list_silences(_: Viewer) -> dict[str, Any]:
    """Silences that have not ended."""
    return {"silences": desk.list_silences()}


@app.post("/api/silences", status_code=201, responses=problems(409), openapi_extra=documented(quiet.SILENCE))
def add_silence(who: Operator, body: Body) -> dict[str, Any]:
    """Tell nobody for a while: `end` (s) or `minutes`, and of which servers, roles and rules (all if left out)."""
    return desk.add_silence(json_object(body), who.name)


@app.delete("/api/silences/{id}", status_code=204)
def end_silence(who: Operator, id: str) -> None:
    """End a silence now."""
    desk.end_silence(id, who.name)


@app.get("/api/maintenance")
def list_maintenance(_: Viewer) -> dict[str, Any]:
    """Maintenance windows, which return every week."""
    return {"maintenance": desk.list_maintenance()}


@app.put("/api/maintenance/{id}", responses=problems(409), openapi_extra=documented(quiet.MAINTENANCE))
def put_maintenance(who: Operator, id: Id, body: Body) -> dict[str, Any]:
    """Make or replace a maintenance window."""
    return desk.put_maintenance(id, json_object(body), who.name)


@app.delete("/api/maintenance/{id}", status_code=204)
def delete_maintenance(who: Operator, id: str) -> None:
    """Forget a maintenance window."""
    desk.delete_maintenance(id, who.name)


handler = lambda_handler(app)
