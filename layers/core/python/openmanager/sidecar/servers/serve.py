"""Tools as an MCP server."""

import asyncio
from collections.abc import Mapping
from typing import Any

import mcp_types
from jsonschema import Draft202012Validator
from mcp import MCPError
from mcp.server import Server

from openmanager.errors import InvalidInput, InvalidSettings, OpenManagerError, StoreUnavailable
from openmanager.sidecar.servers.tool import Tool


def serve(name: str, tools: Mapping[str, Tool]) -> Server:
    """A server of these tools. What a tool refuses is its answer; a store that is away is the server's failure."""
    listed = [_described(tool_name, tool) for tool_name, tool in tools.items()]

    async def on_list_tools(_context: Any, _params: Any) -> mcp_types.ListToolsResult:
        return mcp_types.ListToolsResult(tools=listed)

    async def on_call_tool(_context: Any, params: mcp_types.CallToolRequestParams) -> mcp_types.CallToolResult:
        tool = tools.get(params.name)
        if tool is None:
            raise MCPError(mcp_types.INVALID_PARAMS, f"no tool {params.name!r}")
        try:
            arguments = params.arguments or {}
            _check(tool, arguments)
            # Files and stores keep whoever asks them waiting.
            said = await asyncio.to_thread(tool.run, arguments)
        except StoreUnavailable as error:
            store, _, _ = str(error).partition(":")
            raise MCPError(mcp_types.INTERNAL_ERROR, f"{store} does not answer") from error
        except InvalidSettings as error:
            raise MCPError(mcp_types.INTERNAL_ERROR, str(error)) from error
        except OpenManagerError as error:
            return mcp_types.CallToolResult(content=[_text(str(error))], is_error=True)
        return mcp_types.CallToolResult(content=[_text(said.text)], structured_content=said.structured)

    return Server(name, version="0.1.0", on_list_tools=on_list_tools, on_call_tool=on_call_tool)


def _described(name: str, tool: Tool) -> mcp_types.Tool:
    hints = mcp_types.ToolAnnotations(read_only_hint=tool.reads, open_world_hint=False)
    return mcp_types.Tool(name=name, description=tool.description, input_schema=tool.schema(), annotations=hints)


def _check(tool: Tool, arguments: Mapping[str, Any]) -> None:
    for error in Draft202012Validator(tool.schema()).iter_errors(arguments):
        raise InvalidInput(error.json_path.removeprefix("$.") or "arguments", error.message[:300])


def _text(text: str) -> mcp_types.TextContent:
    return mcp_types.TextContent(type="text", text=text)
