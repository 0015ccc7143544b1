"""Every packaged function under Lambda's runtime client: its own events, twice in a row, and what goes wrong."""

import json
import re
import subprocess
import time
from collections.abc import Callable, Iterator
from contextlib import ExitStack
from pathlib import Path
from typing import Any

import pytest

from infra.local.stack import Upstash
from infra.serverless import read_service
from tests.conftest import API_KEY
from tests.events import http_event
from tests.packaging.artifacts import ROOT, Artifacts, Declared, declared
from tests.packaging.cloud import SCHEDULED
from tests.packaging.function import Inside, LambdaFunction, cannot_isolate
from tests.packaging.runtime_api import Ended

DECLARED = declared()
SERVICE = {function.name: function for function in read_service(ROOT / "serverless.yml").functions}
# Behind a function URL, which has no routes: the Lambda Web Adapter hands its requests to run.sh (test_live.py).
WITHOUT_EVENTS = ("live",)
# Lambda's own: an event that is no request.
EVENTS = {"tick": SCHEDULED, "archive": SCHEDULED}

Start = Callable[..., LambdaFunction]


@pytest.fixture
def start(
    lambda_artifacts: Artifacts, stores_env: dict[str, str], tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> Iterator[Start]:
    """Start a function on the tests' stores, isolated where this machine can."""
    with ExitStack() as stack:

        def started(name: str, **env: str) -> LambdaFunction:
            log, isolated = tmp_path / f"{name}.log", cannot_isolate() is None
            made = LambdaFunction(lambda_artifacts, name, DECLARED[name], {**stores_env, **env}, log, isolated=isolated)
            return stack.enter_context(made)

        yield started


def queued(*bodies: str) -> dict[str, Any]:
    """An event of SQS with these messages: https://docs.aws.amazon.com/lambda/latest/dg/with-sqs.html"""
    return {
        "Records": [
            {
                "messageId": f"00000000-0000-0000-0000-{i:012}",
                "receiptHandle": f"receipt-{i}",
                "body": body,
                "attributes": {
                    "ApproximateReceiveCount": "1",
                    "SentTimestamp": str(int(time.time() * 1000)),
                    "SenderId": "AIDAIENQZJOLO23YVJ4VO",
                    "ApproximateFirstReceiveTimestamp": str(int(time.time() * 1000)),
                },
                "messageAttributes": {},
                "md5OfBody": "",
                "eventSource": "aws:sqs",
                "eventSourceARN": "arn:aws:sqs:eu-central-1:000000000000:rounds",
                "awsRegion": "eu-central-1",
            }
            for i, body in enumerate(bodies)
        ]
    }


def events(name: str) -> list[Any]:
    """What a function is sent on Lambda: its schedule's event, its queue's, or a request to each of its routes."""
    if name in EVENTS:
        return [EVENTS[name]]
    if name == "predict":
        return [queued(json.dumps({"shard": 0, "minute": int(time.time()) // 60 - 2}))]
    found = []
    for route in SERVICE[name].routes:
        path = re.sub(r"\{[^}]+\}", "web-01", route.path)
        body = None if route.method in ("GET", "DELETE", "OPTIONS") else b"{}"
        headers = {"authorization": f"Bearer {API_KEY}", "content-type": "application/json"}
        found.append(http_event(route.method, path, headers=headers, body=body))
    return found


@pytest.mark.parametrize("name", sorted(set(DECLARED) - set(WITHOUT_EVENTS)))
def test_a_function_takes_each_of_its_events_twice_within_its_memory(name: str, start: Start) -> None:
    function = start(name)
    for _ in range(2):
        for event in events(name):
            told = function(event)
            assert not told.failed, told.payload
            if "requestContext" in event:
                # Which of them is refused, and how, is the behaviour suite's business; none is an error of ours.
                assert told.payload["statusCode"] < 500, (event["rawPath"], told.payload)
    assert 0 < function.peak_mb < DECLARED[name].memory_mb
    assert "Traceback" not in function.log.read_text()


def test_a_message_that_is_no_round_is_not_received_for_ever(start: Start) -> None:
    function = start("predict")
    minute = int(time.time()) // 60 - 2
    told = function(queued("no round", json.dumps({"shard": 0, "minute": minute}))).payload
    failures = [failure["itemIdentifier"] for failure in told["batchItemFailures"]]
    # It is given back alone, and goes to the dead letters after three times; the others are done.
    assert failures == ["00000000-0000-0000-0000-000000000000"]


def test_an_event_that_fails_is_an_error_and_the_next_one_is_served(start: Start, empty_redis: Upstash) -> None:
    function = start("tick", OPENMANAGER_STORE_TIMEOUT_S="2")
    with empty_redis.away():
        told = function(SCHEDULED)
    assert told.failed or told.payload["failed"], told.payload
    again = function(SCHEDULED)
    assert not again.failed, again.payload


def test_a_function_whose_time_is_over_carries_over_and_is_not_ended(start: Start, empty_redis: Upstash) -> None:
    ingest = start("ingest")
    now = int(time.time())
    body = {"server": "web-01", "samples": [{"time": now - 180, "metrics": {"cpu_utilization": 50}}]}
    headers = {"authorization": f"Bearer {API_KEY}", "content-type": "application/json"}
    sent = ingest(http_event("POST", "/api/ingest", headers=headers, body=json.dumps(body).encode()))
    assert sent.payload["statusCode"] == 200, sent.payload
    tick = start("tick", OPENMANAGER_GRACE_S="0")
    # Less than what a function keeps for its end.
    told = tick(SCHEDULED, 4.0)
    assert (told.failed, told.payload["judged"]) == (False, 0), told.payload
    # The lease of that minute is held; the next one is the next minute's.
    empty_redis.command("DEL", *empty_redis.command("KEYS", "om:lease:*"))
    # It says up to when.
    assert tick(SCHEDULED).payload["judged"] >= now // 60 * 60 - 180


def test_after_a_kill_another_process_takes_the_event(start: Start) -> None:
    function = start("tick")
    function.kill()
    with pytest.raises(Ended):
        function(SCHEDULED)
    function.start()
    # What the dead one had not taken is the first that the next one is given.
    assert not function.answer().failed


def test_a_function_without_its_layers_says_what_it_lacks(
    lambda_artifacts: Artifacts, stores_env: dict[str, str], tmp_path: Path
) -> None:
    bare = Declared(DECLARED["tick"].handler, 512, 10, ("inference",))
    with (
        LambdaFunction(lambda_artifacts, "tick", bare, stores_env, tmp_path / "log") as function,
        pytest.raises(Ended, match="No module named 'openmanager'"),
    ):
        function(SCHEDULED)


@pytest.mark.parametrize("name", ["predictions", "tick", "mcp"])
def test_nothing_of_the_checkout_is_loaded(name: str, start: Start) -> None:
    if why := cannot_isolate():
        pytest.skip(f"processes cannot have a file system of their own here: {why}")
    function = start(name)
    function(events(name)[0])
    maps = Path(f"/proc/{function.pid}/maps").read_text()
    loaded = {line.split()[-1] for line in maps.splitlines() if ".so" in line}
    assert any(path.startswith("/opt/python/") for path in loaded)
    assert not [path for path in loaded if str(ROOT) in path]


def test_everything_but_tmp_is_read_only(lambda_artifacts: Artifacts) -> None:
    if why := cannot_isolate():
        pytest.skip(f"processes cannot have a file system of their own here: {why}")
    inside = Inside(lambda_artifacts, "tick", DECLARED["tick"].layers)
    script = (
        'for at in / /var/task /opt /opt/python /var/runtime /tmp; do touch "$at/x" 2>/dev/null && echo "$at"; done'
    )
    done = subprocess.run([*inside.command, "sh", "-c", script], capture_output=True, text=True, check=False)
    assert done.stdout.split() == ["/tmp"], done.stderr
