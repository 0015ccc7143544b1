"""Leaves out of every JSON answer what the caller's role may not see (security.fields)."""

import json

from starlette.datastructures import MutableHeaders
from starlette.types import ASGIApp, Message, Receive, Scope, Send

from openmanager.security.fields import hidden, without


class ShownByRole:
    """An ASGI app whose JSON is without the fields that are not for the role in `scope["state"]`, nobody's if none.

    Where nothing is to be left out, nothing is read. Streams leave out what they must by themselves (web.sse).
    """

    def __init__(self, app: ASGIApp) -> None:
        self._app = app

    async def __call__(self, scope: Scope, receive: Receive, send: Send) -> None:
        if scope["type"] != "http":
            await self._app(scope, receive, send)
            return
        state = scope.setdefault("state", {})
        start: Message | None = None
        names: frozenset[str] = frozenset()
        parts: list[bytes] = []

        async def send_shown(message: Message) -> None:
            nonlocal start, names
            if message["type"] == "http.response.start":
                names = hidden(getattr(scope.get("route"), "path", ""), state.get("role", ""))
                if names and MutableHeaders(scope=message).get("content-type", "").startswith("application/json"):
                    start = message
                    return
            elif start is not None:
                parts.append(message.get("body", b""))
                if message.get("more_body"):
                    return
                shown = without(json.loads(b"".join(parts)), names)
                body = json.dumps(shown, ensure_ascii=False, separators=(",", ":")).encode()
                MutableHeaders(scope=start)["Content-Length"] = str(len(body))
                await send(start)
                message = {"type": "http.response.body", "body": body}
            await send(message)

        await self._app(scope, receive, send_shown)
