"""Time that runs out, stores that are slow and ticks that die make verdicts late, never missing; outside schedulers."""

import json
import threading
from collections.abc import Iterator
from typing import Any

import pytest
from openmanager import intake
from openmanager.errors import InvalidSettings, StoreUnavailable
from openmanager.settings import settings
from openmanager.stores import hot, reset
from openmanager.stores.pushes import store_pushes
from openmanager.stores.shards import shard_of
from openmanager.telemetry.samples import MINUTE_MS
from openmanager.watch import rounds

from functions.cron.handler import handler as cron
from infra.local.stack import Upstash
from tests.conftest import API_KEY
from tests.events import invoke
from tests.faults import Door, Killed, door
from tests.recorded import minutes

FIRST = 1_764_000_000_000 // MINUTE_MS * MINUTE_MS
SHARDS = 5
SERVERS = [f"server-{i:02}" for i in range(20)]
SECRET = "cron-secret-0123456789abcdef"


@pytest.fixture
def shards(stores_env: dict[str, str], monkeypatch: pytest.MonkeyPatch) -> None:
    """Five shards, no queue."""
    monkeypatch.setenv("OPENMANAGER_SHARDS", str(SHARDS))
    settings.cache_clear()
    assert {shard_of(server) for server in SERVERS} == set(range(SHARDS))


def due_ms(minute: int) -> int:
    return FIRST + (minute + 1) * MINUTE_MS + settings().grace_s * 1000


def push(minute: int) -> None:
    pushes = [minutes(server, FIRST, minute + 1)[minute] for server in SERVERS]
    store_pushes(pushes, FIRST + minute * MINUTE_MS + 21_000)


def verdicts() -> list[tuple[str, int]]:
    found = []
    for shard in range(settings().shards):
        fields = (field.rpartition("|") for field in hot.read_verdicts(shard))
        found += [(server, (int(minute) * 1000 - FIRST) // MINUTE_MS) for server, _, minute in fields]
    return sorted(found)


def everything(count: int) -> list[tuple[str, int]]:
    return sorted((server, minute) for server in SERVERS for minute in range(count))


class Budget:
    """Time for so many shards."""

    def __init__(self, monkeypatch: pytest.MonkeyPatch) -> None:
        self.left = 0
        self.order: list[int] = []
        real = rounds.run_shard

        def run_shard(shard: int, *rest: Any) -> None:
            self.order.append(shard)
            self.left -= 1
            real(shard, *rest)

        monkeypatch.setattr(rounds, "run_shard", run_shard)

    def tick(self, minute: int, shards: int) -> rounds.Report:
        self.left, self.order = shards, []
        return rounds.tick(due_ms(minute), lambda: self.left <= 0)


def test_no_shard_starves_and_the_report_says_since_when_one_waits(
    shards: None, monkeypatch: pytest.MonkeyPatch
) -> None:
    budget = Budget(monkeypatch)
    served: list[int] = []
    for i in range(3):
        push(i)
        report = budget.tick(i, 2)
        assert len(budget.order) == 2
        served += budget.order
        for shard in report.carried_over:
            # What a shard owes begins where its verdicts end.
            done = [minute for server, minute in verdicts() if shard_of(server) == shard]
            assert report.behind[shard] == FIRST // 1000 + 60 * (max(done, default=-1) + 1)
    assert set(served) == set(range(SHARDS))
    push(3)
    report = budget.tick(3, 100)
    assert (report.carried_over, report.behind) == ([], {})
    assert verdicts() == everything(4)
    assert hot.read_carried() == {}


def test_a_tick_that_dies_does_not_begin_with_the_same_shard_each_time(
    shards: None, monkeypatch: pytest.MonkeyPatch
) -> None:
    begun = []

    def dies(shard: int, *rest: Any) -> None:
        begun.append(shard)
        raise Killed

    with monkeypatch.context() as patch:
        patch.setattr(rounds, "run_shard", dies)
        for i in range(SHARDS):
            push(i)
            with pytest.raises(Killed):
                rounds.tick(due_ms(i))
    assert sorted(begun) == list(range(SHARDS))
    push(SHARDS)
    rounds.tick(due_ms(SHARDS))
    assert verdicts() == everything(SHARDS + 1)


def test_a_shard_that_breaks_off_is_named_and_holds_up_no_other(shards: None, monkeypatch: pytest.MonkeyPatch) -> None:
    real = hot.commit_round

    def commit(shard: int, *rest: Any) -> bool:
        if shard == 3:
            raise StoreUnavailable("Redis: too large")
        return real(shard, *rest)

    push(0)
    with monkeypatch.context() as patch:
        patch.setattr(hot, "commit_round", commit)
        report = rounds.tick(due_ms(0))
    assert report.failed == {3: "StoreUnavailable: Redis: too large"}
    assert report.behind == hot.read_carried() == {3: FIRST // 1000}
    assert verdicts() == [v for v in everything(1) if shard_of(v[0]) != 3]
    push(1)
    report = rounds.tick(due_ms(1))
    assert (report.failed, hot.read_carried()) == ({}, {})
    assert verdicts() == everything(2)


@pytest.fixture
def slow(stores_env: dict[str, str], monkeypatch: pytest.MonkeyPatch) -> Iterator[Door]:
    """A door before Redis that can be made slower than the stores' time limit."""
    with door(stores_env["UPSTASH_REDIS_REST_URL"]) as server:
        monkeypatch.setenv("UPSTASH_REDIS_REST_URL", server.url)
        monkeypatch.setenv("OPENMANAGER_STORE_TIMEOUT_S", "2")
        settings.cache_clear()
        reset()
        yield server


def test_a_store_that_grows_slow_in_the_middle_of_a_round_delays_its_verdicts(
    slow: Door, monkeypatch: pytest.MonkeyPatch
) -> None:
    real = hot.commit_round

    def commit(*arguments: Any) -> bool:
        slow.healed.clear()
        slow.fault = "is slow"
        return real(*arguments)

    monkeypatch.setenv("OPENMANAGER_STORE_TIMEOUT_S", "10")
    settings.cache_clear()
    reset()
    push(0)
    rounds.tick(due_ms(0))
    push(1)
    monkeypatch.setenv("OPENMANAGER_STORE_TIMEOUT_S", "2")
    settings.cache_clear()
    reset()
    with monkeypatch.context() as patch:
        patch.setattr(hot, "commit_round", commit)
        report = rounds.tick(due_ms(1))
    assert list(report.failed) == [0]
    assert report.verdicts == 0
    # The commit that nobody waited for arrives at the same time as the next round:
    slow.fault = ""
    monkeypatch.setenv("OPENMANAGER_STORE_TIMEOUT_S", "10")
    settings.cache_clear()
    reset()
    push(2)
    late = threading.Timer(0, slow.healed.set)
    late.start()
    rounds.tick(due_ms(2))
    late.join()
    push(3)
    rounds.tick(due_ms(3))
    assert verdicts() == everything(4)


def test_an_outage_of_redis_makes_nobody_silent(
    stores_env: dict[str, str], upstash: Upstash, monkeypatch: pytest.MonkeyPatch
) -> None:
    # Ingest asks Redis again at each push:
    monkeypatch.setattr(intake, "_AWAY_S", 0.0)

    def send(minute: int) -> None:
        for server in SERVERS[:3]:
            intake.keep([minutes(server, FIRST, minute + 1)[minute]], FIRST + minute * MINUTE_MS + 21_000)

    for i in range(5):
        send(i)
        rounds.tick(due_ms(i))
    with upstash.away():
        for i in range(5, 13):
            send(i)
            if i < 12:
                with pytest.raises(StoreUnavailable):
                    rounds.tick(due_ms(i))
    # Redis is back, and the scheduler is there before the senders are:
    refilling = []
    for i in range(12, 15):
        refilling.append(rounds.tick(due_ms(i)).refilling)
        send(i + 1)
    assert refilling == [True, True, False]
    said = [json.loads(text) for text in hot.read_verdicts(0).values()]
    heard = [v for v in said if v["silence"]["silent_s"] < 60 and v["status"] != "offline"]
    assert len(said) == len(heard) == 3 * 15


def test_an_outside_scheduler_drives_the_same_round(
    stores_env: dict[str, str], monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setenv("OPENMANAGER_CRON_SECRET", SECRET)
    settings.cache_clear()
    first, second = (invoke(cron, "POST", "/api/tick", key=SECRET) for _ in range(2))
    assert (first.status, second.status) == (200, 200)
    # Within the same minute, unless it ended in between:
    assert second.json()["held"] or second.json()["minute"] > first.json()["minute"]
    for key in (None, "", "wrong", API_KEY):
        assert invoke(cron, "POST", "/api/tick", key=key).status == 401


def test_without_a_secret_only_a_local_stack_lets_its_own_key_drive_the_round(
    stores_env: dict[str, str], monkeypatch: pytest.MonkeyPatch
) -> None:
    assert invoke(cron, "POST", "/api/tick", key=API_KEY).status == 200
    monkeypatch.setenv("OPENMANAGER_STAGE", "prod")
    settings.cache_clear()
    for key in (None, "", API_KEY):
        assert invoke(cron, "POST", "/api/tick", key=key).status == 401
    monkeypatch.setenv("OPENMANAGER_CRON_SECRET", "short")
    settings.cache_clear()
    with pytest.raises(InvalidSettings, match="OPENMANAGER_CRON_SECRET"):
        settings()


def test_a_tick_while_redis_is_away_says_so(stores_env: dict[str, str], monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setenv("UPSTASH_REDIS_REST_URL", "http://127.0.0.1:9")
    settings.cache_clear()
    reset()
    reply = invoke(cron, "POST", "/api/tick", key=API_KEY)
    assert reply.status == 503
    assert json.loads(reply.body)["status"] == 503
