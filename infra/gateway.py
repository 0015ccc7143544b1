"""One address for all functions, as the HTTP API is on Lambda: it routes, and does nothing else.

Routes come from serverless.yml. A request is handed to the function's ASGI app untouched, so replies
stream; the same app answers on Lambda through its handler. On one machine all functions are loaded at the
start (`app`), on Vercel each at its first request (infra.vercel).
"""

import importlib
import json
import logging
import os
import re
import sys
from collections.abc import Callable, Iterable
from dataclasses import dataclass
from pathlib import Path
from urllib.parse import quote

from starlette.types import ASGIApp, Receive, Scope, Send

from infra.serverless import Function, Service, read_service

log = logging.getLogger("openmanager.gateway")


@dataclass(frozen=True)
class Entry:
    """One row of the routing table."""

    method: str
    pattern: re.Pattern[str]
    rank: tuple[int, ...]
    function: str
    app: ASGIApp


class Gateway:
    """The ASGI application."""

    def __init__(self, entries: Iterable[Entry]) -> None:
        # As in API Gateway, the most exact path wins, whatever the order in the file:
        self._entries = sorted(entries, key=lambda entry: entry.rank)

    async def __call__(self, scope: Scope, receive: Receive, send: Send) -> None:
        if scope["type"] != "http":
            return
        path, method = scope["path"], scope["method"]
        here = [entry for entry in self._entries if entry.pattern.fullmatch(path)]
        for entry in here:
            if entry.method in ("*", method):
                await entry.app(scope, receive, send)
                return
        # The one OPTIONS route answers for every path, those that are none too.
        if allowed := ", ".join(sorted({entry.method for entry in here} - {"OPTIONS"})):
            await _problem(send, 405, f"{method} is not possible on {path}", allow=allowed)
        else:
            await _problem(send, 404, f"there is nothing at {path}")


class OnDemand:
    """The app of a function whose module is imported at its first request."""

    def __init__(self, function: Function) -> None:
        self._function = function
        self._app: ASGIApp | None = None

    async def __call__(self, scope: Scope, receive: Receive, send: Send) -> None:
        if self._app is None:
            # Not on a thread: two that import at once may see each other's modules half made.
            self._app = load(self._function)
        await self._app(scope, receive, send)


def create_gateway(service: Service, app_of: Callable[[Function], ASGIApp]) -> Gateway:
    """The gateway to every function that has routes."""
    entries = []
    for function in service.functions:
        if function.routes:
            app = app_of(function)
            entries += [
                Entry(route.method, compile_path(route.path), rank(route.path), function.name, app)
                for route in function.routes
            ]
    return Gateway(entries)


def load(function: Function) -> ASGIApp:
    """The app of a function's module, imported now; one that answers 500 if it cannot be."""
    try:
        app: ASGIApp = importlib.import_module(function.module).app
    except Exception:
        log.exception("function %s cannot be loaded", function.name)
        detail = f"the function {function.name} could not be loaded; the log of the gateway says why"

        async def broken(_scope: Scope, _receive: Receive, send: Send) -> None:
            await _problem(send, 500, detail)

        return broken
    return app


def compile_path(path: str) -> re.Pattern[str]:
    """/a/{id} matches one segment for {id}; a last {rest+} matches all that follows."""
    segments = []
    for segment in path.strip("/").split("/"):
        if segment.startswith("{") and segment.endswith("+}"):
            segments.append(".+")
        elif segment.startswith("{"):
            segments.append("[^/]+")
        else:
            segments.append(re.escape(segment))
    return re.compile("/" + "/".join(segments))


def rank(path: str) -> tuple[int, ...]:
    """Sorts fixed segments before {id} before {rest+}."""
    return tuple(
        2 if segment.endswith("+}") else 1 if segment.startswith("{") else 0 for segment in path.strip("/").split("/")
    )


async def _problem(send: Send, status: int, detail: str, **headers: str) -> None:
    title = {404: "Not Found", 405: "Method Not Allowed", 500: "Internal Server Error"}[status]
    body = {"type": "about:blank", "title": title, "status": status, "detail": detail}
    await _reply(send, status, json.dumps(body).encode(), **{"content-type": "application/problem+json", **headers})


async def _reply(send: Send, status: int, body: bytes, **headers: str) -> None:
    pairs = [(name.encode(), quote(value, safe="/:,;=+* ").encode()) for name, value in headers.items()]
    pairs.append((b"content-length", str(len(body)).encode()))
    await send({"type": "http.response.start", "status": status, "headers": pairs})
    await send({"type": "http.response.body", "body": body})


def app() -> Gateway:
    """The gateway as the local stack starts it, configured by its environment."""
    service = read_service(Path(os.environ["OPENMANAGER_SERVICE"]))
    sys.path.insert(0, str(service.folder))
    return create_gateway(service, load)
