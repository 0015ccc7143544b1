"""Events as AWS sends them."""

import asyncio
import base64
import json
from dataclasses import dataclass
from typing import Any

# Mangum takes the current event loop; Python 3.12 and later want it made and closed by somebody.
LOOP = asyncio.new_event_loop()
asyncio.set_event_loop(LOOP)


class Context:
    """The Lambda context, with time left."""

    function_name = "test"
    memory_limit_in_mb = 512
    invoked_function_arn = "arn:aws:lambda:eu-central-1:000000000000:function:test"
    aws_request_id = "00000000-0000-0000-0000-000000000000"

    def get_remaining_time_in_millis(self) -> int:
        return 60_000


@dataclass(frozen=True)
class Reply:
    """What a handler answered."""

    status: int
    headers: dict[str, str]
    body: bytes

    def json(self) -> Any:
        return json.loads(self.body)


def http_event(
    method: str, path: str, *, query: str = "", headers: dict[str, str] | None = None, body: bytes | None = None
) -> dict[str, Any]:
    """An HTTP API event, payload version 2.0."""
    return {
        "version": "2.0",
        "routeKey": "$default",
        "rawPath": path,
        "rawQueryString": query,
        "headers": {"host": "example.execute-api.eu-central-1.amazonaws.com", **(headers or {})},
        "requestContext": {
            "http": {"method": method, "path": path, "protocol": "HTTP/1.1", "sourceIp": "192.0.2.1"},
            "requestId": "id",
            "stage": "$default",
        },
        "body": base64.b64encode(body).decode() if body is not None else None,
        "isBase64Encoded": body is not None,
    }


def invoke(handler: Any, method: str, path: str, *, key: str | None = None, **more: Any) -> Reply:
    """Send one HTTP request through a function's handler, as Lambda would."""
    headers = dict(more.pop("headers", {}) or {})
    if key:
        headers["authorization"] = f"Bearer {key}"
    asyncio.set_event_loop(LOOP)
    answer = handler(http_event(method, path, headers=headers, **more), Context())
    body = answer["body"]
    octets = base64.b64decode(body) if answer["isBase64Encoded"] else body.encode()
    return Reply(answer["statusCode"], answer["headers"], octets)
