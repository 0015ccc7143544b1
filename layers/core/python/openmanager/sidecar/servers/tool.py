"""A tool of a server that comes along. Pure."""

from collections.abc import Callable, Mapping
from dataclasses import field
from typing import Any

from openmanager.values import frozen


@frozen
class Said:
    """What a tool answers: a text, and the same as a JSON object."""

    text: str
    structured: dict[str, Any]


@frozen
class Tool:
    """What a tool does, the JSON schemas of its arguments by name, and those that may be left out."""

    description: str
    run: Callable[[Mapping[str, Any]], Said]
    arguments: Mapping[str, Any] = field(default_factory=dict)
    optional: tuple[str, ...] = ()
    reads: bool = True

    def schema(self) -> dict[str, Any]:
        """The JSON schema of all arguments."""
        required = [name for name in self.arguments if name not in self.optional]
        return {
            "type": "object",
            "properties": dict(self.arguments),
            "required": required,
            "additionalProperties": False,
        }
