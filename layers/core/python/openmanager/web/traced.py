"""Gives each request its trace (openmanager.tracing): the caller's, or a new one."""

from starlette.datastructures import Headers
from starlette.types import ASGIApp, Receive, Scope, Send

from openmanager import tracing


class Traced:
    """The app of a function, whose requests each belong to a trace from the first line that is logged of them."""

    def __init__(self, app: ASGIApp) -> None:
        self._app = app

    async def __call__(self, scope: Scope, receive: Receive, send: Send) -> None:
        if scope["type"] != "http":
            await self._app(scope, receive, send)
            return
        with tracing.within(tracing.received(Headers(scope=scope).getlist(tracing.HEADER))):
            await self._app(scope, receive, send)
