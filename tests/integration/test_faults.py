"""Whatever happens to a store: what was acknowledged is found."""

import time
from collections.abc import Iterator
from contextlib import suppress

import pytest
from openmanager import archive, intake
from openmanager.settings import settings
from openmanager.stores import postgres, reset
from openmanager.stores.redis import Redis
from openmanager.stores.segments import BACKLOG, read_server_frames, segments_between
from openmanager.telemetry.samples import Push, from_points

from infra.local.postgres import Postgres
from infra.local.stack import Upstash
from tests.faults import REDIS, Count, Door, Killed, door, dying, faults, found, through

SEED = 3
NAMES = [
    "none",
    *(f"Redis {fault}" for fault in REDIS),
    "Redis is full",
    "Postgres is away",
    "Postgres cuts its connections",
    "both are away",
]


@pytest.fixture
def redis_door(stores_env: dict[str, str], monkeypatch: pytest.MonkeyPatch) -> Iterator[Door]:
    """The functions reach Redis through a door that can go wrong."""
    with door(stores_env["UPSTASH_REDIS_REST_URL"]) as opened:
        monkeypatch.setenv("UPSTASH_REDIS_REST_URL", opened.url)
        settings.cache_clear()
        reset()
        yield opened
        reset()


@pytest.mark.parametrize("seed", range(SEED))
@pytest.mark.parametrize("fault", NAMES)
def test_what_was_acknowledged_is_found(
    redis_door: Door,
    postgres: Postgres,
    stores_env: dict[str, str],
    monkeypatch: pytest.MonkeyPatch,
    fault: str,
    seed: int,
) -> None:
    if fault == "Redis is slow":
        # Slower than this, and faster than a machine under load.
        monkeypatch.setenv("OPENMANAGER_STORE_TIMEOUT_S", "1")
        settings.cache_clear()
        reset()
    begin, end = faults(redis_door, postgres)[fault]
    count: Count = through(fault, begin, end, stores_env["OPENMANAGER_API_KEY"], seed, intake.forget)
    assert count.found == count.acknowledged
    # With one store left everything is taken; with none nothing may be promised.
    assert (count.acknowledged == count.sent) == (fault != "both are away")


def test_what_cannot_be_put_back_yet_is_said(redis_door: Door, caplog: pytest.LogCaptureFixture) -> None:
    now_ms = int(time.time() * 1000)
    redis_door.fault = "refuses"
    intake.keep([Push("server-1", from_points([("cpu_utilization", now_ms, 1.0)]))], now_ms)
    assert intake.refill(now_ms) == 1
    assert "what Postgres took waits there: Redis: " in caplog.text
    redis_door.fault = ""
    assert intake.refill(now_ms) == 0


@pytest.mark.parametrize("after", [False, True], ids=["before", "after"])
def test_nothing_is_lost_wherever_a_function_dies_that_puts_samples_back(
    redis_door: Door, monkeypatch: pytest.MonkeyPatch, after: bool
) -> None:
    now_ms = int(time.time() * 1000)
    for call in range(1, 50):
        server = f"server-{call}"
        wanted = {(server, now_ms - i * 7_000): float(i) for i in range(5)}
        redis_door.fault = "refuses"
        for (_, at), value in wanted.items():
            intake.keep([Push(server, from_points([("cpu_utilization", at, value)]))], now_ms)
        redis_door.fault = ""
        monkeypatch.setattr(intake, "_away_until", 0.0)
        countdown = [call]
        with monkeypatch.context() as patch:
            patch.setattr(Redis, "run", dying(Redis.run, countdown, after))
            patch.setattr(postgres.Postgres, "run", dying(postgres.Postgres.run, countdown, after))
            with suppress(Killed):
                intake.keep([Push(f"{server}-other", from_points([("load_1m", now_ms, 1.0)]))], now_ms)
        assert intake.refill(now_ms) == 0
        assert all(found(now_ms, wanted))
        if countdown[0] > 0:
            break
    assert countdown[0] > 0
    assert call > 10


def test_the_archive_puts_back_what_no_function_did(redis_door: Door) -> None:
    now_ms = int(time.time() * 1000)
    wanted = {("server-1", now_ms - i * 1_000): float(i % 100) for i in range(450)}
    redis_door.fault = "refuses"
    for (server, at), value in wanted.items():
        intake.keep([Push(server, from_points([("cpu_utilization", at, value)]))], now_ms)
    redis_door.fault = ""
    archive.run(now_ms)
    assert all(found(now_ms, wanted))
    assert read_server_frames("server-1", [*segments_between(now_ms - 600_000, now_ms), BACKLOG])


def test_what_is_pushed_after_redis_lost_everything_can_be_read(stores_env: dict[str, str], upstash: Upstash) -> None:
    now_ms = int(time.time() * 1000)

    def push(at: int, value: float) -> None:
        intake.keep([Push("server-1", from_points([("cpu_utilization", at, value)]))], now_ms)

    push(now_ms, 1.0)
    upstash.command("FLUSHALL")
    # This process remembers a baseline that is no longer there:
    push(now_ms + 1, 2.0)
    push(now_ms + 2, 3.0)
    assert all(found(now_ms + 3, {("server-1", now_ms + 1): 2.0, ("server-1", now_ms + 2): 3.0}))
    upstash.reset_stats()
    push(now_ms + 3, 4.0)
    assert upstash.stats()["commands"] == 1


def test_every_fault_is_tried(redis_door: Door, postgres: Postgres) -> None:
    assert list(faults(redis_door, postgres)) == NAMES
