"""The live stream as Lambda starts it: by its own script, in Lambda's folders. The adapter before it is not run here;
it passes requests and what comes back, piece by piece."""

import http.client
import json
import os
import shutil
import signal
import subprocess
import time
from collections.abc import Iterator
from contextlib import contextmanager
from pathlib import Path

import pytest

from functions.ingest.handler import handler as ingest
from infra.local.process import free_port
from tests.conftest import API_KEY
from tests.events import invoke
from tests.packaging.artifacts import Artifacts, declared
from tests.packaging.function import Inside, cannot_isolate

ABOUT = declared()["live"]
PATIENCE_S = 60


@pytest.fixture
def port(lambda_artifacts: Artifacts, stores_env: dict[str, str], tmp_path: Path) -> Iterator[int]:
    """The function started as on Lambda but for the adapter: handler, folders, variables."""
    if why := cannot_isolate():
        pytest.skip(f"processes cannot have a file system of their own here: {why}")
    port = free_port()
    inside = Inside(lambda_artifacts, "live", ABOUT.layers)
    env = {
        # Lambda's python3 is the runtime's.
        "PATH": f"{Path(lambda_artifacts.python).parent}:/usr/bin:/bin",
        "LAMBDA_TASK_ROOT": "/var/task",
        "LAMBDA_RUNTIME_DIR": "/var/runtime",
        "AWS_LAMBDA_FUNCTION_NAME": "openmanager-test-live",
        "OPENMANAGER_STREAM_POLL_S": "0.1",
        **ABOUT.environment,
        **stores_env,
        "PORT": str(port),
        "OPENMANAGER_STREAM_WINDOW_S": "10",
    }
    with (tmp_path / "log").open("wb") as log:
        process = subprocess.Popen(
            [*inside.command, f"/var/task/{ABOUT.handler}"], env=env, stdout=log, stderr=log, start_new_session=True
        )
    try:
        _await_ready(port, process, tmp_path / "log")
        yield port
        os.killpg(process.pid, signal.SIGTERM)
        process.wait(PATIENCE_S)
        assert "Traceback" not in (tmp_path / "log").read_text()
    finally:
        if process.poll() is None:
            os.killpg(process.pid, signal.SIGKILL)
            process.wait(PATIENCE_S)


def _await_ready(port: int, process: "subprocess.Popen[bytes]", log: Path) -> None:
    """As the adapter waits: until the path that serverless.yml names is answered without an error of ours."""
    deadline = time.monotonic() + PATIENCE_S
    while time.monotonic() < deadline and process.poll() is None:
        try:
            with _asked(port, ABOUT.environment["AWS_LWA_READINESS_CHECK_PATH"]) as answer:
                assert answer.status < 500
                return
        except ConnectionRefusedError:
            time.sleep(0.02)
    raise AssertionError(log.read_text())


@contextmanager
def _asked(port: int, path: str) -> Iterator[http.client.HTTPResponse]:
    line = http.client.HTTPConnection("127.0.0.1", port, timeout=PATIENCE_S)
    try:
        line.request("GET", path, headers={"Authorization": f"Bearer {API_KEY}"})
        yield line.getresponse()
    finally:
        line.close()


def test_octets_arrive_as_they_are_produced(port: int) -> None:
    with _asked(port, "/api/stream") as answer:
        assert (answer.status, answer.headers["Content-Type"].partition(";")[0]) == (200, "text/event-stream")
        assert answer.headers["Content-Length"] is None
        _read_until(answer, b"event: snapshot")
        # What did not exist when the answer began comes within the same answer.
        sample = {"time": int(time.time()), "metrics": {"cpu_utilization": 50}}
        body = json.dumps({"server": "web-01", "samples": [sample]}).encode()
        assert invoke(ingest, "POST", "/api/ingest", key=API_KEY, body=body).status == 200
        _read_until(answer, b"event: metrics")


def test_the_stream_ends_by_itself_and_says_why(port: int) -> None:
    with _asked(port, "/api/stream") as answer:
        assert json.loads(answer.read().rpartition(b"data: ")[2])["reason"] == "window"


def _read_until(answer: http.client.HTTPResponse, wanted: bytes) -> None:
    for line in iter(answer.readline, b""):
        if bytes(line).startswith(wanted):
            return
    raise AssertionError(f"it ended without {wanted.decode()}")


def test_the_script_may_be_executed_and_needs_a_shell_alone(lambda_artifacts: Artifacts) -> None:
    script = lambda_artifacts.task("live") / ABOUT.handler
    assert os.access(script, os.X_OK)
    assert script.read_text().startswith("#!/bin/sh\n")
    if shutil.which("dash"):
        subprocess.run(["dash", "-n", str(script)], check=True)
