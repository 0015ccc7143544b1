"""Attacks by way of a browser: whose page may ask, what an answer may load, and names that are code."""

import json
import time
from collections.abc import Iterator
from typing import Any

import pytest
from openmanager.settings import settings
from openmanager.stores.pushes import store_pushes
from openmanager.telemetry.samples import Push, from_points

from functions.dashboard.handler import handler as dashboard
from functions.servers.handler import handler as servers
from functions.stream.handler import handler as stream
from functions.system.handler import handler as system
from tests.attacks import push
from tests.conftest import API_KEY
from tests.events import Reply, invoke

ORIGIN = "https://ops.example.com"
SCRIPT = "</script><script>alert(1)</script><img src=x onerror=alert(2)>"


@pytest.fixture(autouse=True)
def stage(stores_env: dict[str, str], monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setenv("OPENMANAGER_ORIGINS", ORIGIN)
    monkeypatch.setenv("OPENMANAGER_STREAM_WINDOW_S", "0")
    settings.cache_clear()


def read(path: str = "/api/servers", method: str = "GET", **headers: str) -> Reply:
    return invoke(servers, method, path, key=API_KEY, headers={k.replace("_", "-"): v for k, v in headers.items()})


@pytest.mark.parametrize(
    "origin",
    [
        "null",
        "*",
        "https://ops.example.com.evil.example",
        "https://evil-ops.example.com",
        "https://evil.example/https://ops.example.com",
        "https://ops.example.com:8443",
        "http://ops.example.com",
        "https://OPS.example.com",
        "https://ops.example.com/",
        "https://ops.example.com@evil.example",
        "https://ops.example.com%00.evil.example",
        "https://ops.example.com https://evil.example",
        "https://ops·example.com".encode().decode("latin-1"),
    ],
)
def test_no_origin_but_the_exact_one_may_read(origin: str) -> None:
    assert read(origin=ORIGIN).headers["access-control-allow-origin"] == ORIGIN
    for method in ("GET", "OPTIONS"):
        reply = read(method=method, origin=origin, access_control_request_method="GET")
        assert "access-control-allow-origin" not in reply.headers
        assert "access-control-allow-credentials" not in reply.headers


def test_an_answer_for_one_origin_is_none_that_a_cache_keeps_for_another() -> None:
    reply = read(origin=ORIGIN)
    assert "Origin" in reply.headers["vary"]
    assert reply.headers["cache-control"] == "private, no-cache"


POISON = {
    "x-forwarded-host": "evil.example",
    "x-host": "evil.example",
    "x-forwarded-server": "evil.example",
    "x-forwarded-scheme": "http",
    "x-forwarded-prefix": "/evil",
    "x-original-url": "/api/users",
    "x-rewrite-url": "/api/users",
    "forwarded": "host=evil.example;proto=http",
    "host": "evil.example",
}


def without_trace(reply: Reply) -> Any:
    """What it says but for its trace, which is each request's own."""
    said = json.loads(reply.body)
    return {name: value for name, value in said.items() if name != "trace_id"}


@pytest.mark.parametrize("path", ["/api/servers", "/api/servers/", "//evil.example/", "/api/servers/none"])
def test_no_header_changes_where_an_answer_comes_from_or_leads(path: str) -> None:
    plain, poisoned = (invoke(servers, "GET", path, key=API_KEY, headers=h) for h in ({}, POISON))
    assert (poisoned.status, without_trace(poisoned)) == (plain.status, without_trace(plain))
    assert poisoned.status in (200, 404)
    assert "location" not in poisoned.headers
    assert b"evil" not in poisoned.body.replace(path.encode(), b"")


@pytest.mark.parametrize("path", ["/api/docs", "/api/openapi.json", "/api/docs/swagger-ui.css"])
def test_what_may_be_cached_says_nothing_of_who_asked_for_it(path: str) -> None:
    plain, poisoned = (invoke(system, "GET", path, headers=h) for h in ({}, POISON))
    assert (plain.status, poisoned.body) == (200, plain.body)
    assert b"evil" not in poisoned.body


@pytest.mark.parametrize(
    "name", ["x-http-method-override", "x-http-method", "x-method-override", "x_http_method_override"]
)
def test_a_method_is_what_the_request_says(name: str) -> None:
    assert read(**{name: "DELETE"}).status == 200
    assert (
        invoke(servers, "POST", "/api/servers", key=API_KEY, headers={name: "GET"}, query="_method=GET").status == 405
    )


@pytest.mark.parametrize("method", ["TRACE", "CONNECT", "TRACK", "PROPFIND", "get", "GET\r\nX: y"])
def test_no_other_method_is_answered(method: str) -> None:
    reply = invoke(servers, method, "/api/servers", key=API_KEY)
    assert reply.status == 405
    assert API_KEY.encode() not in reply.body


# Where a server's names are shown. Whatever else comes to show them joins these.
SHOWN = [
    (dashboard, "/"),
    (servers, "/api/servers"),
    (servers, "/api/servers/web-01"),
    (servers, "/api/servers/web-01/samples"),
    (stream, "/api/stream"),
    (system, "/api/docs"),
    (system, "/api/openapi.json"),
]


@pytest.mark.parametrize(("door", "path"), SHOWN, ids=[path for _, path in SHOWN])
def test_a_name_that_is_code_is_shown_as_text_that_no_browser_runs(door: Any, path: str) -> None:
    assert push(hostname=SCRIPT, role=SCRIPT[:60], labels={"team": SCRIPT}).json()["rejected"] == []
    reply = invoke(door, "GET", path, key=API_KEY)
    assert reply.status == 200
    assert reply.headers["x-content-type-options"] == "nosniff"
    policy = reply.headers["content-security-policy"]
    assert "frame-ancestors 'none'" in policy
    kind = reply.headers["content-type"].partition(";")[0]
    if kind == "text/html":
        assert SCRIPT.encode() not in reply.body
        assert "'unsafe-inline'" not in policy.partition("script-src")[2].partition(";")[0]
        assert "'unsafe-eval'" not in policy
    else:
        assert kind in ("application/json", "text/event-stream")
        assert policy.startswith("default-src 'none'")


@pytest.mark.parametrize("breaking", ["\n", "\r", "\r\n\r\nevent: alert\r\ndata: {}", "\u2028", "\u2029", "\x85", "\0"])
def test_no_name_or_label_with_the_end_of_a_line_gets_in(breaking: str) -> None:
    text = f"a{breaking}b"
    reply = push(hostname=text, role=text, environment=text, labels={"team": text, text: "x"})
    shown = ascii(text)[1:-1]
    refused = {rejection["field"] for rejection in reply.json()["rejected"]}
    assert refused == {"hostname", "role", "environment", "labels.team", f"labels.{shown}"}
    assert push(f"web{breaking}01").status == 400
    server = invoke(servers, "GET", "/api/servers/web-01", key=API_KEY).json()
    assert "hostname" not in server
    assert server["labels"] == {}


def strings(value: Any) -> Iterator[str]:
    if isinstance(value, str):
        yield value
    elif isinstance(value, dict | list):
        for part in value.values() if isinstance(value, dict) else value:
            yield from strings(part)


def test_nothing_in_an_event_of_the_feed_ends_it_before_its_end() -> None:
    # As if a name with all of these had got past the doors.
    name = 'a\r\n\r\nevent: alert\ndata: {"forged": true}\n\n\u2028\u2029\x85'
    now_ms = int(time.time() * 1000)
    store_pushes([Push("web-01", from_points([("load_1m", now_ms, 1.0)]), {"hostname": name, "role": name})], now_ms)
    reply = invoke(stream, "GET", "/api/stream", key=API_KEY)
    assert reply.status == 200
    # As the specification has it: lines end with CR, LF or both, and an event with an empty line.
    lines = reply.body.decode().replace("\r\n", "\n").replace("\r", "\n").split("\n")
    assert [line.partition(": ")[2] for line in lines if line.startswith("event")] == ["snapshot", "bye"]
    sent = [json.loads(line.partition(": ")[2]) for line in lines if line.startswith("data")]
    assert name in strings(sent[0])
    assert len(sent) == 2


def test_a_problem_says_what_was_wrong_and_is_still_json() -> None:
    reply = invoke(servers, "GET", f"/api/servers/{SCRIPT.replace('/', '')}", key=API_KEY)
    assert (reply.status, reply.headers["content-type"]) == (404, "application/problem+json")
    assert reply.headers["x-content-type-options"] == "nosniff"
    split = invoke(servers, "GET", "/api/servers/a\r\nSet-Cookie: a=b", key=API_KEY)
    assert split.status == 404
    assert "set-cookie" not in split.headers
