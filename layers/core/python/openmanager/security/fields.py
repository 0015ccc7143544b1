"""What answers leave out for roles that may not see it: one table by route, applied in `web.shown`. Pure.

Who did something and what they wrote is for those who act and those who check, not for viewers: a viewer is often a
screen on a wall, or an account that many share. What a receiver of notices said names hosts and addresses, which are
the administrator's. Addresses of callers are in the audit log only.

Names, labels and figures of servers are what readers come for, so every reader sees them: labels are no place for
secrets. Users, keys, targets and the audit log are for roles that may see all of them.
"""

from collections.abc import Collection, Mapping
from functools import lru_cache
from typing import Any

_PEOPLE = ("operator", "admin", "auditor")
_CARE = {"by": _PEOPLE, "note": _PEOPLE}
_WHOLE: Mapping[str, tuple[str, ...]] = {}

# Route -> field, at whatever depth -> the roles that see it. Every route that several roles may call stands here.
SEEN_BY: Mapping[str, Mapping[str, tuple[str, ...]]] = {
    "/api/alerts": _CARE,
    "/api/alerts/{server}/{rule}/acknowledge": _WHOLE,
    "/api/alerts/history": _CARE,
    "/api/alerts/statistics": _WHOLE,
    "/api/incidents": _CARE,
    "/api/incidents/{id}": _CARE,
    # Who is told is theirs to see who may read the outbox.
    "/api/incidents/{id}/report": _CARE | {"target": ("operator", "admin")},
    "/api/silences": {"by": _PEOPLE, "reason": _PEOPLE},
    "/api/silences/{id}": _WHOLE,
    "/api/maintenance": {"reason": _PEOPLE},
    "/api/maintenance/{id}": _WHOLE,
    "/api/notifications/outbox": {"reason": ("admin",)},
    "/api/notifications/outbox/{key}/retry": {"reason": ("admin",)},
    "/api/metrics": _WHOLE,
    "/api/outlooks": _WHOLE,
    "/api/stream": _CARE,
    "/api/stream/snapshot": _CARE,
    "/api/stream/ticket": _WHOLE,
    "/api/servers": _WHOLE,
    "/api/servers/{id}": _WHOLE,
    "/api/servers/{id}/explanation": _WHOLE,
    "/api/servers/{id}/metrics": _WHOLE,
    "/api/servers/{id}/prediction": _WHOLE,
    "/api/servers/{id}/samples": _WHOLE,
    "/api/predictions/record": _WHOLE,
    "/api/replay": _WHOLE,
    "/api/rules": _WHOLE,
    "/api/rules/{id}": _WHOLE,
    "/api/dependencies": _WHOLE,
    "/api/system/cost": _WHOLE,
    "/api/system/stages": _WHOLE,
    "/api/system/demo": _WHOLE,
    "/api/system/start": _WHOLE,
    "/api/system/stop": _WHOLE,
    "/api/audit": _WHOLE,
    # What it is answered from is without these fields already, tool by tool (tools.table).
    "/api/assistant/ask": _WHOLE,
    # Why an outside server failed may name hosts and files; what a tool answers is what it is asked for.
    "/api/mcp/servers": {"reason": _PEOPLE},
    "/api/mcp/tools": _WHOLE,
    "/api/mcp/tools/{server}/{tool}": _WHOLE,
    "/mcp": _WHOLE,
    "/api/ingest": _WHOLE,
    "/api/v1/write": _WHOLE,
    "/v1/metrics": _WHOLE,
}


@lru_cache(maxsize=512)
def hidden(route: str, role: str) -> frozenset[str]:
    """The fields that a route's answers to a role leave out; nearly always none."""
    return frozenset(name for name, roles in SEEN_BY.get(route, _WHOLE).items() if role not in roles)


def without(value: Any, names: Collection[str]) -> Any:
    """A JSON value without these fields, however deep. What is no single value under such a name is a server's."""
    if not names:
        return value
    if isinstance(value, Mapping):
        return {k: without(v, names) for k, v in value.items() if k not in names or isinstance(v, Mapping | list)}
    if isinstance(value, list):
        return [without(item, names) for item in value]
    return value


def described(route: str) -> str:
    """What the API's description says of a route's fields; nothing where everybody sees all."""
    said = [f"`{name}` is for {_listed(roles)} only" for name, roles in SEEN_BY.get(route, _WHOLE).items()]
    return f"{'; '.join(said)}: answers to others are without." if said else ""


def _listed(roles: Collection[str]) -> str:
    *others, last = roles
    return f"{', '.join(others)} and {last}" if others else last
