"""Requests and answers of the sidecar's routes. Pure."""

import json
from collections.abc import Mapping
from dataclasses import asdict
from typing import Any

from openmanager.errors import InvalidInput
from openmanager.sidecar.answer import Result, Tools
from openmanager.web.described import problems

NAME: dict[str, Any] = {"type": "string", "minLength": 1, "maxLength": 128}
ARGUMENTS: dict[str, Any] = {
    "type": "object",
    "properties": {"arguments": {"type": "object", "description": "as the tool's input_schema has them"}},
    "additionalProperties": False,
    "examples": [{"arguments": {"path": "memory-exhaustion.md"}}],
}
PROBLEMS = problems(409, 502, 504)


def read(document: Mapping[str, Any]) -> dict[str, Any]:
    """A call's arguments. Raises InvalidInput."""
    for name in document:
        if name != "arguments":
            raise InvalidInput(name, "is not a field here; this is: arguments")
    arguments = document.get("arguments", {})
    if not isinstance(arguments, dict):
        raise InvalidInput("arguments", "must be an object")
    try:
        json.dumps(arguments, ensure_ascii=False).encode()
    except UnicodeEncodeError:
        raise InvalidInput("arguments", "has half of a surrogate pair, which is no text") from None
    return arguments


def tools(told: Tools) -> dict[str, Any]:
    """What `Tools` says, as JSON; why a server failed is said in the list of servers, to those who may know."""
    return {"tools": [asdict(tool) for tool in told.tools], "failed": sorted(told.failed)}


def result(told: Result) -> dict[str, Any]:
    """What `Result` says, as JSON."""
    return asdict(told)
