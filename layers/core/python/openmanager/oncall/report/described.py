"""How a report looks, in the words of JSON Schema."""

from typing import Any

_WINDOW = {
    "type": "object",
    "required": ["from", "to"],
    "properties": {"from": {"type": "number"}, "to": {"type": "number"}},
    "description": "seconds since 1970",
}


def _section(source: str, row: str) -> dict[str, Any]:
    return {
        "type": "object",
        "required": ["source", "window", "rows"],
        "description": row,
        "properties": {
            "source": {"const": source},
            "window": {"anyOf": [_WINDOW, {"type": "null"}]},
            "rows": {"type": "array", "items": {"type": "object"}},
        },
    }


REPORT: dict[str, Any] = {
    "type": "object",
    "required": [
        "id", "open", "severity", "root", "began", "ended", "lasted_s", "window", "timeline", "servers", "announced",
        "acknowledged", "metrics", "resolution", "notifications", "not_in_the_data",
    ],
    "properties": {
        "id": {"type": "string"},
        "open": {"type": "boolean"},
        "severity": {"enum": ["warning", "critical"], "description": "the worst that it was"},
        "root": {
            "type": "object",
            "required": ["server", "rule"],
            "properties": {"server": {"type": "string"}, "rule": {"type": "string"}},
        },
        "began": {"type": "number"},
        "ended": {"type": ["number", "null"]},
        "lasted_s": {"type": "number", "description": "until its end, or what is known so far"},
        "window": _WINDOW,
        "timeline": _section("history", "what happened to its alerts, oldest first; `book`: known from the open ones"),
        "servers": _section("fleet", "its servers now; how many they need and affect, and those not healthy by name"),
        "announced": _section("ledger", "what said so ahead, and how long; `model` is null where nothing did"),
        "acknowledged": _section("history", "who took care of it"),
        "metrics": _section("samples", "least, greatest, and mean of the step in which the alert fired"),
        "resolution": _section("history", "how each alert ended, or its state where it has not"),
        "notifications": _section("notices", "attempts to tell people, and what still waits"),
        "not_in_the_data": {
            "type": "array",
            "items": {"type": "object", "required": ["what"], "properties": {"what": {"type": "string"}}},
        },
    },
}  # fmt: skip
ANSWERS: dict[int | str, dict[str, Any]] = {
    200: {
        "description": "the report",
        "content": {"application/json": {"schema": REPORT}, "text/markdown": {"schema": {"type": "string"}}},
    }
}
