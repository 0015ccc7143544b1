"""A month that would cost more than it may: senders are slowed, rounds wait for them, and nothing is lost."""

import json
import time
from datetime import UTC, datetime
from typing import Any

import pytest
from openmanager import bill
from openmanager.bill import cap
from openmanager.bill.prices import price_list
from openmanager.settings import settings
from openmanager.stores import cadence, usage
from openmanager.stores.cadence import Cadence
from openmanager.stores.redis import Redis, connect
from openmanager.stores.usage import Month, Usage
from openmanager.telemetry.samples import MINUTE_MS
from openmanager.watch import rounds

from functions.cost.handler import handler as cost
from functions.ingest.handler import handler as ingest
from functions.tick.handler import handler as tick
from infra.local.stack import Upstash
from tests.conftest import API_KEY
from tests.events import Context, invoke

PRICES = price_list('{"prices": {"redis_commands": {"usd": 1, "per": 1, "free": 0}}}')
NOON = datetime(2026, 11, 15, 12, tzinfo=UTC).timestamp()


def spent(before: int, yesterday: int, today: int) -> Month:
    days = {1: {"redis_commands": before}, 14: {"redis_commands": yesterday}, 15: {"redis_commands": today}}
    whole = {"ingest": {"redis_commands": before + yesterday + today}}
    since = int(datetime(2026, 11, 1, tzinfo=UTC).timestamp())
    return Month(Usage("2026-11", since, whole, days), {"redis_commands": yesterday}, since)


def asked(month: Month, usd: float, now_push: int = 60) -> int | None:
    return cap.wanted(month, PRICES, usd, 60, now_push, NOON)


def test_a_month_within_its_cap_is_left_alone() -> None:
    # 136 so far, and 24 a day for fifteen and a half days more.
    assert asked(spent(100, 24, 12), 508.1) == 60


def test_what_is_left_decides_how_much_slower() -> None:
    assert asked(spent(100, 24, 12), 136 + 186) == 120
    assert asked(spent(100, 24, 12), 136 + 372 / 4) == 240


def test_five_minutes_are_the_slowest_and_what_is_gone_is_gone() -> None:
    assert asked(spent(100, 24, 12), 140) == 300
    assert asked(spent(100, 24, 12), 100) == 300


def test_senders_that_are_slow_already_are_not_taken_for_cheap() -> None:
    # Half of what it was, because they push half as often: at the usual pace it would be over again.
    assert asked(spent(100, 12, 6), 118 + 186, now_push=120) == 120


def test_nobody_is_slowed_by_some_minutes() -> None:
    new = Month(
        Usage("2026-11", int(NOON) - 300, {"ingest": {"redis_commands": 9}}, {15: {"redis_commands": 9}}),
        {},
        int(NOON) - 300,
    )
    assert asked(new, 1) is None


@pytest.mark.parametrize("text", [None, "", "x", "60", "60|", "|75", "-1|2", "60|75|1"])
def test_what_does_not_read_asks_for_nothing(text: str | None) -> None:
    assert cadence.remember(text) == Cadence()


@pytest.fixture
def capped(stores_env: dict[str, str], monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setenv("OPENMANAGER_COST_CAP", "10")
    settings.cache_clear()


def push(server: str = "web-01") -> dict[str, Any]:
    body = json.dumps({"server": server, "samples": [{"metrics": {"cpu_utilization": 5}}]}).encode()
    told: dict[str, Any] = invoke(ingest, "POST", "/api/ingest", key=API_KEY, body=body).json()
    return told


def expensive() -> float:
    """A month of which an hour has cost more than all of it may; the time."""
    now = time.time()
    usage.add({("ingest", "redis_commands"): 10_000_000}, now)
    connect().call("HSET", usage.key(usage.month_of(now)), "@since", int(now - 3600))
    return now


def test_senders_are_asked_to_push_less_often_and_hear_it_in_the_same_command(capped: None, upstash: Upstash) -> None:
    assert push()["next_push_s"] == settings().push_interval_s
    now = expensive()
    bill.heed(15, now)
    assert cadence.known() == Cadence(300, 315)
    cadence.remember(None)
    upstash.reset_stats()
    assert push()["next_push_s"] == 300
    assert upstash.stats()["commands"] <= 2
    assert 0 < connect().call("TTL", cadence.KEY) <= 7200


def test_rounds_wait_as_long_as_senders_hold_back(capped: None) -> None:
    usual = settings().grace_s
    now_ms = 1_000 * MINUTE_MS
    assert rounds.tick(now_ms).minute == ((now_ms - usual * 1000) // MINUTE_MS - 1) * 60
    cadence.write(Cadence(300, 315), 60)
    cadence.remember(None)
    assert rounds.tick(now_ms).minute == ((now_ms - 315_000) // MINUTE_MS - 1) * 60


def test_five_minutes_that_come_together_are_judged_as_if_they_had_come_one_by_one(capped: None) -> None:
    cadence.write(Cadence(300, 315), 3600)
    start = int(time.time()) // 60 * 60 - 300
    samples = [{"time": start + 60 * i + 10, "metrics": {"cpu_utilization": 95}} for i in range(5)]
    body = json.dumps({"server": "web-01", "samples": samples}).encode()
    assert invoke(ingest, "POST", "/api/ingest", key=API_KEY, body=body).json()["accepted"] == 5
    report = rounds.tick((start + 300 + 315) * 1000)
    assert report.verdicts == 5
    from openmanager.stores.latest import read_server_latest

    latest = read_server_latest("web-01")
    assert latest is not None
    assert (latest["verdict"]["status"], latest["verdict"]["minute"]) == ("critical", start + 240)


def test_a_month_that_is_cheap_again_lets_them_go_and_waits_once_more(capped: None) -> None:
    cadence.write(Cadence(300, 315), 3600)
    now = time.time()
    usage.add({("ingest", "redis_commands"): 1}, now)
    connect().call("HSET", usage.key(usage.month_of(now)), "@since", int(now - 3600))
    bill.heed(30, now)
    assert cadence.read() == Cadence(0, 315)
    assert connect().call("TTL", cadence.KEY) <= 315
    assert push()["next_push_s"] == settings().push_interval_s


def test_it_is_looked_at_every_quarter_and_only_where_there_is_a_cap(
    stores_env: dict[str, str], monkeypatch: pytest.MonkeyPatch, upstash: Upstash
) -> None:
    expensive()
    upstash.reset_stats()
    bill.heed(15, time.time())
    assert upstash.stats()["commands"] == 0
    monkeypatch.setenv("OPENMANAGER_COST_CAP", "10")
    settings.cache_clear()
    bill.heed(16, time.time())
    assert upstash.stats()["commands"] == 0
    bill.heed(30, time.time())
    assert cadence.known().push_s == 300


def test_a_tick_looks_at_the_bill(capped: None, monkeypatch: pytest.MonkeyPatch) -> None:
    looked: list[int] = []
    monkeypatch.setattr(bill, "heed", lambda minute, _: looked.append(minute))
    report = tick({}, Context())
    assert looked == [report["minute"] // 60]
    # Another tick of the minute does nothing.
    tick({}, Context())
    assert len(looked) == 1


def test_without_redis_everything_goes_on_as_it_did(capped: None, monkeypatch: pytest.MonkeyPatch) -> None:
    cadence.remember("300|315")
    monkeypatch.setattr(cadence, "connect", lambda: Redis("http://127.0.0.1:9", "x", 0.2))
    bill.heed(15, time.time())
    assert rounds.tick(1_000 * MINUTE_MS).minute == ((1_000 * MINUTE_MS - 315_000) // MINUTE_MS - 1) * 60
    assert cadence.known() == Cadence(300, 315)


def test_the_bill_says_that_it_is_capped(capped: None) -> None:
    told = invoke(cost, "GET", "/api/system/cost", key=API_KEY).json()["cap"]
    assert told == {"usd": 10.0, "push_every_s": settings().push_interval_s, "slowed": False, "holds": None}
    bill.heed(15, expensive())
    told = invoke(cost, "GET", "/api/system/cost", key=API_KEY).json()["cap"]
    assert told == {"usd": 10.0, "push_every_s": 300, "slowed": True, "holds": False}
