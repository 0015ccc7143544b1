"""Request bodies, read no further than their limit."""

from collections.abc import Awaitable, Callable
from typing import Any

from fastapi import Request

from openmanager.errors import PayloadTooLarge, UnsupportedMediaType


def bounded_body(limit_bytes: int, encoding: str = "identity") -> Callable[[Request], Awaitable[bytes]]:
    """A dependency that reads the body, which must come in one content encoding and within a limit.

    Raises PayloadTooLarge as soon as the limit is passed, and UnsupportedMediaType.
    """

    async def read(request: Request) -> bytes:
        sent = request.headers.get("content-encoding", "identity").lower()
        if sent != encoding:
            raise UnsupportedMediaType(f"Content-Encoding: {sent!r} is not read here; send {encoding!r}")
        parts, size = [], 0
        async for part in request.stream():
            size += len(part)
            if size > limit_bytes:
                raise PayloadTooLarge(f"the body is over {limit_bytes} bytes; send less at once")
            parts.append(part)
        return b"".join(parts)

    return read


def documented(media_type: str, example: object = None, description: str = "") -> dict[str, Any]:
    """What a route that reads its body itself tells OpenAPI about it."""
    schema = {"type": "object"} if media_type == "application/json" else {"type": "string", "format": "binary"}
    content: dict[str, Any] = {"schema": schema}
    if example is not None:
        content["example"] = example
    return {"requestBody": {"required": True, "description": description, "content": {media_type: content}}}
