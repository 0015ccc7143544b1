"""GET /api/stream…: the live feed as server-sent events, resumable by Last-Event-ID, and its snapshot alone."""

from typing import Annotated, Any

from fastapi import Depends, Response
from openmanager.feed.cursor import Cursor
from openmanager.feed.events import Wish
from openmanager.stores import tickets
from openmanager.web import Viewer, create_app, lambda_handler, sse
from openmanager.web.tickets import TicketHolder

Asked = Annotated[Wish, Depends(sse.wish)]
After = Annotated[Cursor | None, Depends(sse.cursor)]
Still = Annotated[sse.Still, Depends(sse.still)]

app = create_app("stream")


@app.post("/api/stream/ticket")
def issue_ticket(who: Viewer) -> dict[str, Any]:
    """A ticket that opens the stream once within 30 seconds, for a browser's EventSource, which sends no header."""
    return {"ticket": tickets.issue(who.name), "expires_in": tickets.LIFE_S}


@app.get("/api/stream", status_code=200, response_class=sse.EventStream, responses=sse.ANSWER)
async def stream(_: TicketHolder, asked: Asked, after: After, still: Still) -> Response:
    """A snapshot, then every event as it comes, until `bye`; a reader comes back with the last id it saw."""
    return await sse.open_stream(asked, after, still)


@app.get("/api/stream/snapshot")
async def snapshot(_: Viewer, asked: Asked) -> dict[str, Any]:
    """The fleet as the stream's first event tells it; `id` is where the stream goes on from it."""
    return await sse.snapshot(asked)


handler = lambda_handler(app)
