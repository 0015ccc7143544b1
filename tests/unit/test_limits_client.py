"""Where a request comes from: what the platform states, whatever headers it carries."""

import json
from collections.abc import Iterator
from typing import Any

import pytest
from mangum.handlers.api_gateway import HTTPGateway
from openmanager.settings import settings
from openmanager.web.client import client_address

from tests.events import http_event

SPOOFED = {
    "x-forwarded-for": "198.51.100.7, 198.51.100.8",
    "x-real-ip": "198.51.100.7",
    "x-vercel-forwarded-for": "198.51.100.7",
    "forwarded": "for=198.51.100.7",
    "cf-connecting-ip": "198.51.100.7",
    "true-client-ip": "198.51.100.7",
    "x-client-ip": "198.51.100.7",
}


@pytest.fixture(autouse=True)
def elsewhere(monkeypatch: pytest.MonkeyPatch) -> Iterator[None]:
    monkeypatch.setenv("OPENMANAGER_STAGE", "local")
    monkeypatch.delenv("VERCEL", raising=False)
    settings.cache_clear()
    yield
    settings.cache_clear()


def scope(event: dict[str, Any]) -> dict[str, Any]:
    """The ASGI scope that the adapter makes of an event."""
    config: Any = {"api_gateway_base_path": "/", "text_mime_types": [], "exclude_headers": []}
    made: dict[str, Any] = HTTPGateway(event, object(), config).scope
    return made


def function_url(source: str, headers: dict[str, str]) -> dict[str, Any]:
    """An event of a function URL: the same form, and its own host and forwarded headers."""
    event = http_event(
        "GET", "/api/servers", headers={"x-forwarded-proto": "https", "x-forwarded-port": "443", **headers}
    )
    event["requestContext"]["http"]["sourceIp"] = source
    event["requestContext"]["domainName"] = "abc.lambda-url.eu-central-1.on.aws"
    return event


@pytest.mark.parametrize("headers", [{}, SPOOFED])
def test_on_aws_the_event_says_it_and_no_header_does(headers: dict[str, str]) -> None:
    assert client_address(scope(http_event("GET", "/api/servers", headers=headers))) == "192.0.2.1"
    assert client_address(scope(function_url("203.0.113.9", headers))) == "203.0.113.9"


def test_a_server_of_one_s_own_says_its_peer() -> None:
    sent = [(name.encode(), value.encode()) for name, value in SPOOFED.items()]
    assert client_address({"type": "http", "client": ("127.0.0.1", 50_000), "headers": sent}) == "127.0.0.1"


def vercel(headers: dict[str, str]) -> str:
    settings.cache_clear()
    sent = [(name.encode(), value.encode()) for name, value in headers.items()]
    return client_address({"type": "http", "client": ("10.0.0.1", 1), "headers": sent})


def test_on_vercel_only_the_edge_s_own_headers_count(monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setenv("VERCEL", "1")
    assert vercel({"x-vercel-forwarded-for": "203.0.113.9", "x-real-ip": "203.0.113.8"}) == "203.0.113.9"
    assert vercel({"x-real-ip": "203.0.113.8", "x-forwarded-for": "198.51.100.7"}) == "203.0.113.8"
    assert vercel({"x-forwarded-for": "198.51.100.7", "forwarded": "for=198.51.100.7"}) == "unknown"


def test_of_several_the_last_was_seen_by_the_edge(monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setenv("VERCEL", "1")
    assert vercel({"x-vercel-forwarded-for": "198.51.100.7, 203.0.113.9"}) == "203.0.113.9"


def test_behind_the_web_adapter_only_what_lambda_says_of_the_request_counts(monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setenv("AWS_LWA_INVOKE_MODE", "response_stream")
    settings.cache_clear()

    def adapted(headers: dict[str, str]) -> str:
        sent = [(name.encode(), value.encode()) for name, value in (SPOOFED | headers).items()]
        return client_address({"type": "http", "client": ("127.0.0.1", 1), "headers": sent})

    context = json.dumps({"http": {"method": "GET", "path": "/api/stream", "sourceIp": "203.0.113.9"}})
    assert adapted({"x-amzn-request-context": context}) == "203.0.113.9"
    # As of its own look at whether the server is ready.
    assert adapted({}) == "unknown"
    for nonsense in ("", "{", "[]", '"x"', '{"http": null}', '{"http": {"sourceIp": {}}}'):
        assert adapted({"x-amzn-request-context": nonsense}) == "unknown"


def test_elsewhere_nobody_says_for_lambda_where_they_come_from() -> None:
    context = b'{"http": {"sourceIp": "198.51.100.7"}}'
    sent = {"type": "http", "client": ("127.0.0.1", 1), "headers": [(b"x-amzn-request-context", context)]}
    assert client_address(sent) == "127.0.0.1"


@pytest.mark.parametrize(
    ("peer", "budget"),
    [
        ("2001:db8:1:2:3:4:5:6", "2001:db8:1:2::/64"),
        ("2001:db8:1:2:ffff::1", "2001:db8:1:2::/64"),
        ("2001:db8:1:3::1", "2001:db8:1:3::/64"),
        ("::ffff:192.0.2.1", "192.0.2.1"),
        ("testclient", "unknown"),
        ("192.0.2.1\r\nSET x", "unknown"),
        (None, "unknown"),
    ],
)
def test_a_subscriber_has_one_budget(peer: str | None, budget: str) -> None:
    assert client_address({"type": "http", "client": (peer, 0), "headers": []}) == budget


def test_without_a_peer_there_is_one_budget_for_all() -> None:
    assert client_address({"type": "http", "client": None, "headers": []}) == "unknown"
