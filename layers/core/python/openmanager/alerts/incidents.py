"""Which alerts belong together, and which of them follow from another: over the graph of roles. Pure.

An edge says that a role depends on another: a web server on an api server, that on a database. Alerts of one server, or
of servers whose roles are connected, that are active within half an hour of each other are one incident. In it, the
server that others depend on and that is down explains their alerts; people are told of it and not of them.
"""

from collections.abc import Iterable, Mapping, Sequence
from dataclasses import replace
from typing import Any

from openmanager.alerts.machine import Alert
from openmanager.alerts.texts import TEXT, storable
from openmanager.errors import InvalidInput
from openmanager.values import frozen

# role -> the roles that it depends on.
Graph = Mapping[str, tuple[str, ...]]
DEFAULT_GRAPH: Graph = {
    "load-balancer": ("web", "api"),
    "web": ("api",),
    "api": ("database", "cache"),
    "database": ("storage",),
    "k8s-worker": ("k8s-control", "storage"),
    "backup": ("storage",),
}
TOGETHER_MIN = 30
_MAX_ROLES = 200
SCHEMA: dict[str, Any] = {
    "type": "object",
    "examples": [{"web": ["api"], "api": ["database"]}],
    "description": "role: the roles that it depends on; none depends on itself in the end",
    "propertyNames": TEXT,
    "additionalProperties": {"type": "array", "items": TEXT | {"minLength": 1}},
    "maxProperties": _MAX_ROLES,
}


@frozen
class Member:
    """An active alert as the grouping sees it; `down` says that it explains what depends on its server."""

    server: str
    role: str
    rule: str
    fired: int
    incident: str
    down: bool

    @classmethod
    def of(cls, alert: Alert, role: str) -> "Member":
        """The member that an active alert is."""
        down = alert.rule == "offline" or alert.severity == "critical"
        return cls(alert.server, role, alert.rule, alert.fired, alert.incident, down and alert.state != "recovering")


def parse_graph(item: Any) -> dict[str, tuple[str, ...]]:
    """A graph from JSON, {role: [roles it depends on]}. Raises InvalidInput naming the role."""
    if not isinstance(item, Mapping) or len(item) > _MAX_ROLES:
        raise InvalidInput("dependencies", f"must be an object of at most {_MAX_ROLES} roles")
    graph = {}
    for role, needs in item.items():
        if not isinstance(needs, list | tuple) or not all(isinstance(n, str) and n for n in needs):
            raise InvalidInput(f"dependencies.{role}", "must be a list of roles")
        graph[str(role)] = tuple(needs)
    for role in graph:
        if not all(storable(name) for name in (role, *graph[role])):
            raise InvalidInput("dependencies", f"{role!r} or what it needs has signs that cannot be stored")
        if role in upstream(graph, role):
            raise InvalidInput(f"dependencies.{role}", "depends on itself in the end")
    return graph


def upstream(graph: Graph, role: str) -> set[str]:
    """The roles that a role depends on, directly or not."""
    found: set[str] = set()
    todo = [role]
    while todo:
        for needed in graph.get(todo.pop(), ()):
            if needed not in found:
                found.add(needed)
                todo.append(needed)
    return found


def dependents(graph: Graph, role: str) -> set[str]:
    """The roles that depend on a role, directly or not."""
    return {other for other in graph if role in upstream(graph, other)}


def cause(graph: Graph, server: str, role: str, members: Iterable[Member]) -> Member | None:
    """The active alert that explains what happens to a server: one of a server that is down and that its role needs.

    The most fundamental one, then the earliest.
    """
    needed = upstream(graph, role)
    reasons = [m for m in members if m.down and m.role in needed and m.server != server]
    return min(reasons, key=lambda m: (len(upstream(graph, m.role)), m.fired, m.server), default=None)


def assign(graph: Graph, alerts: Sequence[tuple[Alert, str]], others: Sequence[Member]) -> list[Alert]:
    """The (alert, role) pairs' alerts, each active one with its incident; `others` are members elsewhere.

    An alert keeps the incident it has. A new one joins the incident of a connected alert, else begins one, named after
    the server and the minute that it began with.
    """
    known = [*others, *(Member.of(alert, role) for alert, role in alerts if alert.active and alert.incident)]
    fresh = sorted((p for p in alerts if p[0].active and not p[0].incident), key=lambda p: (p[0].fired, p[0].server))
    named: dict[str, str] = {}
    for alert, role in fresh:
        near = {role} | upstream(graph, role) | dependents(graph, role)
        joined = [
            m
            for m in known
            if m.incident
            and (m.server == alert.server or (role and m.role in near and m.role != role))
            and alert.fired - m.fired <= TOGETHER_MIN
        ]
        first = min(joined, key=lambda m: (m.fired, m.server, m.rule), default=None)
        incident = first.incident if first else f"{alert.server}|{alert.fired}"
        named[alert.id] = incident
        known.append(Member.of(replace(alert, incident=incident), role))
    return [replace(a, incident=named[a.id]) if a.id in named else a for a, _ in alerts]
