"""Conditional requests on the real routes: what each says of caches, and what a 304 spares the stores."""

import importlib
import json
import time
from collections.abc import Callable
from functools import lru_cache
from typing import Any

import pytest
from openmanager.settings import settings
from openmanager.watch.rounds import tick

from functions.ingest.handler import handler as ingest
from functions.rules.handler import handler as rules
from functions.servers.handler import handler as servers
from infra.local.stack import Upstash
from infra.openapi import ROOT
from infra.serverless import read_service
from tests.conftest import API_KEY
from tests.events import Reply, invoke

ASK_ANEW = "private, no-cache"
A_MINUTE = "private, max-age=60"
EVERYBODY = "public, max-age=300, s-maxage=3600"
# What each route says, written down apart from the code; what is not named here is asked for anew each time.
SAID = {
    **dict.fromkeys(("/api/health", "/api/users", "/api/keys", "/api/audit", "/api/tick", "/api/archive"), "no-store"),
    **dict.fromkeys(("/api/metrics", "/api/stream/snapshot"), "no-store"),
    **dict.fromkeys(("/api/notifications/targets", "/api/notifications/outbox"), "no-store"),
    **dict.fromkeys(
        ("/api/predictions/record", "/api/alerts/statistics", "/api/system/cost", "/api/system/stages"), A_MINUTE
    ),
    **dict.fromkeys(("/api/openapi.json", "/api/docs", "/api/docs/{asset}"), EVERYBODY),
    "/": "no-cache",
    "/api/stream": "no-store, no-transform",
}
# Their spans end at the moment of asking, so that they are other ones each time; for a minute nobody asks again.
UNTIL_NOW = {"/api/predictions/record", "/api/alerts/statistics", "/api/system/cost", "/api/system/stages"}
SERVERS = 40


def get(handler: Any, path: str, held: str | None = None, query: str = "") -> Reply:
    return invoke(handler, "GET", path, key=API_KEY, query=query, headers={"if-none-match": held} if held else {})


@lru_cache(maxsize=1)
def doors() -> tuple[tuple[Any, str], ...]:
    """(handler, path) of every GET whose path names nothing."""
    return tuple(
        (importlib.import_module(function.module).handler, route.path.replace("{asset}", "swagger-ui.css"))
        for function in read_service(ROOT / "serverless.yml").functions
        for route in function.routes
        if route.method == "GET" and "{" not in route.path.replace("{asset}", "") and route.path != "/mcp"
    )


@pytest.fixture
def fleet(stores_env: dict[str, str], monkeypatch: pytest.MonkeyPatch) -> None:
    """Forty servers with a quarter of an hour of samples, judged."""
    monkeypatch.setenv("OPENMANAGER_GRACE_S", "0")
    push("web", 15)
    tick(int(time.time() * 1000))


def push(prefix: str, minutes: int) -> None:
    first = int(time.time()) // 60 * 60 - 60 * minutes
    samples = [
        {"time": first + 60 * i + 5, "metrics": {"cpu_utilization": 50 + i, "load_1m": 1}} for i in range(minutes)
    ]
    sent = {"servers": [{"server": f"{prefix}-{n:02}", "samples": samples} for n in range(SERVERS)]}
    assert invoke(ingest, "POST", "/api/ingest", key=API_KEY, body=json.dumps(sent).encode()).status == 200


def test_every_answer_says_how_long_it_keeps_and_is_not_sent_twice(
    fleet: None, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setenv("OPENMANAGER_STREAM_WINDOW_S", "0")
    settings.cache_clear()
    wrong: list[tuple[object, ...]] = []
    now_s = time.time
    for handler, path in doors():
        query = "servers=web-01" if path == "/api/outlooks" else ""
        reply = get(handler, path, query=query)
        assert reply.status == 200, (path, reply.body)
        expected = SAID.get(path.replace("swagger-ui.css", "{asset}"), ASK_ANEW)
        tagged = "etag" in reply.headers
        if (reply.headers["cache-control"], tagged) != (expected, "no-store" not in expected):
            wrong.append((path, reply.headers["cache-control"], tagged))
        if tagged and path not in UNTIL_NOW:
            # Nothing happened meanwhile, and time alone makes no other answer.
            with monkeypatch.context() as later:
                later.setattr(time, "time", lambda: now_s() + 70)
                again = get(handler, path, reply.headers["etag"], query)
            if (again.status, again.body) != (304, b""):
                wrong.append((path, again.status))
    assert wrong == []


def test_what_was_changed_is_seen_at_once(fleet: None) -> None:
    before = get(rules, "/api/rules").headers["etag"]
    assert get(rules, "/api/rules", before).status == 304
    body = json.dumps({"warning": 70}).encode()
    assert invoke(rules, "PUT", "/api/rules/cpu", key=API_KEY, body=body).status == 200
    assert get(rules, "/api/rules", before).status == 200
    assert invoke(rules, "DELETE", "/api/rules/cpu", key=API_KEY).status == 204
    assert get(rules, "/api/rules", before).status == 304


def test_the_fleet_is_another_one_with_every_push_and_every_round(fleet: None, monkeypatch: pytest.MonkeyPatch) -> None:
    tag = get(servers, "/api/servers").headers["etag"]
    assert get(servers, "/api/servers", tag).status == 304
    assert get(servers, "/api/servers", tag, "status=healthy").status == 200
    push("new", 1)
    pushed = get(servers, "/api/servers", tag)
    assert (pushed.status, len(pushed.json()["servers"])) == (200, 2 * SERVERS)
    # Another minute's round.
    tick(int(time.time() * 1000) + 60_000)
    assert get(servers, "/api/servers", pushed.headers["etag"]).status == 200


def test_a_304_asks_the_stores_for_less(
    fleet: None, empty_redis: Upstash, record_property: Callable[[str, object], None]
) -> None:
    """The fleet is not read at all: nothing comes from Redis but its version and the caller's budget."""

    def cost(held: str | None) -> tuple[Reply, dict[str, int], float]:
        empty_redis.reset_stats()
        began = time.perf_counter()
        reply = get(servers, "/api/servers", held)
        return reply, empty_redis.stats()["by_name"], time.perf_counter() - began

    cost(None)
    whole, read, _ = cost(None)
    held, spared, _ = cost(whole.headers["etag"])
    assert (whole.status, held.status, held.body) == (200, 304, b"")
    assert read["HGETALL"] == 3
    assert "HGETALL" not in spared
    assert sum(read.values()) - sum(spared.values()) == 3
    middle = {tag: sorted(cost(tag)[2] for _ in range(15))[7] for tag in (None, whole.headers["etag"])}
    ratio = middle[whole.headers["etag"]] / middle[None]
    record_property(
        "told",
        f"GET /api/servers, {SERVERS} servers: a 200 has {len(whole.body)} octets and takes"
        f" {sum(read.values())} commands; a 304 none and {sum(spared.values())}, in {ratio:.2f} of the time",
    )
