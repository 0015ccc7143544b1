"""What the behaviour suite asks of whatever serves OpenManager, and the two that are served by address."""

import http.client
import json
import os
import sys
from collections.abc import Iterator, Mapping
from contextlib import contextmanager
from dataclasses import dataclass
from pathlib import Path
from typing import Any, Protocol
from urllib.parse import urlsplit

from infra.local.process import Child, listen
from tests.conftest import API_KEY
from tests.credentials import JWT_KEYS
from tests.live import CHECKOUT, PATIENCE_S
from tests.vercel.app import CALLER, CRON_SECRET, VercelApp
from tests.vercel.build import Output

ORIGIN = "https://ops.example.com"
PACE = {
    "OPENMANAGER_API_KEY": API_KEY,
    "OPENMANAGER_JWT_KEYS": JWT_KEYS,
    "OPENMANAGER_ORIGINS": ORIGIN,
    # One reader of the suite asks more than a person does.
    "OPENMANAGER_REQUEST_LIMIT": "100000",
    # A minute is judged as soon as it is over.
    "OPENMANAGER_GRACE_S": "0",
    "OPENMANAGER_STREAM_POLL_S": "0.1",
    # A machine under load is no fault of the stores.
    "OPENMANAGER_STORE_TIMEOUT_S": "20",
}


@dataclass(frozen=True)
class Answer:
    """A status, fields by their names in lower case, and the body as it came."""

    status: int
    headers: Mapping[str, str]
    body: bytes

    def json(self) -> Any:
        return json.loads(self.body)


class Target(Protocol):
    """Something that serves every door."""

    def request(self, method: str, path: str, headers: Mapping[str, str], body: bytes | None) -> Answer:
        """One request, with its query in `path`; nothing is added but what the way there needs."""
        ...

    def tick(self) -> None:
        """What the schedule starts each minute. It counts once a minute."""
        ...

    def archive(self) -> None:
        """What the schedule starts every five minutes."""
        ...


class Address:
    """A target behind an address, whose schedules are called by it, too."""

    def __init__(self, url: str, secret: str, headers: Mapping[str, str], method: str) -> None:
        self._host = urlsplit(url).netloc
        self._secret = secret
        self._headers = headers
        self._method = method

    def request(self, method: str, path: str, headers: Mapping[str, str], body: bytes | None) -> Answer:
        with self.opened(method, path, headers, body) as response:
            return Answer(response.status, {k.lower(): v for k, v in response.getheaders()}, response.read())

    # Not asked of every target:
    @contextmanager
    def opened(
        self, method: str, path: str, headers: Mapping[str, str], body: bytes | None
    ) -> Iterator[http.client.HTTPResponse]:
        """The answer as it arrives."""
        connection = http.client.HTTPConnection(self._host, timeout=PATIENCE_S)
        try:
            connection.request(method, path, body, {**self._headers, **headers})
            yield connection.getresponse()
        finally:
            connection.close()

    def tick(self) -> None:
        self._schedule("/api/tick")

    def archive(self) -> None:
        self._schedule("/api/archive")

    def _schedule(self, path: str) -> None:
        answer = self.request(self._method, path, {"Authorization": f"Bearer {self._secret}"}, None)
        assert answer.status == 200, answer.body


@contextmanager
def local_gateway(folder: Path, stores: Mapping[str, str]) -> Iterator[Address]:
    """The gateway as `make run` starts it, without its schedule, on the stores of the tests."""
    listener = listen("127.0.0.1", 0)
    gateway = Child("gateway", folder)
    descriptor = listener.fileno()
    gateway.start(
        [sys.executable, "-m", "infra.local.serve", "infra.gateway:app", str(descriptor)],
        env={
            "PATH": os.environ["PATH"],
            "PYTHONPATH": os.pathsep.join((str(CHECKOUT), str(CHECKOUT / "layers/core/python"))),
            "OPENMANAGER_SERVICE": str(CHECKOUT / "serverless.yml"),
            "OPENMANAGER_STAGE": "local",
            **PACE,
            **stores,
        },
        pass_fds=[descriptor],
    )
    try:
        yield Address(f"http://127.0.0.1:{listener.getsockname()[1]}", API_KEY, {}, "POST")
    finally:
        gateway.stop(PATIENCE_S)
        listener.close()


@contextmanager
def vercel(output: Output, stores: Mapping[str, str]) -> Iterator[Address]:
    """The app that `vercel build` made, in Vercel's own bootstrap."""
    with VercelApp(output, {**PACE, **stores}) as app:
        yield Address(app.url, CRON_SECRET, CALLER, "GET")
        assert "Traceback" not in app.said(), app.said()
