"""The reference clients against the whole stack, as a person starts it."""

import json
import shutil
import subprocess
import sys
import time
from typing import Any

import pytest

from tests.feed import SCHEMA, Event, check
from tests.live import LiveStack

PYTHON = SCHEMA.parent / "follow.py"


def push(stack: LiveStack) -> None:
    body = {"server": "web-01", "samples": [{"metrics": {"cpu_utilization": time.time() % 100}}]}
    assert stack.ask("/api/ingest", "POST", json.dumps(body).encode())[0] == 200


def lines_of(argv: list[str], stack: LiveStack, enough: Any) -> list[str]:
    """What a client prints while a server pushes, until it is enough."""
    env = {"OPENMANAGER_TOKEN": stack.token, "PATH": "/usr/bin:/bin"}
    with subprocess.Popen(argv, stdout=subprocess.PIPE, text=True, env=env) as client:
        assert client.stdout is not None
        found: list[str] = []
        try:
            for line in client.stdout:
                found.append(line.strip())
                if enough(found):
                    break
                push(stack)
        finally:
            client.kill()
    return found


def test_thirty_lines_of_python_follow_the_feed(live_gateway: LiveStack) -> None:
    def enough(found: list[str]) -> bool:
        return any('"event": "metrics"' in line for line in found)

    push(live_gateway)
    told = [
        Event(said["event"], said["id"], said["data"])
        for said in map(json.loads, lines_of([sys.executable, str(PYTHON), live_gateway.url], live_gateway, enough))
    ]
    for event in told:
        check(event)
    assert told[0].name == "snapshot"
    assert told[0].data["push_s"] == 5
    code = PYTHON.read_text().partition("def follow")[2].partition("if __name__")[0]
    assert len(code.strip().splitlines()) <= 35


@pytest.mark.skipif(shutil.which("curl") is None, reason="there is no curl")
def test_a_line_of_curl_follows_the_feed(live_gateway: LiveStack) -> None:
    header = f"Authorization: Bearer {live_gateway.token}"
    argv = ["curl", "-sN", "-H", header, f"{live_gateway.url}/api/stream?topics=metrics,predictions"]
    found = lines_of(argv, live_gateway, lambda lines: "event: metrics" in lines)
    assert (found[0], found[3]) == ("retry: 3000", "event: snapshot")
