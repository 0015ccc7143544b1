"""GET /api/stream: the live feed as server-sent events, resumable by Last-Event-ID."""

from collections.abc import AsyncIterator
from typing import Annotated, Any

from fastapi import Depends
from fastapi.sse import EventSourceResponse, ServerSentEvent
from openmanager.stores import tickets
from openmanager.web import Viewer, create_app, lambda_handler
from openmanager.web.sse import Reader, follow, reader
from openmanager.web.tickets import TicketHolder

app = create_app("stream")


@app.post("/api/stream/ticket")
def issue_ticket(who: Viewer) -> dict[str, Any]:
    """A ticket that opens the stream once within 30 seconds, for a browser's EventSource, which sends no header."""
    return {"ticket": tickets.issue(who.name), "expires_in": tickets.LIFE_S}


@app.get("/api/stream", response_class=EventSourceResponse)
async def stream(who: TicketHolder, asked: Annotated[Reader, Depends(reader)]) -> AsyncIterator[ServerSentEvent]:
    """A snapshot, then every event as it comes, until `bye`; a reader comes back with the last id it saw."""
    async for event in follow(asked, who.role):
        yield event


handler = lambda_handler(app)
