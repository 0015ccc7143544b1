"""The SDK of the older protocol (mcp 1.x) at an address: lists everything, calls the tools of standard input.

`python older.py URL`, with the credential in OPENMANAGER_TOKEN; on standard output {"tools": […], "called": {…}, …}.
It runs in an environment of its own, and imports nothing of ours.
"""

# Types are looked up in the SDK that is installed, which is the newer one.
# mypy: ignore-errors

import asyncio
import json
import os
import sys
from typing import Any

from mcp import ClientSession
from mcp.client.streamable_http import streamablehttp_client


async def visit(url: str, calls: dict[str, dict[str, Any]]) -> dict[str, Any]:
    headers = {"Authorization": f"Bearer {os.environ['OPENMANAGER_TOKEN']}"}
    async with streamablehttp_client(url, headers=headers) as (read, write, _), ClientSession(read, write) as session:
        begun = await session.initialize()
        tools = (await session.list_tools()).tools
        called = {name: await session.call_tool(name, arguments) for name, arguments in calls.items()}
        resources = (await session.list_resources()).resources
        prompts = (await session.list_prompts()).prompts
        read_one = await session.read_resource(resources[0].uri)
        return {
            "version": begun.protocolVersion,
            "tools": [tool.name for tool in tools],
            "called": {name: [result.isError, bool(result.structuredContent)] for name, result in called.items()},
            "read": len(read_one.contents[0].text),
            "prompts": [prompt.name for prompt in prompts],
        }


if __name__ == "__main__":
    sys.stdout.write(json.dumps(asyncio.run(visit(sys.argv[1], json.load(sys.stdin)))))
