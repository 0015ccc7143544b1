"""GET /api/stream: the live feed as server-sent events, resumable by Last-Event-ID."""

from collections.abc import AsyncIterator
from typing import Annotated

from fastapi import Depends
from fastapi.sse import EventSourceResponse, ServerSentEvent
from openmanager.web import Caller, create_app, lambda_handler
from openmanager.web.sse import Reader, follow, reader

app = create_app("stream")


@app.get("/api/stream", response_class=EventSourceResponse)
async def stream(_: Caller, asked: Annotated[Reader, Depends(reader)]) -> AsyncIterator[ServerSentEvent]:
    """A snapshot, then every event as it comes, until `bye`; a reader comes back with the last id it saw."""
    async for event in follow(asked):
        yield event


handler = lambda_handler(app)
