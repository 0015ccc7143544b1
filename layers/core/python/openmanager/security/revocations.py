"""Tokens that are not to be accepted any more, read from Redis at most once in 30 seconds by a warm function."""

import time
from dataclasses import field

from openmanager.errors import Unauthorized
from openmanager.security.tokens import LIFETIME_S, Token
from openmanager.stores import admission
from openmanager.values import frozen

FRESH_S = 30.0


@frozen
class _Known:
    """What is revoked: tokens by id, and for users the instant (s) up to which theirs are."""

    read_at: float = float("-inf")
    tokens: frozenset[str] = frozenset()
    users: dict[str, float] = field(default_factory=dict)


_known = _Known()


def stale() -> bool:
    """Whether the list is to be read again before anything is judged by it."""
    return time.monotonic() - _known.read_at > FRESH_S


def refresh() -> None:
    """Read the list. Raises StoreUnavailable: without it nobody with a token is let in."""
    global _known
    read_at = time.monotonic()
    tokens, users = set(), dict[str, float]()
    for member in admission.read_revoked(time.time()):
        kind, _, rest = member.partition("|")
        if kind == "token":
            tokens.add(rest)
        else:
            name, _, until = rest.rpartition("|")
            users[name] = max(users.get(name, 0.0), float(until))
    _known = _Known(read_at, frozenset(tokens), users)


def check(token: Token) -> None:
    """Raises Unauthorized for a token that was revoked when the list was read."""
    if token.jti in _known.tokens or token.issued <= _known.users.get(token.user, 0.0):
        raise Unauthorized("the token is not valid any more: log in again")


def revoke(token: Token, now: float) -> None:
    """Revoke one token. Raises StoreUnavailable."""
    admission.revoke(f"token|{token.jti}", token.expires, now)
    forget()


def revoke_once(token: Token) -> None:
    """Revoke one token. Raises Unauthorized if somebody has already, and StoreUnavailable."""
    if not admission.revoke_once(f"token|{token.jti}", token.expires):
        raise Unauthorized("the token is not valid any more: log in again")
    forget()


def revoke_user(name: str, now: float) -> None:
    """Revoke all tokens that a user was given until now. Raises StoreUnavailable."""
    admission.revoke(f"user|{name}|{now}", now + LIFETIME_S, now)
    forget()


def forget() -> None:
    """Have the list read again."""
    global _known
    _known = _Known()
