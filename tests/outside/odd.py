"""An MCP server by hand, without any library, that does what servers should not: hang, end, shout, talk nonsense."""

import json
import os
import sys
import time
from pathlib import Path
from typing import Any

TOOLS = ("echo", "environment", "pid", "sleep", "end", "end_once", "shout", "nonsense", "odd_content")


def tool(name: str, arguments: dict[str, Any]) -> dict[str, Any]:
    if name == "sleep":
        time.sleep(arguments["seconds"])
    elif name == "end":
        sys.stderr.write(f"giving up, the token is {os.environ.get('TOKEN')}\n")
        os._exit(3)
    elif name == "end_once" and not Path(arguments["mark"]).exists():
        Path(arguments["mark"]).touch()
        os._exit(3)
    elif name == "nonsense":
        return {"content": 7}
    elif name == "odd_content":
        picture = {"type": "image", "data": "AAAA", "mimeType": "image/png"}
        return {"content": [picture, {"type": "text", "text": "a picture"}]}
    text = json.dumps(dict(os.environ) if name == "environment" else arguments)
    if name == "pid":
        text = str(os.getpid())
    elif name == "shout":
        text = arguments.get("sign", "x") * arguments["times"]
    return {"content": [{"type": "text", "text": text}], "isError": name == "echo" and "error" in arguments}


def answer(method: str, params: dict[str, Any]) -> dict[str, Any]:
    if method == "initialize":
        about = {"name": "odd", "version": "1"}
        return {"protocolVersion": params["protocolVersion"], "capabilities": {"tools": {}}, "serverInfo": about}
    if method == "tools/list":
        return {"tools": [{"name": name, "inputSchema": {"type": "object"}} for name in TOOLS]}
    if method == "tools/call":
        return tool(params["name"], params.get("arguments", {}))
    raise LookupError(method)


def main() -> None:
    if "--fail" in sys.argv:
        sys.stderr.write(f"no access with {os.environ['TOKEN']}\n")
        sys.exit(1)
    for line in sys.stdin:
        message = json.loads(line)
        if "id" not in message:
            continue
        reply: dict[str, Any] = {"jsonrpc": "2.0", "id": message["id"]}
        try:
            reply["result"] = answer(message["method"], message.get("params", {}))
        except LookupError:
            reply["error"] = {"code": -32601, "message": "Method not found"}
        sys.stdout.write(json.dumps(reply) + "\n")
        sys.stdout.flush()
    if "--stay" in sys.argv:
        time.sleep(3600)


if __name__ == "__main__":
    main()
