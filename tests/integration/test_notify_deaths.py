"""Wherever a delivery, or the archive of what came of it, dies: nothing lost, nothing doubled."""

import os
import signal
import subprocess
import sys
import threading
from collections.abc import Callable, Iterator
from contextlib import suppress
from typing import Any

import pytest
from openmanager import notify
from openmanager.errors import StoreUnavailable
from openmanager.notify import http
from openmanager.settings import settings
from openmanager.stores import postgres, reset
from openmanager.stores.redis import Redis

from infra.local.stack import Upstash
from tests.faults import Killed, door, dying
from tests.live import CHECKOUT
from tests.notices import LEASE, NOW_MS, hook, notice, outbox, outcomes, publish, put, rows
from tests.receivers import Answer, Received, Receiver, running


@pytest.fixture
def redis(stores_env: dict[str, str], empty_redis: Upstash, monkeypatch: pytest.MonkeyPatch) -> Upstash:
    monkeypatch.setenv("OPENMANAGER_NOTIFY_ALLOW_PRIVATE", "1")
    settings.cache_clear()
    return empty_redis


@pytest.fixture
def receiver() -> Iterator[Receiver]:
    with running(Receiver()) as one:
        yield one


class Dying:
    """Every store call and every send is counted; at number `at` the process dies, before or after it, for good."""

    def __init__(self, at: int, after: bool) -> None:
        self.left, self.after, self.dead = at, after, False
        self.lock = threading.Lock()

    def wrap(self, work: Callable[..., Any]) -> Callable[..., Any]:
        def call(*args: Any, **kwargs: Any) -> Any:
            with self.lock:
                self.left -= 1
                mine = self.left == 0
                if self.dead or (mine and not self.after):
                    self.dead = True
                    raise Killed
            result = work(*args, **kwargs)
            if mine or self.dead:
                self.dead = True
                raise Killed
            return result

        return call


@pytest.mark.filterwarnings("ignore::pytest.PytestUnhandledThreadExceptionWarning")
@pytest.mark.parametrize("after", [False, True], ids=["before", "after"])
def test_wherever_a_delivery_dies_no_notice_is_lost_and_none_is_doubled(
    redis: Upstash, receiver: Receiver, monkeypatch: pytest.MonkeyPatch, after: bool
) -> None:
    publish(redis, hook(receiver, "a"), hook(receiver, "b"), hook(receiver, "shaky"))
    expected: set[str] = set()
    sent_again = 0
    for at in range(1, 100):
        story = [notice(f"{at}-1"), notice(f"{at}-2", event="resolved", at=120.0), notice(f"{at}-3", server="db-01")]
        keys = put(redis, *story)
        expected |= keys
        failed_once: set[str] = set()

        def answer(one: Received, failed_once: set[str] = failed_once) -> Answer:
            # Each notice for this receiver fails once, so that the way of the failures is walked too:
            if one.path == "/shaky" and one.key not in failed_once:
                failed_once.add(one.key)
                return Answer(503)
            return Answer()

        receiver.answers = answer
        death = Dying(at, after)
        with monkeypatch.context() as patch:
            patch.setattr(Redis, "run", death.wrap(Redis.run))
            patch.setattr(http, "post", death.wrap(http.post))
            with suppress(Killed):
                notify.deliver(NOW_MS)
        # The lease of who died runs out, and time goes on:
        redis.command("DEL", LEASE)
        now_ms = NOW_MS
        while waiting := outbox(redis):
            now_ms = max([now_ms + 60_000, *(entry["due"] for entry in waiting.values())])
            notify.deliver(now_ms)
        counts = {key: receiver.keys[key] - (key in failed_once) for key in keys}
        # At least once each; again only what was under way when it died, under the same key:
        assert min(counts.values()) == 1
        sent_again += sum(counts.values()) - len(counts)
        assert sum(counts.values()) - len(counts) <= 3
        if not death.dead:
            break
    assert not death.dead
    assert at > 10
    # A receiver that keeps keys has each notice exactly once:
    assert set(receiver.keys) == expected
    assert outbox(redis, "om:outbox:failed") == {}
    assert sent_again > 0


KILLED_WHILE_SENDING = """
from openmanager import archive, notify
notify.deliver(1_764_000_000_000)
"""


def test_a_process_that_is_killed_while_sending_is_succeeded_by_the_next(
    redis: Upstash, receiver: Receiver, stores_env: dict[str, str]
) -> None:
    publish(redis, hook(receiver, "a"))
    keys = put(redis, *(notice(str(i), server=f"s-{i}", at=60.0 + i) for i in range(4)))
    victims: list[subprocess.Popen[bytes]] = []
    begun = threading.Event()

    def kill(one: Received) -> Answer:
        begun.wait(30)
        if one.key == "1|a" and victims[0].poll() is None:
            os.kill(victims[0].pid, signal.SIGKILL)
            victims[0].wait()
        return Answer()

    receiver.answers = kill
    path = os.pathsep.join((str(CHECKOUT), str(CHECKOUT / "layers/core/python")))
    env = {**os.environ, **stores_env, "PYTHONPATH": path}
    victims.append(subprocess.Popen([sys.executable, "-c", KILLED_WHILE_SENDING], env=env))
    begun.set()
    assert victims[0].wait(60) == -signal.SIGKILL
    assert receiver.keys == {"0|a": 1, "1|a": 1}
    assert set(outbox(redis)) == {"1|a", "2|a", "3|a"}
    assert notify.deliver(NOW_MS).held
    redis.command("DEL", LEASE)
    assert notify.deliver(NOW_MS).delivered == 3
    assert receiver.keys == {"0|a": 1, "1|a": 2, "2|a": 1, "3|a": 1}
    assert set(receiver.keys) == keys


def test_a_store_that_loses_its_answer_loses_no_notice(
    redis: Upstash, receiver: Receiver, monkeypatch: pytest.MonkeyPatch
) -> None:
    publish(redis, hook(receiver, "a"))
    put(redis, notice("1"))
    with door(redis.url) as opened:
        monkeypatch.setenv("UPSTASH_REDIS_REST_URL", opened.url)
        settings.cache_clear()
        reset()

        def answer(_: Received) -> Answer:
            opened.fault = "loses its answers"
            return Answer()

        receiver.answers = answer
        with pytest.raises(StoreUnavailable):
            notify.deliver(NOW_MS)
        opened.fault = ""
        receiver.answers = lambda _: Answer()
        redis.command("DEL", LEASE)
        # It had been settled, once, although nobody heard of it:
        assert notify.deliver(NOW_MS) == notify.DeliveryReport()
        assert len(outcomes(redis)) == len(receiver.received) == 1
        reset()


@pytest.mark.parametrize("after", [False, True], ids=["before", "after"])
def test_wherever_the_archive_dies_each_outcome_is_kept_once(
    redis: Upstash, receiver: Receiver, stores_env: dict[str, str], monkeypatch: pytest.MonkeyPatch, after: bool
) -> None:
    publish(redis, hook(receiver, "a"))
    for call in range(1, 20):
        put(redis, notice(f"{call}-1"), notice(f"{call}-2", server="db-01"))
        assert notify.deliver(NOW_MS).delivered == 2
        countdown = [call]
        with monkeypatch.context() as patch:
            patch.setattr(Redis, "run", dying(Redis.run, countdown, after))
            patch.setattr(postgres.Postgres, "run", dying(postgres.Postgres.run, countdown, after))
            with suppress(Killed):
                notify.archive_outcomes(NOW_MS)
        notify.archive_outcomes(NOW_MS)
        kept = rows(stores_env["DATABASE_URL"])
        assert sorted(outcome["key"] for _, outcome in kept) == sorted(receiver.keys)
        assert len(kept) == 2 * call
        assert outcomes(redis) == []
        if countdown[0] > 0:
            break
    assert countdown[0] > 0
    assert call >= 4
