"""Any receiver of ours: the whole notice as JSON, signed.

`OpenManager-Signature: t=<Unix seconds>,v1=<hex>` where v1 is the HMAC-SHA256 of `<t>.<body>` under the target's
secret. While a secret is being replaced there are two v1, the second under the previous one: a receiver accepts the
request if any fits, and if t is recent.
"""

import hashlib
import hmac

from openmanager.notify.channels.request import Order, Request, json_request

SIGNATURE = "OpenManager-Signature"


def request(order: Order) -> Request:
    """{"key", "notice", "title", "text"}; `key` is the same however often this is sent."""
    document = {
        "key": order.key,
        "notice": order.notice.as_dict(),
        "title": order.message.title,
        "text": order.message.text,
    }
    plain = json_request(order, order.target.settings["url"], document)
    secrets = [order.target.settings["secret"], order.target.settings["previous_secret"]]
    signed = signature(plain.body, int(order.now_s), [s for s in secrets if s])
    return Request(plain.url, {**plain.headers, SIGNATURE: signed}, plain.body)


def signature(body: bytes, at_s: int, secrets: list[str]) -> str:
    """The header's value for a body sent at a time, under each secret."""
    signed = f"{at_s}.".encode() + body
    digests = [hmac.new(secret.encode(), signed, hashlib.sha256).hexdigest() for secret in secrets]
    return ",".join([f"t={at_s}", *(f"v1={digest}" for digest in digests)])
