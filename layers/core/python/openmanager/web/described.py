"""What FastAPI cannot know of our routes, added to their description: problem answers, and what no address can hold."""

from collections.abc import Iterable, Sequence
from typing import Any

from openmanager.security import fields
from openmanager.web.auth import anyone, guard_of, require_cron_secret, routes_of
from openmanager.web.caching import kept_of
from openmanager.web.problems import phrase

_PROBLEM = {
    "type": "object",
    "description": "RFC 9457 problem details",
    "required": ["type", "title", "status", "detail"],
    "properties": {
        "type": {"const": "about:blank"},
        "title": {"type": "string"},
        "status": {"type": "integer"},
        "detail": {"type": "string"},
        "field": {"type": "string", "description": "where in the input"},
        "trace_id": {"type": "string", "pattern": "^[0-9a-f]{32}$", "description": "to find it by in our logs"},
    },
    "additionalProperties": False,
}
_ETAG = {"ETag": {"required": True, "schema": {"type": "string", "pattern": '^W/"[0-9a-f]+"$'}}}
_UNCHANGED = {"description": "Not Modified: the caller has just this (`If-None-Match`)", "headers": _ETAG}
_WHY = {
    400: "an input is invalid; `field` names it",
    401: "no credential, or none that we know",
    403: "known, but not allowed to",
    404: "there is no such thing",
    409: "what is there already leaves no room for it, or it is switched off",
    413: "the body is too large",
    415: "the body's type or encoding is not read here",
    429: "the budget is used up",
    502: "an outside server failed",
    503: "a store is away",
    504: "an outside server did not answer in time",
}
_HEADERS = {
    401: {"WWW-Authenticate": {"required": True, "schema": {"const": "Bearer"}}},
    429: {"Retry-After": {"required": True, "schema": {"type": "integer", "minimum": 1}, "description": "seconds"}},
    503: {"Retry-After": {"required": True, "schema": {"type": "integer", "minimum": 1}, "description": "seconds"}},
}
_EVENTS = "text/event-stream"
# A query with this sign is refused (web.address).
_WITHOUT_NUL = r"^[^\u0000]*$"


def problems(*statuses: int) -> dict[int | str, dict[str, Any]]:
    """Problem answers of a route beyond those that follow from what it takes, for its `responses`."""
    return {status: _answer(status) for status in statuses}


def complete(document: dict[str, Any], routes: Iterable[Any], of_app: Sequence[Any] = ()) -> None:
    """Add to an app's description what follows from its routes, and from the dependencies that all of them have."""
    for route in routes_of(routes):
        for method in (route.methods or ()) if route.include_in_schema else ():
            operation = document["paths"][route.path_format][method.lower()]
            for parameter in operation.get("parameters", ()):
                _without_null(parameter)
            if said := fields.described(route.path):
                operation["description"] = f"{operation['description']}\n\n{said}"
            # The framework's own answer to invalid input, which is a 400 here.
            operation["responses"].pop("422", None)
            if method == "GET" and "no-store" not in kept_of(route, of_app) and _EVENTS not in _content(operation):
                operation["responses"]["200"]["headers"] = _ETAG
                operation["responses"]["304"] = _UNCHANGED
            for status in sorted(_statuses(route.path, operation, guard_of(route))):
                operation["responses"].setdefault(str(status), _answer(status))
    document.setdefault("components", {}).setdefault("schemas", {})["Problem"] = _PROBLEM


def _content(operation: dict[str, Any]) -> dict[str, Any]:
    found: dict[str, Any] = operation["responses"].get("200", {}).get("content", {})
    return found


def _statuses(path: str, operation: dict[str, Any], guard: Any) -> set[int]:
    told = {503}
    if guard is require_cron_secret:
        told |= {401}
    elif guard is not anyone:
        told |= {401, 403, 429}
    if "requestBody" in operation:
        told |= {400, 413, 415}
    if any(parameter["in"] != "path" for parameter in operation.get("parameters", ())):
        told |= {400}
    if "{" in path:
        told |= {404}
    return told


def _answer(status: int) -> dict[str, Any]:
    answer = {
        "description": f"{phrase(status)}: {_WHY[status]}",
        "content": {"application/problem+json": {"schema": {"$ref": "#/components/schemas/Problem"}}},
    }
    return answer | ({"headers": _HEADERS[status]} if status in _HEADERS else {})


def _without_null(parameter: dict[str, Any]) -> None:
    """A parameter is a text or is not there; `str | None` is how Python says so."""
    schema = parameter["schema"]
    if "anyOf" in schema:
        (other,) = (shape for shape in schema.pop("anyOf") if shape != {"type": "null"})
        schema |= other | schema
    if parameter["in"] == "query" and schema.get("type") == "string" and not {"pattern", "enum"} & schema.keys():
        schema["pattern"] = _WITHOUT_NUL
