"""An incident's report over real stores: every figure computed again from them, who sees what, hostile words, gaps."""

import json
import time
from collections.abc import Iterator
from dataclasses import replace
from typing import Any
from urllib.parse import quote

import psycopg
import pytest
from openmanager.alerts.conditions import condition
from openmanager.alerts.machine import Alert, Transition, acknowledge, step
from openmanager.alerts.rules import DEFAULTS, Rule
from openmanager.archive import ledger as settling
from openmanager.oncall.report.described import REPORT
from openmanager.settings import settings
from openmanager.stores import alerts, notifications
from openmanager.watch.outcome import recorded

from functions.incidents.handler import handler as door
from functions.ingest.handler import handler as ingest_door
from infra.local.stack import Upstash
from tests.conftest import API_KEY
from tests.credentials import JWT_KEYS, api_key
from tests.events import Reply, invoke

RULES: dict[str, Rule] = {rule.id: rule for rule in DEFAULTS}
FIRST = int(time.time()) // 60 - 90
MINUTES = 80
CLOSED = f"db-01|{FIRST + 17}"
OPEN = f"web-04|{FIRST + 70}"
WHO = "ada.lovelace"
NOTE = "the [backup](https://evil.example) <img src=x onerror=alert(1)> ran\n# again\u202e ``x``"
ROLES = {"db-01": "database", "web-01": "web", "api-01": "api", "storage-01": "storage", "web-04": "web"}
# Minutes after FIRST at which things happen, by the default rules for these values.
SAID_AHEAD, FIRED, CRITICAL, TAKEN, WELL = 17, 25, 30, 40, 51


def value(i: int) -> float:
    """How full the disk of db-01 is: it fills, stays so, and is emptied."""
    return 50.0 if i >= WELL else min(60.0 + i, 95.0)


def verdict(i: int) -> dict[str, Any]:
    crossing = {"outcome": "crosses", "skilled": True, "earliest_s": 5400, "likely_s": 6000, "latest_s": None}
    return {
        "server": "db-01", "minute": (FIRST + i) * 60, "status": "critical" if CRITICAL <= i < WELL else "healthy",
        "exhaustion": {"filesystem_utilization": crossing if 2 <= i < FIRED else {"outcome": "not_within_horizon"}},
        "failure": {"probability": 0.9 if 12 <= i <= 20 else 0.05}, "anomaly": None, "values": {}, "forecasts": {},
    }  # fmt: skip


def life(rule: Rule, note: str) -> Iterator[Transition]:
    """What the alerts' machine makes of those minutes, with an acknowledgement."""
    alert: Alert | None = None
    for i in range(MINUTES):
        if alert and i == TAKEN and rule.id == "filesystem":
            alert, happened = acknowledge(alert, WHO, note, FIRST + i)
            yield from happened
        shown = condition(rule, verdict(i), {"filesystem_utilization": value(i)})
        alert, happened = step(rule, "db-01", alert, shown, FIRST + i)
        if alert and alert.active:
            alert = replace(alert, incident=CLOSED)
        yield from (replace(t, alert=replace(t.alert, incident=CLOSED)) for t in happened)


@pytest.fixture
def stored(stores_env: dict[str, str], empty_redis: Upstash, monkeypatch: pytest.MonkeyPatch) -> Iterator[Upstash]:
    """An incident that is over, with all that stores keep of one, and one that is open and has left little."""
    monkeypatch.setenv("OPENMANAGER_JWT_KEYS", JWT_KEYS)
    settings.cache_clear()
    for server, role in ROLES.items():
        left = {"metrics": {}, "seen": (FIRST + 88) * 60.0, "attributes": {"role": role} if server != "web-04" else {}}
        judged = {
            "server": server,
            "minute": (FIRST + 88) * 60,
            "status": "offline" if server == "web-04" else "healthy",
        }
        fields = (server, json.dumps(left), f"{server}|verdict", json.dumps(judged))
        empty_redis.command("HSET", "om:0:latest", *fields)
    happened = [t for name in ("filesystem", "filesystem_exhaustion") for t in life(RULES[name], NOTE)]
    times = {"since": FIRST + 26, "changed": FIRST + 31, "fired": FIRST + 31}
    web = Alert("web-01", "cpu", "firing", "warning", value=83.5, limit=80.0, facts={"metric": "cpu_utilization"},
                suppressed="parent: db-01 filesystem", incident=CLOSED, **times)  # type: ignore[arg-type]  # fmt: skip
    ended = replace(web, facts={"reason": "its rule is gone"})
    happened += [Transition("firing", FIRST + 31, web), Transition("resolved", FIRST + 55, ended)]
    alerts.store(recorded(t) for t in happened)
    samples = [
        {"time": (FIRST + i) * 60 + 5, "metrics": {"filesystem_utilization": value(i), "cpu_utilization": 10.0 + i % 7}}
        for i in range(MINUTES)
    ]
    pushed = json.dumps({"server": "db-01", "samples": samples}).encode()
    assert invoke(ingest_door, "POST", "/api/ingest", key=API_KEY, body=pushed).status == 200
    settling.settle([("db-01", (FIRST + i) * 60, verdict(i)) for i in range(MINUTES)])
    told = next(t for t in happened if t.alert.rule == "filesystem" and t.notice == "firing")
    attempt = {
        "key": "k", "notice": f"{told.alert.id}|firing|1", "event": "firing", "server": "db-01", "rule": "filesystem",
        "severity": "warning", "target": "night-shift", "tries": 1, "outcome": "delivered", "status": 200,
        "detail": "hooks.internal.example said ok", "at_ms": (FIRST + FIRED) * 60_000 + 1500,
    }  # fmt: skip
    # Of another alert, whose name begins alike.
    other = attempt | {"notice": f"{told.alert.id}0|firing|1", "target": "somebody-else"}
    notifications.store_outcomes([("1-0", json.dumps(attempt)), ("2-0", json.dumps(other))])
    gone = Alert("web-04", "offline", "firing", "critical", value=420.0, limit=180.0, facts={"silent_s": 420.0},
                 since=FIRST + 68, changed=FIRST + 70, fired=FIRST + 70, incident=OPEN)  # fmt: skip
    empty_redis.command("HSET", "om:0:alerts", "web-04", json.dumps({"alerts": [gone.as_dict()], "paged": {}}))
    notice = {"id": f"{gone.id}|firing|1", "event": "firing", "server": "web-04", "rule": "offline",
              "severity": "critical", "since": 0.0, "at": (FIRST + 70) * 60.0, "title": ""}  # fmt: skip
    entry = {"notice": notice, "target": "night-shift", "tries": 2, "reason": "ConnectError: hooks.internal.example"}
    empty_redis.command("HSET", "om:outbox", "w|night-shift", json.dumps(entry))
    yield empty_redis
    settings.cache_clear()


def send(identity: str, key: str = API_KEY, query: str = "", accept: str = "") -> Reply:
    path = f"/api/incidents/{quote(identity, safe='')}/report"
    return invoke(door, "GET", path, key=key, query=query, headers={"accept": accept} if accept else None)


def report(identity: str, key: str = API_KEY) -> Any:
    reply = send(identity, key)
    assert reply.status == 200, reply.body
    return reply.json()


def text(identity: str, key: str = API_KEY, language: str = "en") -> str:
    reply = send(identity, key, f"format=markdown&language={language}")
    assert reply.headers["content-type"] == "text/markdown; charset=utf-8"
    return reply.body.decode()


def rows(env: dict[str, str], sql: str, *args: Any) -> list[tuple[Any, ...]]:
    with psycopg.connect(env["DATABASE_URL"]) as connection:
        return connection.execute(sql, args).fetchall()


def of(section: Any, **wanted: Any) -> Any:
    (found,) = [r for r in section["rows"] if all(r[name] == value for name, value in wanted.items())]
    return found


def test_the_timeline_is_every_transition_as_the_history_has_it(stored: Upstash, stores_env: dict[str, str]) -> None:
    told = report(CLOSED)
    history = rows(
        stores_env,
        "SELECT extract(epoch FROM at)::float8, server, rule, what, body->>'severity', (body->>'value')::float8,"
        " (body->>'limit')::float8, nullif(notice, ''), nullif(body->>'suppressed', '') FROM alert_transitions",
    )
    names = ("at", "server", "rule", "what", "severity", "value", "limit", "told")
    shown = [(*(r[n] for n in names), r.get("suppressed")) for r in told["timeline"]["rows"]]
    assert len(shown) == len(history) == len(set(history))
    assert set(shown) == set(history)
    assert [r["at"] for r in told["timeline"]["rows"]] == sorted(r["at"] for r in told["timeline"]["rows"])
    assert told["window"] == {"from": FIRST * 60 + 2 * 60 - 1800, "to": told["ended"] + 60}
    assert (told["open"], told["severity"], told["root"]["server"]) == (False, "critical", "db-01")
    assert told["ended"] == max(at for at, *_ in history)
    assert told["lasted_s"] == told["ended"] - told["began"]
    assert told["began"] == min(at for at, *_, what, _, _, _, _, _ in history if what == "firing")


def test_how_early_it_was_announced_is_what_the_ledger_settled(stored: Upstash, stores_env: dict[str, str]) -> None:
    ((began, ahead),) = rows(stores_env, "SELECT extract(epoch FROM began)::float8, announced FROM ledger_incidents")
    told = report(CLOSED)["announced"]
    settled = {r["model"]: r for r in told["rows"] if r["source"] == "ledger"}
    assert {model: r["to_incident_s"] for model, r in settled.items()} == {m: 60 * n for m, n in ahead.items()}
    assert {"failure", "exhaustion"} == set(settled)
    for r in settled.values():
        assert r["predicted"] + r["to_incident_s"] == r["incident"]["began"] == began
        assert r["to_alert_s"] == (FIRST + FIRED) * 60 - r["predicted"]
    early = of(told, source="history")
    assert (early["model"], early["to_alert_s"]) == ("filesystem_exhaustion", (FIRED - SAID_AHEAD) * 60)


def test_metrics_are_least_and_greatest_of_the_samples_and_the_one_as_it_fired(stored: Upstash) -> None:
    told = report(CLOSED)["metrics"]
    disk = of(told, metric="filesystem_utilization")
    inside = [
        value(i) for i in range(MINUTES)
        if disk["window"]["from"] <= (FIRST + i) * 60 + 5 < disk["window"]["to"]
    ]  # fmt: skip
    assert (disk["min"], disk["max"], disk["at_firing"]) == (min(inside), max(inside), value(FIRED))
    assert (disk["fired"], disk["step_s"], disk["resolution"]) == ((FIRST + FIRED) * 60, 60, "raw")
    cpu = of(told, metric="cpu_utilization")
    # Of what has no alert of its own, as the server's first fired.
    assert (cpu["at_firing"], cpu["fired"]) == (10.0 + SAID_AHEAD % 7, (FIRST + SAID_AHEAD) * 60)


def test_servers_stand_with_what_they_need_and_affect(stored: Upstash) -> None:
    servers = report(CLOSED)["servers"]
    assert servers["window"] == {"from": (FIRST + 88) * 60, "to": (FIRST + 89) * 60}
    assert [s["server"] for s in servers["rows"]] == ["db-01", "web-01"]
    db = of(servers, server="db-01")
    assert db["needs"] == {"count": 1, "not_healthy": []}
    assert db["affects"]["count"] == 2


def test_who_took_care_how_it_ended_and_who_was_told(stored: Upstash) -> None:
    told = report(CLOSED)
    (taken,) = told["acknowledged"]["rows"]
    assert (taken["by"], taken["note"], taken["at"]) == (WHO, NOTE, (FIRST + TAKEN) * 60)
    disk = of(told["resolution"], rule="filesystem")
    # It had been over for the rule's keep-firing time.
    assert disk["resolved"] == (FIRST + WELL + RULES["filesystem"].keep_firing_min) * 60
    assert (disk["value"], disk["after_s"]) == (50.0, disk["resolved"] - (FIRST + FIRED) * 60)
    assert of(told["resolution"], server="web-01")["reason"] == "its rule is gone"
    assert "`cpu`: resolved (warning), at 83.5% (limit 80%)" in text(CLOSED)
    (sent,) = told["notifications"]["rows"]
    assert sent == {
        "at": (FIRST + FIRED) * 60 + 1.5, "server": "db-01", "rule": "filesystem", "event": "firing",
        "target": "night-shift", "tries": 1, "outcome": "delivered", "status": 200,
    }  # fmt: skip


def test_an_open_one_says_so_and_what_is_not_known_yet(stored: Upstash) -> None:
    told = report(OPEN)
    assert (told["open"], told["ended"]) == (True, None)
    assert told["window"]["to"] == (FIRST + 89) * 60
    assert [(r["what"], r["at"], r["source"]) for r in told["timeline"]["rows"]] == [
        ("pending", (FIRST + 68) * 60, "book"),
        ("firing", (FIRST + 70) * 60, "book"),
    ]
    assert of(told["resolution"], server="web-04")["state"] == "firing"
    assert of(told["notifications"], target="night-shift")["outcome"] == "waiting"
    unknown = {u["what"]: u.get("servers") for u in told["not_in_the_data"]}
    assert unknown == {
        "actions": None, "logs": None, "history": None, "role": ["web-04"], "settled": ["web-04"],
        "samples": ["web-04"],
    }  # fmt: skip
    markdown = text(OPEN)
    assert "State: still open, critical" in markdown
    # What the open alert shows now is not what it showed then.
    assert "7 min" not in markdown
    assert "What these servers need and affect, as they have sent no role: `web-04`" in markdown


def test_every_part_has_its_source_and_window(stored: Upstash) -> None:
    for identity in (CLOSED, OPEN):
        told = report(identity)
        assert told.keys() == REPORT["properties"].keys() == set(REPORT["required"])
        for name, schema in REPORT["properties"].items():
            if "source" in schema.get("properties", {}):
                assert told[name]["source"] == schema["properties"]["source"]["const"]
                assert told[name]["window"]["from"] < told[name]["window"]["to"]
        assert text(identity).count("Source: ") == 8
        assert text(identity, language="ko").count("출처: ") == 8


def test_the_same_data_have_the_same_octets(stored: Upstash) -> None:
    for identity in (CLOSED, OPEN):
        for query in ("", "format=markdown", "format=markdown&language=ko"):
            assert send(identity, query=query).body == send(identity, query=query).body


def test_the_form_is_the_one_asked_for(stored: Upstash) -> None:
    assert send(CLOSED).headers["content-type"] == "application/json"
    assert send(CLOSED, accept="text/markdown, */*;q=0.1").headers["content-type"].startswith("text/markdown")
    assert send(CLOSED, query="format=json", accept="text/markdown").headers["content-type"] == "application/json"
    assert send(CLOSED, query="format=pdf").json()["field"] == "format"
    assert send(CLOSED, query="language=fr").json()["field"] == "language"
    assert send("nothing|1").status == 404


@pytest.mark.parametrize("role", ["viewer", "operator", "auditor", "admin"])
def test_both_forms_leave_out_the_same_for_a_role(stored: Upstash, role: str) -> None:
    key = api_key(role)
    bodies = [send(CLOSED, key).body.decode(), text(CLOSED, key), text(CLOSED, key, "ko")]
    for body in bodies:
        assert (WHO in body) == (role != "viewer")
        assert ("ran" in body) == (role != "viewer")
        assert ("night-shift" in body) == (role in ("operator", "admin"))
        assert "hooks.internal" not in body
    if role == "viewer":
        assert "by a name that your role does not see" in bodies[1]


@pytest.mark.parametrize("language", ["en", "ko"])
def test_what_somebody_wrote_becomes_no_part_of_the_markdown(stored: Upstash, language: str) -> None:
    markdown_it = pytest.importorskip("markdown_it", reason="an independent reader of Markdown is not installed")
    reader = markdown_it.MarkdownIt("gfm-like", {"linkify": False, "html": True})
    tokens = reader.parse(text(CLOSED, language=language))
    inner = [t for token in tokens for t in (token.children or [])]
    assert {t.type for t in tokens} <= {
        "heading_open", "heading_close", "inline", "paragraph_open", "paragraph_close", "bullet_list_open",
        "bullet_list_close", "list_item_open", "list_item_close",
    }  # fmt: skip
    assert {t.type for t in inner} <= {"text", "code_inline", "softbreak"}
    assert sum(t.type == "heading_open" for t in tokens) == 9
    # It is there, whole, as the text that it was.
    said = "the [backup](https://evil.example) <img src=x onerror=alert(1)> ran # again ``x``"
    assert [t.content for t in inner if t.type == "code_inline"].count(said) == 2
    assert "\u202e" not in text(CLOSED)
