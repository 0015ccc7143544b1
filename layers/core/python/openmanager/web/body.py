"""Request bodies, read and unpacked no further than their limit."""

import zlib
from collections.abc import Awaitable, Callable, Mapping
from typing import Any

from fastapi import Request

from openmanager.errors import InvalidInput, PayloadTooLarge, UnsupportedMediaType

_GZIP = 16 + zlib.MAX_WBITS
OCTETS: Mapping[str, Any] = {"type": "string", "format": "binary"}


def bounded_body(limit_bytes: int, *encodings: str) -> Callable[[Request], Awaitable[bytes]]:
    """A dependency that reads the body, which must come in one of the content encodings (identity if none is named).

    gzip is unpacked here; any other encoding is left to whoever asked for it. The limit holds before and after.
    Raises PayloadTooLarge as soon as it is passed, UnsupportedMediaType, and InvalidInput for damaged gzip.
    """
    allowed = encodings or ("identity",)

    async def read(request: Request) -> bytes:
        sent = request.headers.get("content-encoding", "identity").strip().lower()
        if sent not in allowed:
            raise UnsupportedMediaType(f"Content-Encoding: {sent[:64]!r} is not read here; send {' or '.join(allowed)}")
        parts, size = [], 0
        async for part in request.stream():
            size += len(part)
            if size > limit_bytes:
                raise PayloadTooLarge(f"the body is over {limit_bytes} bytes; send less at once")
            parts.append(part)
        body = b"".join(parts)
        return gunzip(body, limit_bytes) if sent == "gzip" else body

    return read


def gunzip(packed: bytes, limit_bytes: int) -> bytes:
    """Unpack one gzip member. Raises PayloadTooLarge beyond the limit, InvalidInput if it is damaged."""
    member = zlib.decompressobj(_GZIP)
    try:
        body = member.decompress(packed, limit_bytes + 1)
    except zlib.error as fault:
        raise InvalidInput("body", f"is not gzip: {fault}") from None
    if len(body) > limit_bytes:
        raise PayloadTooLarge(f"the body unpacks to more than {limit_bytes} bytes; send less at once")
    if not member.eof:
        raise InvalidInput("body", "is not gzip: it is cut off")
    if member.unused_data:
        raise InvalidInput("body", "has something after the end of its gzip")
    return body


def documented(
    schema: Mapping[str, Any],
    media_type: str = "application/json",
    *,
    description: str = "",
    required: bool = True,
    also: Mapping[str, Mapping[str, Any]] | None = None,
) -> dict[str, Any]:
    """What a route that reads its body itself tells OpenAPI about it; `also` are its other media types' schemas."""
    content = {kind: {"schema": shape} for kind, shape in {media_type: schema, **(also or {})}.items()}
    return {"requestBody": {"required": required, "description": description, "content": content}}
