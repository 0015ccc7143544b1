"""The route of the live feed, which two doors have: one that buffers (functions/stream), one that streams (live)."""

from typing import Annotated

from fastapi import APIRouter, Depends, Response

from openmanager.feed.cursor import Cursor
from openmanager.feed.events import Wish
from openmanager.web import sse
from openmanager.web.tickets import TicketHolder

Asked = Annotated[Wish, Depends(sse.wish)]
_After = Annotated[Cursor | None, Depends(sse.cursor)]
_Still = Annotated[sse.Still, Depends(sse.still)]

router = APIRouter()


@router.get("/api/stream", status_code=200, response_class=sse.EventStream, responses=sse.ANSWER)
async def stream(_: TicketHolder, asked: Asked, after: _After, still: _Still) -> Response:
    """A snapshot, then every event as it comes, until `bye`; a reader comes back with the last id it saw."""
    return await sse.open_stream(asked, after, still)
