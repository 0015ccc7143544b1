"""The Redis protocol (RESP2), as much as the REST front needs: one connection, shared by pipelining."""

import asyncio
from collections import deque
from collections.abc import Sequence
from typing import TypeAlias


class Status(bytes):
    """A simple string such as OK, told apart from stored text."""


class Failure(bytes):
    """An error reply. It is a value here, because a pipeline reports each command's own outcome."""


Reply: TypeAlias = "bytes | int | list[Reply] | None"
Command: TypeAlias = Sequence[bytes]


class StoreAway(Exception):
    """The server cannot be reached, or went away before it answered."""


def encode(commands: Sequence[Command]) -> bytes:
    """Commands in wire form, to be sent in one piece."""
    parts: list[bytes] = []
    for command in commands:
        parts.append(b"*%d\r\n" % len(command))
        parts.extend(b"$%d\r\n%b\r\n" % (len(argument), argument) for argument in command)
    return b"".join(parts)


class Parser:
    """Turns a byte stream into replies; keeps what is incomplete for the next call."""

    def __init__(self) -> None:
        self._buffer = bytearray()
        self._open: list[tuple[int, list[Reply]]] = []  # arrays not yet full, outermost first

    def feed(self, data: bytes) -> list[Reply]:
        """The replies completed by these bytes."""
        buffer, done, start = self._buffer, list[Reply](), 0
        buffer += data
        while (end := buffer.find(b"\r\n", start)) >= 0:
            kind, line, after = buffer[start], bytes(buffer[start + 1 : end]), end + 2
            value: Reply
            if kind == ord("$"):
                size = int(line)
                if size >= 0 and len(buffer) < after + size + 2:
                    break
                value = bytes(buffer[after : after + size]) if size >= 0 else None
                after += size + 2 if size >= 0 else 0
            elif kind == ord("*"):
                size = int(line)
                if size > 0:
                    self._open.append((size, []))
                    start = after
                    continue
                value = [] if size == 0 else None
            elif kind == ord(":"):
                value = int(line)
            else:
                value = Failure(line) if kind == ord("-") else Status(line)
            start = after
            while self._open:
                size, items = self._open[-1]
                items.append(value)
                if len(items) < size:
                    break
                self._open.pop()
                value = items
            else:
                done.append(value)
        del buffer[:start]
        return done


class _Link(asyncio.Protocol):
    """One connection. Replies come in the order of the commands, so a queue matches them."""

    transport: asyncio.WriteTransport

    def __init__(self) -> None:
        self._parser = Parser()
        self._waiting: deque[tuple[asyncio.Future[list[Reply]], int, list[Reply]]] = deque()
        self.lost = False

    def connection_made(self, transport: asyncio.BaseTransport) -> None:
        assert isinstance(transport, asyncio.WriteTransport)
        self.transport = transport

    def data_received(self, data: bytes) -> None:
        for reply in self._parser.feed(data):
            future, expected, replies = self._waiting[0]
            replies.append(reply)
            if len(replies) == expected:
                self._waiting.popleft()
                if not future.done():
                    future.set_result(replies)

    def connection_lost(self, exc: Exception | None) -> None:
        self.lost = True
        for future, _, _ in self._waiting:
            if not future.done():
                future.set_exception(StoreAway(f"the connection was lost: {exc or 'closed by the server'}"))
        self._waiting.clear()

    async def run(self, commands: Sequence[Command]) -> list[Reply]:
        future: asyncio.Future[list[Reply]] = asyncio.get_running_loop().create_future()
        self._waiting.append((future, len(commands), []))
        self.transport.write(encode(commands))
        return await future


class Client:
    """Runs commands over one connection, which is made at the first use and again after a loss.

    Commands given together are written together, so MULTI … EXEC of one caller stays in one piece.
    A command in flight when the connection breaks is not repeated: nobody knows whether it ran.
    """

    def __init__(self, host: str, port: int, password: str) -> None:
        self._address = (host, port)
        self._password = password
        self._link: _Link | None = None
        self._connecting = asyncio.Lock()

    async def run(self, commands: Sequence[Command]) -> list[Reply]:
        """One reply a command, in order. Raises StoreAway."""
        return await (await self._connected()).run(commands) if commands else []

    async def _connected(self) -> _Link:
        async with self._connecting:
            if self._link is None or self._link.lost:
                try:
                    loop = asyncio.get_running_loop()
                    _, link = await loop.create_connection(_Link, *self._address)
                except OSError as error:
                    raise StoreAway(f"no connection: {error}") from None
                (answer,) = await link.run([[b"AUTH", self._password.encode()]])
                if isinstance(answer, Failure):
                    link.transport.close()
                    raise StoreAway(answer.decode())
                self._link = link
            return self._link

    def close(self) -> None:
        """Drop the connection."""
        if self._link is not None:
            self._link.transport.close()
