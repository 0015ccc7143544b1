"""API keys, as administrators keep them. Several may be valid at once, so that one can be replaced without a gap."""

import re
from datetime import UTC, datetime, timedelta
from typing import Any

from openmanager.errors import InvalidInput, NotFound
from openmanager.names import SERVER_ID
from openmanager.security import keys
from openmanager.security.roles import ROLES, read_role
from openmanager.stores import admission, identity
from openmanager.whole import whole

_NAME = re.compile(r"[A-Za-z0-9][A-Za-z0-9 ._:@-]{0,63}")
_USUAL_DAYS, _MOST_DAYS = 365, 3650
_MOST_SERVERS = 1000
_PROPERTIES: dict[str, Any] = {
    "name": {"type": "string", "pattern": f"^{_NAME.pattern}$"},
    "role": {"enum": list(ROLES)},
    "servers": {
        "type": "array",
        "items": {"type": "string", "pattern": rf"^({SERVER_ID.pattern}[*]?|[*])$"},
        "minItems": 1,
        "maxItems": _MOST_SERVERS,
    },
    "days": {"type": "integer", "minimum": 1, "maximum": _MOST_DAYS, "default": _USUAL_DAYS},
}
_FIELDS = _PROPERTIES.keys()


def _of(roles: list[str], servers: dict[str, Any], needed: list[str]) -> dict[str, Any]:
    return {
        "type": "object",
        "properties": _PROPERTIES | {"role": {"enum": roles}, "servers": servers},
        "required": ["name", "role", *needed],
        "additionalProperties": False,
    }


# An agent's key names its servers; the others have none.
SCHEMA: dict[str, Any] = {
    "examples": [{"name": "web agents", "role": "agent", "servers": ["web-*"], "days": 365}],
    "oneOf": [
        _of(["agent"], _PROPERTIES["servers"], ["servers"]),
        _of([role for role in ROLES if role != "agent"], {"type": "null"}, []),
    ],
}


def listing() -> list[dict[str, Any]]:
    """All keys, without the keys themselves; `last_used` to the minute or so, null where Redis knows of no use."""
    used = admission.last_used()
    return [_shown(key, used.get(key.id)) for key in identity.all_keys()]


def add(asked: dict[str, Any], by: str, now: datetime) -> dict[str, Any]:
    """A new key; `key` is in this answer only. Raises InvalidInput and StoreUnavailable."""
    if unknown := sorted(asked.keys() - _FIELDS):
        raise InvalidInput(unknown[0], f"is not one of {', '.join(sorted(_FIELDS))}")
    name = asked.get("name")
    if not isinstance(name, str) or not _NAME.fullmatch(name):
        raise InvalidInput("name", "must be 1 to 64 letters, digits, blanks and . _ : @ -, the first a letter or digit")
    role = read_role(asked.get("role"), ROLES)
    servers = _servers(asked.get("servers"), role)
    days = whole(asked.get("days", _USUAL_DAYS))
    if days is None or not 1 <= days <= _MOST_DAYS:
        raise InvalidInput("days", f"must be a whole number from 1 to {_MOST_DAYS}")
    identifier, key, digest = keys.make()
    row = identity.Key(identifier, name, role, servers, digest, now, by, now + timedelta(days=days))
    identity.change_keys(row, None, _publish)
    return {**_shown(row, None), "key": key}


def delete(identifier: str) -> None:
    """End a key: at once here, within 30 seconds everywhere. Raises NotFound and StoreUnavailable."""
    if not keys.ID.fullmatch(identifier) or not identity.change_keys(None, identifier, _publish):
        raise NotFound(f"there is no key {identifier[:64]!r}")


def _publish(rows: list[identity.Key]) -> None:
    admission.publish_keys(keys.copies(rows))
    keys.forget()


def _servers(value: Any, role: str) -> list[str] | None:
    """The servers that an agent's key may write; other roles' keys have none."""
    if role != "agent":
        if value is not None:
            raise InvalidInput("servers", "is for the role agent only")
        return None
    if not isinstance(value, list) or not 1 <= len(value) <= _MOST_SERVERS:
        raise InvalidInput("servers", f"must be a list of 1 to {_MOST_SERVERS} names, or prefixes such as `web-*`")
    for i, pattern in enumerate(value):
        named = isinstance(pattern, str) and (pattern == "*" or SERVER_ID.fullmatch(pattern.removesuffix("*")))
        if not named:
            raise InvalidInput(f"servers[{i}]", "must be a server's name, or a prefix such as `web-*`")
    return value


def _shown(key: identity.Key, used: int | None) -> dict[str, Any]:
    return {
        "id": key.id,
        "name": key.name,
        "role": key.role,
        "servers": key.servers,
        "created": key.created.isoformat(),
        "created_by": key.created_by,
        "expires": key.expires.isoformat(),
        "last_used": None if used is None else datetime.fromtimestamp(used, UTC).isoformat(),
    }
