"""Faults between the functions and their stores, and the count of what came through them."""

import http.client
import json
import random
import threading
import time
from collections.abc import Callable, Iterator
from contextlib import contextmanager, suppress
from dataclasses import dataclass
from email.utils import formatdate
from http.server import BaseHTTPRequestHandler, ThreadingHTTPServer
from typing import Any
from urllib.parse import urlsplit

import psycopg
from openmanager import archive, intake
from openmanager.errors import StoreUnavailable
from openmanager.settings import settings
from openmanager.stores import history
from openmanager.stores.segments import BACKLOG, read_server_frames, segments_between
from openmanager.telemetry.samples import merge

from functions.ingest.handler import handler as ingest
from infra.local.postgres import Postgres
from tests.events import invoke

Asked = Callable[[int, bytes], None]
# Headers that belong to one connection and not to the message (RFC 9110, 7.6.1), and what http.client sets itself.
_OF_ONE_LINE = ("Connection", "Keep-Alive", "Transfer-Encoding", "Content-Length", "Host")


class Door(ThreadingHTTPServer):
    """Stands before the REST front, or another server that is sent POSTs, and does to each what `fault` says.

    `before` and `after` are called with the caller's port and the body, before it is handed on and once it was done;
    `answered` with the status, the headers that came and the body, once the caller has been answered. With `off_s` its
    answers are dated by a clock that is so many seconds off.
    """

    daemon_threads = True
    block_on_close = False

    def __init__(self, upstream: str) -> None:
        self.upstream = urlsplit(upstream)
        self.fault = ""
        self.healed = threading.Event()
        self.off_s = 0.0
        self.before: Asked = lambda *_: None
        self.after: Asked = lambda *_: None
        self.answered: Callable[[int, dict[str, str], bytes], None] = lambda *_: None
        door = self

        class Handler(BaseHTTPRequestHandler):
            protocol_version = "HTTP/1.1"
            disable_nagle_algorithm = True
            wbufsize = -1

            def do_POST(self) -> None:
                body = self.rfile.read(int(self.headers["Content-Length"]))
                if door.fault == "refuses":
                    self.close_connection = True
                    return
                if door.fault == "is slow":
                    door.healed.wait(5)
                if door.fault == "answers 502 pages":
                    self.answer(502, {"Content-Type": "text/html"}, b"<html>Bad Gateway</html>")
                    return
                door.before(self.client_address[1], body)
                status, headers, answer = door.forward(self.path, dict(self.headers), body)
                door.after(self.client_address[1], body)
                if door.fault == "loses its answers":
                    self.close_connection = True
                elif door.fault == "cuts its answers short":
                    self.answer(status, headers, answer, len(answer) // 2)
                    self.close_connection = True
                else:
                    self.answer(status, headers, answer)
                    door.answered(status, dict(self.headers), body)

            def answer(self, status: int, headers: dict[str, str], body: bytes, cut: int | None = None) -> None:
                self.send_response_only(status)
                if door.off_s:
                    headers = {name: value for name, value in headers.items() if name.title() != "Date"}
                    headers["Date"] = formatdate(time.time() + door.off_s, usegmt=True)
                for name, value in (headers | {"Content-Length": str(len(body))}).items():
                    self.send_header(name, value)
                self.end_headers()
                self.wfile.write(body[:cut])

            def handle_one_request(self) -> None:
                try:
                    super().handle_one_request()
                except (OSError, http.client.HTTPException):
                    # The caller has gone, or what stands behind.
                    self.close_connection = True

            def log_message(self, *_: object) -> None:
                pass

        super().__init__(("127.0.0.1", 0), Handler)

    @property
    def url(self) -> str:
        return f"http://127.0.0.1:{self.server_port}"

    def forward(self, path: str, headers: dict[str, str], body: bytes) -> tuple[int, dict[str, str], bytes]:
        connection = http.client.HTTPConnection(str(self.upstream.hostname), self.upstream.port or 80, timeout=30)
        kept = {name: value for name, value in headers.items() if name.title() not in _OF_ONE_LINE}
        try:
            connection.request("POST", path, body, kept)
            answer = connection.getresponse()
            given = {name: value for name, value in answer.headers.items() if name.title() not in _OF_ONE_LINE}
            return answer.status, given, answer.read()
        finally:
            connection.close()


@contextmanager
def door(upstream: str) -> Iterator[Door]:
    server = Door(upstream)
    thread = threading.Thread(target=server.serve_forever, args=(0.01,))
    thread.start()
    try:
        yield server
    finally:
        server.healed.set()
        server.shutdown()
        thread.join()
        server.server_close()


class Killed(BaseException):
    """The function died here."""


def dying(work: Callable[..., Any], countdown: list[int], after: bool) -> Callable[..., Any]:
    """`work`, but the process dies before (or just after) its call number `countdown`."""

    def call(*args: Any, **kwargs: Any) -> Any:
        countdown[0] -= 1
        # Calls within this one count on.
        last = countdown[0] == 0
        if last and not after:
            raise Killed
        result = work(*args, **kwargs)
        if last:
            raise Killed
        return result

    return call


@dataclass(frozen=True)
class Count:
    """Samples of one fault: what was sent, what was answered with 200, what of that was found afterwards."""

    fault: str
    sent: int
    acknowledged: int
    found: int


REDIS = ("refuses", "is slow", "answers 502 pages", "loses its answers", "cuts its answers short")


def faults(redis: Door, postgres: Postgres) -> dict[str, tuple[Callable[[], None], Callable[[], None]]]:
    """Name of each fault -> what brings it about, and what heals it."""
    authorization = f"Bearer {settings().redis_token}"

    def begin(fault: str) -> Callable[[], None]:
        def work() -> None:
            redis.healed.clear()
            redis.fault = fault

        return work

    def end() -> None:
        redis.fault = ""
        redis.healed.set()

    def cut() -> None:
        with psycopg.connect(postgres.url, autocommit=True) as c:
            c.execute("SELECT pg_terminate_backend(pid) FROM pg_stat_activity WHERE pid <> pg_backend_pid()")

    def full() -> None:
        redis.forward("/", {"Authorization": authorization}, b'["CONFIG", "SET", "maxmemory", "1"]')

    def cleared() -> None:
        redis.forward("/", {"Authorization": authorization}, b'["CONFIG", "SET", "maxmemory", "0"]')

    def both_away() -> None:
        begin("refuses")()
        postgres.stop()

    def both_back() -> None:
        end()
        postgres.start()

    return {
        "none": (lambda: None, lambda: None),
        **{f"Redis {fault}": (begin(fault), end) for fault in REDIS},
        "Redis is full": (full, cleared),
        "Postgres is away": (postgres.stop, postgres.start),
        "Postgres cuts its connections": (cut, lambda: None),
        "both are away": (both_away, both_back),
    }


PUSHES = 30


def through(
    fault: str, begin: Callable[[], None], end: Callable[[], None], key: str, seed: int, settle: Callable[[], None]
) -> Count:
    """Push through a fault that begins and ends at random places; then count what is there."""
    chance = random.Random(f"{seed} {fault}")
    first, last = sorted(chance.sample(range(3, PUSHES - 3), 2))
    now_ms = int(time.time() * 1000)
    sent: dict[tuple[str, int], float] = {}
    acknowledged: dict[tuple[str, int], float] = {}
    for push in range(PUSHES):
        if push == first:
            begin()
        if push == last:
            end()
            settle()
        server = f"server-{push % 3}"
        instants = [now_ms - push * 1000 - chance.randrange(3_000_000) for _ in range(chance.randrange(1, 8))]
        # The value follows from the instant, so that an instant drawn twice is no contradiction.
        new = {(server, at): at % 1000 / 10 for at in instants}
        sent |= new
        samples = [{"time": at / 1000, "metrics": {"cpu_utilization": value}} for (_, at), value in new.items()]
        body = json.dumps({"server": server, "samples": samples}).encode()
        if invoke(ingest, "POST", "/api/ingest", key=key, body=body).status == 200:
            acknowledged |= new
        if chance.random() < 0.2:
            # What the archive cannot do now it does later; what it must not do is lose anything:
            with suppress(StoreUnavailable):
                archive.run(now_ms + 1)
    settle()
    while intake.refill(now_ms):
        pass
    return Count(fault, len(sent), len(acknowledged), sum(found(now_ms, acknowledged)))


def found(now_ms: int, wanted: dict[tuple[str, int], float]) -> Iterator[bool]:
    """For each wanted sample whether it is stored, hot or cold, with its value."""
    for server in {server for server, _ in wanted}:
        frames = read_server_frames(server, [*segments_between(now_ms - 7_200_000, now_ms), BACKLOG])
        cold = history.read_blocks(server, now_ms - 7_200_000, now_ms)
        table = merge([*(frame.read()[0] for frame in frames), *cold])
        values = dict(zip(table.times.tolist(), table.values[:, 0].tolist(), strict=True)) if len(table) else {}
        yield from (values.get(at) == value for (name, at), value in wanted.items() if name == server)
