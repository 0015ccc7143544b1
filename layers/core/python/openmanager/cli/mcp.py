"""`mcp`: our MCP server over standard input and output, for clients that start their servers themselves."""

import argparse

DESCRIPTION = """Speaks the Model Context Protocol over standard input and output, for a client that starts its servers
itself. Each message goes to a running installation, whose roles, limits and audit log hold.

It is found by OPENMANAGER_URL and OPENMANAGER_TOKEN (an API key, or a token); without them it is the one that runs on
the data folder (OPENMANAGER_DATA), as its administrator.
"""
EXAMPLES = """examples, in a host's configuration:
  {"mcpServers": {"openmanager": {"command": "/path/to/openmanager", "args": ["mcp"]}}}

"""


def add(commands: "argparse._SubParsersAction[argparse.ArgumentParser]", exit_codes: str) -> None:
    """Add the command to the others."""
    command = commands.add_parser(
        "mcp",
        help="speak MCP over standard input and output",
        description=DESCRIPTION,
        epilog=EXAMPLES + exit_codes,
        formatter_class=argparse.RawDescriptionHelpFormatter,
    )
    command.set_defaults(run=run)


def run(_: argparse.Namespace) -> None:
    """Raises OpenManagerError."""
    import os
    import sys
    from io import TextIOWrapper
    from pathlib import Path

    from openmanager.mcp.stdio import Bridge, find

    url, token = find(os.environ, Path(os.environ.get("OPENMANAGER_DATA") or ".openmanager"))
    for stream in (sys.stdin, sys.stdout):
        # The protocol is UTF-8, whatever the locale says.
        if isinstance(stream, TextIOWrapper):
            stream.reconfigure(encoding="utf-8", errors="replace")
    bridge = Bridge(url, token, sys.stdout)
    bridge.check()
    bridge.serve(sys.stdin)
