"""The identity provider's public keys, kept by this process: read anew every ten minutes, and for an unknown one.

They are found as OpenID Connect Discovery 1.0 says: from `<issuer>/.well-known/openid-configuration` to `jwks_uri`.
PyJWT's own client would follow neither a time limit as a whole nor a limit of size, and waits in the request's way.
"""

import json
import logging
import time
from collections.abc import Mapping
from concurrent.futures import Future, ThreadPoolExecutor
from dataclasses import field
from typing import Any
from urllib.parse import urlsplit

import httpx
import jwt

from openmanager.settings import Oidc, settings
from openmanager.values import frozen

# One kind of key each, and none that is a secret: RFC 8725 3.1.
ALGORITHMS = ("RS256", "ES256", "EdDSA")
FRESH_S = 600.0
# Forged key ids, or a provider that is away, must not make us hammer it.
AGAIN_S = 15.0
# A provider that has been away for longer may have withdrawn a key since.
KEPT_S = 24 * 3600.0
MAX_ANSWER_BYTES = 256 << 10

log = logging.getLogger(__name__)


@frozen
class _Known:
    """Keys by id, and when they were read."""

    read_at: float = float("-inf")
    keys: Mapping[str, jwt.PyJWK] = field(default_factory=dict)


class _Refused(Exception):
    """The provider answered what is not to be used."""


# One at a time, off the request's thread: whoever waits for it waits no longer than they like.
_worker = ThreadPoolExecutor(1, "issuer")
_known = _Known()
_tried_at = float("-inf")
_fetching: Future[None] | None = None


def key(kid: str) -> jwt.PyJWK | None:
    """The key of this id, None if it is not known."""
    return _known.keys.get(kid)


def known() -> bool:
    """Whether there are keys to judge by."""
    return time.monotonic() - _known.read_at < KEPT_S


def stale(kid: str) -> bool:
    """Whether keys are to be read before a token with this key id is judged, or are being read."""
    if kid in _known.keys and time.monotonic() - _known.read_at < FRESH_S:
        return False
    return time.monotonic() - _tried_at > AGAIN_S or (_fetching is not None and not _fetching.done())


def refresh() -> "Future[None]":
    """Have the keys read, unless they are being read; it is done when they are, or could not be."""
    global _fetching, _tried_at
    if _fetching is None or _fetching.done():
        _tried_at = time.monotonic()
        provider = settings().oidc
        assert provider is not None
        _fetching = _worker.submit(_read, provider, settings().store_timeout_s)
    return _fetching


def forget() -> None:
    """Have everything read again."""
    global _known, _tried_at, _fetching
    _known, _tried_at, _fetching = _Known(), float("-inf"), None


def _read(provider: Oidc, limit_s: float) -> None:
    global _known
    read_at = time.monotonic()
    try:
        with httpx.Client(timeout=limit_s, follow_redirects=False) as client:
            keys = _keys(client, provider, read_at + limit_s)
    except (httpx.HTTPError, httpx.InvalidURL, _Refused, OSError, ValueError) as error:
        # Those that are known stay.
        log.warning("the keys of %s cannot be read: %s: %s", provider.issuer, type(error).__name__, error)
    else:
        _known = _Known(read_at, keys)


def _keys(client: httpx.Client, provider: Oidc, deadline: float) -> dict[str, jwt.PyJWK]:
    described = _get(client, provider.issuer.rstrip("/") + "/.well-known/openid-configuration", deadline)
    if described.get("issuer") != provider.issuer:
        raise _Refused(f"it says that it is {str(described.get('issuer'))[:200]!r}")
    where = str(described.get("jwks_uri"))
    if urlsplit(where).scheme != "https" and urlsplit(where).scheme != urlsplit(provider.issuer).scheme:
        raise _Refused("its keys are not at an https address")
    listed = _get(client, where, deadline).get("keys")
    keys: dict[str, jwt.PyJWK] = {}
    for entry in listed if isinstance(listed, list) else ():
        if (made := _usable(entry)) is not None:
            keys.setdefault(str(made.key_id), made)
    if not keys:
        raise _Refused(f"it has no key for {', '.join(ALGORITHMS)} that has an id")
    return keys


def _usable(entry: Any) -> jwt.PyJWK | None:
    """A key that signs tokens as we take them; None for others, which providers list beside them."""
    if not isinstance(entry, dict) or not isinstance(entry.get("kid"), str) or entry.get("use", "sig") != "sig":
        return None
    try:
        made = jwt.PyJWK(entry)
    except (jwt.PyJWTError, TypeError, ValueError):
        return None
    return made if made.algorithm_name in ALGORITHMS else None


def _get(client: httpx.Client, url: str, deadline: float) -> dict[str, Any]:
    # What comes packed in spite of that is no JSON, so nothing unpacks beyond the limit.
    asked = {"Accept": "application/json", "Accept-Encoding": "identity"}
    with client.stream("GET", url, headers=asked) as reply:
        if reply.status_code != httpx.codes.OK:
            raise _Refused(f"{url} answered {reply.status_code}")
        body = b""
        for part in reply.iter_raw():
            body += part
            if len(body) > MAX_ANSWER_BYTES:
                raise _Refused(f"{url} answers more than {MAX_ANSWER_BYTES} bytes")
            if time.monotonic() > deadline:
                raise _Refused(f"{url} takes too long")
    try:
        answer = json.loads(body)
    except (ValueError, RecursionError):
        raise _Refused(f"{url} does not answer JSON") from None
    if not isinstance(answer, dict):
        raise _Refused(f"{url} does not answer an object")
    return answer
