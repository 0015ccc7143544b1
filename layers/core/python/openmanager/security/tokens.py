"""What people are given when they log in: JWTs (RFC 7519), HS256 and nothing else, by the keys in the settings."""

import secrets
from typing import Any

import jwt

from openmanager.errors import Forbidden, Unauthorized
from openmanager.security.roles import USER_ROLES
from openmanager.settings import settings
from openmanager.values import frozen

ISSUER = "openmanager"
ALGORITHM = "HS256"
LIFETIME_S = 3600
# No refreshing beyond this: then the password is asked for again.
SESSION_S = 24 * 3600
_REFUSED = "the token is not valid here, or not any more: log in again"
_CLAIMS = ["iss", "aud", "sub", "role", "jti", "iat", "exp", "auth_time"]


@frozen
class Token:
    """What a token says; instants in seconds since 1970. `ours` unless an identity provider made it."""

    user: str
    role: str
    jti: str
    issued: float
    expires: float
    login: float
    ours: bool = True


def audience() -> str:
    """One for each stage, so that a token of one is worth nothing on another, even under the same key."""
    return f"openmanager:{settings().stage}"


def issue(user: str, role: str, now: float, login: float | None = None) -> tuple[str, Token]:
    """A signed token, and what it says; `login` is when the password was given, now if None. Raises Forbidden."""
    keys = settings().jwt_keys
    if not keys:
        raise Forbidden("nobody can log in here: OPENMANAGER_JWT_KEYS is not set")
    login = now if login is None else login
    token = Token(user, role, secrets.token_urlsafe(12), now, min(now + LIFETIME_S, login + SESSION_S), login)
    claims = {
        "iss": ISSUER,
        "aud": audience(),
        "sub": user,
        "role": role,
        "jti": token.jti,
        "iat": now,
        "exp": token.expires,
        "auth_time": login,
    }
    kid, secret = next(iter(keys.items()))
    return jwt.encode(claims, secret, ALGORITHM, headers={"kid": kid}), token


def issuer_of(text: str) -> Any:
    """Who says that they made a token, which nothing may be believed of yet; None where it says nothing."""
    try:
        return jwt.decode(text, options={"verify_signature": False}).get("iss")
    except jwt.PyJWTError:
        return None


def read(text: str) -> Token:
    """What a token says, once signature, issuer, audience and times are found right. Raises Unauthorized."""
    try:
        secret = settings().jwt_keys.get(str(jwt.get_unverified_header(text).get("kid")))
        if secret is None:
            raise Unauthorized(_REFUSED)
        claims = jwt.decode(text, secret, [ALGORITHM], issuer=ISSUER, audience=audience(), options={"require": _CLAIMS})
        return _token(claims)
    except (jwt.InvalidTokenError, TypeError, ValueError, OverflowError):
        # Which check it failed helps nobody but a forger.
        raise Unauthorized(_REFUSED) from None


def _token(claims: dict[str, Any]) -> Token:
    token = Token(
        str(claims["sub"]),
        str(claims["role"]),
        str(claims["jti"]),
        float(claims["iat"]),
        float(claims["exp"]),
        float(claims["auth_time"]),
    )
    # Somebody who shares a signing key with another program must not get in for longer, or as what we do not know.
    in_order = token.login <= token.issued <= token.expires <= token.login + SESSION_S
    if token.role not in USER_ROLES or not in_order:
        raise ValueError
    return token
