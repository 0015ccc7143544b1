"""Logging in and out, and what stands in the way of guessing."""

import time
from typing import Any

from openmanager.errors import TooManyRequests, Unauthorized
from openmanager.security import events, passwords, revocations, tokens
from openmanager.security.roles import USER_NAME
from openmanager.security.tokens import Token
from openmanager.stores import admission, identity

# Failures of one user from one address, and of anybody from it (an office shares one), before waiting begins. Nothing
# counts against a user from everywhere: whoever guesses cannot shut out the owner, who comes from elsewhere.
USER_FAILURES, ADDRESS_FAILURES = 5, 50
FIRST_WAIT_MS, LONGEST_WAIT_MS = 15_000, 15 * 60_000
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
    counted = _counted(name, address)
    attempt = admission.attempt(counted, round(now * 1000), FIRST_WAIT_MS, LONGEST_WAIT_MS)
    if attempt.wait_ms > 0:
        raise TooManyRequests("too many failures from this address; wait", -(-attempt.wait_ms // 1000))
    user = identity.user(name)
    right = passwords.verify_password(password[: passwords.MAX_LENGTH + 1], user.password if user else None)
    if user is None or not right or not user.enabled:
        of_user, of_address = attempt.failures
        events.failed(
            user.name if user else events.UNKNOWN, address, of_user, USER_FAILURES, of_address, ADDRESS_FAILURES
        )
        raise Unauthorized(_WRONG)
    answer = _answer(*tokens.issue(user.name, user.role, now))
    admission.succeeded(*counted)
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


def _counted(name: str, address: str) -> dict[str, int]:
    """What an attempt counts under, and how many failures each may have; that of the user first."""
    return {f"{address}|{name}": USER_FAILURES, address: ADDRESS_FAILURES}
