"""A server as a child of ours: started, spoken to line by line, ended with all that it started.

The library's own client waits for a line however long it is, and passes the child's complaints through to our log.
Here a line is bounded, and the last complaints are kept to say why a server failed.
"""

import os
import signal
from collections import deque
from collections.abc import AsyncGenerator
from contextlib import asynccontextmanager, suppress
from dataclasses import field

import anyio
import mcp_types
from anyio.abc import ByteReceiveStream, Process
from anyio.streams.memory import MemoryObjectReceiveStream, MemoryObjectSendStream
from mcp.shared.message import SessionMessage

from openmanager.sidecar.way import Way
from openmanager.values import mutable

# What a line may have at most: an answer as long as one may be allowed, as text and as JSON with signs escaped, twice.
MOST_BYTES = 8 << 20
# A server that is no longer spoken to may end by itself, then is asked to, then is not asked.
_GRACE_S, _TERM_S = 0.5, 1.0
# Of a server that has closed its output, until it is known how it ended.
_STATUS_S = 0.2
# All that a child knows of us: where programs and its user's files are. The rest of our environment is our business.
_KEPT = ("HOME", "LANG", "LC_ALL", "LOGNAME", "PATH", "SHELL", "SYSTEMROOT", "TEMP", "TMPDIR", "USER")

Message = SessionMessage | Exception
Streams = tuple[MemoryObjectReceiveStream[Message], MemoryObjectSendStream[SessionMessage]]


@mutable
class Life:
    """What is known of a child: its process, whether it is spoken to, and why not."""

    pid: int = 0
    over: bool = False
    why: str = ""
    complaints: deque[str] = field(default_factory=lambda: deque(maxlen=8))


@asynccontextmanager
async def child(way: Way, life: Life) -> AsyncGenerator[Streams, None]:
    """A running server's two streams. Raises OSError if it cannot be started."""
    env = {name: os.environ[name] for name in _KEPT if name in os.environ} | dict(way.env)
    process = await anyio.open_process([way.command, *way.args], env=env, cwd=way.cwd, start_new_session=True)
    life.pid = process.pid
    into, read = anyio.create_memory_object_stream[Message](0)
    write, out_of = anyio.create_memory_object_stream[SessionMessage](0)
    async with anyio.create_task_group() as tasks:
        tasks.start_soon(_listen, process, into, life)
        tasks.start_soon(_speak, process, out_of)
        tasks.start_soon(_note, process, life)
        try:
            yield read, write
        finally:
            life.over = True
            with anyio.CancelScope(shield=True):
                await _end(process)
                for stream in (into, read, write, out_of):
                    stream.close()
            tasks.cancel_scope.cancel()


async def _listen(process: Process, into: MemoryObjectSendStream[Message], life: Life) -> None:
    assert process.stdout
    with into:
        try:
            async for line in _lines(process.stdout):
                await into.send(_parsed(line))
            with anyio.move_on_after(_STATUS_S):
                status = await process.wait()
                life.why = f"ended by signal {-status}" if status < 0 else f"ended with status {status}"
        except ValueError as error:
            life.why = str(error)
        except (anyio.BrokenResourceError, anyio.ClosedResourceError):
            return
        life.over = True


async def _lines(stream: ByteReceiveStream) -> AsyncGenerator[bytes, None]:
    """Raises ValueError at a line that is too long."""
    waiting: list[bytes] = []
    size = 0
    async for chunk in stream:
        *whole, rest = chunk.split(b"\n")
        for line in whole:
            yield b"".join((*waiting, line))
            waiting, size = [], 0
        waiting.append(rest)
        size += len(rest)
        if size > MOST_BYTES:
            raise ValueError(f"said more than {MOST_BYTES >> 20} MiB at once")


def _parsed(line: bytes) -> Message:
    try:
        return SessionMessage(mcp_types.jsonrpc_message_adapter.validate_json(line, by_name=False))
    except ValueError as error:
        return error


async def _speak(process: Process, out_of: MemoryObjectReceiveStream[SessionMessage]) -> None:
    assert process.stdin
    # Who does not listen any more has ended, which `_listen` notices.
    with out_of, suppress(OSError, anyio.BrokenResourceError, anyio.ClosedResourceError):
        async for message in out_of:
            await process.stdin.send(
                message.message.model_dump_json(by_alias=True, exclude_unset=True).encode() + b"\n"
            )


async def _note(process: Process, life: Life) -> None:
    assert process.stderr
    with suppress(ValueError, anyio.BrokenResourceError, anyio.ClosedResourceError):
        async for line in _lines(process.stderr):
            if text := line.decode(errors="replace").strip():
                life.complaints.append(text[:300])


async def _end(process: Process) -> None:
    """End a child: close its input, then signals to it and to whatever it started."""
    assert process.stdin
    with suppress(OSError, anyio.BrokenResourceError, anyio.ClosedResourceError):
        await process.stdin.aclose()
    for patience_s, number in ((_GRACE_S, signal.SIGTERM), (_TERM_S, signal.SIGKILL)):
        with anyio.move_on_after(patience_s):
            await process.wait()
        with suppress(ProcessLookupError, PermissionError):
            os.killpg(process.pid, number)
    await process.aclose()
