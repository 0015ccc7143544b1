"""Alerts through the real stores and the real doors: raised by rounds, told once, grouped, silenced, acknowledged."""

import json
import time
from typing import Any

import numpy as np
import pytest
from openmanager import archive, predictions
from openmanager.alerts.rules import DEFAULTS, OURSELVES
from openmanager.notify import read_notice
from openmanager.notify.message import compose
from openmanager.oncall import alerts
from openmanager.oncall import settings as desk
from openmanager.settings import settings
from openmanager.stores import alerts as history
from openmanager.stores import config, hot, verdicts
from openmanager.stores.latest import read_latest
from openmanager.stores.pushes import store_pushes
from openmanager.stores.redis import Redis, connect
from openmanager.telemetry.samples import MINUTE_MS, Push, Samples
from openmanager.watch import alerting, rounds

from functions.alerts.handler import handler as alerts_door
from functions.incidents.handler import handler as incidents_door
from functions.rules.handler import handler as rules_door
from functions.silences.handler import handler as silences_door
from infra.local.stack import Upstash
from tests.events import Reply, invoke
from tests.faults import Killed, dying

FIRST = 1_764_000_000_000 // MINUTE_MS * MINUTE_MS


def push(server: str, minute: int, cpu: float, role: str = "web") -> Push:
    series = ("cpu_utilization", "load_1m", "memory_used_effective")
    values = np.array([[cpu, cpu / 50, 40.0]])
    times = np.array([FIRST + minute * MINUTE_MS + 20_000], np.int64)
    return Push(server, Samples(series, times, values, np.zeros(1, np.bool_)), {"role": role})


def due_ms(minute: int) -> int:
    return FIRST + (minute + 1) * MINUTE_MS + settings().grace_s * 1000


def play(fleet: dict[str, tuple[str, list[float | None]]], start: int = 0) -> None:
    """Server -> (role, its processor share minute by minute; None is silence)."""
    length = max(len(values) for _, values in fleet.values())
    for i in range(length):
        now = FIRST + (start + i) * MINUTE_MS + 20_500
        sent = [push(s, start + i, v[i], role) for s, (role, v) in fleet.items() if v[i] is not None]
        store_pushes(sent, now)
        rounds.tick(due_ms(start + i))


def told(redis: Upstash) -> list[dict[str, Any]]:
    """The notices in the outbox, oldest first."""
    fields = redis.command("HGETALL", "om:outbox")
    notices = [json.loads(text)["notice"] for text in fields[1::2]]
    return sorted(notices, key=lambda n: (n["at"], n["id"]))


@pytest.fixture
def target(stores_env: dict[str, str]) -> None:
    ops = {"id": "ops", "channel": "ntfy", "settings": {"topic": "ops"}}
    connect().call("SET", "om:targets", json.dumps([ops]))


@pytest.fixture
def api(stores_env: dict[str, str]) -> Any:
    def call(door: Any, method: str, path: str, body: Any = None) -> Reply:
        path, _, query = path.partition("?")
        octets = None if body is None else json.dumps(body).encode()
        return invoke(door, method, path, query=query, body=octets, key=stores_env["OPENMANAGER_API_KEY"])

    return call


HIGH: list[float | None] = [95.0] * 10
CALM: list[float | None] = [10.0] * 10


def test_a_hot_processor_is_told_once_and_its_end_once(target: None, empty_redis: Upstash) -> None:
    play({"web-01": ("web", CALM[:3] + HIGH + CALM)})
    cpu = [n for n in told(empty_redis) if n["rule"] == "cpu"]
    assert [(n["event"], n["severity"]) for n in cpu] == [("firing", "critical"), ("resolved", "critical")]
    assert (cpu[0]["at"] - FIRST // 1000) // 60 == 3 + 5
    assert cpu[0]["facts"]["value"] == 95.0
    assert cpu[0]["role"] == "web"
    assert alerts.open_alerts() == [] or all(a["rule"] != "cpu" for a in alerts.open_alerts())


def test_what_happened_is_archived_with_times_to_acknowledge_and_to_resolve(target: None) -> None:
    play({"web-01": ("web", CALM[:3] + HIGH)})
    assert alerts.acknowledge("web-01", "cpu", "kim", "on it")["state"] == "acknowledged"
    assert next(a for a in alerts.open_alerts() if a["rule"] == "cpu")["state"] == "acknowledged"
    play({"web-01": ("web", CALM)}, start=13)
    archive.run(due_ms(23))
    assert hot.read_transitions(0) == {}
    page = alerts.history(FIRST / 1000, FIRST / 1000 + 7200, "web-01", "cpu", None)
    assert [e["what"] for e in reversed(page["events"])] == [
        "pending", "firing", "acknowledged", "recovering", "resolved",
    ]  # fmt: skip
    assert page["events"][-1]["alert"]["since"] == page["events"][-1]["at"]
    assert page["next"] is None
    (row,) = [r for r in history.statistics(FIRST / 1000, FIRST / 1000 + 7200) if r["rule"] == "cpu"]
    assert (row["fired"], row["told"], row["mtta_s"], row["mttr_s"]) == (1, 1, 300.0, 600.0)
    archive.run(due_ms(24))
    assert len(alerts.history(FIRST / 1000, FIRST / 1000 + 7200, None, "cpu", None)["events"]) == 5


def test_a_dead_database_explains_what_depends_on_it(target: None, empty_redis: Upstash) -> None:
    dead: list[float | None] = [None] * 15
    play(
        {
            "db-01": ("database", CALM[:5] + dead),
            "api-01": ("api", CALM + HIGH),
            "other-01": ("backup", CALM + HIGH),
        }
    )
    about = {(n["server"], n["rule"]) for n in told(empty_redis) if n["rule"] in ("cpu", "offline")}
    assert about == {("db-01", "offline"), ("other-01", "cpu")}
    child = next(a for a in alerts.open_alerts() if a["server"] == "api-01" and a["rule"] == "cpu")
    assert child["suppressed"] == "parent: db-01 offline"
    incident = next(i for i in alerts.open_incidents() if "db-01" in i["servers"])
    assert incident["root"] == {"server": "db-01", "rule": "offline"}
    assert "api-01" in incident["servers"]
    assert "other-01" not in incident["servers"]
    assert incident["suppressed"] >= 1
    archive.run(due_ms(20))
    assert alerts.incident(incident["id"])["events"]


def test_rules_silences_windows_and_the_graph_go_through_the_api(api: Any, target: None, empty_redis: Upstash) -> None:
    assert {r["id"] for r in api(rules_door, "GET", "/api/rules").json()["rules"]} >= {"cpu", "offline", "anomaly"}
    wrong = api(rules_door, "PUT", "/api/rules/cpu", {"warning": 95})
    assert (wrong.status, wrong.json()["field"]) == (400, "critical")
    assert api(rules_door, "PUT", "/api/rules/cpu", {"for_min": 1, "keep_firing_min": 1}).json()["for_min"] == 1
    known = {r["id"]: (r["builtin"], r["default"]) for r in api(rules_door, "GET", "/api/rules").json()["rules"]}
    assert (known["cpu"], known["memory"]) == ((True, False), (True, True))
    assert api(rules_door, "DELETE", "/api/rules/nothing").status == 404
    play({"web-01": ("web", CALM[:2] + HIGH[:3])})
    first = [n for n in told(empty_redis) if n["rule"] == "cpu"]
    assert (first[0]["at"] - FIRST // 1000) // 60 == 3

    silence = api(
        silences_door, "POST", "/api/silences", {"minutes": 30, "reason": "load test", "rules": ["cpu"]}
    ).json()
    assert silence["end"] - silence["start"] == 1800
    assert api(silences_door, "GET", "/api/silences").json()["silences"] == [silence]
    assert api(silences_door, "POST", "/api/silences", {"reason": "for ever"}).json()["field"] == "end"
    later = {"minutes": 5, "start": silence["end"]}
    assert api(silences_door, "POST", "/api/silences", later).json()["end"] == silence["end"] + 300
    assert api(silences_door, "POST", "/api/silences", {"minutes": 5, "by": "kim"}).json()["field"] == "by"
    assert api(silences_door, "DELETE", f"/api/silences/{silence['id']}").status == 204
    window = {"days": ["mon", "tue"], "at": "02:00", "minutes": 60, "timezone": "Asia/Seoul"}
    assert api(silences_door, "PUT", "/api/maintenance/nightly", window).json()["days"] == ["mon", "tue"]
    assert api(silences_door, "PUT", "/api/maintenance/x", window | {"at": "25:00"}).json()["field"] == "at"
    assert api(silences_door, "PUT", "/api/maintenance/x", window | {"id": "y"}).json()["field"] == "id"
    assert len(api(silences_door, "GET", "/api/maintenance").json()["maintenance"]) == 1
    assert api(silences_door, "DELETE", "/api/maintenance/nightly").status == 204
    loop = api(rules_door, "PUT", "/api/dependencies", {"web": ["api"], "api": ["web"]})
    assert (loop.status, loop.json()["field"]) == (400, "dependencies.web")
    assert api(rules_door, "PUT", "/api/dependencies", {"web": ["api"]}).json() == {"web": ["api"]}
    assert api(rules_door, "GET", "/api/dependencies").json() == {"web": ["api"]}
    found = api(alerts_door, "GET", "/api/alerts?server=web-01").json()["alerts"]
    assert found[0]["rule"] == "cpu"
    assert api(alerts_door, "POST", "/api/alerts/web-01/cpu/acknowledge", {"note": "mine"}).json()["note"] == "mine"
    assert api(alerts_door, "DELETE", "/api/alerts/web-01/cpu/acknowledge").json()["state"] == "firing"
    assert api(alerts_door, "POST", "/api/alerts/web-01/memory/acknowledge").status == 404
    assert len(api(incidents_door, "GET", "/api/incidents").json()["incidents"]) == 1
    assert api(incidents_door, "GET", "/api/incidents/none").status == 404
    assert api(incidents_door, "GET", "/api/alerts/history?cursor=x").status == 400


def test_a_silence_hides_and_its_end_tells(target: None, empty_redis: Upstash, monkeypatch: pytest.MonkeyPatch) -> None:
    silence = {
        "id": "s1", "start": FIRST // 1000, "end": FIRST // 1000 + 15 * 60, "by": "kim", "reason": "deployment",
        "servers": ["web-01"], "roles": [], "rules": [],
    }  # fmt: skip
    config.publish({"silences": json.dumps([silence])})
    play({"web-01": ("web", CALM[:3] + HIGH + HIGH)})
    cpu = [n for n in told(empty_redis) if n["rule"] == "cpu"]
    assert [(n["event"], (n["at"] - FIRST // 1000) // 60) for n in cpu] == [("firing", 15)]


def test_a_server_in_maintenance_is_shown_as_such_whatever_it_does_and_nobody_is_told(
    target: None, empty_redis: Upstash
) -> None:
    days = ["mon", "tue", "wed", "thu", "fri", "sat", "sun"]
    window = {"id": "kernels", "days": days, "at": "00:00", "minutes": 1440, "servers": ["web-01"]}
    config.publish({"maintenance": json.dumps([window])})
    play({"web-01": ("web", CALM[:3] + HIGH), "web-02": ("web", CALM[:3] + HIGH)})
    assert [predictions.prediction(server)["status"] for server in ("web-01", "web-02")] == ["maintenance", "critical"]
    assert {n["server"] for n in told(empty_redis)} == {"web-02"}
    # Its alerts are there for whoever looks, with the reason why nobody was told.
    assert {a["suppressed"] for a in alerts.of_server("web-01")} == {"maintenance kernels"}


def test_what_redis_loses_of_the_settings_is_published_again(stores_env: dict[str, str], empty_redis: Upstash) -> None:
    desk.put_rule("cpu", {"warning": 70}, "kim")
    empty_redis.command("DEL", "om:config")
    archive.run(int(time.time() * 1000))
    assert next(r for r in json.loads(config.read()["rules"]) if r["id"] == "cpu")["warning"] == 70


def test_other_default_rules_of_a_new_release_reach_the_rounds(
    stores_env: dict[str, str], empty_redis: Upstash
) -> None:
    config.publish(dict.fromkeys(("rules", "silences", "maintenance"), "[]") | {"dependencies": "{}"})
    empty_redis.command("SET", "om:targets", "[]")
    archive.run(3_600_000 * (int(time.time()) // 3600))
    assert {r["id"] for r in json.loads(config.read()["rules"])} == {rule.id for rule in DEFAULTS}


def test_of_a_past_that_is_judged_late_only_what_goes_on_is_told(target: None, empty_redis: Upstash) -> None:
    hot_then = [10.0] * 3 + [95.0] * 20 + [10.0] * 60
    hot_now = [10.0] * 40 + [95.0] * 43
    fleet = {"web-01": hot_then, "web-02": hot_now}
    for i in range(83):
        store_pushes([push(s, i, v[i]) for s, v in fleet.items()], FIRST + i * MINUTE_MS + 20_500)
        if i == 0:
            rounds.tick(due_ms(0))
    rounds.tick(due_ms(82))
    cpu = [(n["server"], n["event"], (n["at"] - FIRST // 1000) // 60) for n in told(empty_redis) if n["rule"] == "cpu"]
    assert cpu == [("web-02", "firing", 82 - 15)]
    what = [json.loads(text) for text in hot.read_transitions(0).values()]
    assert [t["what"] for t in sorted(what, key=lambda t: t["at"]) if t["alert"]["server"] == "web-01"].count(
        "resolved"
    )


def test_the_demo_fleet_and_real_servers_have_nothing_to_do_with_each_other(target: None) -> None:
    play({"demo-db-01": ("database", CALM[:3] + HIGH), "api-01": ("api", CALM[:3] + HIGH)})
    groups = [i["servers"] for i in alerts.open_incidents()]
    assert ["demo-db-01"] in groups
    assert ["api-01"] in groups


def test_predictions_that_are_worse_than_no_model_are_an_alert_of_our_own(target: None, empty_redis: Upstash) -> None:
    config.publish({"quality": json.dumps({"failure": -0.2, "forecast load_5m": 0.1})})
    play({"web-01": ("web", CALM[:3])})
    (one,) = [n for n in told(empty_redis) if n["rule"] == "prediction_quality"]
    assert (one["server"], one["facts"]["model"], one["facts"]["value"]) == (OURSELVES, "failure", -0.2)
    assert alerts.acknowledge(OURSELVES, "prediction_quality", "kim", "on it")["state"] == "acknowledged"
    message = compose(read_notice(one), "ko", "Asia/Seoul")
    assert "예측 품질 저하: failure" in message.title


def test_a_server_of_our_own_name_is_judged_like_any_other(target: None, empty_redis: Upstash) -> None:
    config.publish({"quality": json.dumps({"failure": -0.2})})
    play({"openmanager": ("web", CALM[:2] + HIGH)})
    assert {(n["server"], n["rule"]) for n in told(empty_redis)} >= {
        ("openmanager", "cpu"), (OURSELVES, "prediction_quality"),
    }  # fmt: skip


def test_alerts_of_others_go_on_beside_a_server_whose_own_raise(
    target: None, empty_redis: Upstash, monkeypatch: pytest.MonkeyPatch
) -> None:
    condition = alerting.condition

    def poisoned(rule: Any, said: Any, metrics: Any) -> Any:
        if said["server"] == "bad-01":
            raise ZeroDivisionError
        return condition(rule, said, metrics)

    monkeypatch.setattr(alerting, "condition", poisoned)
    play({"bad-01": ("web", CALM[:2] + HIGH), "good-01": ("web", CALM[:2] + HIGH)})
    assert {n["server"] for n in told(empty_redis)} == {"good-01"}
    assert {"bad-01", "good-01"} <= set(read_latest(0))


def test_a_wish_that_changes_while_a_round_carries_out_the_one_before_is_carried_out_next(
    target: None, monkeypatch: pytest.MonkeyPatch
) -> None:
    play({"web-01": ("web", CALM[:3] + HIGH)})
    alerts.acknowledge("web-01", "cpu", "kim", "on it")
    commit = hot.commit_round

    def overtaken(*arguments: Any) -> bool:
        alerts.unacknowledge("web-01", "cpu", "lee")
        return commit(*arguments)

    with monkeypatch.context() as patch:
        patch.setattr(hot, "commit_round", overtaken)
        play({"web-01": ("web", HIGH[:1])}, start=13)
    assert [name for name in config.read() if name.startswith("request|")] == ["request|web-01|cpu"]
    play({"web-01": ("web", HIGH[:1])}, start=14)
    assert [name for name in config.read() if name.startswith("request|")] == []
    assert next(a for a in alerts.of_server("web-01") if a["rule"] == "cpu")["state"] == "firing"


def test_what_a_shard_that_is_no_more_left_explains_nothing(target: None, empty_redis: Upstash) -> None:
    down = {"server": "api-09", "role": "api", "rule": "offline", "fired": 1, "incident": "x", "down": True}
    config.publish({"firing|3": json.dumps([down])})
    play({"web-01": ("web", CALM[:3] + HIGH)})
    assert [n["server"] for n in told(empty_redis) if n["rule"] == "cpu"] == ["web-01"]


@pytest.mark.parametrize("after", [False, True], ids=["before", "after"])
def test_a_round_that_dies_at_any_store_call_tells_everything_once(
    target: None, empty_redis: Upstash, monkeypatch: pytest.MonkeyPatch, after: bool
) -> None:
    died = 0
    shares = [10.0] * 3 + [95.0] * 10 + [10.0] * 12
    for i, share in enumerate(shares):
        store_pushes([push("web-01", i, share)], FIRST + i * MINUTE_MS + 20_500)
        minute = rounds.newest_closed_minute(due_ms(i))
        for call in (1, 2):
            with monkeypatch.context() as patch:
                patch.setattr(Redis, "run", dying(Redis.run, [call], after))
                try:
                    rounds.run_shard(0, minute, rounds.Report(0), lambda: False)
                except Killed:
                    died += 1
        if i % 5 == 4:
            rounds.run_shard(0, minute, rounds.Report(0), lambda: False)
    rounds.run_shard(0, minute, rounds.Report(0), lambda: False)
    assert died >= len(shares)
    assert [n["event"] for n in told(empty_redis) if n["rule"] == "cpu"] == ["firing", "resolved"]
    what = [json.loads(t) for t in hot.read_transitions(0).values()]
    cpu = sorted((t["at"], t["what"]) for t in what if t["alert"]["rule"] == "cpu")
    assert [w for _, w in cpu] == ["pending", "firing", "recovering", "resolved"]


def test_an_explanation_is_made_of_stored_facts(api: Any, target: None, empty_redis: Upstash) -> None:
    play({"web-01": ("web", CALM[:4]), "api-01": ("api", CALM[:4])})
    minute = (FIRST // MINUTE_MS + 3) * 60
    latest = json.loads(empty_redis.command("HGET", "om:0:latest", "web-01|verdict"))
    assert latest["minute"] == minute
    odd = {"score": 2.0, "threshold": 1.0, "p_value": 0.01, "anomalous": True, "contributions": {"load_1m": 0.7}}
    said = latest | {"anomaly": odd | {"code": [0.0, 1.0]}}
    empty_redis.command("HSET", "om:0:latest", "web-01|verdict", json.dumps(said))
    # The last is of a network with a code of another length.
    for hours, code in ((3, [0.0, 4.0]), (4, [0.0, 2.0]), (5, [0.0, 1.0, 0.0])):
        before = minute - 3600 * hours
        past = latest | {"minute": before, "anomaly": odd | {"code": code}}
        verdicts.store([("web-01", before, past)])
    found = api(incidents_door, "GET", "/api/servers/web-01/explanation").json()
    assert (found["nearest"]["minute"], found["nearest"]["distance"]) == (minute - 4 * 3600, 1.0)
    assert found["contributions"] == [
        {"metric": "load_1m", "share": 0.7, "value": 0.2, "unit": found["contributions"][0]["unit"]}
    ]
    assert [d["server"] for d in found["depends_on"]] == ["api-01"]
    assert found["affects"] == []
    assert api(incidents_door, "GET", "/api/servers/none/explanation").status == 404
