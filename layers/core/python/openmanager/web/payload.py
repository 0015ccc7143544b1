"""What Lambda hands over of an answer: what is larger would be lost, and its caller told of an error on our side."""

import json
import logging
from collections.abc import Mapping
from http import HTTPStatus
from typing import Any

from openmanager.web.problems import problem

# The answer as JSON, the body's own quotes escaped: https://docs.aws.amazon.com/lambda/latest/dg/gettingstarted-limits.html
# says 6 MB. An HTTP API would take 10, and Vercel takes 4.5 by a way that does not come through here.
MOST_BYTES = 6_000_000
# JSON's escapes make six signs of one at most.
_LONGEST_ESCAPE = 6

log = logging.getLogger(__name__)


def fitting(answer: Mapping[str, Any]) -> Mapping[str, Any]:
    """Mangum's answer, or a problem in the place of one that Lambda would not hand over."""
    if len(answer["body"]) * _LONGEST_ESCAPE <= MOST_BYTES:
        return answer
    size = len(json.dumps(answer).encode())
    if size <= MOST_BYTES:
        return answer
    log.info("an answer of %d octets was not sent", size)
    told = problem(
        HTTPStatus.BAD_REQUEST,
        f"the answer has {size:,} octets, and {MOST_BYTES:,} can be sent at once: ask for it compressed"
        " (Accept-Encoding: gzip), or for less of it, by the route's parameters",
    )
    headers = {name: value for name, value in answer["headers"].items() if name.lower() not in _OF_THE_BODY}
    return {
        **answer,
        "statusCode": told.status_code,
        "headers": headers | dict(told.headers) | {"cache-control": "no-store"},
        "body": bytes(told.body).decode(),
        "isBase64Encoded": False,
    }


_OF_THE_BODY = frozenset(("content-length", "content-type", "content-encoding", "etag", "cache-control"))
