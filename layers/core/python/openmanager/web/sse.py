"""The feed as server-sent events: one bounded generator, live under an ASGI server, one reply under Mangum."""

import asyncio
import time
from collections.abc import AsyncIterator

from fastapi.sse import ServerSentEvent

from openmanager import fleet
from openmanager.errors import InvalidInput
from openmanager.settings import settings
from openmanager.stores import feed

_POLL_S = 2.0
_RETRY_MS = 3000
_TOPICS = {"metrics": "metrics", "predictions": "prediction"}


def parse_topics(text: str) -> frozenset[str]:
    """The event names of comma-separated topics. Raises InvalidInput."""
    names = [name.strip() for name in text.split(",")]
    if unknown := [name for name in names if name not in _TOPICS]:
        raise InvalidInput("topics", f"{unknown[0]!r} is not one of {', '.join(_TOPICS)}")
    return frozenset(_TOPICS[name] for name in names)


async def follow(events: frozenset[str], last_id: str | None) -> AsyncIterator[ServerSentEvent]:
    """Snapshot (unless the reader resumes within what the feed still holds), events, `bye`.

    The connection ends by itself after the configured window, because a reader that went away is billed for until
    then. Raises InvalidInput for an id that is not ours.
    """
    deadline = time.monotonic() + settings().stream_window_s
    oldest, newest = await asyncio.to_thread(feed.bounds)
    yield ServerSentEvent(comment="open", retry=_RETRY_MS)
    cursor = feed.check_id(last_id, "Last-Event-ID") if last_id else newest
    if not last_id or feed.is_before(cursor, oldest):
        cursor = newest
        servers = await asyncio.to_thread(fleet.listing)
        yield ServerSentEvent(
            event="snapshot", id=cursor, data={"servers": servers, "gap": bool(last_id)}
        )
    while True:
        for event in await asyncio.to_thread(feed.after, cursor):
            cursor = event.id
            if event.name in events:
                yield ServerSentEvent(event=event.name, id=event.id, data=event.data)
        if time.monotonic() >= deadline:
            yield ServerSentEvent(event="bye", id=cursor, data={"reason": "window"})
            return
        await asyncio.sleep(min(_POLL_S, max(0.0, deadline - time.monotonic())))
