"""An answer that is told step by step, as server-sent events, or at once."""

import json
from collections.abc import Iterator
from itertools import chain
from typing import Any

from starlette.responses import JSONResponse, Response, StreamingResponse

from openmanager.errors import OpenManagerError
from openmanager.web.problems import problem_of

_EVENTS = "text/event-stream"


def told(steps: Iterator[tuple[str, dict[str, Any]]], accept: str) -> Response:
    """The steps as they come where events are accepted, else the last one alone."""
    if _EVENTS not in accept.lower():
        *_, (_, answer) = steps
        return JSONResponse(answer)
    # The first one here, where an error can still be told by a status.
    first = next(steps)
    return StreamingResponse(
        _events(chain([first], steps)),
        media_type=_EVENTS,
        headers={"Cache-Control": "no-store, no-transform", "X-Accel-Buffering": "no"},
    )


def _events(steps: Iterator[tuple[str, dict[str, Any]]]) -> Iterator[bytes]:
    try:
        for name, data in steps:
            yield _event(name, data)
    except OpenManagerError as error:
        yield _event("error", problem_of(error))


def _event(name: str, data: dict[str, Any]) -> bytes:
    return f"event: {name}\ndata: {json.dumps(data, ensure_ascii=False, separators=(',', ':'))}\n\n".encode()
