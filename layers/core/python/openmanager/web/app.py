"""The app of one function, and its entry on Lambda."""

from typing import Any

from fastapi import FastAPI
from mangum import Mangum
from starlette.types import ASGIApp

from openmanager.web.auth import check_declared
from openmanager.web.headers import BrowserHeaders
from openmanager.web.problems import add_problem_handlers, phrase

VERSION = "0.1.0"

_PROBLEM = {
    "type": "object",
    "description": "RFC 9457 problem details",
    "required": ["type", "title", "status", "detail"],
    "properties": {
        "type": {"type": "string"},
        "title": {"type": "string"},
        "status": {"type": "integer"},
        "detail": {"type": "string"},
        "field": {"type": "string", "description": "where in the input"},
    },
}
_ANYWHERE = {400: "an input is invalid; `field` names it", 503: "a store is away; Retry-After says when to come back"}
_WITH_CREDENTIAL = {
    401: "no credential, or none that we know",
    403: "known, but not allowed to",
    429: "the budget is used up; Retry-After says when to come back",
}
_WITH_BODY = {413: "the body is too large", 415: "the body's type or encoding is not read here"}
_WITH_PATH = {404: "there is no such thing"}


class Door(FastAPI):
    """An app whose every answer carries the browser's fields, and whose description lists its problem answers."""

    def build_middleware_stack(self) -> ASGIApp:
        # Outside of everything, or the answer to an unforeseen error would go without.
        return BrowserHeaders(super().build_middleware_stack())

    def openapi(self) -> dict[str, Any]:
        if self.openapi_schema is None:
            described = super().openapi()
            for path, operations in described["paths"].items():
                for operation in operations.values():
                    _add_problems(path, operation)
            described.setdefault("components", {}).setdefault("schemas", {})["Problem"] = _PROBLEM
        return self.openapi_schema or {}


def _add_problems(path: str, operation: dict[str, Any]) -> None:
    told = dict(_ANYWHERE)
    told |= _WITH_CREDENTIAL if "security" in operation else {}
    told |= _WITH_BODY if "requestBody" in operation else {}
    told |= _WITH_PATH if "{" in path else {}
    responses = operation["responses"]
    # The framework's own answer to invalid input, which is a 400 here.
    responses.pop("422", None)
    for status, why in sorted(told.items()):
        answer = {
            "description": f"{phrase(status)}: {why}",
            "content": {"application/problem+json": {"schema": {"$ref": "#/components/schemas/Problem"}}},
        }
        responses.setdefault(str(status), answer)


def create_app(title: str) -> FastAPI:
    """An app without routes: errors become problem details; documentation is the system function's business."""
    app = Door(title=f"OpenManager {title}", version=VERSION, docs_url=None, redoc_url=None, openapi_url=None)
    add_problem_handlers(app)
    return app


def lambda_handler(app: FastAPI) -> Any:
    """The app as a Lambda handler. Mangum answers with the whole body at once; nothing streams here.

    Raises LookupError if a route does not say who may call it.
    """
    check_declared(app.routes)
    return Mangum(app, lifespan="off")
