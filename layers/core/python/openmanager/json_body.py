"""Request bodies that are JSON."""

import json
from typing import Any

from openmanager.errors import InvalidInput, PayloadTooLarge

# Objects and lists in a JSON body. Decoded, an empty one takes thirty times its two characters.
MAX_CONTAINERS = 300_000


def json_object(body: bytes) -> dict[str, Any]:
    """A body that is a JSON object. Raises InvalidInput; PayloadTooLarge where decoding would take too much memory."""
    if body.count(b"{") + body.count(b"[") > MAX_CONTAINERS:
        raise PayloadTooLarge(f"the body has more than {MAX_CONTAINERS} objects and lists; send less at once")
    try:
        document = json.loads(body)
    except (ValueError, RecursionError) as fault:
        raise InvalidInput("body", f"is not JSON: {fault}") from None
    if not isinstance(document, dict):
        raise InvalidInput("body", "must be an object")
    return document
