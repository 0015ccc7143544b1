"""One outside server: connected to when it is first asked, kept, and connected to anew when it has gone."""

import asyncio
import logging
from collections.abc import Awaitable, Callable
from typing import Any, TypeVar

import mcp_types
from mcp import Client, MCPError

from openmanager.errors import NotFound, ServerFailed, ServerTimedOut, TooManyRequests
from openmanager.sidecar.child import Life, child
from openmanager.sidecar.remote import remote
from openmanager.sidecar.servers import bundled
from openmanager.sidecar.settings import Server, hide
from openmanager.sidecar.way import Way

_ABOUT = mcp_types.Implementation(name="openmanager", version="0.1.0")
# Of a list in pages.
_MOST_PAGES = 10
# What the library says of a session that a remote server has forgotten; its code is that of any invalid request.
_FORGOTTEN = "Session terminated"
_LONGEST_REASON = 500
T = TypeVar("T")

log = logging.getLogger(__name__)


class Connection:
    """A server and the way it is run. All methods belong to one event loop."""

    def __init__(self, server: Server, way: Way) -> None:
        self.server = server
        self.way = way
        # Why the last attempt to connect failed, for whoever lists the servers.
        self.failure = ""
        self._life = Life(over=True)
        self._opening = asyncio.Lock()
        self._client: Client | None = None
        self._listed: dict[str, mcp_types.Tool] = {}
        self._stop = asyncio.Event()
        self._holder: asyncio.Task[None] | None = None
        self._running = 0

    @property
    def connected(self) -> bool:
        """Whether the next call finds an open connection."""
        return self._client is not None and not self._life.over

    @property
    def pid(self) -> int | None:
        """Of the child that serves; None where there is none."""
        return self._life.pid or None if self.connected else None

    async def tools(self) -> dict[str, mcp_types.Tool]:
        """The server's tools that the settings allow. Raises as `call` does."""
        return await self._within(self._tools, "tools/list", repeatable=True)

    async def call(self, tool: str, arguments: dict[str, Any]) -> mcp_types.CallToolResult:
        """A tool's answer. Raises NotFound, ServerFailed, ServerTimedOut and TooManyRequests.

        A tool that only reads is called again, once, if the server goes meanwhile.
        """

        async def ask(client: Client) -> mcp_types.CallToolResult:
            if tool not in await self._tools(client):
                raise NotFound(f"{self.server.name} has no tool {tool!r}, or the settings do not allow it")
            return await client.call_tool(tool, arguments)

        return await self._within(ask, tool, repeatable=tool in self.way.readers)

    async def close(self) -> None:
        """End the connection, and the child with it."""
        holder = self._holder
        # Before we wait, for others may come meanwhile and connect anew.
        self._client, self._holder, self._listed = None, None, {}
        self._stop.set()
        if holder:
            await asyncio.wait({holder})

    async def _within(self, ask: Callable[[Client], Awaitable[T]], what: str, *, repeatable: bool) -> T:
        name, limit_s = self.server.name, self.server.timeout_s
        if self._running >= self.server.max_calls:
            raise TooManyRequests(f"{name}: {self._running} calls are going on, as many as may", 1)
        self._running += 1
        try:
            async with asyncio.timeout(limit_s):
                return await self._asked(ask, repeatable)
        except TimeoutError:
            if self._running == 1:
                # It may hang for good; if it does not, nobody else is waiting for it.
                await self.close()
            raise ServerTimedOut(f"{name}: no answer to {what} within {limit_s:g} s") from None
        except MCPError as error:
            raise ServerFailed(f"{name}: {self._shown(error.message)}") from error
        finally:
            self._running -= 1

    async def _asked(self, ask: Callable[[Client], Awaitable[T]], repeatable: bool) -> T:
        for last in (False, True):
            client = await self._open()
            try:
                return await ask(client)
            except MCPError as error:
                closed = self._life.over or error.code == mcp_types.CONNECTION_CLOSED
                if not closed and error.message != _FORGOTTEN:
                    raise
                await self.close()
                if last or not repeatable:
                    raise ServerFailed(f"{self.server.name}: ended while it was asked{self._because()}") from error
            except (NotFound, TimeoutError):
                raise
            except Exception as error:
                # Pydantic's and the library's own, of an answer that is none.
                log.info("mcp server %s: %s", self.server.name, type(error).__name__)
                raise ServerFailed(f"{self.server.name}: its answer is out of form") from error
        raise AssertionError("the second attempt returns or raises")

    async def _open(self) -> Client:
        """The client, connected. Raises ServerFailed."""
        async with self._opening:
            if self._client is not None and not self._life.over:
                return self._client
            await self.close()
            self._life, self._stop = Life(), asyncio.Event()
            opened: asyncio.Future[Client] = asyncio.get_running_loop().create_future()
            self._holder = asyncio.create_task(self._hold(opened, self._life, self._stop))
            try:
                self._client = await opened
            except asyncio.CancelledError:
                self._holder.cancel()
                raise
            except Exception as error:
                await self.close()
                self.failure = f"did not start{self._because(error)}"
                log.warning("mcp server %s: %s", self.server.name, self.failure)
                raise ServerFailed(f"{self.server.name}: {self.failure}") from error
            self.failure = ""
            return self._client

    async def _hold(self, opened: asyncio.Future[Client], life: Life, stop: asyncio.Event) -> None:
        """The connection from its beginning to its end, in one task, as the library wants it."""
        try:
            async with Client(self._transport(life), client_info=_ABOUT, cache=None) as client:
                opened.set_result(client)
                await stop.wait()
        except Exception as error:
            if not opened.done():
                opened.set_exception(error)
            if not isinstance(_first(error), MCPError):
                life.why = life.why or type(_first(error)).__name__
        finally:
            life.over = True

    def _transport(self, life: Life) -> Any:
        if self.way.kind == "bundled":
            return bundled(self.way)
        if self.way.kind == "http":
            return remote(self.server)
        return child(self.way, life)

    async def _tools(self, client: Client) -> dict[str, mcp_types.Tool]:
        if not self._listed:
            found: list[mcp_types.Tool] = []
            cursor = None
            for _ in range(_MOST_PAGES):
                page = await client.list_tools(cursor=cursor)
                found += page.tools
                cursor = page.next_cursor
                if cursor is None:
                    break
            allowed = self.way.allowed
            self._listed = {tool.name: tool for tool in found if allowed is None or tool.name in allowed}
        return self._listed

    def _because(self, error: Exception | None = None) -> str:
        """Why, as far as it is known, and the last lines that the server wrote; without secrets."""
        error = error and _first(error)
        if isinstance(error, OSError) and not self._life.pid:
            reason = f"{self.way.command}: {error.strerror}" if self.way.command else type(error).__name__
        else:
            reason = self._life.why or (str(error) if isinstance(error, MCPError) else "")
            if self._life.complaints:
                reason = f"{reason or 'no reason given'}; it wrote: {'; '.join(self._life.complaints)}"
        return f": {self._shown(reason)}" if reason else ""

    def _shown(self, text: str) -> str:
        line = " ".join(hide(text, self.server.secrets).split())
        return line if len(line) <= _LONGEST_REASON else f"{line[:_LONGEST_REASON]}…"


def _first(error: Exception) -> Exception:
    while isinstance(error, ExceptionGroup):
        error = error.exceptions[0]
    return error
