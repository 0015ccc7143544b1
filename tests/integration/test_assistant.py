"""The assistant over real stores: each figure computed again through the routes, roles, sessions, hostile questions."""

import json
import re
import threading
import time
from collections.abc import Callable, Iterator
from dataclasses import replace
from datetime import datetime
from pathlib import Path
from statistics import fmean
from typing import Any

import numpy as np
import pytest
from openmanager.alerts.machine import Alert, Transition
from openmanager.archive import ledger as settling
from openmanager.archive.days import close_due
from openmanager.assistant import conversation, runbooks
from openmanager.assistant.described import ANSWER, Asked
from openmanager.errors import StoreUnavailable
from openmanager.security.roles import ROLES, USER_ROLES, Identity
from openmanager.settings import settings
from openmanager.sidecar import invoke as sidecar_door
from openmanager.stores import alerts, audit
from openmanager.telemetry.samples import Samples
from openmanager.tools import table
from openmanager.watch.outcome import recorded
from openmanager.web.auth import guard_of, routes_of

from functions.alerts.handler import handler as alerts_door
from functions.assistant.handler import handler as door
from functions.audit.handler import handler as audit_door
from functions.incidents.handler import handler as incidents_door
from functions.ingest.handler import handler as ingest_door
from functions.predictions.handler import handler as predictions_door
from functions.record.handler import handler as record_door
from functions.servers.handler import handler as servers_door
from infra.local.stack import Upstash
from tests.conftest import API_KEY
from tests.credentials import JWT_KEYS, api_key
from tests.events import Reply, invoke
from tests.integration.test_history import keep
from tests.integration.test_roles import doors

ROOT = Path(__file__).resolve().parents[2]
GOLDEN = ROOT / "tests/golden/assistant"
RUNBOOKS = ROOT / "functions/mcp/runbooks"
NOW = int(time.time())
MINUTE = NOW // 60 - 1
# Name of the role -> of its servers, how many.
FLEET = {"web": ("web", 4), "api": ("api", 3), "db": ("database", 2), "cache": ("cache", 2), "lb": ("load-balancer", 1),
         "storage": ("storage", 1)}  # fmt: skip
SERVERS = {f"{name}-{i:02}": role for name, (role, size) in FLEET.items() for i in range(1, size + 1)}
NOTE, WHO = "it is the fan again", "ada.lovelace"


def verdict(server: str, i: int, **more: Any) -> dict[str, Any]:
    risk = round(0.01 + 0.013 * i, 4)
    said = {
        "server": server,
        "minute": MINUTE * 60,
        "status": "healthy",
        "reasons": [],
        "silence": {"silent_s": 3, "allowed_s": 180, "score": 0.02},
        "anomaly": {
            "score": 1.25 + i, "threshold": 21.5, "p_value": 0.4, "anomalous": False,
            "contributions": {"load_1m": 0.41, "disk_writes": 0.22},
        },
        "failure": {"probability": risk, "horizon_minutes": 30},
        "forecasts": {},
        "exhaustion": {"filesystem_utilization": {"outcome": "not_within_horizon", "skilled": True},
                       "memory_used_effective": {"outcome": "not_within_horizon", "skilled": True}},
        "risk": {"probability": risk, "parts": {"failure": risk}},
        "confidence": 0.98,
        "missing": {},
    }  # fmt: skip
    return said | more


def fleet() -> Iterator[tuple[str, dict[str, Any], dict[str, Any]]]:
    """(server, what the round left of it, its verdict): db-01 is in trouble, web-04 down, api-01 behaves unusually."""
    reason = {"level": "critical", "metric": "filesystem_utilization", "value": 91.2, "limit": 90}
    ends = {
        "filesystem_utilization": {"outcome": "crosses", "skilled": True, "earliest_s": 1740, "likely_s": 2400,
                                   "latest_s": 3240, "coverage": 0.8, "grid_s": 60},
        "memory_used_effective": {"outcome": "crosses", "skilled": False, "earliest_s": 30_000, "likely_s": None,
                                  "latest_s": None, "coverage": 0.8, "grid_s": 3600},
    }  # fmt: skip
    unusual = {"score": 43.0, "threshold": 21.5, "p_value": 0.001, "anomalous": True,
               "contributions": {"tcp_established": 0.61, "cpu_utilization": 0.27}}  # fmt: skip
    special: dict[str, dict[str, Any]] = {
        "db-01": {"status": "critical", "reasons": [reason], "exhaustion": ends,
                  "risk": {"probability": 0.6311, "parts": {"failure": 0.31, "filesystem_utilization": 0.4654}}},
        "web-04": {"status": "offline", "reasons": [{"level": "offline", "silent_s": 420}], "risk": None},
        "api-01": {"status": "warning", "anomaly": unusual,
                   "reasons": [{"level": "warning", "anomaly": 43.0, "limit": 21.5}]},
        "cache-02": {"anomaly": None, "failure": None, "risk": None, "exhaustion": {},
                     "missing": {"history_minutes": 205}},
    }  # fmt: skip
    for i, (server, role) in enumerate(SERVERS.items()):
        metrics = {
            "cpu_utilization": 11.5 + 3 * i, "memory_used_effective": 21.25 + 4 * i, "filesystem_utilization": 35.5 + i,
            "load_5m": 0.31 * i, "disk_busy": 2.5 + i, "network_receive_bytes": 123_456 * (i + 1.0),
            "network_transmit_bytes": 45_678 * (i + 1.0), "swap_utilization": 1.5 * i, "tcp_established": 12.0 + i,
        }  # fmt: skip
        if role in ("api", "database"):
            metrics["response_time"] = 12.5 + i
        left = {"metrics": metrics, "seen": MINUTE * 60 + 55.0, "attributes": {"role": role, "hostname": f"{server}.x"}}
        yield server, left, verdict(server, i, **special.get(server, {}))


def alert(server: str, rule: str, state: Any, severity: Any, **more: Any) -> Alert:
    times = {"since": MINUTE - 29, "changed": MINUTE - 20, "fired": MINUTE - 24}
    return Alert(server, rule, state, severity, incident="i-1", **times, **more)  # type: ignore[arg-type]


@pytest.fixture
def stored(stores_env: dict[str, str], empty_redis: Upstash, monkeypatch: pytest.MonkeyPatch) -> Iterator[Upstash]:
    """A fleet, its alerts and their history, a past of metrics, a record, and an audit log."""
    monkeypatch.setenv("OPENMANAGER_JWT_KEYS", JWT_KEYS)
    settings.cache_clear()
    latest: list[str] = []
    for server, left, said in fleet():
        latest += [server, json.dumps(left), f"{server}|verdict", json.dumps(said)]
    empty_redis.command("HSET", "om:0:latest", *latest)
    full = alert("db-01", "filesystem", "firing", "critical", value=91.2, limit=90.0)
    taken = alert("api-01", "anomaly", "acknowledged", "warning", acknowledged=MINUTE - 20, by=WHO, note=NOTE)
    gone = alert("web-04", "offline", "firing", "critical")
    for one in (full, taken, gone):
        empty_redis.command("HSET", "om:0:alerts", one.server, json.dumps({"alerts": [one.as_dict()], "paged": {}}))
    older = replace(full, since=MINUTE - 1600, fired=MINUTE - 1590)
    alerts.store(recorded(Transition("firing", a.fired, a, "firing")) for a in (full, taken, older))
    for server in ("db-01", "web-01"):
        samples = [
            {
                "time": (MINUTE - 50 + i) * 60,
                "metrics": {"cpu_utilization": 20.0 + i / 4, "memory_used_effective": 40.0 + i},
            }
            for i in range(50)
        ]
        pushed = json.dumps({"server": server, "samples": samples}).encode()
        assert invoke(ingest_door, "POST", "/api/ingest", key=API_KEY, body=pushed).status == 200
    first = NOW // 60 - 3 * 1440
    past = [
        ("web-02", (first + i) * 60, {"server": "web-02", "minute": (first + i) * 60, "exhaustion": {}, "values": {},
          "forecasts": {}, "anomaly": {"anomalous": False}, "status": "offline" if 100 <= i < 110 else "healthy",
          "failure": {"probability": 0.9 if 80 <= i < 100 or 200 <= i < 210 else 0.05}})
        for i in range(300)
    ]  # fmt: skip
    settling.settle(past)
    for action, target in (
        ("login", "ann"),
        ("login.fail", "bob"),
        ("login.fail", "<script>alert(1)</script>"),
        ("rule.put", "cpu"),
    ):
        audit.record(action, target)
    yield empty_redis
    settings.cache_clear()


def send(question: str, key: str = API_KEY, headers: dict[str, str] | None = None, **more: Any) -> Reply:
    body = json.dumps({"question": question, **more}).encode()
    return invoke(door, "POST", "/api/assistant/ask", key=key, body=body, headers=headers)


def ask(question: str, key: str = API_KEY, **more: Any) -> Any:
    reply = send(question, key, **more)
    assert reply.status == 200, reply.body
    return reply.json()


def said(answer: Any) -> str:
    return " ".join("".join(part["text"] for part in sentence) for sentence in answer["answer"]["text"])


def figures(answer: Any) -> list[Any]:
    return [part for sentence in answer["answer"]["text"] for part in sentence if "evidence" in part]


# The same as a tool, through the route that answers it.
def route(handler: Any, path: str, key: str, **query: Any) -> Any:
    asked = "&".join(f"{name.rstrip('_')}={value}" for name, value in query.items() if value is not None)
    reply = invoke(handler, "GET", path, key=key, query=asked)
    assert reply.status == 200, reply.body
    return reply.json()


def through_routes(tool: str, a: Any, key: str = API_KEY) -> Any:
    path = f"/api/servers/{a.get('server')}"
    span = {"from_": a.get("from"), "to": a.get("to")}
    calls: dict[str, Callable[[], Any]] = {
        "list_servers": lambda: route(servers_door, "/api/servers", key),
        "get_server": lambda: route(servers_door, path, key),
        "get_prediction": lambda: route(predictions_door, f"{path}/prediction", key),
        "list_predictions": lambda: {
            "predictions": [
                route(predictions_door, f"/api/servers/{s}/prediction", key) | {"role": role}
                for s, role in SERVERS.items()
            ]
        },
        "query_metrics": lambda: route(servers_door, f"{path}/metrics", key, metrics=a["metrics"], **span),
        "explain_server": lambda: route(incidents_door, f"{path}/explanation", key),
        "list_alerts": lambda: route(alerts_door, "/api/alerts", key, server=a.get("server")),
        "alert_history": lambda: route(
            incidents_door, "/api/alerts/history", key, server=a.get("server"), rule=a.get("rule"), **span
        ),
        "prediction_record": lambda: route(record_door, "/api/predictions/record", key, server=a.get("server"), **span),
        "list_incidents": lambda: route(incidents_door, "/api/incidents", key),
        "get_incident": lambda: route(incidents_door, f"/api/incidents/{a['id']}", key),
        "incident_report": lambda: route(incidents_door, f"/api/incidents/{a['id']}/report", key),
        "read_audit_log": lambda: {
            "rows": [
                row for row in route(audit_door, "/api/audit", key)["rows"]
                if a["from"] <= datetime.fromisoformat(row["at"]).timestamp() < a["to"]
            ]
        },
    }  # fmt: skip
    # The assistant only reads; what changes something is for MCP, and is tested there.
    assert calls.keys() == {name for name, tool in table.TOOLS.items() if tool.method == "GET"}
    return calls[tool]()


def computed(result: Any, of: list[Any], reduce: str | None) -> Any:
    """A figure as its path and reduction say, written down apart from the code."""
    found, many = [result], False
    for step in of:
        if isinstance(step, dict):
            many = True
            found = [
                item for listed in found for item in listed
                if all(deep(item, name.split("/")) == value for name, value in step.items())
            ]  # fmt: skip
        else:
            found = [deep(each, [step]) for each in found]
    if reduce == "count":
        return len(found) if many else len(found[0])
    if reduce is None:
        return found[0]
    numbers = [n for n in (found if many else found[0]) if n is not None]
    reductions: dict[str, Callable[[], Any]] = {
        "min": lambda: min(numbers), "max": lambda: max(numbers), "mean": lambda: round(fmean(numbers), 3),
        "first": lambda: numbers[0], "last": lambda: numbers[-1], "change": lambda: round(numbers[-1] - numbers[0], 3),
    }  # fmt: skip
    return reductions[reduce]()


def deep(value: Any, names: list[Any]) -> Any:
    for name in names:
        # A part that is null has nothing in it.
        value = None if value is None else value[name] if isinstance(name, int) else value.get(name)
    return value


def digits(text: str) -> str:
    return "".join(c for c in text if c.isdigit() or c == ".")


def shows(figure: Any) -> bool:
    """Whether a figure's text says its value, as far as that can be told without knowing how it was written."""
    value, unit, text = figure["value"], figure["unit"], figure["text"]
    if unit == "share":
        return text == "<1%" or bool(abs(float(digits(text)) - 100 * value) <= 0.5)
    if unit == "count":
        return bool(text == str(value))
    if unit in ("s", "time", "B/s"):
        return bool(digits(text))
    return bool(abs(float(digits(text)) - value) <= 0.051)


def golden() -> list[str]:
    names = ("documented", "first", "second", "third", "fourth", "fifth", "sixth")
    return [json.loads(line)["ask"] for name in names for line in (GOLDEN / f"{name}.jsonl").read_text().splitlines()]


@pytest.mark.parametrize("mode", ["basic", "advanced"])
def test_every_figure_of_every_answer_is_what_the_stores_say(stored: Upstash, mode: str) -> None:
    wrong, number = [], 0
    results: dict[str, Any] = {}
    for question in golden():
        answer = ask(question, mode=mode)
        evidence = {e["n"]: e for e in answer["answer"]["evidence"]}
        assert list(evidence) == list(range(1, len(evidence) + 1))
        for figure in figures(answer):
            source = evidence[figure["evidence"]]
            assert source["window"]["from"] <= source["window"]["to"]
            name = json.dumps([source["tool"], source["arguments"]])
            results[name] = results.get(name) or through_routes(source["tool"], source["arguments"])
            again = computed(results[name], figure["of"], figure.get("reduce"))
            number += 1
            if again != pytest.approx(figure["value"]) or not shows(figure):
                wrong.append((question, figure, again))
    assert wrong == []
    assert number > 500


def test_every_question_is_answered_by_its_intent_and_says_something(stored: Upstash) -> None:
    for line in (GOLDEN / "documented.jsonl").read_text().splitlines():
        asked = json.loads(line)
        answer = ask(asked["ask"])
        assert answer["understood"]["intent"] == asked["intent"]
        assert said(answer)
        assert answer["source"] == "rules"
        assert answer["answer"].keys() == ANSWER["properties"]["answer"]["properties"].keys()


def test_what_people_want_to_know_is_in_the_answers(stored: Upstash) -> None:
    status = said(ask("How is the fleet doing?"))
    assert "13 servers: 1 down, 1 critical, 1 warning, 10 healthy" in status
    assert "web-04" in status
    disk = ask("Which disk fills first, and when?")
    assert "Disk space used of db-01 is at 42.5% and may meet its limit in 29\u00a0min" in said(disk)
    assert disk["answer"]["chart"]["server"] == "db-01"
    assert disk["answer"]["check"]["command"].startswith("df ")
    assert disk["answer"]["link"] == "#/servers/db-01"
    assert "91.2%" in said(ask("Why is db-01 at risk?"))
    assert "db-01 63%" in said(ask("Which servers are likely to fail?"))
    assert "storage-01" in said(ask("top 1 server by cpu"))
    assert "warnings that came true 1, false alarms 1" in said(ask("How good were the predictions?"))
    assert "from 20% to 32.2%" in said(ask("How did CPU develop on web-01 over the last 2 hours?"))
    assert "failed logins 2" in said(ask("Were there failed logins today?", utc_offset_minutes=0))


@pytest.mark.parametrize(
    "question",
    [
        "What is the GPU temperature of web-01?", "web-01 GPU 온도는?", "Show me the logs of web-01", "how is web-99?",
        "web-99 상태는?", "What does web-01 cost?", "what is the capital of France", "오늘 점심 뭐 먹지",
        "When does the load on web-01 run out?", "response time of web-01", "risk of cache-02", "cache-02 이상 있어?",
        "memory trend of cache-01, last 10 minutes", "who was the CEO yesterday",
    ],
)  # fmt: skip
def test_what_is_not_in_the_data_is_said_to_be_so(stored: Upstash, question: str) -> None:
    answer = ask(question)
    assert said(answer).startswith(("Not in the data", "데이터에 없")), said(answer)
    assert [f for f in figures(answer) if f["unit"] not in ("count", "s")] == []


def test_what_is_not_clear_is_asked_back(stored: Upstash) -> None:
    which = ask("Show me the memory trend")
    assert "Which server" in said(which)
    assert ask(which["answer"]["choices"][0]["ask"])["understood"]["entities"]["servers"] == ["web-04"]
    metric = ask("trend of web-01")
    assert len(metric["answer"]["choices"]) == 4
    again = ask(metric["answer"]["choices"][1]["ask"])["understood"]
    assert (again["intent"], again["entities"]["metric"]) == ("trend", "memory_used_effective")
    near = ask("how is wbe-01?")
    assert ask(near["answer"]["choices"][0]["ask"])["understood"]["entities"]["servers"] == ["web-01"]
    assert {c["text"] for c in ask("왜 위험해?")["answer"]["choices"]} == {"db-01", "web-04", "api-01"}


def test_the_same_question_on_the_same_data_has_the_same_answer(stored: Upstash) -> None:
    who = Identity("ann", "admin")

    def at(moment: float) -> str:
        return json.dumps([list(conversation.ask(Asked(question), who, moment)) for question in golden()])

    start = NOW // 60 * 60
    assert at(start + 3) == at(start + 57)


def test_a_tool_is_for_whom_its_route_is_for() -> None:
    guards = {
        (method, r.path): guard_of(r).roles
        for module, _, _ in doors() for r in routes_of(module.app.routes) for method in r.methods or ()
        if hasattr(guard_of(r), "roles")
    }  # fmt: skip
    assert {name: guards[tool.method, tool.route] for name, tool in table.TOOLS.items()} == {
        name: tool.roles for name, tool in table.TOOLS.items()
    }


@pytest.mark.parametrize("role", USER_ROLES)
def test_answers_have_what_the_role_may_see_and_no_more(stored: Upstash, role: str) -> None:
    key = api_key(role)
    everything = json.dumps([ask(q, key) for q in golden()], ensure_ascii=False)
    assert (WHO in everything) == (role != "viewer")
    assert NOTE not in everything
    audited = ask("Were there failed logins today?", key)
    if role in ("auditor", "admin"):
        assert "failed logins 2" in said(audited)
    else:
        assert said(audited) == "The audit log is not for your role; it is for auditor, admin."
        assert "bob" not in json.dumps(audited)


def test_agents_and_strangers_may_ask_nothing(stored: Upstash) -> None:
    assert send("How is the fleet?", api_key("agent")).status == 403
    assert send("How is the fleet?", "om_nothing").status == 401
    assert "agent" in ROLES


def test_a_session_lets_questions_leave_something_out(stored: Upstash) -> None:
    key = api_key("viewer")
    ask("How did CPU develop on web-01 over the last 2 hours?", key, session="s-1")
    memory = ask("and memory?", key, session="s-1")["understood"]
    assert (memory["intent"], memory["entities"]["servers"]) == ("trend", ["web-01"])
    assert memory["window"]["name"] == "2h"
    assert ask("그럼 db-01은?", key, session="s-1")["understood"]["entities"]["servers"] == ["db-01"]
    ask("Which disk fills first?", key, session="s-1")
    why = ask("why?", key, session="s-1")["understood"]
    assert (why["intent"], why["entities"]["servers"]) == ("causes", ["db-01"])
    # Without a session nothing is remembered.
    assert ask("and memory?", key)["understood"]["intent"] != "trend"


def test_nobody_continues_somebody_elses_session(stored: Upstash) -> None:
    mine, theirs = api_key("viewer", name="mine"), api_key("viewer", name="theirs")
    ask("How did CPU develop on web-01 over the last 2 hours?", mine, session="shared")
    assert "servers" not in ask("and memory?", theirs, session="shared")["understood"]["entities"]
    assert ask("and memory?", mine, session="shared")["understood"]["entities"]["servers"] == ["web-01"]


def test_a_session_is_a_short_key_that_ends_and_costs_a_command_each_way(stored: Upstash) -> None:
    key = api_key("viewer")
    ask("status of web-01", key)
    stored.reset_stats()
    ask("status of web-01", key)
    without = stored.stats()["commands"]
    stored.reset_stats()
    ask("status of web-01", key, session="s")
    assert stored.stats()["commands"] - without == 2
    (name,) = stored.command("KEYS", "om:session*")
    assert 0 < stored.command("TTL", name) <= 900
    assert stored.command("STRLEN", name) < 640
    assert "web-01" not in name


@pytest.mark.parametrize(
    "question",
    [
        "<script>alert(1)</script> status of web-01", "status of web-01'; DROP TABLE servers; --", "$(reboot) web-01",
        "why is web-01 at risk? <img src=x onerror=alert(1)>", "status of ../../etc/passwd", "web-01|verdict status",
        "\u202eweb-01 status\u202c", "상태 " * 120, "status of web-01 " + "🔥" * 200, "\ud800 status",
        "{server} {metric}",
    ],
)  # fmt: skip
def test_hostile_questions_come_back_as_no_markup_and_no_command(stored: Upstash, question: str) -> None:
    answer = ask(question, session="s")
    whole = json.dumps(answer["answer"], ensure_ascii=False)
    # Nothing of the question gets into sentences or commands but words that look like names of servers.
    assert "<" not in whole.replace("<1%", "")
    assert not any(word in whole for word in ("DROP", "reboot", "passwd", "onerror", "\u202e"))
    assert answer["understood"]["intent"] is None or said(answer)


def test_names_of_strangers_in_the_audit_log_stay_text(stored: Upstash) -> None:
    answer = ask("Were there failed logins today?")
    lines = [part["text"] for sentence in answer["answer"]["text"] for part in sentence]
    # Plain text in JSON; whoever shows it shows it as text.
    assert any("<script>alert(1)</script>" in line for line in lines)
    assert send("Were there failed logins today?").headers["content-type"] == "application/json"


@pytest.mark.parametrize(
    ("field", "body"),
    [
        ("question", {"question": "x" * 501}),
        ("session", {"question": "x", "session": "../x"}),
        ("mode", {"question": "x", "mode": 1}),
    ],
)
def test_what_is_too_long_or_odd_is_refused(stored: Upstash, field: str, body: dict[str, Any]) -> None:
    reply = invoke(door, "POST", "/api/assistant/ask", key=API_KEY, body=json.dumps(body).encode())
    assert (reply.status, reply.json()["field"]) == (400, field)


def test_the_steps_are_told_as_events(stored: Upstash) -> None:
    reply = send("Which disk fills first, and when?", headers={"accept": "text/event-stream"})
    assert reply.headers["content-type"].startswith("text/event-stream")
    events = [
        dict(line.split(": ", 1) for line in part.split("\n")) for part in reply.body.decode().strip().split("\n\n")
    ]
    assert [e["event"] for e in events] == ["understood", "looked_up", "looked_up", "answer"]
    assert json.loads(events[-1]["data"]) == ask("Which disk fills first, and when?")
    assert json.loads(events[1]["data"]) == {"tool": "list_predictions", "arguments": {}}


def test_a_store_that_is_away_is_told_by_status_and_by_event(stored: Upstash, monkeypatch: pytest.MonkeyPatch) -> None:
    def away(*_: Any) -> Any:
        raise StoreUnavailable("Postgres: connection refused at 10.0.0.7")

    monkeypatch.setitem(table.TOOLS, "prediction_record", replace(table.TOOLS["prediction_record"], run=away))
    assert send("How good were the predictions?").status == 503
    reply = send("How good were the predictions?", headers={"accept": "text/event-stream"}).body.decode()
    assert 'event: error\ndata: {"type":"about:blank","title":"Service Unavailable","status":503' in reply
    assert "10.0.0.7" not in reply


@pytest.fixture
def sidecar(stored: Upstash) -> Iterator[Upstash]:
    """The sidecar with the settings as they are then, and none of its children afterwards."""
    service = pytest.importorskip("openmanager.sidecar.service", reason="the library mcp is not installed")
    service.close()
    yield stored
    service.close()


@pytest.mark.parametrize(("language", "file"), [("en", "disk-filling.md"), ("ko", "disk-filling.ko.md")])
def test_advanced_answers_quote_the_runbook_with_its_source(sidecar: Upstash, language: str, file: str) -> None:
    answer = ask("Why is db-01 at risk?", mode="advanced", language=language)
    told = ["".join(part["text"] for part in sentence) for sentence in answer["answer"]["text"]]
    parts = (RUNBOOKS / file).read_text().split("\n## ")[2:4]
    steps = [" ".join(item.split()) for part in parts for item in re.split(r"(?m)^\d\. ", part)[1:]]
    assert [line.partition(". ")[2] for line in told if re.match(r"\d\. ", line)] == steps
    assert len(steps) == 10
    (source,) = [e for e in answer["answer"]["evidence"] if e["tool"] == "read_runbook"]
    assert file in source["fact"]
    assert sum(f"filesystem: {file}" in line for line in told) == 1
    assert "disk-filling" not in said(ask("Why is db-01 at risk?", language=language))


def test_a_runbook_of_ones_own_takes_the_place_of_ours(
    sidecar: Upstash, tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    text = "# Ours\n\n## Signs\nx\n\n## Look\n- `df` \u202e<img src=x>\n  on both\n\n## Do\n- ask Kim\n"
    (tmp_path / "disk-filling.md").write_text(text)
    monkeypatch.setenv("OPENMANAGER_RUNBOOKS", str(tmp_path))
    settings.cache_clear()
    told = said(ask("What should I do about db-01?", mode="advanced"))
    assert "Runbook “Ours” (filesystem: disk-filling.md)." in told
    assert "1. `df` <img src=x> on both" in told
    assert "1. ask Kim" in told
    (tmp_path / "disk-filling.md").unlink()
    assert "There is no runbook disk-filling." in said(ask("What should I do about db-01?", mode="advanced"))


def test_an_answer_goes_on_without_a_sidecar(sidecar: Upstash, tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    basic = ask("What should I do about db-01?")["answer"]["text"]
    # None of the settings, a function that is not there, and one that does not answer.
    empty = tmp_path / "mcp_settings.json"
    empty.write_text('{"mcpServers": {}}')
    monkeypatch.setenv("OPENMANAGER_MCP_SETTINGS", str(empty))
    settings.cache_clear()
    told = [said(ask("What should I do about db-01?", mode="advanced"))]
    monkeypatch.setenv("OPENMANAGER_MCP_FUNCTION", "openmanager-mcp")
    monkeypatch.setenv("AWS_ENDPOINT_URL_LAMBDA", "http://127.0.0.1:1")
    for name in ("AWS_DEFAULT_REGION", "AWS_ACCESS_KEY_ID", "AWS_SECRET_ACCESS_KEY"):
        monkeypatch.setenv(name, "eu-central-1")
    settings.cache_clear()
    told.append(said(ask("What should I do about db-01?", mode="advanced")))
    silent = threading.Event()
    monkeypatch.setattr(runbooks, "LIMIT_S", 0.01)
    monkeypatch.setattr(sidecar_door, "call", lambda *_: silent.wait(60))
    told.append(said(ask("What should I do about db-01?", mode="advanced")))
    silent.set()
    for one in told:
        assert all("".join(part["text"] for part in sentence) in one for sentence in basic)
        assert "The runbook disk-filling cannot be read now; this answer is without." in one


@pytest.mark.parametrize("question", ["How is db-01?", "Why is db-01 at risk?", "db-01 CPU last 30 minutes"])
def test_advanced_answers_compare_with_the_same_time_of_before(stored: Upstash, question: str) -> None:
    metric = "cpu_utilization" if "CPU" in question else "filesystem_utilization"
    for back, value in ((0, 60.0), (86_400, 50.0), (7 * 86_400, 40.0)):
        times = np.array([(NOW - back - 60 * i) * 1000 for i in range(90)][::-1])
        keep("db-01", Samples((metric,), times, np.full((90, 1), value), np.zeros(90, np.bool_)))
    # What lies a week back is in the rollups of its day, which was closed then.
    close_due((NOW - 5 * 86_400) * 1000, lambda: False)
    answer = ask(question, mode="advanced")
    before = [f for f in figures(answer) if f.get("reduce") == "mean" and f["value"] in (40.0, 50.0)]
    assert [f["value"] for f in before] == [50.0, 40.0]
    windows = [next(e["window"] for e in answer["answer"]["evidence"] if e["n"] == f["evidence"]) for f in before]
    assert windows[0]["from"] - windows[1]["from"] == 6 * 86_400
    for figure in before:
        evidence = next(e for e in answer["answer"]["evidence"] if e["n"] == figure["evidence"])
        again = through_routes(evidence["tool"], evidence["arguments"])
        assert computed(again, figure["of"], figure["reduce"]) == figure["value"]


def test_advanced_causes_name_what_it_needs_and_what_needs_it(stored: Upstash) -> None:
    answer = ask("Why is db-01 at risk?", mode="advanced")
    assert "Servers that it needs, 1: storage-01." in said(answer)
    needing = sorted(s for s, role in SERVERS.items() if role in ("api", "web", "load-balancer"))
    assert f"Servers that need it, {len(needing)}: {', '.join(needing[:5])} and more." in said(answer)
    # Of the same hour a day and a week before there are no samples, and that is said.
    assert "Not in the data: disk space used of db-01 in the same hour" not in said(answer)
    assert "Not in the data: CPU of web-01 in the same hour a day or a week before." in said(
        ask("web-01 cpu?", mode="advanced")
    )
