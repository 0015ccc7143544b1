"""What caches may keep of an answer, and conditional requests (RFC 9111; RFC 9110 13.1.2). The one place that knows.

A GET that finds something (200) carries an ETag and a Cache-Control; where the caller says that it has just this
(If-None-Match) the answer is 304 and has no body. The tag is a hash of what the caller may see, or of a version that
the route knows before it has built anything (`unless_held`). It is weak, because gzip changes the octets on their way.

Nearly all answers are for one person or program, so no shared cache keeps them. Whoever changed something sees it at
once: unless a route says otherwise, what is kept is asked for anew each time. A route says otherwise beside its path
(`dependencies=[NEVER]`), an app for all of its routes (`create_app(…, kept=…)`), and what depends on the answer is said
in the route (`fresh_until_next_round`).
"""

import re
import time
from collections.abc import Sequence
from contextlib import suppress
from hashlib import blake2b
from typing import Any

from fastapi import Depends, Request
from fastapi.routing import APIRoute
from starlette.datastructures import Headers, MutableHeaders
from starlette.responses import Response
from starlette.types import ASGIApp, Message, Receive, Scope, Send

from openmanager.errors import InvalidInput
from openmanager.settings import settings
from openmanager.spans import span

_ASK_ANEW = "private, no-cache"
# What anybody may see and only a deployment changes. Vercel's edge forgets it with each one.
FOR_EVERYBODY = "public, max-age=300, s-maxage=3600"
_PAST_S = 86_400
# An entity tag without what marks it as weak, which does not matter here.
_TAG = re.compile(r'"[\x21\x23-\x7e\x80-\xff]*"')


class Kept:
    """A dependency that says what caches may keep of a route's answer."""

    def __init__(self, policy: str) -> None:
        self.policy = policy

    async def __call__(self, request: Request) -> None:
        request.state.kept = self.policy


# Secrets, lists of who has which, and what is true for this moment only.
NEVER = Depends(Kept("no-store"))
# What only the archive changes, every five minutes.
A_MINUTE = Depends(Kept("private, max-age=60"))


class Unchanged(Exception):
    """The caller has just this version."""


class PastLonger(Kept):
    """The same for what is asked of a span of time: kept for longer where it ended over a day ago (`to`).

    Nothing but a backfill still changes that.
    """

    async def __call__(self, request: Request) -> None:
        with suppress(InvalidInput):
            _, stop = span(None, request.query_params.get("to"), int(time.time() * 1000))
            if stop < time.time() - _PAST_S:
                request.state.kept = self.policy


PAST_LONGER = Depends(PastLonger("private, max-age=300"))


def fresh_until_next_round(request: Request, minute_s: float) -> None:
    """The answer is the verdict on the minute that began then, and good until the next one is due.

    That is when the minute after it is over, and its grace; the schedule comes a little later still.
    """
    seconds = int(minute_s + 120 + settings().grace_s - time.time())
    if seconds > 0:
        request.state.kept = f"private, max-age={seconds}"


def kept_of(route: APIRoute, of_app: Sequence[Any]) -> str:
    """What a route says, else its app by its dependencies; nothing where only the answer decides."""
    calls = [d.dependency for d in of_app] + [d.call for d in route.dependant.dependencies]
    policies = [call.policy for call in calls if isinstance(call, Kept)]
    return policies[-1] if policies else ""


def unless_held(request: Request, *version: Any) -> None:
    """Tag the answer with a version instead of its octets. Raises Unchanged where the caller has it already.

    Read it before the rest: what is newer than its tag is only fetched once more.
    """
    state = request.state
    # The same of one role is something else for another; what each sees of it stands in security.fields.
    state.etag = _tag(repr((request.url.path, request.url.query, getattr(state, "role", ""), version)).encode())
    if holds(request.headers, state.etag):
        raise Unchanged


def unchanged(_request: Request, _error: Exception) -> Response:
    """The answer to Unchanged, which Conditional completes."""
    return Response(status_code=304)


def holds(headers: Any, etag: str) -> bool:
    """Whether a request says that it has this already. `headers` may have the field more than once."""
    sent = ",".join(headers.getlist("if-none-match"))
    return sent.strip() == "*" or etag.removeprefix("W/") in _TAG.findall(sent)


class Conditional:
    """An ASGI app whose found answers to GET say how long they may be kept, and are sent only to who lacks them.

    Outside of what leaves out fields by role, for the tag is of what is left; inside of what compresses.
    `gzipped_from` is the size at which the answer varies with that.
    """

    def __init__(self, app: ASGIApp, gzipped_from: int) -> None:
        self._app = app
        self._gzipped_from = gzipped_from

    async def __call__(self, scope: Scope, receive: Receive, send: Send) -> None:
        if scope["type"] != "http" or scope["method"] != "GET":
            await self._app(scope, receive, send)
            return
        state = scope.setdefault("state", {})
        start: Message | None = None
        parts: list[bytes] = []

        async def send_if_new(message: Message) -> None:
            nonlocal start
            if message["type"] == "http.response.start":
                if _keepable(message, state):
                    start = message
                    return
            elif start is not None:
                parts.append(message.get("body", b""))
                if message.get("more_body"):
                    return
                body = b"".join(parts)
                if self._complete(start, body, state, Headers(scope=scope)):
                    body = b""
                await send(start)
                message = {"type": "http.response.body", "body": body}
            await send(message)

        await self._app(scope, receive, send_if_new)

    def _complete(self, start: Message, body: bytes, state: dict[str, Any], asked: Headers) -> bool:
        """Add the fields; whether the caller has the answer already, which it then says."""
        headers = MutableHeaders(scope=start)
        known = state.get("etag")
        etag = headers["ETag"] = known or _tag(body)
        policy = headers.setdefault("Cache-Control", state.get("kept", _ASK_ANEW))
        if not policy.startswith("public"):
            headers.add_vary_header("Authorization")
        held = start["status"] == 304 or holds(asked, etag)
        if held:
            start["status"] = 304
            # The type stays: the adapter for Lambda would put JSON in its place, and caches take up what a 304 says.
            del headers["Content-Length"]
            # Of what was not built nobody knows how large it would be.
            if known or len(body) >= self._gzipped_from:
                headers.add_vary_header("Accept-Encoding")
        return held


def _keepable(start: Message, state: dict[str, Any]) -> bool:
    """Whether an answer is what was asked for, whole, and may be kept at all."""
    if start["status"] == 304:
        return "etag" in state
    headers = Headers(scope=start)
    policy = headers.get("cache-control", state.get("kept", ""))
    # A stream says no length; what brings a tag of its own has answered for itself.
    return start["status"] == 200 and "content-length" in headers and not ("no-store" in policy or "etag" in headers)


def _tag(octets: bytes) -> str:
    return f'W/"{blake2b(octets, digest_size=12).hexdigest()}"'
