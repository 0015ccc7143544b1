"""Targets and the outbox through the API, as a person sets them up."""

import json
from collections.abc import Iterator
from typing import Any
from urllib.parse import quote

import psycopg
import pytest
from openmanager import notify
from openmanager.notify import Notice, route
from openmanager.settings import settings
from openmanager.stores import reset

from functions.notifications.handler import handler
from infra.local.stack import Upstash
from tests.events import Reply, invoke
from tests.faults import door
from tests.live import LiveStack
from tests.receivers import Answer, Receiver, running

SECRET = "a-signing-secret-0123456789-wxyz"
NOW_MS = 1_764_000_000_000


@pytest.fixture
def redis(stores_env: dict[str, str], empty_redis: Upstash, monkeypatch: pytest.MonkeyPatch) -> Upstash:
    monkeypatch.setenv("OPENMANAGER_NOTIFY_ALLOW_PRIVATE", "1")
    settings.cache_clear()
    return empty_redis


@pytest.fixture
def receiver() -> Iterator[Receiver]:
    with running(Receiver()) as one:
        yield one


def ask(method: str, path: str, document: Any = None) -> Reply:
    body = None if document is None else json.dumps(document).encode()
    key = settings().api_key
    return invoke(handler, method, f"/api/notifications/{path}", key=key, body=body)


def hook(receiver: Receiver) -> dict[str, Any]:
    url = f"http://127.0.0.1:{receiver.server_port}/hook"
    return {"channel": "webhook", "settings": {"url": url, "secret": SECRET}, "severity": "warning"}


def published(redis: Upstash) -> list[notify.Target]:
    return notify.targets.parse(redis.command("GET", "om:targets"))


def test_a_target_is_made_shown_changed_and_deleted(redis: Upstash, receiver: Receiver) -> None:
    assert ask("GET", "targets").json() == {"targets": []}
    made = ask("PUT", "targets/ops", hook(receiver))
    assert made.status == 200
    url = hook(receiver)["settings"]["url"]
    shown = {"url": url, "secret": "…wxyz", "previous_secret": None}
    whole = {
        "id": "ops", "channel": "webhook", "settings": shown, "language": "en", "timezone": "UTC",
        "severity": "warning", "classes": ["measured", "predictive"], "servers": [], "roles": [], "resolved": True,
        "enabled": True,
    }  # fmt: skip
    assert made.json() == ask("GET", "targets/ops").json() == whole
    assert ask("GET", "targets").json() == {"targets": [whole]}
    assert [t.settings["secret"] for t in published(redis)] == [SECRET]

    # What was shown can be sent back, changed, without knowing the secret:
    changed = ask("PUT", "targets/ops", {**whole, "language": "ko"})
    assert (changed.status, changed.json()["language"]) == (200, "ko")
    assert [(t.language, t.settings["secret"]) for t in published(redis)] == [("ko", SECRET)]

    assert ask("DELETE", "targets/ops").status == 204
    assert published(redis) == []
    assert ask("GET", "targets/ops").status == ask("DELETE", "targets/ops").status == 404


def test_no_secret_leaves_by_any_answer(redis: Upstash, receiver: Receiver) -> None:
    ask("PUT", "targets/ops", hook(receiver))
    receiver.answers = lambda _: Answer(500)
    replies = [ask("GET", "targets"), ask("GET", "targets/ops"), ask("POST", "targets/ops/test"), ask("GET", "outbox")]
    replies.append(ask("PUT", "targets/ops", {**hook(receiver), "timezone": "nowhere"}))
    assert all(SECRET.encode() not in reply.body for reply in replies)


def test_the_secret_cannot_be_led_elsewhere(redis: Upstash, receiver: Receiver) -> None:
    ask("PUT", "targets/ops", hook(receiver))
    reply = ask("PUT", "targets/ops", {"channel": "webhook", "settings": {"url": "https://evil.example/"}})
    assert (reply.status, reply.json()["field"]) == (400, "settings.secret")
    assert published(redis)[0].settings["url"] == hook(receiver)["settings"]["url"]


@pytest.mark.parametrize(
    ("document", "field"),
    [
        ({"channel": "webhook"}, "settings"),
        ({"channel": "slack", "settings": {"url": "not an address"}}, "settings.url"),
        ({"channel": "slack", "settings": {"url": "https://x.example/"}, "id": "other"}, "id"),
        ({"channel": "slack", "settings": {"url": "https://x.example/"}, "who": "me"}, "who"),
        ([], "body"),
    ],
)
def test_a_bad_target_is_refused_by_its_field(redis: Upstash, document: Any, field: str) -> None:
    reply = ask("PUT", "targets/ops", document)
    assert (reply.status, reply.json()["field"]) == (400, field)
    assert ask("GET", "targets").json() == {"targets": []}


def test_plain_http_is_refused_unless_it_is_allowed(redis: Upstash, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.delenv("OPENMANAGER_NOTIFY_ALLOW_PRIVATE")
    settings.cache_clear()
    for channel, name, own in (
        ("slack", "url", {"url": "http://hooks.slack.com/x"}),
        ("ntfy", "server", {"server": "http://ntfy.sh", "topic": "t"}),
    ):
        reply = ask("PUT", "targets/ops", {"channel": channel, "settings": own})
        assert (reply.status, reply.json()["field"]) == (400, f"settings.{name}")


def test_every_route_needs_the_key(redis: Upstash) -> None:
    for method, path in (
        ("GET", "targets"), ("GET", "targets/x"), ("PUT", "targets/x"), ("DELETE", "targets/x"),
        ("POST", "targets/x/test"), ("GET", "outbox"), ("POST", "outbox/x/retry"),
    ):  # fmt: skip
        assert invoke(handler, method, f"/api/notifications/{path}", body=b"{}").status == 401


def test_the_test_button_answers_what_the_receiver_said(redis: Upstash, receiver: Receiver) -> None:
    ask("PUT", "targets/ops", {**hook(receiver), "language": "ko"})
    assert ask("POST", "targets/ops/test").json() == {"delivered": True, "status": 200, "detail": "answered 200"}
    assert receiver.received[0].json()["title"] == "[테스트] 테스트 알림이며 실제 장애가 아닙니다"
    receiver.answers = lambda _: Answer(403, {}, b"invalid_token")
    refused = {"delivered": False, "status": 403, "detail": "answered 403: invalid_token"}
    assert ask("POST", "targets/ops/test").json() == refused
    assert len(receiver.keys) == 2
    assert ask("POST", "targets/nobody/test").status == 404
    assert ask("GET", "outbox").json() == {"waiting": [], "failed": []}


def put(redis: Upstash, name: str) -> None:
    notice = Notice(name, "firing", "web-01", "cpu", "critical", 0.0, 60.0, "CPU")
    for key, text in route(notice, published(redis)).items():
        redis.command("HSET", "om:outbox", key, text)


def test_what_waits_and_what_failed_is_shown_with_its_reason_and_can_be_retried(
    redis: Upstash, receiver: Receiver
) -> None:
    ask("PUT", "targets/ops", hook(receiver))
    put(redis, "web-01|cpu|1|1|firing")
    receiver.answers = lambda _: Answer(503, {}, b"busy")
    notify.deliver(NOW_MS)
    shown = ask("GET", "outbox").json()
    assert shown["failed"] == []
    waiting = shown["waiting"][0]
    key = waiting["key"]
    assert (key, waiting["target"], waiting["tries"]) == ("web-01|cpu|1|1|firing|ops", "ops", 1)
    assert (waiting["reason"], waiting["status"], waiting["notice"]["server"]) == ("answered 503: busy", 503, "web-01")
    assert NOW_MS / 1000 < waiting["due"] <= NOW_MS / 1000 + 60

    assert notify.deliver(NOW_MS).later == 0
    retried = ask("POST", f"outbox/{quote(key, safe='')}/retry")
    assert (retried.status, retried.json()["tries"]) == (200, 0)
    receiver.answers = lambda _: Answer(410, {}, b"gone")
    assert notify.deliver(NOW_MS).failed == 1
    shown = ask("GET", "outbox").json()
    assert shown["waiting"] == []
    assert (shown["failed"][0]["reason"], shown["failed"][0]["failed"]) == (
        "answered 410: gone",
        pytest.approx(NOW_MS / 1000, abs=60),
    )

    assert ask("POST", f"outbox/{quote(key, safe='')}/retry").status == 200
    receiver.answers = lambda _: Answer()
    assert notify.deliver(NOW_MS).delivered == 1
    assert ask("GET", "outbox").json() == {"waiting": [], "failed": []}
    assert ask("POST", f"outbox/{quote(key, safe='')}/retry").status == 404
    assert set(receiver.keys) == {key}


def test_an_unreadable_entry_is_shown_as_such(redis: Upstash, receiver: Receiver) -> None:
    redis.command("HSET", "om:outbox", "damaged|ops", "{")
    assert ask("GET", "outbox").json()["waiting"] == [{"key": "damaged|ops", "reason": "does not read as one"}]
    assert ask("POST", "outbox/damaged%7Cops/retry").status == 400


def test_redis_gets_its_targets_back(redis: Upstash, receiver: Receiver) -> None:
    ask("PUT", "targets/ops", hook(receiver))
    ask("PUT", "targets/boss", {**hook(receiver), "severity": "critical"})
    assert notify.republish_targets() is False
    before = redis.command("GET", "om:targets")
    redis.command("FLUSHALL")
    assert notify.republish_targets() is True
    assert redis.command("GET", "om:targets") == before
    assert [t.id for t in published(redis)] == ["boss", "ops"]


def test_with_redis_away_nothing_is_changed_anywhere(
    redis: Upstash, receiver: Receiver, stores_env: dict[str, str], monkeypatch: pytest.MonkeyPatch
) -> None:
    ask("PUT", "targets/ops", hook(receiver))
    with door(redis.url) as opened:
        monkeypatch.setenv("UPSTASH_REDIS_REST_URL", opened.url)
        settings.cache_clear()
        reset()
        opened.fault = "refuses"
        assert ask("PUT", "targets/ops", {**hook(receiver), "language": "ko"}).status == 503
        assert ask("DELETE", "targets/ops").status == 503
        opened.fault = ""
        assert ask("GET", "targets/ops").json()["language"] == "en"
        assert [t.language for t in published(redis)] == ["en"]
        reset()
    with psycopg.connect(stores_env["DATABASE_URL"]) as connection:
        assert connection.execute("SELECT id, body->>'language' FROM notification_targets").fetchall() == [
            ("ops", "en")
        ]


def test_there_are_no_more_targets_than_a_round_can_take(
    redis: Upstash, receiver: Receiver, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setattr("openmanager.notify.manage.MAX_TARGETS", 2)
    assert [ask("PUT", f"targets/t{i}", hook(receiver)).status for i in range(3)] == [200, 200, 409]
    assert [t.id for t in published(redis)] == ["t0", "t1"]


def test_the_gateway_leads_to_the_same_routes(live_gateway: LiveStack) -> None:
    document = json.dumps({"channel": "ntfy", "settings": {"topic": "ops", "token": "tk_0123456789abcdef"}}).encode()
    assert live_gateway.ask("/api/notifications/targets/phone", "PUT", document)[0] == 200
    status, text = live_gateway.ask("/api/notifications/targets/phone")
    assert (status, json.loads(text)["settings"]["token"]) == (200, "…cdef")
    key = quote("web-01|cpu|1|firing|0|phone", safe="")
    assert live_gateway.ask(f"/api/notifications/outbox/{key}/retry", "POST")[0] == 404
    assert live_gateway.ask("/api/notifications/targets/phone", "DELETE") == (204, "")
