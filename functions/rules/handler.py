"""/api/rules… and /api/dependencies: what is watched, and which role depends on which."""

from typing import Annotated, Any

from openmanager.alerts import incidents, rules
from openmanager.json_body import json_object
from openmanager.oncall import settings as desk
from openmanager.web import Depends, Operator, Path, Viewer, bounded_body, create_app, documented, lambda_handler
from openmanager.web.described import problems

Body = Annotated[bytes, Depends(bounded_body(64 << 10))]
Id = Annotated[str, Path(json_schema_extra={"pattern": f"^{rules.ID.pattern}$"})]

app = create_app("rules")


@app.get("/api/rules")
def list_rules(_: Viewer) -> dict[str, Any]:
    """All rules, the default ones included."""
    return {"rules": desk.list_rules()}


@app.put("/api/rules/{id}", responses=problems(409), openapi_extra=documented(rules.SCHEMA))
def put_rule(who: Operator, id: Id, body: Body) -> dict[str, Any]:
    """Make or replace a rule; fields left out are those of the default rule of this name."""
    return desk.put_rule(id, json_object(body), who.name)


@app.delete("/api/rules/{id}", status_code=204)
def delete_rule(who: Operator, id: str) -> None:
    """Forget a rule of ours, or what was changed of a default one."""
    desk.delete_rule(id, who.name)


@app.get("/api/dependencies")
def get_dependencies(_: Viewer) -> dict[str, Any]:
    """Which role depends on which."""
    return desk.dependencies()


@app.put("/api/dependencies", openapi_extra=documented(incidents.SCHEMA))
def put_dependencies(who: Operator, body: Body) -> dict[str, Any]:
    """Replace the graph of roles."""
    return desk.put_dependencies(json_object(body), who.name)


handler = lambda_handler(app)
