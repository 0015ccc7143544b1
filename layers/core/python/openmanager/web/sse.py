"""The feed over HTTP: what a request asks for, and one bounded stream of events, live or as one buffered reply."""

import asyncio
import logging
import time
from collections.abc import Awaitable, Callable
from contextlib import suppress
from typing import Annotated, Any

from fastapi import Header, Query, Request
from starlette.responses import Response
from starlette.types import Receive, Scope, Send

from openmanager.errors import OpenManagerError, Unauthorized
from openmanager.feed import events
from openmanager.feed.cursor import SCHEMA, Cursor
from openmanager.feed.events import Wish
from openmanager.feed.hub import Hub, Reader, hub
from openmanager.security import fields
from openmanager.security.roles import Identity
from openmanager.settings import settings
from openmanager.stores import stages
from openmanager.web.app import VERSION
from openmanager.web.auth import Sent, identify
from openmanager.web.client import client_address

RETRY_MS = 3000
# How long a send may wait for a reader that takes nothing, before the reader is let go of.
_STALL_S = 10.0
# How often it is asked again whether the credential still opens the stream.
_CHECK_S = 5.0

# What the description says of the stream: one event of it, as readers get it.
_EVENT = {
    "type": "object",
    "properties": {
        "event": {"enum": ["snapshot", *events.TOPICS.values(), "bye"]},
        "id": {"type": "string", "description": "for Last-Event-ID"},
        "data": {"type": "string", "contentMediaType": "application/json"},
    },
}
ANSWER: dict[int | str, dict[str, Any]] = {
    200: {"description": "events", "content": {"text/event-stream": {"schema": _EVENT}}}
}

log = logging.getLogger(__name__)

Topics = Annotated[
    str | None, Query(description="comma-separated; else all", json_schema_extra={**events.TOPICS_SCHEMA})
]
Servers = Annotated[
    str | None,
    Query(
        description="names or prefixes (`web-*`), comma-separated, at most 200; else all",
        json_schema_extra={**events.SERVERS_SCHEMA},
    ),
]
LastEventId = Annotated[str | None, Header(description="go on after this event", json_schema_extra={**SCHEMA})]
After = Annotated[
    str | None,
    Query(description="the same for an EventSource, which sends no header at first", json_schema_extra={**SCHEMA}),
]


def wish(request: Request, topics: Topics = None, servers: Servers = None) -> Wish:
    """What a caller asks for, as far as their role may see it. Raises InvalidInput."""
    return Wish.read(topics, servers, fields.hidden("/api/stream", getattr(request.state, "role", "")))


def cursor(last_event_id: LastEventId = None, after: After = None) -> Cursor | None:
    """Where a caller wants to go on; the header is the later word. Raises InvalidInput."""
    if last_event_id:
        return Cursor.read(last_event_id, "Last-Event-ID")
    return Cursor.read(after, "after") if after else None


Still = Callable[[], Awaitable[bool]]


def still(request: Request, sent: Sent) -> Still:
    """Asks whether the caller's credential is good for the same as when the stream began."""
    address, role = client_address(request.scope), getattr(request.state, "role", "")

    async def good() -> bool:
        # A ticket was good for one stream, which ends with its window.
        if sent is None or "ticket" in request.query_params:
            return True
        try:
            who: Identity = await identify(sent.credentials, address)
        except Unauthorized:
            return False
        except OpenManagerError:
            # Whether it is revoked cannot be known just now; the store's absence ends the stream by itself.
            return True
        return who.role == role

    return good


def about() -> dict[str, Any]:
    """How the feed runs."""
    s = settings()
    push_s = min(s.watched_interval_s, s.push_interval_s)
    return {"version": VERSION, "stage": s.stage, "cadence_s": s.stream_poll_s, "push_s": push_s}


async def snapshot(asked: Wish) -> dict[str, Any]:
    """The fleet as of now, with the cursor to go on from. Raises StoreUnavailable."""
    return await hub().snapshot(asked, about())


async def open_stream(asked: Wish, after: Cursor | None, good: Still) -> "EventStream":
    """A stream for one reader. Raises StoreUnavailable while that can still be told as an error."""
    window_s = settings().stream_window_s
    here = hub()
    reader = await here.join(asked, after, about(), keep=window_s > 0)
    return EventStream(here, reader, window_s, good)


class EventStream(Response):
    """A reader's events as they come, until `bye`.

    It ends by itself after the window, because a reader that went away is billed for until then. With a window of 0,
    as where replies are buffered, it is what there is now.
    """

    media_type = "text/event-stream"

    def __init__(self, of: Hub, reader: Reader, window_s: float, good: Still) -> None:
        super().__init__(headers={"X-Accel-Buffering": "no"})
        # Its length is not known, and it is nobody's to change on the way.
        del self.headers["content-length"]
        self.headers["Cache-Control"] = "no-store, no-transform"
        self._hub = of
        self._reader = reader
        self._window_s = window_s
        self._good = good

    async def __call__(self, _scope: Scope, receive: Receive, send: Send) -> None:
        task = asyncio.current_task()
        assert task is not None
        leaving = asyncio.create_task(_leaving(receive, task)) if self._window_s else None
        try:
            await send({"type": "http.response.start", "status": 200, "headers": self.raw_headers})
            await self._send(send, events.opening(RETRY_MS))
            reason = await self._events(send)
            await self._send(send, events.bye(reason, self._reader.cursor), more=False)
        except TimeoutError:
            log.info("a reader of the live feed took nothing for %d s", _STALL_S)
        except asyncio.CancelledError:
            if leaving is not None and leaving.done():
                task.uncancel()
                return
            # The server stops. What is sent now still leaves, for it waits for its connections to close.
            with suppress(Exception):
                await send(_part(events.bye("shutdown", self._reader.cursor), more=False))
            raise
        finally:
            if leaving is not None:
                leaving.cancel()
            self._hub.leave(self._reader)

    async def _events(self, send: Send) -> str:
        """Send what comes; why it is over."""
        began = checked = time.monotonic()
        told: Cursor | None = None
        while self._window_s or self._reader.has_next:
            octets = await self._reader.next()
            if octets is None:
                return self._reader.ended
            await self._send(send, octets)
            # What comes first is from before the reader did.
            if told is not None and (age_ms := self._reader.cursor.age_ms(told, time.time() * 1000)) is not None:
                stages.passed("client", age_ms)
            told = self._reader.cursor
            # Something comes with every poll, a comment at least, so that looking at the clock here is often enough.
            now = time.monotonic()
            if self._window_s and now - began >= self._window_s:
                break
            if now - checked >= _CHECK_S:
                checked = now
                if not await self._good():
                    return "expired"
        return "window"

    async def _send(self, send: Send, octets: bytes, *, more: bool = True) -> None:
        async with asyncio.timeout(_STALL_S):
            await send(_part(octets, more))


def _part(octets: bytes, more: bool) -> dict[str, Any]:
    return {"type": "http.response.body", "body": octets, "more_body": more}


async def _leaving(receive: Receive, task: asyncio.Task[Any]) -> None:
    """Wait until the reader has gone, and end its stream."""
    while (await receive())["type"] != "http.disconnect":
        pass
    task.cancel()
