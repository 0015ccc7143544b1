"""Secrets at rest: sealed with AES-256-GCM under keys of the environment, each bound to the place where it lies.

OPENMANAGER_ENCRYPTION_KEYS is `id:key,…`, the first of which seals while all open. A sealed secret names its key's id.
It opens only with the same place beside it, so what is moved elsewhere in a store opens no more.
"""

import hmac
import secrets
from base64 import b64decode, b64encode
from collections.abc import Mapping
from typing import Any

from openmanager.errors import InvalidSettings, OpenManagerError
from openmanager.settings import settings
from openmanager.values import frozen

# NIST SP 800-38D 5.2.1.1; drawn at random, which 8.3 allows for 2^32 secrets under one key.
_NONCE_BYTES = 12
_TAG_BYTES = 16
_PURPOSE = b"openmanager: secrets at rest, 1"


class CannotOpen(OpenManagerError):
    """A sealed secret that cannot be read; the message says why. `may_pass`: it can be, once a key is there again."""

    def __init__(self, reason: str, may_pass: bool) -> None:
        super().__init__(reason)
        self.may_pass = may_pass


@frozen
class Sealed:
    """A secret that only a key opens: the key's id; nonce, ciphertext and tag together, in Base64."""

    key: str
    box: str

    @classmethod
    def read(cls, item: Mapping[str, Any]) -> "Sealed":
        """From its JSON values. Raises ValueError."""
        if set(item) != {"key", "sealed"} or not all(isinstance(part, str) for part in item.values()):
            raise ValueError("must be a text, or `key` and `sealed`")
        return cls(item["key"], item["sealed"])

    def as_dict(self) -> dict[str, str]:
        """Its JSON values."""
        return {"key": self.key, "sealed": self.box}


def seal(secret: str, place: bytes) -> str | Sealed:
    """The secret as it is to be stored at `place`: as it is where no key is set. Raises InvalidSettings."""
    key = next(iter(settings().encryption_keys), None)
    if key is None:
        return secret
    nonce = secrets.token_bytes(_NONCE_BYTES)
    return Sealed(key, b64encode(nonce + _cipher(key).encrypt(nonce, secret.encode(), place)).decode())


def open_sealed(secret: Sealed, place: bytes) -> str:
    """What was sealed at this place. Raises CannotOpen and InvalidSettings."""
    if secret.key not in settings().encryption_keys:
        reason = f"is sealed with the key {secret.key[:64]!r}, which OPENMANAGER_ENCRYPTION_KEYS does not have"
        raise CannotOpen(reason, may_pass=True)
    cipher = _cipher(secret.key)
    from cryptography.exceptions import InvalidTag

    try:
        box = b64decode(secret.box, validate=True)
    except ValueError:
        raise CannotOpen("is sealed and damaged: it is not Base64", may_pass=False) from None
    if len(box) < _NONCE_BYTES + _TAG_BYTES:
        raise CannotOpen("is sealed and cut off", may_pass=False)
    try:
        return str(cipher.decrypt(box[:_NONCE_BYTES], box[_NONCE_BYTES:], place), "utf-8")
    except InvalidTag:
        reason = (
            f"does not open with the key {secret.key!r}: it or what it belongs to was changed, or the key is another"
        )
        raise CannotOpen(reason, may_pass=False) from None


def _cipher(key: str) -> Any:
    # Slow to load and heavy to carry: only where there is a key to use it with.
    try:
        from cryptography.hazmat.primitives.ciphers.aead import AESGCM
    except ImportError:
        raise InvalidSettings(
            "OPENMANAGER_ENCRYPTION_KEYS: needs the package cryptography (group `crypto`), which is not installed here"
        ) from None
    # Keys are texts of any length beyond 32 octets, the cipher's are 32; and nothing else is ever made with this one.
    return AESGCM(hmac.digest(settings().encryption_keys[key].encode(), _PURPOSE, "sha256"))
