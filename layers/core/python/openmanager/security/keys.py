"""API keys at the door: who holds one, by the copy that Redis has and this process keeps for 30 seconds.

A key is `om_<id>_<secret>` with 256 random bits of secret. It is stored as its SHA-256: what makes slow hashes needed
for passwords is that people choose them; nobody can guess 256 random bits, at whatever speed.
"""

import hmac
import json
import re
import secrets
import time
from collections.abc import Mapping
from dataclasses import field
from hashlib import sha256
from typing import TYPE_CHECKING, Any

from openmanager.errors import InvalidSettings, StoreUnavailable, Unauthorized
from openmanager.security.roles import Identity
from openmanager.stores import admission
from openmanager.values import mutable

if TYPE_CHECKING:
    from openmanager.stores.identity import Key

PREFIX = "om_"
ID = re.compile(r"[0-9a-f]{12}")
FRESH_S = 30.0
# A key that was made a moment ago works at once, but guessing must not mean asking Redis each time.
_UNKNOWN_S = 2.0
# How often Redis is told which keys were used.
_TELL_S = 60.0
_REFUSED = "the API key is not valid here, or not any more"


@mutable
class _Known:
    """This process's copy, and what it has not told of yet."""

    read_at: float = float("-inf")
    told_at: float = float("-inf")
    keys: Mapping[str, str] = field(default_factory=dict)
    used: dict[str, int] = field(default_factory=dict)


_known = _Known()


def make() -> tuple[str, str, str]:
    """A new key: its id, the key itself, and the digest to store."""
    identity = secrets.token_hex(6)
    key = f"{PREFIX}{identity}_{secrets.token_urlsafe(32)}"
    return identity, key, digest(key)


def digest(key: str) -> str:
    """What is stored of a key."""
    return sha256(key.encode()).hexdigest()


def document(name: str, role: str, servers: list[str] | None, digest: str, expires: float) -> str:
    """A key as Redis holds it."""
    return json.dumps({"name": name, "role": role, "servers": servers, "digest": digest, "expires": expires})


def stale(key: str) -> bool:
    """Whether the copy is to be read again before this key is judged by it."""
    age = time.monotonic() - _known.read_at
    return age > (FRESH_S if _id(key) in _known.keys else _UNKNOWN_S)


def refresh() -> None:
    """Read the copy anew. Raises StoreUnavailable where neither Redis nor Postgres tells what keys there are."""
    now = time.monotonic()
    telling = dict(_known.used) if now - _known.told_at > _TELL_S else {}
    try:
        found = admission.read_keys(telling)
    except StoreUnavailable:
        found = _from_postgres(publish=False)
    else:
        if telling:
            _known.told_at = now
            _known.used.clear()
        if found is None:
            found = _from_postgres(publish=True)
    _known.keys, _known.read_at = found, now


def identify(key: str) -> Identity:
    """Who holds the key, by the copy. Raises Unauthorized."""
    text = _known.keys.get(_id(key))
    entry: dict[str, Any] = json.loads(text) if text else {"digest": "", "expires": 0}
    now = time.time()
    # Compared even where there is none, so that an answer's time does not tell which ids exist.
    if not hmac.compare_digest(digest(key), entry["digest"] or digest("")) or now >= entry["expires"]:
        raise Unauthorized(_REFUSED)
    _known.used[_id(key)] = int(now)
    servers = entry["servers"]
    return Identity(f"{entry['name']} ({_id(key)})", entry["role"], None if servers is None else tuple(servers))


def forget() -> None:
    """Have everything read again."""
    global _known
    _known = _Known()


def _id(key: str) -> str:
    return key.removeprefix(PREFIX).partition("_")[0]


def _from_postgres(publish: bool) -> dict[str, str]:
    # Only while Redis is away or has lost the keys, so that doors do not pay for Postgres' driver otherwise.
    from openmanager.stores import identity

    found: dict[str, str] = {}

    def copy(rows: "list[Key]") -> None:
        found.update(copies(rows))
        if publish:
            admission.publish_keys(found)

    try:
        if publish:
            identity.change_keys(None, None, copy)
        else:
            copy(identity.all_keys())
    except InvalidSettings as error:
        # This function does not know Postgres; one that does puts the keys back.
        raise StoreUnavailable(f"what API keys there are cannot be read now: {error}") from error
    return found


def copies(rows: "list[Key]") -> dict[str, str]:
    """Rows of Postgres as Redis holds them, by id."""
    return {k.id: document(k.name, k.role, k.servers, k.digest, k.expires.timestamp()) for k in rows}
