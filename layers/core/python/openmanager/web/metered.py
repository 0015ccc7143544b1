"""Counts what each request of a function uses (openmanager.metering)."""

from starlette.concurrency import run_in_threadpool
from starlette.types import ASGIApp, Message, Receive, Scope, Send

from openmanager import meter, metering

# Behind an address of its own, which costs nothing a request, and on a server of its own, which sees no event.
_APART = "live"


class Metered:
    """The app of a function, counted from the first octet to the last."""

    def __init__(self, app: ASGIApp, function: str) -> None:
        self._app, self._function = app, function

    async def __call__(self, scope: Scope, receive: Receive, send: Send) -> None:
        if scope["type"] != "http":
            await self._app(scope, receive, send)
            return

        async def counted(message: Message) -> None:
            if message["type"] == "http.response.start":
                meter.count(f"answers_{message['status'] // 100}xx")
            fields = sum(len(name) + len(value) + 4 for name, value in message.get("headers", ()))
            meter.count("egress_bytes", fields + len(message.get("body", b"")))
            await send(message)

        try:
            with metering.invocation(self._function):
                if self._function != _APART and not _by_url(scope):
                    meter.count("api_requests")
                await self._app(scope, receive, counted)
        finally:
            if metering.due():
                await run_in_threadpool(metering.write)


def _by_url(scope: Scope) -> bool:
    """Whether a function URL brought it: https://docs.aws.amazon.com/lambda/latest/dg/urls-invocation.html"""
    domain = scope.get("aws.event", {}).get("requestContext", {}).get("domainName", "")
    return ".lambda-url." in str(domain)
