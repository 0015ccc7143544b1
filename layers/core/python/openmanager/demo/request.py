"""What starts a run, as a request says it.

Checked by hand, like all bodies: health comes from the same function, and finishing a model of pydantic at every cold
start took it longer than anything of its own.
"""

from collections.abc import Mapping
from typing import Any

from openmanager.demo.fleet import FEWEST, MOST
from openmanager.demo.scenarios import SCENARIOS
from openmanager.demo.state import LONGEST_MIN, PAST_MIN
from openmanager.errors import InvalidInput
from openmanager.json_body import json_object
from openmanager.whole import whole

_SCENARIOS = tuple(SCENARIOS)
_SPEED = (0.1, 12)
# Field -> (default, least, most, what it is).
_WHOLES: Mapping[str, tuple[int, int, int, str]] = {
    "servers": (12, FEWEST, MOST, "how many there are"),
    "minutes": (30, 5, LONGEST_MIN, "until it ends by itself"),
    "seed": (1, 0, (1 << 32) - 1, "decides who, when and how fast"),
    "past": (PAST_MIN, 0, PAST_MIN, "ordinary minutes that come before"),
}
_SHAPE = {
    "type": "object",
    "additionalProperties": False,
    "properties": {
        "scenario": {"type": "string", "enum": list(_SCENARIOS), "default": "normal"},
        **{
            name: {"type": "integer", "minimum": least, "maximum": most, "default": default, "description": about}
            for name, (default, least, most, about) in _WHOLES.items()
        },
        "speed": {
            "anyOf": [{"type": "number", "minimum": _SPEED[0], "maximum": _SPEED[1]}, {"type": "null"}],
            "description": "1: an hour for the story; null: the minutes",
        },
    },
    "example": {"scenario": "memory_leak", "minutes": 60},
}
# Read by itself, whatever type a sender gives the body: curl calls JSON a form unless it is told.
DOCUMENTED: dict[str, Any] = {"requestBody": {"content": {"application/json": {"schema": _SHAPE}}}}


def read_start(body: bytes) -> dict[str, Any]:
    """The arguments of `runs.start`, all of them by default where the body is empty. Raises InvalidInput."""
    asked = json_object(body or b"{}")
    if unknown := sorted(asked.keys() - {"scenario", "speed", *_WHOLES}):
        raise InvalidInput(unknown[0][:64], f"is none of scenario, {', '.join(_WHOLES)} and speed")
    scenario = asked.get("scenario", "normal")
    if scenario not in _SCENARIOS:
        raise InvalidInput("scenario", f"must be one of {', '.join(_SCENARIOS)}")
    speed = asked.get("speed")
    if speed is not None and not (type(speed) in (int, float) and _SPEED[0] <= speed <= _SPEED[1]):
        raise InvalidInput("speed", f"must be a number from {_SPEED[0]} to {_SPEED[1]}, or null")
    return {"scenario": scenario, "speed": speed} | {name: _whole(name, asked) for name in _WHOLES}


def _whole(name: str, asked: Mapping[str, Any]) -> int:
    default, least, most, _ = _WHOLES[name]
    value = whole(asked.get(name, default))
    if value is None or not least <= value <= most:
        raise InvalidInput(name, f"must be a whole number from {least} to {most}")
    return value
