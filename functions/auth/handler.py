"""/api/auth…: logging in and out, and one's own password."""

from typing import Annotated, Any

from openmanager.errors import InvalidInput
from openmanager.json_body import json_object
from openmanager.security import login, people
from openmanager.web import (
    Anyone,
    Depends,
    LoggedIn,
    LoggedInHere,
    Request,
    bounded_body,
    create_app,
    documented,
    lambda_handler,
)
from openmanager.web.client import client_address
from openmanager.web.described import problems

Body = Annotated[bytes, Depends(bounded_body(4096))]

app = create_app("auth")


@app.post("/api/auth/token", responses=problems(401, 429), openapi_extra=documented(login.SCHEMA))
def log_in(_: Anyone, request: Request, body: Body) -> dict[str, Any]:
    """A token (`access_token`) for an hour, to send as `Authorization: Bearer <token>`."""
    asked = json_object(body)
    for field in login.SCHEMA["required"]:
        if not isinstance(asked.get(field), str):
            raise InvalidInput(field, "must be a text")
    return login.log_in(asked["user"], asked["password"], client_address(request.scope))


@app.post("/api/auth/refresh")
def refresh(token: LoggedInHere) -> dict[str, Any]:
    """A new token for one that is good, which then is so no more; for a day, then the password is needed again."""
    return login.refresh(token)


@app.post("/api/auth/logout", status_code=204)
def log_out(token: LoggedIn) -> None:
    """End a token: within 30 seconds it is refused everywhere."""
    login.log_out(token)


@app.put("/api/auth/password", status_code=204, openapi_extra=documented(people.CHANGE))
def change_password(token: LoggedInHere, request: Request, body: Body) -> None:
    """Change one's own password; all one's tokens end."""
    asked = json_object(body)
    people.change_password(token.user, asked.get("current"), asked.get("new"), client_address(request.scope))


handler = lambda_handler(app)
