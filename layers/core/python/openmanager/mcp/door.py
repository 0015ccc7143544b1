"""One request of the protocol over HTTP, as a response of the function's app.

A session manager of the SDK lives for one `run()`, within which its tasks are; nothing here has a lifespan (Mangum has
it off, the gateway knows none). So each request has one of its own, which costs a task group and keeps nothing. That is
right for both eras: the newer is stateless, and to the older we say no session id.
"""

from pathlib import Path
from urllib.parse import urlsplit

from openmanager.mcp import quick as quick

# isort: split
from mcp.server.streamable_http_manager import StreamableHTTPSessionManager
from mcp.server.transport_security import TransportSecuritySettings
from starlette.requests import Request
from starlette.responses import Response
from starlette.types import Message, Receive, Scope, Send

from openmanager.errors import Forbidden
from openmanager.mcp.server import VISIT, Visit, server
from openmanager.security.roles import Identity
from openmanager.settings import settings

# Which host is meant API Gateway has decided before we are called, and a page that was rebound to us has no bearer.
# What browsers say of themselves, Origin, is checked in `answer`, by the same list as for every other route.
_SECURITY = TransportSecuritySettings(enable_dns_rebinding_protection=False)


def answer(who: Identity, request: Request, body: bytes, shipped: Path) -> Response:
    """The response to one message; `shipped` are the runbooks where the settings name no others.

    Raises Forbidden for a page of an origin that is not allowed.
    """
    s, origin = settings(), request.headers.get("origin")
    if origin is not None and origin not in s.origins and not _of_this_machine(origin, request.headers.get("host", "")):
        raise Forbidden("pages of this origin may not call; OPENMANAGER_ORIGINS names those that may")
    return Exchange(Visit(who, Path(s.runbooks) if s.runbooks else shipped), body)


def _of_this_machine(origin: str, host: str) -> bool:
    """Whether it is a page of our own address on this machine, which no name that points here by deceit looks like."""
    said = urlsplit(origin)
    return said.netloc == host and said.hostname in ("127.0.0.1", "::1", "localhost")


class Exchange(Response):
    """The SDK's answer, whatever it is."""

    def __init__(self, visit: Visit, body: bytes) -> None:
        super().__init__()
        self._visit, self._sent = visit, body

    async def __call__(self, scope: Scope, receive: Receive, send: Send) -> None:
        read = False

        async def replay() -> Message:
            nonlocal read
            if read:
                return await receive()
            read = True
            return {"type": "http.request", "body": self._sent, "more_body": False}

        manager = StreamableHTTPSessionManager(
            server(), json_response=True, stateless=True, security_settings=_SECURITY
        )
        async with manager.run():
            await manager.handle_request({**scope, VISIT: self._visit}, replay, send)
