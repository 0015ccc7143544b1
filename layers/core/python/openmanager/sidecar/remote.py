"""A server at an address: its headers, and no more of its answers than a child may say at once."""

import logging
from collections.abc import AsyncGenerator, AsyncIterator
from contextlib import asynccontextmanager
from typing import Any

import httpx2
from mcp.client.streamable_http import streamable_http_client

from openmanager import tracing
from openmanager.sidecar.child import MOST_BYTES
from openmanager.sidecar.settings import Server

# They log addresses, in which there may be a key.
for _name in ("httpx2", "httpcore2", "mcp.client"):
    logging.getLogger(_name).setLevel(logging.WARNING)


@asynccontextmanager
async def remote(server: Server) -> AsyncGenerator[Any, None]:
    """The two streams of a server at an address."""
    client = httpx2.AsyncClient(
        headers=dict(server.headers), timeout=httpx2.Timeout(server.timeout_s), transport=_Bounded()
    )
    async with client, streamable_http_client(server.url, http_client=client) as streams:
        yield streams


class _Bounded(httpx2.AsyncHTTPTransport):
    """Says to which trace a request belongs; ends an answer that goes on for too long, which the library would keep."""

    async def handle_async_request(self, request: httpx2.Request) -> httpx2.Response:
        # The library has each request sent in the context of whoever asked, though its connection is somebody else's.
        request.headers.update(tracing.outgoing())
        response = await super().handle_async_request(request)
        assert isinstance(response.stream, httpx2.AsyncByteStream)
        response.stream = _Counted(response.stream)
        return response


class _Counted(httpx2.AsyncByteStream):
    def __init__(self, stream: httpx2.AsyncByteStream) -> None:
        self._stream = stream

    async def __aiter__(self) -> AsyncIterator[bytes]:
        size = 0
        async for chunk in self._stream:
            size += len(chunk)
            if size > MOST_BYTES:
                raise httpx2.ReadError(f"said more than {MOST_BYTES >> 20} MiB at once")
            yield chunk

    async def aclose(self) -> None:
        await self._stream.aclose()
