"""GET /api/stream…: the live feed as server-sent events, resumable by Last-Event-ID, and its snapshot alone."""

from typing import Any

from openmanager.stores import tickets
from openmanager.web import Viewer, create_app, feed, lambda_handler, sse
from openmanager.web.caching import NEVER

app = create_app("stream")


@app.post("/api/stream/ticket")
def issue_ticket(who: Viewer) -> dict[str, Any]:
    """A ticket that opens the stream once within 30 seconds, for a browser's EventSource, which sends no header."""
    return {"ticket": tickets.issue(who.name), "expires_in": tickets.LIFE_S}


app.include_router(feed.router)


# It carries the time, by which a reader sets its clock.
@app.get("/api/stream/snapshot", dependencies=[NEVER])
async def snapshot(_: Viewer, asked: feed.Asked) -> dict[str, Any]:
    """The fleet as the stream's first event tells it; `id` is where the stream goes on from it."""
    return await sse.snapshot(asked)


handler = lambda_handler(app)
