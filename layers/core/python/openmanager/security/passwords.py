"""Passwords, stored as scrypt (RFC 7914) with the parameters beside each."""

import hashlib
import hmac
import secrets
import unicodedata
from base64 import b64decode, b64encode
from typing import Any

from openmanager.errors import InvalidInput

MIN_LENGTH, MAX_LENGTH = 12, 256
# OWASP's Password Storage Cheat Sheet: N = 2^15, r = 8, p = 3, which takes 32 MiB; the standard library has it, so that
# no function pays for a library of its own.
_LOG_N, _R, _P = 15, 8, 3
_SALT_BYTES, _HASH_BYTES = 16, 32
SCHEMA: dict[str, Any] = {"type": "string", "minLength": MIN_LENGTH, "maxLength": MAX_LENGTH, "format": "password"}


def read_password(value: Any) -> str:
    """A new password as somebody sent it. Raises InvalidInput, which does not repeat it."""
    if not isinstance(value, str) or not MIN_LENGTH <= len(value) <= MAX_LENGTH:
        raise InvalidInput("password", f"must be a text of {MIN_LENGTH} to {MAX_LENGTH} characters")
    return value


def random_password() -> str:
    """120 random bits as text."""
    return secrets.token_urlsafe(15)


def hash_password(password: str) -> str:
    """What is stored instead of the password: `scrypt$log2(N)$r$p$salt$hash`."""
    salt = secrets.token_bytes(_SALT_BYTES)
    derived = _derive(password, salt, _LOG_N, _R, _P)
    return f"scrypt${_LOG_N}${_R}${_P}${b64encode(salt).decode()}${b64encode(derived).decode()}"


def verify_password(password: str, stored: str | None) -> bool:
    """Whether this is the password; None, for somebody who does not exist, takes as long as a wrong one."""
    if stored is None:
        _derive(password, bytes(_SALT_BYTES), _LOG_N, _R, _P)
        return False
    _, log_n, r, p, salt, derived = stored.split("$")
    return hmac.compare_digest(_derive(password, b64decode(salt), int(log_n), int(r), int(p)), b64decode(derived))


def _derive(password: str, salt: bytes, log_n: int, r: int, p: int) -> bytes:
    # Keyboards differ in how they compose a letter: NIST SP 800-63B 3.1.1.2 asks for one form.
    octets = unicodedata.normalize("NFKC", password).encode("utf-8", "surrogatepass")
    room = 128 * r * (2**log_n + p) + (1 << 20)
    return hashlib.scrypt(octets, salt=salt, n=2**log_n, r=r, p=p, maxmem=room, dklen=_HASH_BYTES)
