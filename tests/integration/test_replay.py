"""Replaying what is stored, and what somebody sends."""

import json
import time
from typing import Any

import pytest
from openmanager import archive
from openmanager.settings import settings
from openmanager.stores.pushes import store_pushes
from openmanager.telemetry.samples import MINUTE_MS
from openmanager.watch import rounds

from functions.replay.handler import handler as door
from tests.events import Reply, invoke
from tests.integration.test_alerts import push

MINUTES = 40


@pytest.fixture
def ask(stores_env: dict[str, str]) -> Any:
    def call(body: bytes, kind: str = "application/json") -> Reply:
        headers = {"content-type": kind}
        return invoke(door, "POST", "/api/replay", body=body, headers=headers, key=stores_env["OPENMANAGER_API_KEY"])

    return call


def test_a_stored_past_pages_again_as_it_did(ask: Any, monkeypatch: pytest.MonkeyPatch) -> None:
    first = (int(time.time() * 1000) // MINUTE_MS - 60) * MINUTE_MS
    monkeypatch.setattr("tests.integration.test_alerts.FIRST", first)
    for i in range(MINUTES):
        now = first + i * MINUTE_MS + 20_500
        store_pushes([push("web-01", i, 95.0 if 20 <= i < 30 else 10.0)], now)
        rounds.tick(first + (i + 1) * MINUTE_MS + settings().grace_s * 1000)
    archive.run(first + (MINUTES + 60) * MINUTE_MS)
    whole = {"server": "web-01", "from": first // 1000, "to": first // 1000 + 60 * MINUTES}
    answer = ask(json.dumps(whole).encode()).json()
    cpu = [(n["event"], n["at"] - first // 1000) for n in answer["notices"] if n["rule"] == "cpu"]
    assert cpu == [("firing", 25 * 60), ("resolved", 35 * 60)]
    rules = [{"id": "hot", "kind": "threshold", "metric": "cpu_utilization", "warning": 99}]
    assert ask(json.dumps(whole | {"rules": rules}).encode()).json()["fired"] == 0
    late = whole | {"from": first // 1000 + 32 * 60}
    assert [n["event"] for n in ask(json.dumps(late).encode()).json()["notices"] if n["rule"] == "cpu"] == ["resolved"]
    assert ask(json.dumps(whole | {"server": "none"}).encode()).status == 404
    assert ask(b'{"server": "none"}').status == 404


def test_a_csv_is_replayed_and_a_wrong_one_named(ask: Any) -> None:
    rows = [f"{1_764_000_000 + 60 * i},{95 if 10 <= i < 30 else 10}" for i in range(40)]
    answer = ask("\n".join(["time,cpu_utilization", *rows]).encode(), "text/csv; charset=utf-8").json()
    assert [n["event"] for n in answer["notices"] if n["rule"] == "cpu"] == ["firing", "resolved"]
    wrong = ask(b"time,cpu_utilization\n1,x", "text/csv")
    assert (wrong.status, wrong.json()["field"]) == (400, "body")
    assert "upload.csv, line 2, column cpu_utilization" in wrong.json()["detail"]
    assert ask(b"{}").json()["field"] == "server"
    far = {"server": "web-01", "from": 0, "to": 86_400 * 9}
    assert ask(json.dumps(far).encode()).json()["field"] == "to"
