"""A call of a tool, who makes it, and a role that may not. Pure, and light: what answers is in tools.table."""

from collections.abc import Mapping
from dataclasses import field
from typing import Any

from openmanager.errors import Forbidden
from openmanager.security.roles import Identity
from openmanager.values import frozen


@frozen
class Call:
    """A tool to be called with arguments."""

    tool: str
    arguments: Mapping[str, Any] = field(default_factory=dict)


@frozen
class Caller:
    """Who calls a tool, and when (ms)."""

    who: Identity
    now_ms: int


class Refused(Forbidden):
    """The caller's role may not use a tool; `roles` may."""

    def __init__(self, tool: str, role: str, roles: tuple[str, ...]) -> None:
        super().__init__(f"{tool} is for the roles {', '.join(roles)}; yours is {role}")
        self.roles = roles
