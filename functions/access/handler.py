"""/api/users… and /api/keys…: who may come in, for administrators."""

from datetime import UTC, datetime
from typing import Annotated, Any

from openmanager.json_body import json_object
from openmanager.security import people, programs
from openmanager.security.roles import USER_NAME
from openmanager.web import Admin, Depends, Path, bounded_body, create_app, documented, lambda_handler
from openmanager.web.caching import NEVER

Body = Annotated[bytes, Depends(bounded_body(64 << 10))]
UserName = Annotated[str, Path(json_schema_extra={"pattern": f"^{USER_NAME.pattern}$"})]

app = create_app("access", kept=NEVER)


@app.get("/api/users")
def list_users(_: Admin) -> dict[str, Any]:
    """Everybody who can log in."""
    return {"users": people.listing()}


@app.put("/api/users/{name}", openapi_extra=documented(people.SCHEMA))
def put_user(who: Admin, name: UserName, body: Body) -> dict[str, Any]:
    """Make or change a user, whose tokens end. A new one without a `password` gets one, shown this once."""
    return people.put(name, json_object(body), who.name)


@app.delete("/api/users/{name}", status_code=204)
def delete_user(_: Admin, name: str) -> None:
    """Forget a user, whose tokens end."""
    people.delete(name)


@app.get("/api/keys")
def list_keys(_: Admin) -> dict[str, Any]:
    """All API keys: whose, for what, until when, and when last used; not the keys themselves."""
    return {"keys": programs.listing()}


@app.post("/api/keys", status_code=201, openapi_extra=documented(programs.SCHEMA))
def add_key(who: Admin, body: Body) -> dict[str, Any]:
    """A new key, shown this once. An agent's names its `servers`, or prefixes of them; others read by their role."""
    return programs.add(json_object(body), who.name, datetime.now(UTC))


@app.delete("/api/keys/{id}", status_code=204)
def delete_key(_: Admin, id: str) -> None:
    """End a key: within 30 seconds it is refused everywhere."""
    programs.delete(id)


handler = lambda_handler(app)
