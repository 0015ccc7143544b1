"""The stream's own door as Lambda starts it, by its script, and what the Lambda Web Adapter says to it."""

import http.client
import os
import signal
import subprocess
import sys
import time
from collections.abc import Iterator
from pathlib import Path

import pytest

from infra.local.process import free_port
from tests.conftest import API_KEY
from tests.feed import Line
from tests.live import CHECKOUT, PATIENCE_S

PAGE = "https://a1b2c3.execute-api.eu-central-1.amazonaws.com"
SCRIPT = CHECKOUT / "functions/live/run.sh"


class Door:
    """The script, running."""

    def __init__(self, env: dict[str, str], said: Path) -> None:
        self.port = free_port()
        self.said = said
        whole = {
            # The interpreter of the tests is the one that `python3` finds.
            "PATH": f"{Path(sys.executable).parent}:/usr/bin:/bin",
            "PYTHONPATH": str(CHECKOUT / "layers/core/python"),
            "LAMBDA_TASK_ROOT": str(CHECKOUT),
            "PORT": str(self.port),
            "AWS_LWA_INVOKE_MODE": "response_stream",
            "OPENMANAGER_PAGE_ORIGIN": PAGE,
            "OPENMANAGER_STREAM_WINDOW_S": "300",
            "OPENMANAGER_STREAM_POLL_S": "0.05",
            **env,
        }
        with said.open("wb") as out:
            self.process = subprocess.Popen([SCRIPT], env=whole, cwd="/", stdout=out, stderr=out)

    def ask(self, method: str, path: str, **headers: str) -> tuple[int, dict[str, str]]:
        line = http.client.HTTPConnection("127.0.0.1", self.port, timeout=PATIENCE_S)
        try:
            line.request(method, path, headers={name.replace("_", "-"): value for name, value in headers.items()})
            reply = line.getresponse()
            reply.read()
            return reply.status, {name.lower(): value for name, value in reply.headers.items()}
        finally:
            line.close()

    def wait(self) -> None:
        """As the adapter does: until the path that it looks at is answered."""
        give_up = time.monotonic() + PATIENCE_S
        while True:
            try:
                assert self.ask("GET", "/ready")[0] == 404
            except ConnectionError:
                assert self.process.poll() is None, self.said.read_text()
                assert time.monotonic() < give_up, self.said.read_text()
                time.sleep(0.05)
            else:
                return

    def stop(self) -> int:
        self.process.send_signal(signal.SIGTERM)
        return self.process.wait(PATIENCE_S)


@pytest.fixture
def door(stores_env: dict[str, str], tmp_path: Path) -> Iterator[Door]:
    found = Door(stores_env, tmp_path / "said")
    try:
        found.wait()
        yield found
    finally:
        found.process.kill()
        found.process.wait()


def test_what_lambda_runs_may_be_run() -> None:
    assert os.access(SCRIPT, os.X_OK)


def test_events_come_while_the_answer_goes_on(door: Door) -> None:
    with Line(door.port, API_KEY) as line:
        events = line.read()
        while not events:
            events += line.read()
        assert events[0].name == "snapshot"
        # Pings, which come with each look at the feed.
        seen = line.parser.comments
        while line.parser.comments < seen + 3:
            line.read()
        assert not line.ended


def test_it_ends_when_lambda_ends_it(door: Door) -> None:
    with Line(door.port, API_KEY):
        # uvicorn goes in good order and then by the signal that it was sent.
        assert door.stop() in (0, -signal.SIGTERM)


def test_the_page_of_the_api_may_ask_and_read_across_origins_and_no_other(door: Door) -> None:
    asked = {"Access_Control_Request_Method": "GET", "Access_Control_Request_Headers": "authorization,last-event-id"}
    status, headers = door.ask("OPTIONS", "/api/stream", Origin=PAGE, **asked)
    assert (status, headers["access-control-allow-origin"]) == (200, PAGE)
    status, headers = door.ask("GET", "/api/stream", Origin=PAGE)
    assert (status, headers["access-control-allow-origin"]) == (401, PAGE)
    status, headers = door.ask("OPTIONS", "/api/stream", Origin="https://elsewhere.example", **asked)
    assert (status, "access-control-allow-origin" in headers) == (400, False)


def test_nothing_else_is_behind_it(door: Door) -> None:
    bearer = f"Bearer {API_KEY}"
    for path in ("/", "/api/stream/snapshot", "/api/health", "/events", "/docs"):
        assert door.ask("GET", path, Authorization=bearer)[0] == 404
    assert door.ask("POST", "/api/stream", Authorization=bearer)[0] == 405
