"""The roles, and who is asking.

viewer    reads
operator  reads; acknowledges, silences, sets rules, replays, drives the demo fleet
admin     everything, and alone notification targets, users and keys
agent     writes samples of its own servers and reads nothing
auditor   reads, the audit log included, and changes nothing
"""

import re
from collections.abc import Sequence
from typing import Any

from openmanager.errors import InvalidInput
from openmanager.values import frozen

ROLES = ("viewer", "operator", "admin", "agent", "auditor")
# An agent is a program: it has a key and no password.
USER_NAME = re.compile(r"[a-z0-9][a-z0-9._@-]{0,63}")
USER_ROLES = ("viewer", "operator", "admin", "auditor")


@frozen
class Identity:
    """Who asks: `name` is a user's, or a key's with its id in brackets.

    `servers` are the names (`web-01`) or prefixes (`web-*`) that it may write; None for all.
    """

    name: str
    role: str
    servers: tuple[str, ...] | None = None

    def may_write(self, server: str) -> bool:
        """Whether samples of this server may come from here."""
        if self.servers is None:
            return True
        return any(server.startswith(p[:-1]) if p.endswith("*") else server == p for p in self.servers)


def read_role(value: Any, allowed: Sequence[str]) -> str:
    """A role as a caller named it. Raises InvalidInput."""
    if not isinstance(value, str) or value not in allowed:
        raise InvalidInput("role", f"must be one of {', '.join(allowed)}")
    return value
