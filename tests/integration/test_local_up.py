"""`python -m infra.local up` as a person meets it, with stand-ins for the functions."""

import json
import subprocess
import sys
import urllib.request
from collections.abc import Iterator
from pathlib import Path
from typing import Any

import psutil
import pytest

from infra.local.process import free_port, listen
from tests.live import PATIENCE_S, LiveStack

PARTS = ["postgres", "valkey", "front", "gateway", "schedule"]

SERVICE = """
provider: {region: local}
functions:
  system:
    handler: stand_ins/system.handler
    events:
      - httpApi: {method: GET, path: /api/health}
      - httpApi: {method: POST, path: /kept}
      - httpApi: {method: GET, path: /endless}
  tick:
    handler: stand_ins/system.tick
    events: [{schedule: rate(1 minute)}]
"""

SYSTEM = """
import asyncio, os
import psycopg
from upstash_redis.asyncio import Redis


async def app(scope, receive, send):
    path = scope["path"]
    redis = Redis(os.environ["UPSTASH_REDIS_REST_URL"], os.environ["UPSTASH_REDIS_REST_TOKEN"], rest_retries=0)
    try:
        async with redis:
            if path == "/kept":
                await redis.incr("kept")
            said = str(await redis.get("kept"))
        with psycopg.connect(os.environ["DATABASE_URL"], connect_timeout=8) as connection:
            connection.execute("select 1 from schema_migrations")
        status = 200
    except Exception as error:
        said, status = repr(error), 503
    await send({"type": "http.response.start", "status": status, "headers": []})
    while path == "/endless":
        await send({"type": "http.response.body", "body": b": ping\\n\\n", "more_body": True})
        await asyncio.sleep(0.1)
    await send({"type": "http.response.body", "body": said.encode()})


def tick(event, context):
    pass
"""


class Stack(LiveStack):
    """The stack with stand-ins for the functions."""

    def __init__(self, folder: Path, port: int) -> None:
        modules = folder / "service" / "stand_ins"
        modules.mkdir(parents=True, exist_ok=True)
        (modules / "system.py").write_text(SYSTEM)
        self.service = modules.parent / "serverless.yml"
        self.service.write_text(SERVICE)
        super().__init__(folder, port, "--service", str(self.service))


def gone(processes: dict[str, psutil.Process]) -> bool:
    _, alive = psutil.wait_procs(list(processes.values()), timeout=PATIENCE_S)
    return not alive


@pytest.fixture(scope="module")
def stack(tmp_path_factory: pytest.TempPathFactory) -> Iterator[Stack]:
    """A running stack whose wanted port was taken."""
    with listen("127.0.0.1", 0) as taken:
        running = Stack(tmp_path_factory.mktemp("up"), taken.getsockname()[1])
        running.start()
        yield running
        running.stop()


def test_a_taken_port_is_passed_over_and_that_is_said(stack: Stack) -> None:
    wanted = stack.env["PORT"]
    assert not stack.credentials["url"].endswith(wanted)
    assert f"port {wanted} is taken" in stack.said.read_text()
    assert stack.ask("/api/health")[0] == 200


def test_what_is_secret_is_for_the_owner_alone(stack: Stack) -> None:
    assert set(stack.credentials) == {"url", "token", "user", "password"}
    for name in ("credentials.json", "secrets.json"):
        assert (stack.data / name).stat().st_mode & 0o777 == 0o600
    assert stack.data.stat().st_mode & 0o777 == 0o700
    secrets: dict[str, Any] = json.loads((stack.data / "secrets.json").read_text())
    command_lines = " ".join(word for child in stack.children().values() for word in child.cmdline())
    assert not [name for name, value in secrets.items() if value in command_lines]


def test_a_second_start_on_the_folder_says_where_the_first_one_is_and_harms_nothing(stack: Stack) -> None:
    assert stack.process is not None
    before = stack.children()
    second = subprocess.run(stack.argv, env=stack.env, capture_output=True, text=True, check=False)
    assert second.returncode == 1
    assert stack.credentials["url"] in second.stdout
    assert str(stack.process.pid) in second.stdout
    assert stack.children() == before
    assert stack.ask("/api/health")[0] == 200


@pytest.mark.parametrize("part", PARTS)
def test_a_part_that_was_killed_comes_back_with_its_data(stack: Stack, part: str) -> None:
    kept = stack.ask("/kept", "POST")
    assert kept[0] == 200
    killed = stack.children()[part]
    killed.kill()
    stack.wait_for(lambda: stack.children().get(part) not in (None, killed))
    stack.wait_for(lambda: stack.ask("/api/health") == kept)
    assert f"{part} ended with -9" in stack.said.read_text()


def test_nothing_outlives_a_killed_run_and_the_next_one_has_its_data(tmp_path: Path) -> None:
    stack = Stack(tmp_path, free_port())
    stack.start()
    assert stack.process is not None
    assert stack.ask("/kept", "POST") == (200, "1")
    token, children = stack.credentials["token"], stack.children()
    assert sorted(children) == sorted(PARTS)
    stack.process.kill()
    stack.process.wait()
    if sys.platform == "linux":
        assert gone(children)

    stack.start()
    assert gone(children)
    assert stack.credentials["token"] == token
    assert stack.ask("/api/health") == (200, "1")
    children = stack.children()
    with urllib.request.urlopen(stack.credentials["url"] + "/endless") as endless:
        endless.read(1)
        assert stack.stop() == 0
    assert gone(children)
    assert "stopping" in stack.said.read_text()
    assert not (stack.data / "credentials.json").exists()


def test_a_stack_that_cannot_start_says_why_and_leaves_nothing_running(tmp_path: Path) -> None:
    stack = Stack(tmp_path, 0)
    stack.env["PORT"] = "65535"
    (stack.service.parent / "stand_ins" / "system.py").write_text("")
    stack.service.write_text('provider: {}\nfunctions: {a: {handler: a.b, events: [{schedule: "cron(* * * * ? *)"}]}}')
    done = subprocess.run(stack.argv, env=stack.env, capture_output=True, text=True, check=False)
    assert done.returncode == 1
    assert "functions.a: the schedule 'cron(* * * * ? *)' is not understood" in done.stdout
    assert not (stack.data / "run").exists()


@pytest.mark.parametrize("port", ["http", "-1", "0x50", "70000"])
def test_an_impossible_port_is_refused(tmp_path: Path, port: str) -> None:
    stack = Stack(tmp_path, 0)
    stack.env["PORT"] = port
    done = subprocess.run(stack.argv, env=stack.env, capture_output=True, text=True, check=False)
    assert done.returncode == 1
    assert "PORT" in done.stdout
    assert "Traceback" not in done.stderr
