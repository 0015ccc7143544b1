"""What answers leave out: every route that reads × every role, with data stored that not everybody may see."""

import importlib
import json
import time
from collections.abc import Iterator
from functools import lru_cache
from typing import Any

import pytest
from openmanager.alerts.machine import Alert, Transition
from openmanager.notify.targets import dump, read_target
from openmanager.security import fields
from openmanager.security.roles import USER_ROLES
from openmanager.settings import settings
from openmanager.stores import alerts, reset
from openmanager.watch.outcome import recorded
from openmanager.web.auth import Guard, guard_of, routes_of

from infra.local.stack import Upstash
from infra.openapi import ROOT
from infra.serverless import read_service
from tests.conftest import API_KEY
from tests.credentials import JWT_KEYS, api_key
from tests.events import Reply, invoke
from tests.integration.test_audit_logs import send as ask_live
from tests.live import LiveStack

NOW = int(time.time())
MINUTE = NOW // 60
# What people are called and what they wrote, and what only an administrator is to know of receivers.
ACKNOWLEDGED = {"by": "ada.lovelace", "note": "it is the fan again"}
SILENCED = "a customer complained"
MAINTAINED = "the backup of the payroll"
ANSWERED = "ConnectError: hooks.internal.example"
CARE = set(ACKNOWLEDGED.values())
# Route -> what of this it has, written down apart from the code.
STORED = {
    "/api/alerts": CARE,
    "/api/alerts/history": CARE,
    "/api/incidents": CARE,
    "/api/incidents/{id}": CARE,
    "/api/incidents/{id}/report": CARE,
    "/api/stream/snapshot": CARE,
    "/api/silences": {SILENCED, "api key"},
    "/api/maintenance": {MAINTAINED},
    "/api/notifications/outbox": {ANSWERED},
    "/api/audit": {"api key"},
}
PERSONAL = {"by", "note", "acknowledged_by", "created_by", "changed_by", "actor", "address"}


@lru_cache(maxsize=1)
def routes() -> tuple[tuple[Any, str, str, tuple[str, ...]], ...]:
    """(function's module, method, path, roles) of every route that is for roles."""
    found = []
    for function in read_service(ROOT / "serverless.yml").functions:
        if function.routes:
            module = importlib.import_module(function.module)
            guards = {(m, r.path): guard_of(r) for r in routes_of(module.app.routes) for m in r.methods or ()}
            for route in function.routes:
                guard = guards.get((route.method, route.path))
                if isinstance(guard, Guard):
                    found.append((module, route.method, route.path, guard.roles))
    return tuple(found)


def door(path: str) -> Any:
    return next(module.handler for module, _, known, _ in routes() if known == path)


def acknowledged() -> Alert:
    times = {"since": MINUTE - 9, "changed": MINUTE - 5, "fired": MINUTE - 8, "acknowledged": MINUTE - 5}
    return Alert("web-01", "cpu", "acknowledged", "critical", incident="i-1", **times, **ACKNOWLEDGED)  # type: ignore[arg-type]


@pytest.fixture
def stored(stores_env: dict[str, str], empty_redis: Upstash, monkeypatch: pytest.MonkeyPatch) -> Iterator[Upstash]:
    """Something of everything that people do."""
    monkeypatch.setenv("OPENMANAGER_JWT_KEYS", JWT_KEYS)
    monkeypatch.setenv("OPENMANAGER_STREAM_WINDOW_S", "0")
    settings.cache_clear()
    alert = acknowledged()
    happened = recorded(Transition("acknowledged", MINUTE - 5, alert, "acknowledged"))
    empty_redis.command("HSET", "om:0:alerts", "web-01", json.dumps({"alerts": [alert.as_dict()], "paged": {}}))
    alerts.store([happened])
    verdict = {"server": "web-01", "minute": MINUTE * 60, "status": "critical", "confidence": 1.0, "anomaly": None}
    latest = {"metrics": {"cpu_utilization": 99.0}, "seen": NOW, "attributes": {"role": "web"}}
    judged = verdict | {"failure": None, "risk": None, "reasons": [], "exhaustion": [], "forecasts": {}}
    empty_redis.command("HSET", "om:0:latest", "web-01", json.dumps(latest), "web-01|verdict", json.dumps(judged))
    pushed = {"server": "web-01", "samples": [{"metrics": {"cpu_utilization": 99.0}}]}
    assert send("POST", "/api/ingest", pushed).status == 200
    assert send("POST", "/api/silences", {"minutes": 60, "reason": SILENCED}).status == 201
    window = {"days": ["sun"], "at": "02:00", "minutes": 60, "reason": MAINTAINED}
    assert send("PUT", "/api/maintenance/{id}", window).status == 200
    empty_redis.command("SET", "om:targets", dump([read_target(TARGET)]))
    notice = {"id": f"{alert.id}|firing|1", "event": "firing", "server": "web-01", "rule": "cpu", "title": ""}
    notice |= {"severity": "critical", "since": 0.0, "at": 60.0}
    entry = {"notice": notice, "target": "ops", "reason": ANSWERED}
    empty_redis.command("HSET", "om:outbox", "n|ops", json.dumps(entry))
    yield empty_redis
    settings.cache_clear()


# What a route cannot be asked without.
QUERIES = {"/api/outlooks": "servers=web-01"}
TARGET = {"id": "ops", "channel": "webhook", "settings": {"url": "https://example.org/x", "secret": "s" * 24}}


def send(method: str, path: str, document: Any = None, key: str = API_KEY, query: str = "") -> Reply:
    concrete = path.replace("/incidents/{id}", "/incidents/i-1").replace("/servers/{id}", "/servers/web-01")
    concrete = concrete.replace("{id}", "ops").replace("{key}", "n%7Cops")
    body = None if document is None else json.dumps(document).encode()
    return invoke(door(path), method, concrete, key=key, body=body, query=query)


def names_in(value: Any) -> set[str]:
    if isinstance(value, dict):
        return set(value) | {name for v in value.values() for name in names_in(v)}
    return {name for item in value for name in names_in(item)} if isinstance(value, list) else set()


def may_see(role: str, word: str) -> bool:
    return role == "admin" or (role != "viewer" and word != ANSWERED)


@pytest.mark.parametrize("role", USER_ROLES)
def test_a_role_is_shown_what_it_may_see_and_nothing_else(role: str, stored: Upstash) -> None:
    key, everything = api_key(role), set().union(*STORED.values())
    answered = set()
    for _, method, path, roles in routes():
        # There is no target in Postgres; streams are looked at below; and /mcp says that there is none.
        if method != "GET" or role not in roles or path in ("/api/notifications/targets/{id}", "/api/stream", "/mcp"):
            continue
        reply = send("GET", path, key=key, query=QUERIES.get(path, ""))
        assert reply.status == 200, (path, reply.body)
        assert reply.headers["content-length"] == str(len(reply.body))
        shown = {word for word in everything if word in reply.body.decode()}
        # Prometheus' text has names of metrics and labels, and no field.
        names = names_in(reply.json()) if "json" in reply.headers["content-type"] else set()
        assert shown == {word for word in STORED.get(path, ()) if may_see(role, word)}, path
        assert names & set(fields.SEEN_BY.get(path, ())) == {
            name for name, seen_by in fields.SEEN_BY.get(path, {}).items() if role in seen_by
        }, path
        # Whatever else is told of people, by these names or by others to come, is not for a viewer.
        assert role != "viewer" or not names & PERSONAL, path
        answered.add(path)
    assert answered >= STORED.keys() - {"/api/audit", "/api/notifications/outbox"}


def test_every_route_of_several_roles_says_what_it_leaves_out() -> None:
    several = {path for _, _, path, roles in routes() if set(roles) != {"admin"}}
    assert several == set(fields.SEEN_BY)


def test_an_operator_who_has_a_notice_retried_is_not_told_where_it_went(stored: Upstash) -> None:
    path = "/api/notifications/outbox/{key}/retry"
    assert "reason" not in send("POST", path, key=api_key("operator")).json()
    assert send("POST", path).json()["reason"] == ANSWERED


def streamed(key: str | None, query: str = "") -> str:
    """What a stream says until its window ends, which is at once."""
    reply = invoke(door("/api/stream"), "GET", "/api/stream", key=key, query=query)
    assert reply.status == 200
    assert '"cpu"' in reply.body.decode()
    return reply.body.decode()


@pytest.mark.parametrize("role", USER_ROLES)
def test_the_stream_leaves_out_the_same(role: str, stored: Upstash) -> None:
    text = streamed(api_key(role))
    assert {word for word in CARE if word in text} == {word for word in CARE if may_see(role, word)}


def test_a_ticket_shows_what_a_viewer_sees_whoever_asked_for_it(stored: Upstash) -> None:
    ticket = send("POST", "/api/stream/ticket").json()["ticket"]
    text = streamed(None, f"ticket={ticket}")
    assert not any(word in text for word in CARE)


def test_servers_whose_names_are_those_of_fields_are_shown() -> None:
    said = {"servers": {"by": {"cpu": 1.0}, "note": {"by": "ada"}}, "by": "ada", "list": [{"note": "n", "x": 1}]}
    assert fields.without(said, {"by", "note"}) == {"servers": {"by": {"cpu": 1.0}, "note": {}}, "list": [{"x": 1}]}
    assert fields.without(said, frozenset()) is said


def test_who_has_no_role_sees_no_more_than_a_viewer() -> None:
    assert all(fields.hidden(path, "") >= fields.hidden(path, "viewer") for path in fields.SEEN_BY)


def test_a_store_that_is_away_is_not_told_by_its_address(
    stores_env: dict[str, str], monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setenv("DATABASE_URL", "postgresql://a-user@localhost:1/a-database")
    monkeypatch.setenv("UPSTASH_REDIS_REST_URL", "http://localhost:1")
    settings.cache_clear()
    reset()
    details = [send("GET", path).json()["detail"] for path in ("/api/silences", "/api/servers")]
    # Whoever logs in has shown nothing yet.
    login = importlib.import_module("functions.auth.handler").handler
    body = json.dumps({"user": "ada", "password": "guessed"}).encode()
    details.append(invoke(login, "POST", "/api/auth/token", body=body).json()["detail"])
    assert details == ["Postgres does not answer", "Redis does not answer", "Redis does not answer"]


def test_the_description_says_what_is_left_out() -> None:
    module = next(module for module, _, path, _ in routes() if path == "/api/silences")
    operation = module.app.openapi()["paths"]["/api/silences"]["get"]
    assert operation["description"].splitlines()[-1] == (
        "`by` is for operator, admin and auditor only; `reason` is for operator, admin and auditor only: answers to"
        " others are without."
    )


def test_a_viewer_of_the_whole_stack_is_answered_likewise(live_gateway: LiveStack) -> None:
    silence = ask_live(live_gateway, "POST", "/api/silences", {"minutes": 1, "reason": SILENCED})[1]
    key = ask_live(live_gateway, "POST", "/api/keys", {"name": "wall", "role": "viewer"})[1]["key"]
    seen_by_all = {name: value for name, value in silence.items() if name not in ("by", "reason")}
    assert seen_by_all in ask_live(live_gateway, "GET", "/api/silences", bearer=key)[1]["silences"]
    assert silence in ask_live(live_gateway, "GET", "/api/silences")[1]["silences"]
