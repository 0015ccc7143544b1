"""Tokens of an identity provider (OpenID Connect), for who has one: the `OPENMANAGER_OIDC_…` settings.

Loaded where such a token comes, by functions of a deployment that has set it up.
"""

from hashlib import sha256
from typing import Any
from urllib.parse import quote

import jwt

from openmanager.errors import InvalidSettings, IssuerUnavailable, Unauthorized
from openmanager.settings import OIDC_ROLES, Oidc, settings

try:
    # PyJWT does without it until a key of a provider is to be used.
    import cryptography  # noqa: F401
except ImportError:
    raise InvalidSettings(
        "OPENMANAGER_OIDC_ISSUER: needs the package cryptography (dependency group `crypto`), which is not here"
    ) from None

from openmanager.security import issuer
from openmanager.security.tokens import SESSION_S, Token

# No user is called so, whose names have no colon, and no key, whose names end with its id in brackets.
PREFIX = "oidc:"
# Clocks of others; our own tokens need none.
LEEWAY_S = 30
# Longer ones are a mistake or an attack; 255 is what OpenID Connect Core 2 allows a `sub`.
_LONGEST, _LONGEST_NAME = 16_384, 255
_CLAIMS = ["iss", "aud", "sub", "iat", "exp"]
# Access tokens (RFC 9068) and ID tokens; not those that an issuer makes for other ends, such as logging out.
_TYPES = frozenset({"jwt", "at+jwt", "application/at+jwt"})
_REFUSED = "the token is not valid here, or not any more: ask your identity provider for another"


def key_id(text: str) -> str:
    """The id of the key that the token says it was signed with. Raises Unauthorized."""
    try:
        kid = jwt.get_unverified_header(text).get("kid")
    except jwt.PyJWTError:
        raise Unauthorized(_REFUSED) from None
    if not isinstance(kid, str) or len(text) > _LONGEST:
        raise Unauthorized(_REFUSED)
    return kid


def read(text: str) -> Token:
    """What a token says, once signature, issuer, audience and times are found right, by the keys that are known.

    Raises Unauthorized, and IssuerUnavailable while no keys are known.
    """
    provider = settings().oidc
    assert provider is not None
    if not issuer.known():
        raise IssuerUnavailable("the identity provider's keys cannot be read now")
    key = issuer.key(key_id(text))
    if key is None:
        raise Unauthorized(_REFUSED)
    try:
        decoded = jwt.decode_complete(
            text,
            key,
            issuer.ALGORITHMS,
            issuer=provider.issuer,
            audience=provider.audience,
            leeway=LEEWAY_S,
            options={"require": _CLAIMS, "enforce_minimum_key_length": True},
        )
        return _token(text, decoded["header"], decoded["payload"], provider)
    except (jwt.PyJWTError, TypeError, ValueError, OverflowError):
        # Which check it failed helps nobody but a forger.
        raise Unauthorized(_REFUSED) from None


def role(claims: dict[str, Any], provider: Oidc) -> str | None:
    """The strongest role that a value of the claim gives, None if none does."""
    found = _claim(claims, provider.claim)
    values = found if isinstance(found, list) else [found]
    given = {provider.roles[value] for value in values if isinstance(value, str) and value in provider.roles}
    return max(given, key=OIDC_ROLES.index, default=None)


def name(subject: str) -> str:
    """What a provider's user is called here: by `sub`, which alone is theirs for ever; other names can be chosen."""
    return PREFIX + quote(subject, safe="-._~@:/|+=")


def _token(text: str, header: dict[str, Any], claims: dict[str, Any], provider: Oidc) -> Token:
    issued, expires = float(claims["iat"]), float(claims["exp"])
    who = name(claims["sub"])
    wrong = (
        str(header.get("typ", "jwt")).lower() not in _TYPES
        # A logout token or another security event (RFC 8417), which says nothing of who may come in.
        or "events" in claims
        or (provider.clients and claims.get("azp", claims.get("client_id")) not in provider.clients)
        or not 0 < expires - issued <= SESSION_S
        or who == PREFIX
        or len(who) > len(PREFIX) + _LONGEST_NAME
    )
    if wrong:
        raise ValueError
    may = role(claims, provider)
    if may is None:
        raise Unauthorized("your identity provider gives you no role that is known here")
    # By what was signed and not by `jti`, which not every provider gives; nor by the signature, of which one who has
    # seen an ES256 token can make a second one that is as good.
    signed = sha256(text.rpartition(".")[0].encode()).hexdigest()
    # Until then it is taken, so until then a revocation must be kept.
    return Token(who, may, PREFIX + signed, issued, expires + LEEWAY_S, issued, ours=False)


def _claim(claims: dict[str, Any], path: str) -> Any:
    # Some providers want the names of claims that are not theirs to be addresses, with dots in them:
    if path in claims:
        return claims[path]
    found: Any = claims
    for step in path.split("."):
        found = found.get(step) if isinstance(found, dict) else None
    return found
