"""From the outbox to the receivers: in order, on time, within few commands; what fails waits or is seen."""

import json
import time
from collections.abc import Iterator

import pytest
from openmanager import archive, notify
from openmanager.notify import delivery
from openmanager.notify.entries import read_entry
from openmanager.notify.routing import route
from openmanager.settings import settings
from openmanager.stores.outbox import put_in_place

from functions.cron.handler import handler as cron
from functions.tick.handler import handler as tick
from infra.local.stack import Upstash
from tests.events import Context, invoke
from tests.notices import LEASE, NOW_MS, hook, notice, outbox, outcomes, publish, put, rows
from tests.receivers import Answer, Received, Receiver, running

HOUR_MS = 3_600_000


@pytest.fixture
def redis(stores_env: dict[str, str], empty_redis: Upstash, monkeypatch: pytest.MonkeyPatch) -> Upstash:
    monkeypatch.setenv("OPENMANAGER_NOTIFY_ALLOW_PRIVATE", "1")
    settings.cache_clear()
    return empty_redis


@pytest.fixture
def receiver() -> Iterator[Receiver]:
    with running(Receiver()) as one:
        yield one


def test_what_waits_is_delivered_in_order_and_leaves(redis: Upstash, receiver: Receiver) -> None:
    publish(redis, hook(receiver, "a"), hook(receiver, "b", severity="critical"))
    story = [notice("1"), notice("2", event="acknowledged", at=120.0), notice("3", event="resolved", at=180.0)]
    keys = put(redis, *reversed(story), notice("4", server="db-01", severity="warning"))
    report = notify.deliver(NOW_MS)
    assert (report.waiting, report.delivered, report.later, report.failed) == (7, 7, 0, 0)
    assert receiver.keys == dict.fromkeys(keys, 1)
    for path in ("/a", "/b"):
        told = [one.json()["notice"]["id"] for one in receiver.received if one.path == path]
        assert [t for t in told if t != "4"] == ["1", "2", "3"]
    assert outbox(redis) == {}
    assert [(o["outcome"], o["status"]) for o in outcomes(redis)] == [("delivered", 200)] * 7
    assert redis.command("EXISTS", LEASE) == 0


def test_nothing_waiting_costs_one_command_and_a_delivery_few(redis: Upstash, receiver: Receiver) -> None:
    redis.reset_stats()
    assert notify.deliver(NOW_MS) == notify.DeliveryReport()
    assert redis.stats()["commands"] == 1
    publish(redis, hook(receiver, "a"))
    put(redis, *(notice(str(i), server=f"s-{i}") for i in range(20)))
    redis.reset_stats()
    assert notify.deliver(NOW_MS).delivered == 20
    # To take, to settle each, to release:
    assert redis.stats()["commands"] == 22


def test_a_failure_waits_its_time_and_holds_back_its_own_alert_only(redis: Upstash, receiver: Receiver) -> None:
    publish(redis, hook(receiver, "a"), hook(receiver, "b"))
    put(redis, notice("1"), notice("2", event="resolved", at=120.0), notice("3", server="db-01", at=240.0))
    receiver.answers = lambda one: Answer(503) if one.json()["notice"]["id"] == "1" and one.path == "/a" else Answer()
    report = notify.deliver(NOW_MS)
    assert (report.delivered, report.later) == (3, 1)
    assert set(outbox(redis)) == {"1|a", "2|a", "3|a"}
    # The next run goes on with what that receiver can take:
    assert notify.deliver(NOW_MS + 1000).delivered == 1
    waiting = outbox(redis)
    assert set(waiting) == {"1|a", "2|a"}
    assert (waiting["1|a"]["tries"], waiting["1|a"]["reason"], waiting["2|a"]["tries"]) == (1, "answered 503: ok", 0)
    receiver.answers = lambda _: Answer()
    due = waiting["1|a"]["due"]
    assert notify.deliver(due - 1).delivered == 0
    assert notify.deliver(due).delivered == 2
    assert outbox(redis) == {}


def test_retry_after_is_obeyed_for_the_whole_receiver(redis: Upstash, receiver: Receiver) -> None:
    publish(redis, hook(receiver, "a"), hook(receiver, "b"))
    put(redis, notice("1"), notice("2", server="db-01"))
    receiver.answers = lambda one: Answer(429, {"Retry-After": "600"}) if one.path == "/a" else Answer()
    began = time.monotonic()
    assert notify.deliver(NOW_MS).delivered == 2
    put(redis, notice("3", server="db-02"))
    receiver.answers = lambda _: Answer()
    assert notify.deliver(NOW_MS + 599_000).delivered == 1
    # The clock of a delivery runs on from the instant it was given.
    passed_ms = round((time.monotonic() - began) * 1000) + 1
    assert notify.deliver(NOW_MS + 600_000 + passed_ms).delivered == 3
    assert len(receiver.keys) == 6


def test_what_cannot_be_delivered_is_parked_where_people_see_it(redis: Upstash, receiver: Receiver) -> None:
    publish(redis, hook(receiver, "a"), hook(receiver, "gone"), hook(receiver, "off"))
    put(redis, notice("1"))
    publish(redis, hook(receiver, "a"), hook(receiver, "off", enabled=False))
    redis.command("HSET", "om:outbox", "damaged|a", "{not json")
    receiver.answers = lambda _: Answer(410, {}, b"gone")
    report = notify.deliver(NOW_MS)
    assert (report.failed, report.delivered, report.later) == (4, 0, 0)
    assert outbox(redis) == {}
    failed = outbox(redis, "om:outbox:failed")
    assert {key: entry.get("reason") for key, entry in failed.items()} == {
        "1|a": "answered 410: gone",
        "1|gone": "the target no longer exists",
        "1|off": "the target is switched off",
        "damaged|a": None,
    }
    assert failed["damaged|a"]["unreadable"] == "{not json"
    assert sorted(o["outcome"] for o in outcomes(redis)) == ["failed"] * 4


def test_a_receiver_away_for_a_day_is_given_up_on_and_not_before(redis: Upstash, receiver: Receiver) -> None:
    publish(redis, hook(receiver, "a"))
    put(redis, notice("1"))
    receiver.answers = lambda _: Answer(502)
    now_ms = NOW_MS
    while waiting := outbox(redis):
        now_ms = max(now_ms + 60_000, waiting["1|a"]["due"])
        notify.deliver(now_ms)
    assert 23 * HOUR_MS < now_ms - NOW_MS < 25 * HOUR_MS
    assert len(receiver.received) == receiver.keys["1|a"] < 200
    assert outbox(redis, "om:outbox:failed")["1|a"]["reason"] == "answered 502: ok"


def test_without_targets_in_redis_everything_waits_for_them(redis: Upstash, receiver: Receiver) -> None:
    publish(redis, hook(receiver, "a"))
    put(redis, notice("1"))
    text = redis.command("GET", "om:targets")
    for lost in (("DEL", "om:targets"), ("SET", "om:targets", "{")):
        redis.command(*lost)
        report = notify.deliver(NOW_MS)
        assert (report.without_targets, report.waiting, report.failed) == (True, 1, 0)
    redis.command("SET", "om:targets", text)
    assert notify.deliver(NOW_MS).delivered == 1


def test_what_could_not_be_routed_goes_to_those_that_want_it_once_targets_are_known(
    redis: Upstash, receiver: Receiver
) -> None:
    for key, text in (route(notice("1"), None) | route(notice("2", server="db-01"), None)).items():
        redis.command("HSET", "om:outbox", key, text)
    assert notify.deliver(NOW_MS).without_targets
    publish(redis, hook(receiver, "a", servers=["web-01"]), hook(receiver, "b", servers=["web-01", "web-02"]))
    report = notify.deliver(NOW_MS)
    # Of what nobody wants to hear, nothing stays.
    assert (report.waiting, report.delivered) == (2, 2)
    assert dict(receiver.keys) == {"1|a": 1, "1|b": 1}
    assert outbox(redis) == {}


def test_what_was_routed_is_not_routed_again(redis: Upstash) -> None:
    ((key, text),) = route(notice("1"), None).items()
    redis.command("HSET", "om:outbox", key, text)
    for done in (True, False):
        assert put_in_place([(key, text, {"1|a": "{}"})]) == [done]
        assert redis.command("HKEYS", "om:outbox") == ["1|a"]


def test_of_two_deliverers_at_once_one_delivers(redis: Upstash, receiver: Receiver) -> None:
    publish(redis, hook(receiver, "a"))
    keys = put(redis, *(notice(str(i), server=f"s-{i}") for i in range(5)))
    reports: list[notify.DeliveryReport] = []

    def second(_: Received) -> Answer:
        if not reports:
            reports.append(notify.deliver(NOW_MS))
        return Answer()

    receiver.answers = second
    assert notify.deliver(NOW_MS).delivered == 5
    assert reports[0].held
    assert receiver.keys == dict.fromkeys(keys, 1)


def test_what_is_put_in_during_a_delivery_stays_for_the_next(redis: Upstash, receiver: Receiver) -> None:
    publish(redis, hook(receiver, "a"))
    put(redis, notice("1"))

    def answer(one: Received) -> Answer:
        if one.key == "1|a":
            put(redis, notice("2"))
        return Answer()

    receiver.answers = answer
    assert notify.deliver(NOW_MS).delivered == 1
    assert set(outbox(redis)) == {"2|a"}
    assert notify.deliver(NOW_MS).delivered == 1


def test_out_of_time_nothing_more_is_begun(redis: Upstash, receiver: Receiver) -> None:
    publish(redis, hook(receiver, "a"))
    put(redis, *(notice(str(i), server=f"s-{i}") for i in range(3)))
    report = notify.deliver(NOW_MS, lambda: len(receiver.received) >= 1)
    assert (report.delivered, report.carried_over) == (1, True)
    assert len(outbox(redis)) == 2


def test_the_lease_of_another_is_not_released(redis: Upstash, receiver: Receiver) -> None:
    publish(redis, hook(receiver, "a"))
    put(redis, notice("1"))

    def overtake(_: Received) -> Answer:
        redis.command("SET", LEASE, "somebody else")
        return Answer()

    receiver.answers = overtake
    assert notify.deliver(NOW_MS).delivered == 1
    assert redis.command("GET", LEASE) == "somebody else"


def test_the_archive_lets_go_of_what_is_old(redis: Upstash, receiver: Receiver, stores_env: dict[str, str]) -> None:
    publish(redis, hook(receiver, "a"))
    receiver.answers = lambda _: Answer(400)
    put(redis, notice("1"))
    notify.deliver(NOW_MS)
    redis.command("HSET", "om:outbox", "damaged|a", "x")
    notify.deliver(NOW_MS)
    assert notify.archive_outcomes(NOW_MS + 6 * 24 * HOUR_MS) == 2
    assert len(outbox(redis, "om:outbox:failed")) == 2
    assert notify.archive_outcomes(NOW_MS + 8 * 24 * HOUR_MS) == 0
    assert outbox(redis, "om:outbox:failed") == {}
    assert len(rows(stores_env["DATABASE_URL"])) == 2
    put(redis, notice("2"))
    notify.deliver(NOW_MS + 91 * 24 * HOUR_MS)
    notify.archive_outcomes(NOW_MS + 91 * 24 * HOUR_MS)
    assert [outcome["key"] for _, outcome in rows(stores_env["DATABASE_URL"])] == ["2|a"]


def test_the_functions_deliver_what_waits_and_keep_what_came_of_it(
    redis: Upstash, receiver: Receiver, stores_env: dict[str, str]
) -> None:
    publish(redis, hook(receiver, "a"))
    put(redis, notice("1"))
    assert tick({}, Context())["notices"]["delivered"] == 1
    put(redis, notice("2"))
    assert invoke(cron, "POST", "/api/tick", key=stores_env["OPENMANAGER_API_KEY"]).json()["notices"]["delivered"] == 1
    archive.run(round(time.time() * 1000))
    assert {outcome["key"] for _, outcome in rows(stores_env["DATABASE_URL"])} == {"1|a", "2|a"}
    # Postgres, which holds the truth, knows of no target:
    assert redis.command("GET", "om:targets") == "[]"


def test_an_entry_of_the_outbox_reads_back(redis: Upstash, receiver: Receiver) -> None:
    publish(redis, hook(receiver, "a"))
    put(redis, notice("서버|1", facts={"note": "\ud83d\ude00 한글", "value": 1.5}))
    assert notify.deliver(NOW_MS).delivered == 1
    assert receiver.received[0].json()["notice"]["facts"] == {"note": "😀 한글", "value": 1.5}
    assert receiver.received[0].headers["Idempotency-Key"] == "%EC%84%9C%EB%B2%84|1|a"
    assert read_entry("k", json.dumps({"notice": notice("1").as_dict(), "target": "a"})).due == 0


def test_the_last_attempt_ends_while_the_lease_holds() -> None:
    assert delivery._BEGIN_WITHIN_S + delivery.LIMIT_S < delivery._LEASE_S
