"""A call of a tool, and a role that may not make it. Pure."""

from collections.abc import Mapping
from dataclasses import dataclass, field
from typing import Any

from openmanager.errors import Forbidden


@dataclass(frozen=True, slots=True)
class Call:
    """A tool to be called with arguments."""

    tool: str
    arguments: Mapping[str, Any] = field(default_factory=dict)


class Refused(Forbidden):
    """The caller's role may not use a tool; `roles` may."""

    def __init__(self, tool: str, role: str, roles: tuple[str, ...]) -> None:
        super().__init__(f"{tool} is for the roles {', '.join(roles)}; yours is {role}")
        self.roles = roles
