"""AWS Signature Version 4 of a POST to a service's root, as its documentation builds it. Pure.

https://docs.aws.amazon.com/IAM/latest/UserGuide/reference_sigv-create-signed-request.html
"""

import hmac
from collections.abc import Mapping
from dataclasses import field
from datetime import UTC, datetime
from hashlib import sha256
from urllib.parse import urlsplit

from openmanager.values import frozen

_ALGORITHM = "AWS4-HMAC-SHA256"


@frozen
class Credentials:
    """Who signs; `token` is that of a role's session, empty for a user's own key."""

    key: str
    secret: str = field(repr=False)
    token: str = field(repr=False)


def sign(
    service: str, region: str, who: Credentials, url: str, headers: Mapping[str, str], body: bytes, now: float
) -> dict[str, str]:
    """The headers to send, signed. `now` is the time of day, in seconds since 1970."""
    time = datetime.fromtimestamp(now, UTC).strftime("%Y%m%dT%H%M%SZ")
    sent = {**headers, "Host": urlsplit(url).netloc, "X-Amz-Date": time}
    if who.token:
        sent["X-Amz-Security-Token"] = who.token
    lines = sorted((name.lower(), value.strip()) for name, value in sent.items())
    names = ";".join(name for name, _ in lines)
    # Method, path and an empty query, headers each on a line of its own, their names, what the body hashes to.
    request = "\n".join(
        ["POST", "/", "", *(f"{name}:{value}" for name, value in lines), "", names, sha256(body).hexdigest()]
    )
    scope = f"{time[:8]}/{region}/{service}/aws4_request"
    text = "\n".join([_ALGORITHM, time, scope, sha256(request.encode()).hexdigest()])
    key = f"AWS4{who.secret}".encode()
    for part in scope.split("/"):
        key = hmac.digest(key, part.encode(), "sha256")
    signature = hmac.digest(key, text.encode(), "sha256").hex()
    sent["Authorization"] = f"{_ALGORITHM} Credential={who.key}/{scope}, SignedHeaders={names}, Signature={signature}"
    return sent
