"""The feed as server-sent events: one bounded generator, live under an ASGI server, one reply under Mangum."""

import asyncio
import time
from collections.abc import AsyncIterator
from dataclasses import dataclass
from typing import Annotated

from fastapi import Header, Query
from fastapi.sse import ServerSentEvent

from openmanager import fleet
from openmanager.errors import InvalidInput, StoreUnavailable
from openmanager.security import fields
from openmanager.settings import settings
from openmanager.stores import feed

_POLL_S = 2.0
_RETRY_MS = 3000
_TOPICS = {"metrics": "metrics", "predictions": "prediction"}


@dataclass(frozen=True, slots=True)
class Reader:
    """What a reader asked for: event names, where to go on, and whether what came since is no longer held."""

    events: frozenset[str]
    cursor: str
    resumes: bool
    gap: bool


def reader(
    topics: Annotated[str, Query(description="any of metrics, predictions")] = "metrics,predictions",
    last_event_id: Annotated[str | None, Header(description="go on after this event")] = None,
) -> Reader:
    """Raises InvalidInput and StoreUnavailable while an error can still be told as one."""
    names = [name.strip() for name in topics.split(",")]
    if unknown := [name for name in names if name not in _TOPICS]:
        raise InvalidInput("topics", f"{unknown[0]!r} is not one of {', '.join(_TOPICS)}")
    events = frozenset(_TOPICS[name] for name in names)
    last = feed.check_id(last_event_id, "Last-Event-ID") if last_event_id else None
    oldest, newest = feed.bounds()
    # Who began before the first event has missed none of them.
    gap = last not in (None, feed.EMPTY) and feed.is_before(str(last), oldest)
    resumes = last is not None and not gap
    return Reader(events, last if last and resumes else newest, resumes, gap)


async def follow(asked: Reader, role: str) -> AsyncIterator[ServerSentEvent]:
    """Snapshot (unless the reader resumes within what the feed still holds), events as the role sees them, `bye`.

    The stream ends by itself after the configured window, because a reader that went away is billed for until then.
    """
    deadline = time.monotonic() + settings().stream_window_s
    cursor, hidden = asked.cursor, fields.hidden("/api/stream", role)
    yield ServerSentEvent(comment="open", retry=_RETRY_MS)
    try:
        if not asked.resumes:
            servers = await asyncio.to_thread(fleet.listing)
            yield ServerSentEvent(event="snapshot", id=cursor, data={"servers": servers, "gap": asked.gap})
        while True:
            for event in await asyncio.to_thread(feed.after, cursor):
                cursor = event.id
                if event.name in asked.events:
                    yield ServerSentEvent(event=event.name, id=event.id, data=fields.without(event.data, hidden))
            if time.monotonic() >= deadline:
                yield ServerSentEvent(event="bye", id=cursor, data={"reason": "window"})
                return
            await asyncio.sleep(min(_POLL_S, max(0.0, deadline - time.monotonic())))
    except StoreUnavailable:
        yield ServerSentEvent(event="bye", id=cursor, data={"reason": "store"})
