"""What another function asks of the sidecar by invoking the mcp function, and the answer that `invoke` reads."""

from dataclasses import asdict
from typing import Any

from openmanager import acting, tracing
from openmanager.errors import OpenManagerError
from openmanager.security.roles import Identity
from openmanager.sidecar import service


def answer(event: dict[str, Any]) -> dict[str, Any]:
    """`{"mcp": "tools"}` or `{"mcp": "call", server, tool, arguments, name, role, address}`; a result or an error.

    Either may name the caller's trace as its `traceparent`.
    """
    with tracing.within(tracing.current() or tracing.carried(event)):
        return _answer(event)


def _answer(event: dict[str, Any]) -> dict[str, Any]:
    try:
        if event["mcp"] == "tools":
            return {"result": asdict(service.tools())}
        who = Identity(event["name"], event["role"])
        acting.begin(who.name, event["address"])
        return {"result": asdict(service.call(event["server"], event["tool"], event["arguments"], who))}
    except OpenManagerError as error:
        return {"error": {"type": type(error).__name__, "message": str(error)}}
