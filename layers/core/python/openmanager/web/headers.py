"""What every answer says to browsers, errors included, and what is left of the caller's budget."""

from collections.abc import Mapping
from functools import lru_cache

from starlette.datastructures import MutableHeaders
from starlette.middleware.cors import CORSMiddleware
from starlette.types import ASGIApp, Message, Receive, Scope, Send

from openmanager.errors import InvalidSettings
from openmanager.settings import settings

# Set unless the route says otherwise. An API's answer is no page: it loads nothing and may not be framed.
DEFAULTS: Mapping[str, str] = {
    "X-Content-Type-Options": "nosniff",
    "Content-Security-Policy": "default-src 'none'; frame-ancestors 'none'",
    "Referrer-Policy": "no-referrer",
    "Permissions-Policy": "camera=(), geolocation=(), microphone=(), payment=(), usb=()",
    "Cross-Origin-Resource-Policy": "same-origin",
    "Cache-Control": "no-store",
}
_HSTS = "max-age=31536000; includeSubDomains"
# Read by pages of other origins, if any are allowed.
_EXPOSED = ("ETag", "RateLimit", "RateLimit-Policy", "Retry-After")
_SENT = ("Authorization", "Content-Type", "If-None-Match", "Last-Event-ID")
_MCP_SENT = ("MCP-Protocol-Version", "Mcp-Method", "Mcp-Name")
# By whoever traces their own page (openmanager.tracing).
_TRACE_SENT = ("traceparent", "tracestate")
_METHODS = ("GET", "POST", "PUT", "DELETE")
_PREFLIGHT_S = 600


class BrowserHeaders:
    """An ASGI app with these fields on every answer, and CORS for the origins of OPENMANAGER_ORIGINS only."""

    def __init__(self, app: ASGIApp) -> None:
        self._app = app
        self._for_origins = lru_cache(maxsize=1)(self._with_cors)

    async def __call__(self, scope: Scope, receive: Receive, send: Send) -> None:
        if scope["type"] != "http":
            await self._app(scope, receive, send)
            return
        state = scope.setdefault("state", {})
        try:
            origins, local = settings().origins, settings().stage == "local"
        except InvalidSettings:
            # Whoever needs them says so, as a problem; routes that need none still answer.
            origins, local = (), False

        async def send_with_fields(message: Message) -> None:
            if message["type"] == "http.response.start":
                headers = MutableHeaders(scope=message)
                for name, value in DEFAULTS.items():
                    headers.setdefault(name, value)
                if not local:
                    headers["Strict-Transport-Security"] = _HSTS
                for name, value in state.get("rate_limit", {}).items():
                    headers[name] = value
            await send(message)

        await (self._for_origins(origins) if origins else self._app)(scope, receive, send_with_fields)

    def _with_cors(self, origins: tuple[str, ...]) -> ASGIApp:
        return CORSMiddleware(
            self._app,
            allow_origins=origins,
            allow_methods=_METHODS,
            allow_headers=_SENT + _MCP_SENT + _TRACE_SENT,
            expose_headers=_EXPOSED,
            max_age=_PREFLIGHT_S,
        )
