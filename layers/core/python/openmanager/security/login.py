"""Logging in and out."""

import time
from typing import Any

from openmanager.errors import Unauthorized
from openmanager.security import attempts, events, passwords, revocations, tokens
from openmanager.security.roles import USER_NAME
from openmanager.security.tokens import Token
from openmanager.stores import identity

_WRONG = "user or password is wrong"
_TEXT = {"type": "string"}
SCHEMA: dict[str, Any] = {
    "type": "object",
    "examples": [{"user": "admin", "password": "what the first start printed"}],
    "properties": {"user": _TEXT, "password": _TEXT | {"format": "password"}},
    "required": ["user", "password"],
}


def log_in(name: str, password: str, address: str) -> dict[str, Any]:
    """A token for whoever knows the password. Raises Unauthorized, TooManyRequests and StoreUnavailable."""
    # Before the user is read, so that what changes meanwhile revokes the token.
    now = time.time()
    name = name.strip().lower()
    if not USER_NAME.fullmatch(name):
        # Nobody is called that, which is no secret; and what is no name is no key or parameter in a store.
        raise Unauthorized(_WRONG)
    attempt = attempts.begin(name, address)
    user = identity.user(name)
    right = passwords.verify_password(password[: passwords.MAX_LENGTH + 1], user.password if user else None)
    if user is None or not right or not user.enabled:
        of_user, of_address = attempt.failures
        known = user.name if user else events.UNKNOWN
        events.failed(known, address, of_user, attempts.USER_FAILURES, of_address, attempts.ADDRESS_FAILURES)
        raise Unauthorized(_WRONG)
    answer = _answer(*tokens.issue(user.name, user.role, now))
    attempts.right(name, address)
    events.logged_in(user.name, address)
    return answer


def refresh(token: Token) -> dict[str, Any]:
    """A new token for one that is still good, and good once only. Raises Unauthorized and StoreUnavailable."""
    now = time.time()
    if now >= token.login + tokens.SESSION_S:
        raise Unauthorized("a day has passed since you logged in: log in again")
    user = identity.user(token.user)
    if user is None or not user.enabled:
        raise Unauthorized(_WRONG)
    try:
        revocations.revoke_once(token)
    except Unauthorized:
        events.once_of_caller("token.refused", token.user, token.jti)
        raise
    return _answer(*tokens.issue(user.name, user.role, now, token.login))


def log_out(token: Token) -> None:
    """Revoke a token: at once here, within 30 seconds everywhere. Raises StoreUnavailable."""
    revocations.revoke(token, time.time())
    events.logged_out(token.user)


def _answer(text: str, token: Token) -> dict[str, Any]:
    """As RFC 6749 5.1 has it."""
    return {
        "access_token": text,
        "token_type": "Bearer",
        "expires_in": int(token.expires - token.issued),
        "user": token.user,
        "role": token.role,
    }
