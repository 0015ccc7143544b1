"""The sidecar of this process: its servers, kept while it is warm, and what may be asked of them by whom.

Reading tools of our own data, which are those of the two official servers and what the settings name as `readerTools`,
are for all readers. All others need an operator, and are written to the audit log before they are called.
"""

import asyncio
import atexit
import json
import os
import threading
from collections.abc import Coroutine, Mapping
from functools import lru_cache
from pathlib import Path
from typing import Any, TypeVar

import mcp_types

from openmanager.errors import Disabled, Forbidden, InvalidSettings, NotFound, OpenManagerError, ServerFailed
from openmanager.security.roles import Identity
from openmanager.settings import settings
from openmanager.sidecar.answer import Result, ToolInfo, Tools
from openmanager.sidecar.connection import Connection
from openmanager.sidecar.settings import Server, hide, read
from openmanager.sidecar.way import Place, choose

READERS, OPERATORS = ("viewer", "operator", "admin", "auditor"), ("operator", "admin")
_FILE, _RUNBOOKS = "mcp_settings.json", "functions/mcp/runbooks"
# What is told of a tool, whatever its server says.
_MOST_TOOLS, _DESCRIPTION, _SCHEMA = 100, 500, 4000
T = TypeVar("T")

_making = threading.Lock()


def servers() -> list[dict[str, Any]]:
    """Every server of the settings, how it is run here and how it is; starts none."""
    here = sidecar()
    return [_described(server, here.connections[server.name]) for server in here.servers]


def tools() -> Tools:
    """The tools of all servers that are not disabled, which are started if they do not run."""
    here = sidecar()
    asked = [connection for connection in here.connections.values() if not connection.server.disabled]
    answers = here.run(_all_tools(asked))
    told: list[ToolInfo] = []
    failed: dict[str, str] = {}
    for connection, found in zip(asked, answers, strict=True):
        if isinstance(found, OpenManagerError):
            failed[connection.server.name] = str(found)
        else:
            told += [_told(connection, tool) for tool in list(found.values())[:_MOST_TOOLS]]
    return Tools(tuple(told), failed)


def call(server: str, tool: str, arguments: Mapping[str, Any], who: Identity) -> Result:
    """A tool's answer, for whoever asks; raises as `invoke.call` does."""
    here = sidecar()
    connection = here.connections.get(server)
    if connection is None:
        raise NotFound(f"no MCP server {server!r} in the settings")
    if connection.server.disabled:
        raise Disabled(f"{server}: is disabled in the settings")
    if connection.way.allowed is not None and tool not in connection.way.allowed:
        raise NotFound(f"{server} has no tool {tool!r}, or the settings do not allow it")
    roles = _roles(connection, tool)
    if who.role not in roles:
        raise Forbidden(f"{server}/{tool} is for the roles {', '.join(roles)}; yours is {who.role}")
    if roles is OPERATORS:
        # Its driver is slow to load, and readers have no use for it.
        from openmanager.stores import audit

        audit.record("mcp.call", f"{server}/{tool}", None, dict(arguments))
    return _result(connection.server, tool, here.run(_called(connection, tool, dict(arguments))))


def close() -> None:
    """End all connections and children; the next call begins anew, with the settings as they are then."""
    with _making:
        if _made.cache_info().currsize:
            _made().close()
            _made.cache_clear()


class Sidecar:
    """The servers and their connections, which live on an event loop of their own that outlasts an invocation."""

    def __init__(self, found: tuple[Server, ...], place: Place) -> None:
        self._loop = asyncio.SelectorEventLoop()
        self._thread = threading.Thread(target=self._loop.run_forever, name="mcp", daemon=True)
        self._thread.start()
        self.servers = found
        self.connections = {server.name: Connection(server, choose(server, place)) for server in found}

    def run(self, work: Coroutine[Any, Any, T]) -> T:
        """What a coroutine of the loop returns or raises."""
        return asyncio.run_coroutine_threadsafe(work, self._loop).result()

    def close(self) -> None:
        """End everything."""
        self.run(_all_closed(list(self.connections.values())))
        self._loop.call_soon_threadsafe(self._loop.stop)
        self._thread.join()
        self._loop.close()


def sidecar() -> Sidecar:
    """This process's sidecar, made at the first call and kept. Raises InvalidSettings."""
    # Two that come first at once would otherwise each make one.
    with _making:
        return _made()


@lru_cache(maxsize=1)
def _made() -> Sidecar:
    s = settings()
    path = Path(s.mcp_settings) if s.mcp_settings else _shipped(_FILE)
    runbooks = Path(s.runbooks) if s.runbooks else _shipped(_RUNBOOKS)
    try:
        found = read(json.loads(path.read_text()), os.environ)
    except OSError as error:
        raise InvalidSettings(f"OPENMANAGER_MCP_SETTINGS: {path.name}: {error.strerror}") from None
    except ValueError as error:
        raise InvalidSettings(f"{path.name}: is no JSON: {error}") from None
    except InvalidSettings as error:
        raise InvalidSettings(f"{path.name}: {error}") from None
    packages = Path(s.mcp_packages) if s.mcp_packages else path.parent / "node_modules"
    place = Place(packages.absolute(), runbooks.absolute(), s.mcp_downloads, dict(os.environ))
    return Sidecar(found, place)


# Before the interpreter waits for threads: children end with us, also where nobody closes us.
atexit.register(close)


def _shipped(name: str) -> Path:
    """A path at the top of the checkout, or of the function on Lambda."""
    for parent in Path(__file__).resolve().parents:
        if (parent / name).exists():
            return parent / name
    return Path(os.environ.get("LAMBDA_TASK_ROOT", "/var/task")) / name


async def _all_tools(asked: list[Connection]) -> list[dict[str, mcp_types.Tool] | OpenManagerError]:
    async def one(connection: Connection) -> dict[str, mcp_types.Tool] | OpenManagerError:
        try:
            _check(connection)
            return await connection.tools()
        except OpenManagerError as error:
            return error

    return await asyncio.gather(*map(one, asked))


async def _called(connection: Connection, tool: str, arguments: dict[str, Any]) -> mcp_types.CallToolResult:
    _check(connection)
    return await connection.call(tool, arguments)


async def _all_closed(connections: list[Connection]) -> None:
    await asyncio.gather(*(connection.close() for connection in connections))
    await asyncio.get_running_loop().shutdown_default_executor()


def _check(connection: Connection) -> None:
    if connection.server.problem:
        raise ServerFailed(f"{connection.server.name}: {connection.server.problem}")


def _roles(connection: Connection, tool: str) -> tuple[str, ...]:
    return READERS if tool in connection.way.readers else OPERATORS


def _described(server: Server, connection: Connection) -> dict[str, Any]:
    way = connection.way
    trouble = server.problem or connection.failure
    state = "disabled" if server.disabled else "connected" if connection.connected else "failed" if trouble else "idle"
    return {
        "name": server.name,
        "state": state,
        "reason": None if server.disabled else trouble or None,
        "kind": way.kind,
        "package": way.package or None,
        "version": way.version or None,
        "notice": way.note or None,
        "tools": None if way.allowed is None else list(way.allowed),
        "timeout_s": server.timeout_s,
        "max_output_bytes": server.max_output_bytes,
        "max_calls": server.max_calls,
    }


def _told(connection: Connection, tool: mcp_types.Tool) -> ToolInfo:
    schema = tool.input_schema if len(json.dumps(tool.input_schema)) <= _SCHEMA else {"type": "object"}
    description = (tool.description or "")[:_DESCRIPTION]
    return ToolInfo(connection.server.name, tool.name, description, schema, _roles(connection, tool.name))


def _result(server: Server, tool: str, answer: mcp_types.CallToolResult) -> Result:
    most = server.max_output_bytes
    text, cut = _cut(hide("\n".join(map(_text, answer.content)), server.keys), most)
    structured = _without(answer.structured_content, server.keys)
    if structured is not None and len(json.dumps(structured)) > most:
        structured, cut = None, True
    return Result(server.name, tool, text, structured, bool(answer.is_error), cut)


def _without(value: Any, keys: tuple[str, ...]) -> Any:
    """A JSON value without a server's keys, which it may have been made to tell."""
    if isinstance(value, str):
        return hide(value, keys)
    if isinstance(value, list):
        return [_without(item, keys) for item in value]
    if isinstance(value, dict):
        return {hide(name, keys): _without(item, keys) for name, item in value.items()}
    return value


def _text(block: Any) -> str:
    """A block of an answer as text; of pictures and sounds only what they are."""
    if isinstance(block, mcp_types.TextContent):
        return block.text
    if isinstance(block, mcp_types.EmbeddedResource) and isinstance(block.resource, mcp_types.TextResourceContents):
        return block.resource.text
    if isinstance(block, mcp_types.ResourceLink):
        return f"[{block.name}: {block.uri}]"
    kind = getattr(block, "mime_type", None) or getattr(getattr(block, "resource", None), "mime_type", None)
    return f"[{kind or block.type}: not shown]"


def _cut(text: str, most: int) -> tuple[str, bool]:
    octets = text.encode(errors="replace")
    if len(octets) <= most:
        return octets.decode(), False
    kept = octets[:most].decode(errors="ignore")
    return f"{kept}\n[cut here: the answer has {len(octets)} bytes, of which {most} are shown]", True
