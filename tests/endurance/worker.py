"""The function `predict` as a process of its own that is handed the queue's events over HTTP, as Lambda's are."""

import asyncio
import json
import time
from typing import Any

from starlette.requests import Request
from starlette.responses import JSONResponse
from starlette.types import ASGIApp, Receive, Scope, Send

from functions.predict.handler import handler
from infra.local.schedule import Context

_TIMEOUT_S = 55


def create() -> ASGIApp:
    """The ASGI application: an event in, what the handler answers out."""

    async def app(scope: Scope, receive: Receive, send: Send) -> None:
        if scope["type"] != "http":
            return
        event = json.loads(await Request(scope, receive).body())
        answer = await asyncio.to_thread(_invoke, event)
        await JSONResponse(answer)(scope, receive, send)

    return app


def _invoke(event: dict[str, Any]) -> dict[str, Any]:
    return handler(event, Context("predict", 512, "arn:aws:lambda:local", time.monotonic() + _TIMEOUT_S))
