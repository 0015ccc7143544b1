"""What every channel over HTTP makes of a notice."""

import json
from collections.abc import Mapping
from hashlib import blake2s
from typing import Any
from urllib.parse import quote

from openmanager.notify.message import Message
from openmanager.notify.notice import Notice
from openmanager.notify.targets import Target
from openmanager.values import frozen


@frozen
class Order:
    """A notice for a target: its text, its idempotency key, and the time (s) at which it is sent."""

    notice: Notice
    target: Target
    message: Message
    key: str
    now_s: float


@frozen
class Request:
    """A POST."""

    url: str
    headers: Mapping[str, str]
    body: bytes


def json_request(order: Order, url: str, document: Mapping[str, Any], **headers: str) -> Request:
    """The document as JSON, under the idempotency key."""
    body = json.dumps(document, ensure_ascii=False, separators=(",", ":"), allow_nan=False).encode("utf-8", "replace")
    sent = {"Content-Type": "application/json; charset=utf-8", "Idempotency-Key": header_key(order.key), **headers}
    return Request(url, sent, body)


def header_key(key: str) -> str:
    """The key as a header may carry it; another key for another key."""
    return quote(key, safe="|:@/,+= ", errors="replace") if len(key) <= 512 else short_key(key)


def short_key(text: str) -> str:
    """32 hexadecimal digits that stand for a text."""
    return blake2s(text.encode("utf-8", "replace"), digest_size=16).hexdigest()


def alert_key(notice: Notice) -> str:
    """The name under which a receiver knows an alert from its firing to its end; a test's is its own."""
    return notice.id if notice.event == "test" else f"{notice.server}|{notice.rule}"
