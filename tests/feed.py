"""Readers of the live feed for tests: what its events must look like, and a server of our own to read from."""

import asyncio
import http.client
import json
import threading
from collections.abc import Iterator
from contextlib import contextmanager
from dataclasses import dataclass, field
from functools import lru_cache
from pathlib import Path
from typing import Any, Self

import jsonschema_rs
import uvicorn

from functions.stream.handler import app
from infra.local.process import listen
from tests.live import PATIENCE_S

SCHEMA = Path(__file__).parents[1] / "infra/clients/feed.schema.json"


@dataclass(frozen=True)
class Event:
    """One server-sent event."""

    name: str
    id: str
    data: Any


@dataclass
class Parser:
    """Events out of octets, however they are cut; each is held against the schema."""

    rest: bytes = b""
    comments: int = 0
    fields: dict[str, str] = field(default_factory=dict)

    def push(self, octets: bytes) -> list[Event]:
        """The events that are complete with these octets."""
        *blocks, self.rest = (self.rest + octets).split(b"\n\n")
        found = []
        for block in blocks:
            lines = block.decode().splitlines()
            self.comments += sum(line.startswith(":") for line in lines)
            fields = dict(line.split(": ", 1) for line in lines if not line.startswith(":"))
            if "event" in fields:
                event = Event(fields["event"], fields["id"], json.loads(fields["data"]))
                check(event)
                found.append(event)
        return found


class Line:
    """One connection to the stream. `read` gives what is complete; `ended` when nothing more will come."""

    def __init__(self, port: int, key: str, last: str = "", query: str = "") -> None:
        self._connection = http.client.HTTPConnection("127.0.0.1", port, timeout=PATIENCE_S)
        headers = {"Authorization": f"Bearer {key}", "Last-Event-ID": last}
        self._connection.request("GET", f"/api/stream{query}", headers=headers)
        self._answer = self._connection.getresponse()
        self.parser = Parser()
        self.ended = False
        assert self._answer.status == 200, self._answer.read()

    def __enter__(self) -> Self:
        return self

    def __exit__(self, *_: object) -> None:
        self._answer.close()
        self._connection.close()

    def read(self, size: int = 65536) -> list[Event]:
        octets = self._answer.read1(size)
        self.ended = not octets
        return self.parser.push(octets)

    def rest(self) -> list[Event]:
        """Everything until the end."""
        found = []
        while not self.ended:
            found += self.read()
        return found


@lru_cache(maxsize=1)
def _validator() -> Any:
    return jsonschema_rs.validator_for(json.loads(SCHEMA.read_text()))


def check(event: Event) -> None:
    """Raises jsonschema_rs.ValidationError for an event that is not as the schema says."""
    _validator().validate({"event": event.name, "id": event.id, "data": event.data})


@contextmanager
def serving() -> Iterator[int]:
    """The stream's door under a server of this process; its port."""
    socket = listen("127.0.0.1", 0)
    config = uvicorn.Config(app, lifespan="off", log_level="critical", timeout_graceful_shutdown=1)
    server = uvicorn.Server(config)
    thread = threading.Thread(target=lambda: asyncio.run(server.serve([socket])), name="stream", daemon=True)
    thread.start()
    try:
        yield int(socket.getsockname()[1])
    finally:
        server.should_exit = True
        thread.join()
        socket.close()
