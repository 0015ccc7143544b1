"""/api/mcp…: outside MCP servers and their tools; the same for other functions, which invoke this one directly."""

from importlib import import_module
from typing import Annotated, Any

from openmanager.json_body import json_object
from openmanager.sidecar import described
from openmanager.web import Depends, Path, Viewer, bounded_body, create_app, documented, lambda_handler

from functions.mcp import protocol

Body = Annotated[bytes, Depends(bounded_body(64 << 10))]
Server = Annotated[str, Path(json_schema_extra=described.NAME)]
Tool = Annotated[str, Path(json_schema_extra=described.NAME)]

app = create_app("mcp")
app.include_router(protocol.router)


@app.get("/api/mcp/servers")
def list_servers(_: Viewer) -> dict[str, Any]:
    """The servers of mcp_settings.json, how each is run here and how it is. Starts none."""
    return {"servers": _sidecar().servers()}


@app.get("/api/mcp/tools")
def list_tools(_: Viewer) -> dict[str, Any]:
    """The tools that may be called and by whom, and the servers that failed. Starts the servers that do not run."""
    return described.tools(_sidecar().tools())


@app.post("/api/mcp/tools/{server}/{tool}", responses=described.PROBLEMS, openapi_extra=documented(described.ARGUMENTS))
def call_tool(who: Viewer, server: Server, tool: Tool, body: Body) -> dict[str, Any]:
    """Call a tool. What only reads our own data is for all readers, everything else for operators, and audited."""
    return described.result(_sidecar().call(server, tool, described.read(json_object(body)), who))


def _sidecar() -> Any:
    # With it come the clients of the library `mcp`, for those alone who ask an outside server.
    return import_module("openmanager.sidecar.service")


_http = lambda_handler(app)


def handler(event: dict[str, Any], context: Any) -> Any:
    """A request, or what another function asks (openmanager.sidecar.invoke)."""
    if "mcp" in event:
        return import_module("openmanager.sidecar.event").answer(event)
    return _http(event, context)
