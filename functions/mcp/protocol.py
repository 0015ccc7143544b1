"""/mcp: our own MCP server, by stateless streamable HTTP."""

import os
from importlib import import_module
from pathlib import Path
from typing import Annotated, Any

from openmanager.web import APIRouter, Depends, Request, Response, Viewer, bounded_body
from openmanager.web.problems import problem

Message = Annotated[bytes, Depends(bounded_body(256 << 10))]
SHIPPED = Path(__file__).parent / "runbooks"

router = APIRouter()


# Of the protocol, not of the API: a description would say nothing that the protocol's own lists do not.
@router.post("/mcp", include_in_schema=False)
def exchange(who: Viewer, request: Request, body: Message) -> Response:
    """One message of the protocol. What each tool may is its own route's business (openmanager.tools)."""
    response: Response = _server().answer(who, request, body, SHIPPED)
    return response


@router.api_route("/mcp", methods=["GET", "DELETE"], include_in_schema=False)
def no_session(_: Viewer) -> Response:
    """There is no stream to open and no session to end, and clients take this for an answer."""
    refusal = problem(405, "each message is a POST of its own; there is no session")
    refusal.headers["Allow"] = "POST"
    return refusal


def _server() -> Any:
    # With it comes the library `mcp`, half a second of work. Where all functions share a process, it waits until
    # somebody asks; on Lambda it belongs to the start, which has more of the processor.
    return import_module("openmanager.mcp.door")


if "AWS_LAMBDA_FUNCTION_NAME" in os.environ:
    _server()
