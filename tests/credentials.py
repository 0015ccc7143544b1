"""Bearers for tests: of every role, and of every kind that must not be let in."""

import base64
import hmac
import json
import time
from collections.abc import Callable
from datetime import UTC, datetime, timedelta
from typing import Any

import jwt
from cryptography.hazmat.primitives import serialization
from cryptography.hazmat.primitives.asymmetric import rsa
from openmanager.security import programs, revocations, tokens
from openmanager.security.keys import copies
from openmanager.security.roles import ROLES, USER_ROLES
from openmanager.settings import settings
from openmanager.stores import admission, identity

from functions.auth.handler import handler as auth
from tests import issuer
from tests.events import invoke

SECRET = "test-jwt-secret-0123456789abcdefghij"
SECOND = "next-jwt-secret-0123456789abcdefghij"
JWT_KEYS = f"one:{SECRET},two:{SECOND}"
NOW = datetime.now(UTC)
_RSA = rsa.generate_private_key(public_exponent=65537, key_size=2048)


def api_key(role: str, **more: Any) -> str:
    """A key of this role; an agent's may write `web-…`."""
    servers = {"servers": ["web-*"]} if role == "agent" else {}
    made: str = programs.add({"name": role, "role": role, **servers, **more}, "test", datetime.now(UTC))["key"]
    return made


def token(role: str) -> str:
    """A token of a user who exists."""
    name = f"a-{role}"
    if identity.user(name) is None:
        identity.put_user(name, role, "no hash", True, "test", lambda: None)
    return tokens.issue(name, role, time.time())[0]


GOOD: dict[str, Callable[[], str]] = {
    **{f"key of {role}": lambda role=role: api_key(role) for role in ROLES},  # type: ignore[misc]
    **{f"token of {role}": lambda role=role: token(role) for role in USER_ROLES},  # type: ignore[misc]
    **{f"provider's token of {role}": lambda role=role: issuer.token(role) for role in USER_ROLES},  # type: ignore[misc]
}


def claims(**changed: Any) -> dict[str, Any]:
    """Those of a good administrator's token, but for what is changed; None leaves out."""
    now = time.time()
    said = {
        "iss": tokens.ISSUER,
        "aud": tokens.audience(),
        "sub": "a-admin",
        "role": "admin",
        "jti": "a-jti",
        "iat": now,
        "exp": now + 600,
        "auth_time": now,
        **changed,
    }
    return {name: value for name, value in said.items() if value is not None}


def signed(secret: Any = SECRET, algorithm: str = "HS256", kid: Any = "one", **changed: Any) -> str:
    """A token as a forger who knows all this would make it."""
    headers = {} if kid is None else {"kid": kid}
    return jwt.encode(claims(**changed), secret, algorithm, headers=headers)


def _octets(part: Any) -> bytes:
    return base64.urlsafe_b64encode(json.dumps(part).encode()).rstrip(b"=")


def _confused() -> str:
    """Says RS256 and is signed as HS256 would be."""
    body = _octets({"alg": "RS256", "typ": "JWT", "kid": "one"}) + b"." + _octets(claims())
    mark = base64.urlsafe_b64encode(hmac.digest(SECRET.encode(), body, "sha256")).rstrip(b"=")
    return (body + b"." + mark).decode()


def _altered() -> str:
    head, _, mark = signed(role="viewer").split(".")
    return ".".join((head, _octets(claims()).decode(), mark))


def _revoked() -> str:
    text = signed(jti="revoked")
    revocations.revoke(tokens.read(text), time.time())
    return text


def _revoked_user() -> str:
    text = signed(sub="a-leaver")
    revocations.revoke_user("a-leaver", time.time())
    return text


def _spent() -> str:
    text, said = tokens.issue("a-admin", "admin", time.time())
    revocations.revoke_once(said)
    return text


def _deleted_key() -> str:
    key = api_key("admin")
    programs.delete(key.split("_")[1])
    return key


def _expired_key() -> str:
    key = api_key("admin")
    row = next(k for k in identity.all_keys() if k.id == key.split("_")[1])
    past = identity.Key(row.id, row.name, row.role, None, row.digest, row.created, "test", NOW - timedelta(days=1))
    admission.publish_keys({row.id: copies([past])[row.id]})
    return key


def _confused_provider() -> str:
    """Signed as HS256 with what the provider's public key is to anybody who looks."""
    pem = issuer.RSA.public_key().public_bytes(
        serialization.Encoding.PEM, serialization.PublicFormat.SubjectPublicKeyInfo
    )
    body = _octets({"alg": "HS256", "typ": "JWT", "kid": "rsa"}) + b"." + _octets(issuer.claims())
    mark = base64.urlsafe_b64encode(hmac.digest(pem, body, "sha256")).rstrip(b"=")
    return (body + b"." + mark).decode()


def _altered_of_provider() -> str:
    head, _, mark = issuer.token("viewer").split(".")
    return ".".join((head, _octets(issuer.claims("admin")).decode(), mark))


def _logged_out_of_provider() -> str:
    text = issuer.token()
    assert invoke(auth, "POST", "/api/auth/logout", key=text).status == 204
    return text


BAD: dict[str, Callable[[], str | None]] = {
    "no bearer": lambda: None,
    "a word": lambda: "letmein",
    "a wrong key of the settings": lambda: settings().api_key[:-1] + "!",
    "an unknown API key": lambda: "om_0123456789ab_" + "x" * 43,
    "a known id with another secret": lambda: api_key("admin")[:-4] + "zzzz",
    "a deleted API key": _deleted_key,
    "an expired API key": _expired_key,
    "an expired token": lambda: signed(iat=time.time() - 700, exp=time.time() - 1),
    "a token from the future": lambda: signed(iat=time.time() + 300),
    "a token that lives too long": lambda: signed(exp=time.time() + 8 * 86_400),
    "a token without an end": lambda: signed(exp=None),
    "a token without an id": lambda: signed(jti=None),
    "a token for another audience": lambda: signed(aud="openmanager:elsewhere"),
    "a token of another issuer": lambda: signed(iss="somebody"),
    "alg none": lambda: signed(secret=None, algorithm="none"),
    "HS512": lambda: signed(secret=SECRET * 2, algorithm="HS512"),
    "RS256": lambda: signed(secret=_RSA, algorithm="RS256"),
    "RS256 said, HS256 done": _confused,
    "an unknown kid": lambda: signed(kid="three"),
    "no kid": lambda: signed(kid=None),
    "another key's kid": lambda: signed(kid="two"),
    "a token altered after signing": _altered,
    "a token of an agent, which has none": lambda: signed(role="agent"),
    "a token of an unknown role": lambda: signed(role="root"),
    "a revoked token": _revoked,
    "a token of a user whose tokens are revoked": _revoked_user,
    "a token that was refreshed": _spent,
    "our token, signed by the provider": lambda: signed(secret=issuer.RSA, algorithm="RS256", kid="rsa"),
    "a provider's token, signed by us": lambda: issuer.token(key=SECRET, algorithm="HS256", kid="one"),
    "a provider's public key as HS256's secret": _confused_provider,
    "a provider's token, alg none": lambda: issuer.token(key=None, algorithm="none"),
    "a provider's token, RS512": lambda: issuer.token(algorithm="RS512"),
    "a provider's token, PS256": lambda: issuer.token(algorithm="PS256"),
    "a provider's token by another key": lambda: issuer.token(key=_RSA),
    "a provider's token of an unknown kid": lambda: issuer.token(kid="next"),
    "a provider's token without kid": lambda: issuer.token(kid=None),
    "a provider's token with another key's kid": lambda: issuer.token(kid="ec"),
    "a provider's token altered after signing": _altered_of_provider,
    "a provider's token for another audience": lambda: issuer.token(aud="https://shop.example"),
    "a provider's token for no audience": lambda: issuer.token(aud=None),
    "another provider's token": lambda: issuer.token(iss="https://elsewhere.example"),
    "a provider's expired token": lambda: issuer.token(iat=int(time.time()) - 700, exp=int(time.time()) - 31),
    "a provider's token from the future": lambda: issuer.token(iat=int(time.time()) + 300),
    "a provider's token for later": lambda: issuer.token(nbf=int(time.time()) + 300),
    "a provider's token that lives too long": lambda: issuer.token(exp=int(time.time()) + 90_000),
    "a provider's token without an end": lambda: issuer.token(exp=None),
    "a provider's token without a start": lambda: issuer.token(iat=None),
    "a provider's token of nobody": lambda: issuer.token(sub=None),
    "a provider's token of an empty name": lambda: issuer.token(sub=""),
    "a provider's token without a role": lambda: issuer.token(roles=None),
    "a provider's token of a role that is not mapped": lambda: issuer.token(roles=["everyone", "admin"]),
    "a provider's token to log out with": lambda: issuer.token(typ="logout+jwt"),
    "a provider's security event": lambda: issuer.token(events={"http://schemas.openid.net/event/logout": {}}),
    "a provider's token that was logged out": _logged_out_of_provider,
}
