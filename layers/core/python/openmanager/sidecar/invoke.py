"""Outside MCP servers for other functions, without HTTP and without loading the library `mcp`.

On AWS the mcp function is invoked, which OPENMANAGER_MCP_FUNCTION names. Elsewhere all functions share a process, and
with it the connections that the mcp function's routes use.
"""

import json
from collections.abc import Mapping
from contextvars import copy_context
from functools import lru_cache
from typing import Any

from openmanager import acting, errors, tracing
from openmanager.security.roles import Identity
from openmanager.settings import settings
from openmanager.sidecar.answer import Result, ToolInfo, Tools

# What readers may do is what nobody in particular may.
NOBODY = Identity("openmanager", "viewer")
# Longer than the function itself may take (serverless.yml).
_TIMEOUT_S = 30
# What the other side may say of a call; anything else is a failure of ours.
_KNOWN: Mapping[str, type[errors.OpenManagerError]] = {
    error.__name__: error
    for error in (
        errors.Forbidden,
        errors.NotFound,
        errors.Disabled,
        errors.ServerFailed,
        errors.ServerTimedOut,
        errors.StoreUnavailable,
    )
}


def call(server: str, tool: str, arguments: Mapping[str, Any], who: Identity = NOBODY) -> Result:
    """A tool's answer, for whoever asks.

    Raises NotFound (no such server or tool), Disabled, Forbidden (not for this role), ServerFailed, ServerTimedOut,
    TooManyRequests (too many calls of this server are going on) and InvalidSettings.
    """
    asked = {"server": server, "tool": tool, "arguments": dict(arguments), "name": who.name}
    asked |= {"role": who.role, "address": acting.actor().address}
    return Result(**_ask({"mcp": "call", **asked}))


def tools() -> Tools:
    """What may be called. Raises as `call` does."""
    answer = _ask({"mcp": "tools"})
    listed = (ToolInfo(**{**tool, "roles": tuple(tool["roles"])}) for tool in answer["tools"])
    return Tools(tuple(listed), answer["failed"])


def _ask(event: dict[str, Any]) -> dict[str, Any]:
    function = settings().mcp_function
    answer = _invoked(function, event | tracing.outgoing()) if function else _answered_here(event)
    if error := answer.get("error"):
        if error["type"] == "TooManyRequests":
            raise errors.TooManyRequests(error["message"], 1)
        raise _KNOWN.get(error["type"], errors.ServerFailed)(error["message"])
    result: dict[str, Any] = answer["result"]
    return result


def _answered_here(event: dict[str, Any]) -> dict[str, Any]:
    # It loads mcp, so it waits until somebody asks.
    from openmanager.sidecar import event as mcp_function

    # It acts as the event says, and our own context goes on as it was.
    return copy_context().run(mcp_function.answer, event)


def _invoked(function: str, event: dict[str, Any]) -> dict[str, Any]:
    try:
        reply = connect().invoke(FunctionName=function, Payload=json.dumps(event).encode())
        answer = json.loads(reply["Payload"].read())
    except Exception as error:
        # botocore has two roots of errors; whatever happened, the caller has no answer.
        raise errors.ServerFailed(f"the mcp function: {type(error).__name__}") from error
    if "FunctionError" in reply or not isinstance(answer, dict):
        raise errors.ServerFailed("the mcp function: ended without an answer; its log says why")
    return answer


@lru_cache(maxsize=1)
def connect() -> Any:
    """This process's client of Lambda; address and credentials are found as botocore finds them."""
    # Part of Lambda's runtime, and a third of a second to import:
    import boto3
    from botocore.config import Config

    config = Config(connect_timeout=3, read_timeout=_TIMEOUT_S, retries={"mode": "standard", "total_max_attempts": 1})
    return boto3.client("lambda", config=config)
