"""From a sample to a sentence: what a round finds reaches the receiver, in the target's language."""

from collections.abc import Iterator

import numpy as np
import pytest
from openmanager import notify
from openmanager.notify.targets import dump, read_target
from openmanager.settings import settings
from openmanager.stores.pushes import store_pushes
from openmanager.telemetry.samples import MINUTE_MS, Push, Samples
from openmanager.watch import rounds

from infra.local.stack import Upstash
from tests.receivers import Received, Receiver, running

FIRST = 1_764_000_000_000 // MINUTE_MS * MINUTE_MS
CALM: list[float | None] = [10.0] * 10
HIGH: list[float | None] = [95.0] * 10
SILENT: list[float | None] = [None] * 6


@pytest.fixture
def receiver(stores_env: dict[str, str], empty_redis: Upstash, monkeypatch: pytest.MonkeyPatch) -> Iterator[Receiver]:
    monkeypatch.setenv("OPENMANAGER_NOTIFY_ALLOW_PRIVATE", "1")
    settings.cache_clear()
    with running(Receiver()) as one:
        home = {"secret": "s" * 24, "url": f"http://127.0.0.1:{one.server_port}/"}
        both = [
            read_target(
                {"id": name, "channel": "webhook", "settings": {**home, "url": home["url"] + name}, "language": name}
            )
            for name in ("en", "ko")
        ]
        empty_redis.command("SET", "om:targets", dump(both))
        yield one


def minute(number: int, cpu: float | None) -> None:
    if cpu is not None:
        at = np.array([FIRST + number * MINUTE_MS + 20_000], np.int64)
        samples = Samples(("cpu_utilization", "load_1m"), at, np.array([[cpu, cpu / 50]]), np.zeros(1, np.bool_))
        store_pushes([Push("web-01", samples, {"role": "web"})], int(at[0]) + 500)
    now_ms = FIRST + (number + 1) * MINUTE_MS + settings().grace_s * 1000
    rounds.tick(now_ms)
    notify.deliver(now_ms)


def titles(receiver: Receiver, language: str, rule: str) -> list[str]:
    def fits(one: Received) -> bool:
        return one.path == f"/{language}" and one.json()["notice"]["rule"] == rule

    return [one.json()["title"] for one in receiver.received if fits(one)]


def test_what_a_round_finds_is_read_by_people(receiver: Receiver, empty_redis: Upstash) -> None:
    for number, cpu in enumerate(CALM + HIGH + CALM + SILENT + CALM):
        minute(number, cpu)
    assert titles(receiver, "en", "cpu") == [
        "[Critical] web-01: CPU utilization 95% (limit 90%)",
        "[Resolved] web-01: CPU utilization",
    ]
    assert titles(receiver, "ko", "cpu") == ["[심각] web-01: CPU 사용률 95% (기준 90%)", "[해소] web-01: CPU 사용률"]
    assert titles(receiver, "en", "offline") == [
        "[Critical] web-01: No data received for 3 min",
        "[Resolved] web-01: No data received",
    ]
    assert set(receiver.keys.values()) == {1}
    assert empty_redis.command("HLEN", "om:outbox") == 0


def test_what_is_found_while_nobody_knows_the_targets_is_told_once_they_are_known(
    receiver: Receiver, empty_redis: Upstash
) -> None:
    targets = empty_redis.command("GET", "om:targets")
    empty_redis.command("DEL", "om:targets")
    for number, cpu in enumerate(CALM + HIGH):
        minute(number, cpu)
    assert receiver.received == []
    assert [key.rpartition("|")[2] for key in empty_redis.command("HKEYS", "om:outbox")] == ["*"]
    # The archive brings them back.
    empty_redis.command("SET", "om:targets", targets)
    for number, cpu in enumerate(CALM, len(CALM + HIGH)):
        minute(number, cpu)
    assert titles(receiver, "en", "cpu") == [
        "[Critical] web-01: CPU utilization 95% (limit 90%)",
        "[Resolved] web-01: CPU utilization",
    ]
    assert titles(receiver, "ko", "cpu") == ["[심각] web-01: CPU 사용률 95% (기준 90%)", "[해소] web-01: CPU 사용률"]
    assert set(receiver.keys.values()) == {1}
    assert empty_redis.command("HLEN", "om:outbox") == 0
