"""The ledger fills as verdicts are archived, and mutes what does not earn its keep."""

import json
import time
from contextlib import suppress
from typing import Any

import psycopg
import pytest
from openmanager.archive import ledger, move
from openmanager.stores import alerts, config, hot
from openmanager.stores import ledger as stored
from openmanager.stores.postgres import Postgres

from functions.record.handler import handler as door
from infra.local.stack import Upstash
from tests.events import invoke
from tests.faults import Killed, dying

NOW = int(time.time()) // 60
FIRST = NOW - 14 * 1440


def verdict(minute: int, status: str = "healthy", p: float = 0.1, **more: Any) -> tuple[str, int, Any]:
    said = {
        "server": "web-01", "minute": minute * 60, "status": status, "anomaly": {"anomalous": False},
        "failure": {"probability": p}, "exhaustion": {}, "values": {}, "forecasts": {},
    }  # fmt: skip
    return "web-01", minute * 60, said | more


def test_the_record_says_what_warnings_were_worth(stores_env: dict[str, str]) -> None:
    said = []
    for i in range(400):
        status = "offline" if 100 <= i < 110 or 300 <= i < 310 else "healthy"
        said.append(verdict(FIRST + i, status, 0.9 if 80 <= i < 100 or 200 <= i < 210 else 0.05))
    for part in (said[:150], said[100:300], said[250:], said[250:]):
        ledger.settle(part)
    answer = invoke(door, "GET", "/api/predictions/record", key=stores_env["OPENMANAGER_API_KEY"]).json()
    failure = answer["models"]["failure"]
    assert (failure["hits"], failure["false_alarms"], failure["missed"], failure["median_lead_s"]) == (1, 1, 1, 1200)
    assert (failure["precision"], failure["recall"]) == (0.5, 0.5)
    assert answer["probabilities"]["count"] == 400 - 35
    # On for 20, and ahead of them for two times 30:
    assert round(answer["probabilities"]["prevalence"] * 365) == 80
    assert [e["outcome"] for e in reversed(answer["episodes"])] == ["hit", "false alarm"]
    none = invoke(door, "GET", "/api/predictions/record", query="server=x", key=stores_env["OPENMANAGER_API_KEY"])
    assert none.json()["incidents"] == 0


def test_forecasts_are_compared_with_what_came(stores_env: dict[str, str]) -> None:
    path = {"path": [10.0 + i for i in range(30)], "low": [9.0 + i for i in range(30)],
            "high": [11.0 + i for i in range(30)], "method": "lstm", "skilled": True}  # fmt: skip
    said = [verdict(FIRST, values={"cpu_utilization": 10.0}, forecasts={"cpu_utilization": path})]
    said += [verdict(FIRST + 1 + i, values={"cpu_utilization": 10.5 + i}) for i in range(40)]
    ledger.settle(said)
    answer = invoke(door, "GET", "/api/predictions/record", key=stores_env["OPENMANAGER_API_KEY"]).json()
    found = answer["forecasts"]["cpu_utilization"]
    assert (found["steps"], found["inside_80"], found["methods"]) == (30, 1.0, {"lstm": 1.0})
    assert found["mae_over_last_value"] == pytest.approx(0.5 / (0.5 + 29 / 2), abs=1e-3)


def test_a_predictive_rule_that_is_wrong_most_of_the_time_is_muted_and_says_why(
    stores_env: dict[str, str], empty_redis: Upstash
) -> None:
    said = [verdict(FIRST + i, p=0.9 if i % 60 == 0 else 0.05) for i in range(720)]
    ledger.settle(said)
    ledger.mute(NOW * 60_000)
    muted = json.loads(config.read()["muted"])
    assert muted == {"failure": "0 of its last 11 warnings came true"} or muted == {
        "failure": "0 of its last 12 warnings came true"
    }


def test_the_demo_fleet_has_no_say_in_what_is_muted(stores_env: dict[str, str], empty_redis: Upstash) -> None:
    said = [verdict(FIRST + i, p=0.9 if i % 60 == 0 else 0.05) for i in range(720)]
    ledger.settle([("demo-web-01", minute, body) for _, minute, body in said])
    ledger.mute(NOW * 60_000)
    assert config.read() == {"muted": "{}", "quality": "{}"}


def test_a_verdict_or_a_track_of_another_release_keeps_no_other_from_being_settled(
    stores_env: dict[str, str], empty_tables: str
) -> None:
    old = ("old-01", FIRST * 60, {"server": "old-01", "minute": FIRST * 60, "status": "healthy"})
    ledger.settle([old, verdict(FIRST), verdict(FIRST + 1)])
    with psycopg.connect(empty_tables) as connection:
        connection.execute("UPDATE ledger_tracks SET body = '{\"gauge\": 1}'")
    ledger.settle([verdict(FIRST + i, "offline" if 10 <= i < 20 else "healthy") for i in range(2, 40)])
    assert [i["began"] for i in stored.incidents(0, NOW * 60)] == [(FIRST + 10) * 60]


def test_the_incident_of_a_server_that_never_comes_back_is_recorded_once_it_is_forgotten(
    stores_env: dict[str, str], empty_tables: str
) -> None:
    ledger.settle([verdict(FIRST + i, "offline" if i >= 30 else "healthy") for i in range(60)])
    ledger.end_gone((FIRST + 60) * 60_000)
    assert stored.incidents(0, NOW * 60) == []
    for _ in range(2):
        ledger.end_gone(NOW * 60_000)
        (incident,) = stored.incidents(0, NOW * 60)
        assert (incident["began"], incident["ended"]) == ((FIRST + 30) * 60, (FIRST + 60) * 60)
    with psycopg.connect(empty_tables) as connection:
        assert connection.execute("SELECT * FROM ledger_tracks").fetchall() == []


def test_what_is_past_its_time_is_let_go(stores_env: dict[str, str], empty_redis: Upstash) -> None:
    said = [verdict(FIRST + i, "offline" if 100 <= i < 110 else "healthy", 0.9 if i < 20 else 0.1) for i in range(200)]
    ledger.settle(said)
    alert = {"server": "web-01", "rule": "cpu", "since": FIRST, "incident": ""}
    alerts.store([{"id": "1", "at": FIRST * 60, "what": "firing", "notice": "", "alert": alert}])
    span = (FIRST * 60.0 - 86_400, NOW * 60.0)

    def kept() -> list[int]:
        rows = (
            *(read(*span) for read in (stored.episodes, stored.incidents, stored.sums)),
            alerts.read(*span, None, None, 9, None),
        )
        return [len(found) for found in rows]

    hour_ms = NOW * 60_000 // 3_600_000 * 3_600_000
    move.run(hour_ms)
    assert kept() == [1, 1, 1, 1]
    move.run(hour_ms + 420 * 86_400_000)
    assert kept() == [0, 0, 0, 0]


@pytest.mark.parametrize("after", [False, True], ids=["before", "after"])
def test_a_crash_between_record_and_ledger_loses_and_doubles_nothing(
    stores_env: dict[str, str], empty_redis: Upstash, monkeypatch: pytest.MonkeyPatch, after: bool
) -> None:
    said = [
        verdict(FIRST + i, "offline" if 100 <= i < 110 else "healthy", 0.9 if 80 <= i < 100 else 0.1)
        for i in range(200)
    ]
    for call in range(1, 6):
        fields = {f"web-01|{minute}": json.dumps(body) for _, minute, body in said[: 40 * call]}
        empty_redis.command("HSET", "om:0:verdicts", *(part for item in fields.items() for part in item))
        with monkeypatch.context() as patch:
            patch.setattr(Postgres, "run", dying(Postgres.run, [call % 3 + 1], after))
            with suppress(Killed):
                move._move_verdicts(0, move.Report())
    move._move_verdicts(0, move.Report())
    assert hot.read_verdicts(0) == {}
    span = (FIRST * 60.0, NOW * 60.0)
    (incident,) = stored.incidents(*span)
    assert incident["announced"] == {"failure": 20}
    (episode,) = stored.episodes(*span)
    assert (episode["outcome"], episode["lead_s"]) == ("hit", 1200)
    assert sum(sum(body["count"]) for _, _, body in stored.sums(*span)) == 200 - 35
