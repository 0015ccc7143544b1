"""Users, as administrators keep them, and one's own password."""

import time
from typing import Any

from openmanager import acting
from openmanager.errors import InvalidInput, NotFound, Unauthorized
from openmanager.security import attempts, events, passwords, revocations
from openmanager.security.roles import USER_NAME, USER_ROLES, read_role
from openmanager.stores import identity

SCHEMA: dict[str, Any] = {
    "type": "object",
    "examples": [{"role": "operator"}],
    "properties": {"role": {"enum": list(USER_ROLES)}, "password": passwords.SCHEMA, "enabled": {"type": "boolean"}},
    "required": ["role"],
    "additionalProperties": False,
}
_FIELDS = SCHEMA["properties"].keys()
CHANGE: dict[str, Any] = {
    "type": "object",
    "examples": [{"current": "what it is now", "new": "what it is to be"}],
    "properties": {"current": {"type": "string", "format": "password"}, "new": passwords.SCHEMA},
    "required": ["current", "new"],
}


def listing() -> list[dict[str, Any]]:
    """Everybody, without their passwords."""
    return [_shown(user) for user in identity.users()]


def put(name: str, asked: dict[str, Any], by: str) -> dict[str, Any]:
    """Make or change a user; their tokens end. A new one without a password gets one, which is in this answer only.

    Raises InvalidInput and StoreUnavailable.
    """
    if name == acting.NOBODY.name:
        raise InvalidInput("name", "is what the audit log calls us ourselves")
    if not USER_NAME.fullmatch(name):
        raise InvalidInput("name", "must be 1 to 64 lower-case letters, digits and . _ @ -, the first of them no sign")
    if unknown := sorted(asked.keys() - _FIELDS):
        raise InvalidInput(unknown[0], f"is not one of {', '.join(sorted(_FIELDS))}")
    role = read_role(asked.get("role"), USER_ROLES)
    enabled = asked.get("enabled", True)
    if not isinstance(enabled, bool):
        raise InvalidInput("enabled", "must be true or false")
    hashed = passwords.hash_password(passwords.read_password(asked["password"])) if "password" in asked else None
    user = identity.put_user(name, role, hashed, enabled, by, _end_tokens(name))
    if user is not None:
        return _shown(user)
    made = passwords.random_password()
    user = identity.put_user(name, role, passwords.hash_password(made), enabled, by, _end_tokens(name))
    assert user is not None
    return {**_shown(user), "password": made}


def delete(name: str) -> None:
    """Forget a user, whose tokens end. Raises NotFound and StoreUnavailable."""
    if not USER_NAME.fullmatch(name) or not identity.delete_user(name, _end_tokens(name)):
        raise NotFound(f"there is no user {name[:64]!r}")


def change_password(name: str, current: Any, new: Any, address: str) -> None:
    """Change one's own; all one's tokens end. Wrong ones count as when logging in: a stolen token is no way to guess.

    Raises Unauthorized, TooManyRequests, InvalidInput and StoreUnavailable.
    """
    new = passwords.read_password(new)
    attempts.begin(name, address)
    user = identity.user(name)
    right = isinstance(current, str) and passwords.verify_password(current, user.password if user else None)
    if user is None or not right:
        events.once_of_caller("password.refused", name, name)
        raise Unauthorized("the current password is wrong")
    attempts.right(name, address)
    if not identity.set_password(name, user.password, passwords.hash_password(new), _end_tokens(name)):
        raise Unauthorized("the current password is wrong")


def _end_tokens(name: str) -> Any:
    return lambda: revocations.revoke_user(name, time.time())


def _shown(user: identity.User) -> dict[str, Any]:
    return {
        "name": user.name,
        "role": user.role,
        "enabled": user.enabled,
        "created": user.created.isoformat(),
        "changed": user.changed.isoformat(),
        "changed_by": user.changed_by,
    }
