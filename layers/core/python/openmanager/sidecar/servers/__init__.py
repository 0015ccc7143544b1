"""MCP servers that come along, for where the official npm ones are not installed: runbooks to read, and a memory.

They have the same tools, and run in our own process: no child, and nothing that would have to be told a secret.
"""

from mcp.server import Server

from openmanager.sidecar.servers.files import Files
from openmanager.sidecar.servers.memory import tools as memory_tools
from openmanager.sidecar.servers.serve import serve
from openmanager.sidecar.way import FILESYSTEM, Way


def bundled(way: Way) -> Server:
    """Ours in the place of an official one."""
    if way.package == FILESYSTEM:
        return serve("openmanager-files", Files(way.folders).tools())
    return serve("openmanager-memory", memory_tools())
