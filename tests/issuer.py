"""An identity provider's public side, over HTTP or TLS: discovery and keys, or whatever else it is told to answer."""

import json
import secrets
import ssl
import threading
import time
from collections import Counter
from collections.abc import Callable
from contextlib import suppress
from http.server import BaseHTTPRequestHandler, ThreadingHTTPServer
from typing import Any

import jwt
from cryptography.hazmat.primitives.asymmetric import ec, ed25519, rsa
from openmanager.settings import settings

AUDIENCE = "https://openmanager.example"
ROLES = "watch=viewer,ops=operator,sre=admin,audit=auditor"
GROUP = {"viewer": "watch", "operator": "ops", "admin": "sre", "auditor": "audit"}
DISCOVERY, KEYS = "/.well-known/openid-configuration", "/keys"
RSA = rsa.generate_private_key(public_exponent=65537, key_size=2048)
EC = ec.generate_private_key(ec.SECP256R1())
ED = ed25519.Ed25519PrivateKey.generate()
_ALGORITHMS: dict[str, Any] = jwt.algorithms.get_default_algorithms()
# Answers: status, fields, body; None hangs up.
Answer = tuple[int, dict[str, str], bytes] | None


def jwk(kid: str, algorithm: str, private: Any, **more: Any) -> dict[str, Any]:
    """The public half as JWK (RFC 7517)."""
    return {**_ALGORITHMS[algorithm].to_jwk(private.public_key(), as_dict=True), "kid": kid, "use": "sig", **more}


class Issuer(ThreadingHTTPServer):
    """Serves `keys`; `asked` counts paths; `answers` maps a path to what is answered there instead."""

    daemon_threads = True
    block_on_close = False

    def __init__(self, context: ssl.SSLContext | None = None, host: str = "127.0.0.1") -> None:
        self.keys = [jwk("rsa", "RS256", RSA), jwk("ec", "ES256", EC), jwk("ed", "EdDSA", ED)]
        self.asked: Counter[str] = Counter()
        self.answers: dict[str, Callable[[], Answer]] = {}
        self.ended = threading.Event()
        self._context = context
        super().__init__(("127.0.0.1", 0), _handler(self))
        self.url = f"{'https' if context else 'http'}://{host}:{self.server_port}"
        self.described: dict[str, Any] = {"issuer": self.url, "jwks_uri": self.url + KEYS}

    def get_request(self) -> tuple[Any, Any]:
        connection, address = super().get_request()
        if self._context is not None:
            connection = self._context.wrap_socket(connection, server_side=True)
        return connection, address

    def handle_error(self, *_: Any) -> None:
        """A client that did not trust the certificate."""


def _handler(issuer: Issuer) -> type[BaseHTTPRequestHandler]:
    class Handler(BaseHTTPRequestHandler):
        def do_GET(self) -> None:
            issuer.asked[self.path] += 1
            usual = {DISCOVERY: issuer.described, KEYS: {"keys": issuer.keys}}
            if self.path in issuer.answers:
                answer = issuer.answers[self.path]()
            elif self.path in usual:
                answer = 200, {}, json.dumps(usual[self.path]).encode()
            else:
                answer = 404, {}, b""
            if answer is None:
                return
            status, fields, body = answer
            with suppress(OSError):
                self.send_response(status)
                for name, value in fields.items():
                    self.send_header(name, value)
                self.end_headers()
                self.wfile.write(body)

        def log_message(self, *_: Any) -> None:
            pass

    return Handler


def environment(url: str) -> dict[str, str]:
    """Settings of a function that takes this provider's tokens."""
    return {
        "OPENMANAGER_OIDC_ISSUER": url,
        "OPENMANAGER_OIDC_AUDIENCE": AUDIENCE,
        "OPENMANAGER_OIDC_ROLES": ROLES,
    }


def claims(role: str = "admin", **changed: Any) -> dict[str, Any]:
    """Those of a good token of somebody of this role, but for what is changed; None leaves out."""
    provider = settings().oidc
    now = int(time.time())
    said = {
        "iss": provider.issuer if provider else "nobody",
        "aud": AUDIENCE,
        "sub": f"s-{role}",
        "iat": now,
        "exp": now + 600,
        "jti": secrets.token_hex(8),
        "roles": ["everyone", GROUP.get(role, role)],
        **changed,
    }
    return {name: value for name, value in said.items() if value is not None}


def token(
    role: str = "admin",
    key: Any = RSA,
    algorithm: str = "RS256",
    kid: str | None = "rsa",
    typ: str | None = "JWT",
    **changed: Any,
) -> str:
    """A token as the provider makes it, or a forger who knows as much."""
    headers = {name: value for name, value in (("kid", kid), ("typ", typ)) if value is not None}
    return jwt.encode(claims(role, **changed), key, algorithm, headers=headers)
