"""The live feed with many readers: how old a value is when it reaches them, and what a reader costs.

Three processes, as in life: stores and senders here, the stream's door, and the readers. A value's network column holds
the time at which it was pushed, so that every reader can tell its age. The looks are a second apart.
"""

import asyncio
import json
import os
import subprocess
import sys
import time
from collections.abc import Iterator
from contextlib import contextmanager

import numpy as np
import psutil
from openmanager.settings import settings
from openmanager.stores.pushes import store_pushes
from openmanager.telemetry.samples import Push, Samples

from infra.local.process import free_port, listen
from infra.local.stack import Upstash
from tests.bench.commands import stores
from tests.bench.output import say

READERS, LAZY, SERVERS, EVERY_S, SECONDS = 1_000, 50, 200, 5.0, 20.0
# Of so many readers one looks at what it gets.
PARSING = 20
KEY = "bench-key-0123456789abcdef"
SERIES = ("cpu_utilization", "memory_used_effective", "load_5m", "network_receive_bytes")
_HEAD = f"GET /api/stream HTTP/1.1\r\nHost: localhost\r\nAuthorization: Bearer {KEY}\r\n\r\n".encode()


def main(readers: int = READERS) -> None:
    """Print the table."""
    with stores() as redis:
        os.environ.update(
            OPENMANAGER_API_KEY=KEY, OPENMANAGER_STREAM_POLL_S="1", OPENMANAGER_STREAM_WINDOW_S="900",
            OPENMANAGER_REQUEST_LIMIT="1000000",
        )  # fmt: skip
        settings.cache_clear()
        with door() as (port, server):
            say(f"The live feed: {SERVERS} servers push every {EVERY_S:g} s, a look a second, {SECONDS:g} s measured")
            say("  readers  not reading   p50 s   p95 s   p99 s   values/s   KB a reader   door's CPU   commands/s")
            base = measure(redis, port, server, 1, 0, 0)
            measure(redis, port, server, readers, 0, base)
            measure(redis, port, server, readers, LAZY, base)
            say("  commands are the looks; a push is one more, watched or not")


@contextmanager
def door() -> Iterator[tuple[int, psutil.Process]]:
    """The stream's function under its own server."""
    port = free_port()
    with subprocess.Popen([sys.executable, "-m", "tests.bench.feed", "serve", str(port)]) as process:
        try:
            while True:
                try:
                    asyncio.run(_touch(port))
                    break
                except OSError:
                    time.sleep(0.1)
            yield port, psutil.Process(process.pid)
        finally:
            process.kill()


async def _touch(port: int) -> None:
    _, writer = await asyncio.open_connection("127.0.0.1", port)
    writer.close()


def measure(redis: Upstash, port: int, server: psutil.Process, readers: int, lazy: int, base_bytes: int) -> int:
    """One row; what the door's process holds with these readers."""
    command = [sys.executable, "-m", "tests.bench.feed", "read", str(port), str(readers), str(lazy)]
    with subprocess.Popen(command, stdin=subprocess.PIPE, stdout=subprocess.PIPE, text=True) as clients:
        assert clients.stdout is not None
        clients.stdout.readline()
        redis.reset_stats()
        cpu, began = sum(server.cpu_times()[:2]), time.monotonic()
        pushes = push_for(SECONDS)
        spent_s = time.monotonic() - began
        looks = redis.stats()["commands"] - pushes
        busy = (sum(server.cpu_times()[:2]) - cpu) / spent_s
        held: int = server.memory_info().rss
        told = json.loads(clients.communicate("\n")[0])
    each = f"{(held - base_bytes) / 1024 / readers:10.0f}" if base_bytes else "         –"
    p50, p95, p99 = told["ages"]
    say(
        f"{readers:9}{lazy:13}{p50:8.2f}{p95:8.2f}{p99:8.2f}{told['values'] / spent_s:11.0f}    {each}"
        f"{busy:13.0%}{looks / spent_s:13.2f}"
    )
    return held


def push_for(seconds: float) -> int:
    """Push as a fleet does, one request a server; how many there were."""
    began, count = time.monotonic(), 0
    while (now := time.monotonic() - began) < seconds:
        due = count * EVERY_S / SERVERS
        if due > now:
            time.sleep(due - now)
        at = int(time.time() * 1000)
        row = np.array([[90.0 if count // SERVERS % 2 else 10.0, 50.0, 1.0, float(at % 100_000_000)]])
        samples = Samples(SERIES, np.array([at], np.int64), row, np.zeros(1, np.bool_))
        store_pushes([Push(f"server-{count % SERVERS:03}", samples)], at)
        count += 1
    return count


async def read(port: int, readers: int, lazy: int) -> None:
    """Read until a line comes in; then print the ages of all values that came."""
    ages: list[float] = []
    held = [await asyncio.open_connection("127.0.0.1", port) for _ in range(lazy)]
    for _, writer in held:
        writer.write(_HEAD)
        # It asks, and never reads what it gets.
        writer.transport.pause_reading()  # type: ignore[attr-defined]

    async def one(parses: bool) -> None:
        lines, writer = await asyncio.open_connection("127.0.0.1", port, limit=1 << 22)
        writer.write(_HEAD)
        name = ""
        if not parses:
            await lines.readuntil(b"event: ")
            begun.release()
            while await lines.read(1 << 16):
                pass
        while line := await lines.readline():
            if line.startswith(b"event: "):
                name = line[7:].decode().strip()
                begun.release()
            elif line.startswith(b"data: ") and name == "metrics":
                told = json.loads(line[6:])
                now = int(time.time() * 1000) % 100_000_000
                if not told["key"]:
                    ages.extend((now - values[5]) / 1000 for values in told["servers"].values())

    begun = asyncio.Semaphore(0)
    # Reading JSON for all of them would measure this process, which is no part of the feed.
    tasks = [asyncio.create_task(one(i % PARSING == 0)) for i in range(readers)]
    for _ in range(readers):
        await begun.acquire()
    sys.stdout.write("\n")
    sys.stdout.flush()
    ages.clear()
    await asyncio.to_thread(sys.stdin.readline)
    for task in tasks:
        task.cancel()
    found = [round(float(q), 3) for q in np.quantile(ages, [0.5, 0.95, 0.99])]
    sys.stdout.write(json.dumps({"ages": found, "values": len(ages) * min(PARSING, readers)}))


def serve(port: int) -> None:
    """The stream's function alone."""
    import uvicorn

    from functions.stream.handler import app

    config = uvicorn.Config(app, lifespan="off", log_level="warning", access_log=False, timeout_graceful_shutdown=1)
    uvicorn.Server(config).run([listen("127.0.0.1", port)])


if __name__ == "__main__":
    if sys.argv[1] == "serve":
        serve(int(sys.argv[2]))
    else:
        asyncio.run(read(*(int(argument) for argument in sys.argv[2:])))
