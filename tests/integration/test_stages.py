"""How old what passes each stage is: counted where it passes, told by API and scrape, an alert of its own if late."""

import json
import time
from collections.abc import Iterator

import pytest
from openmanager import intake, meter, metering, notify, stages
from openmanager.alerts.rules import OURSELVES
from openmanager.oncall import alerts
from openmanager.settings import settings
from openmanager.stores import cadence, usage
from openmanager.stores import stages as store
from openmanager.telemetry.samples import MINUTE_MS
from openmanager.watch import rounds

from functions.metrics.handler import handler as metrics
from functions.system.handler import handler as system
from infra.local.stack import Upstash
from tests.conftest import API_KEY
from tests.events import invoke
from tests.feed import Event, Line, serving
from tests.integration.test_alerts import FIRST, due_ms, push
from tests.integration.test_feed_live import ALERT
from tests.live import PATIENCE_S
from tests.notices import hook, publish
from tests.receivers import Answer, Receiver, running


@pytest.fixture(autouse=True)
def counts() -> Iterator[None]:
    meter.take()
    yield
    meter.take()


def counted(stage: str) -> stages.Ages:
    """What was counted of a stage since the last call, by this process."""
    return stages.ages({quantity: amount for (_, quantity), amount in meter.take().items()}, stage)


def test_a_class_holds_what_is_no_older_and_older_than_the_class_below() -> None:
    one = stages.ages(stages.counted("ingest", 2_000.0, 30, 3, late=False), "ingest")
    assert (one.count, one.late, one.sum_s, one.within) == (3, 0, 6.0, {2: 3})
    # A clock that is ahead measures nothing older than new; and nothing is lost beyond the last class.
    assert stages.ages(stages.counted("ingest", -5.0, 30, 1, late=False), "ingest").within == {1: 1}
    old = stages.ages(stages.counted("ingest", 4_000_000.0, 30, 1, late=False), "ingest")
    assert (old.count, old.late, old.within, old.p95_s) == (1, 1, {}, None)


@pytest.mark.parametrize(
    ("count", "late", "state"),
    [(0, 0, "unknown"), (100, 2, "ok"), (100, 3, "at_risk"), (100, 5, "at_risk"), (100, 6, "missed"), (10, 2, "ok"),
     (10, 3, "missed")],
)  # fmt: skip
def test_a_stage_is_missed_by_more_late_ones_than_may_be_and_not_by_an_accident(
    count: int, late: int, state: str
) -> None:
    assert stages.Ages(count, late).state == state


def test_every_usual_objective_is_the_end_of_a_class(stores_env: dict[str, str]) -> None:
    assert {stage: store.objective_s(stage) for stage in stages.STAGES} == {
        "ingest": 30, "verdict": 150, "notice": 210, "client": 5,
    }  # fmt: skip
    assert all(store.objective_s(stage) in stages.BOUNDS_S for stage in stages.STAGES)


def test_senders_that_were_asked_to_push_less_often_make_nothing_late(stores_env: dict[str, str]) -> None:
    cadence.write(cadence.Cadence(300, 315), 60)
    assert (store.objective_s("verdict"), store.objective_s("notice")) == (390, 450)
    store.passed("verdict", 380_000)
    assert (counted("verdict").late, counted("verdict").count) == (0, 0)


def test_a_push_counts_its_newest_sample_and_history_is_no_late_sample(stores_env: dict[str, str]) -> None:
    intake.keep([push("web-01", 0, 1.0), push("web-02", 0, 1.0)], FIRST + 20_000 + 8_000)
    intake.keep([push("web-01", 1, 1.0)], FIRST + MINUTE_MS + 20_000 + 45_000)
    intake.keep([push("web-03", 0, 1.0)], FIRST + 2 * 3_600_000)
    ages = counted("ingest")
    assert (ages.count, ages.late, ages.sum_s) == (3, 1, 8 + 8 + 45)


def test_verdicts_count_from_the_end_of_their_minute_and_a_new_server_s_past_does_not(
    stores_env: dict[str, str],
) -> None:
    for minute in range(3):
        intake.keep([push("web-01", minute, 1.0)], FIRST + minute * MINUTE_MS + 20_500)
    rounds.tick(due_ms(2))
    first = counted("verdict")
    assert (first.count, first.late, first.p95_s) == (1, 0, 90)
    # Two ticks did not come; the third judges what they left.
    for minute in range(3, 6):
        intake.keep([push("web-01", minute, 1.0)], FIRST + minute * MINUTE_MS + 20_500)
    rounds.tick(due_ms(5) + 20_000)
    ages = counted("verdict")
    assert (ages.count, ages.late) == (3, 2)
    assert 95 + 155 + 215 <= ages.sum_s < 95 + 155 + 215 + 60


def test_notices_count_until_a_receiver_took_them_and_those_that_nobody_takes_are_late(
    stores_env: dict[str, str], empty_redis: Upstash, monkeypatch: pytest.MonkeyPatch
) -> None:
    from tests import notices

    monkeypatch.setenv("OPENMANAGER_NOTIFY_ALLOW_PRIVATE", "1")
    settings.cache_clear()
    with running(Receiver()) as receiver:
        publish(empty_redis, hook(receiver, "ops"))
        at_s = notices.NOW_MS / 1000
        notices.put(empty_redis, notices.notice("a", at=at_s), notices.notice("b", event="test", at=at_s))
        notify.deliver(notices.NOW_MS + 160_000)
        taken = counted("notice")
        assert (taken.count, taken.late, taken.p95_s) == (1, 0, 120)
        receiver.answers = lambda _: Answer(404)
        notices.put(empty_redis, notices.notice("c", at=at_s))
        notify.deliver(notices.NOW_MS + 160_000)
        refused = counted("notice")
        assert (refused.count, refused.late) == (1, 1)


def test_what_a_live_reader_is_written_counts_from_its_commit_and_the_beginning_does_not(
    stores_env: dict[str, str], monkeypatch: pytest.MonkeyPatch
) -> None:
    from openmanager.stores import hot

    monkeypatch.setenv("OPENMANAGER_STREAM_POLL_S", "0.05")
    settings.cache_clear()
    happened = {"transitions": [{"id": "0", "what": "firing", "at": 1, "notice": "", "alert": ALERT}]}
    assert hot.commit_round(0, 0, hot.Writes(events=[("alert", happened)]))
    found: list[Event] = []
    with serving() as port, Line(port, API_KEY) as line:
        while not found:
            found += line.read()
        assert counted("client").count == 0
        assert hot.commit_round(0, 1, hot.Writes(events=[("alert", happened)]))
        while not any(event.name == "alert" for event in found):
            found += line.read()
        # What is counted is counted once it is written, which the reader may hear of first.
        give_up, ages = time.monotonic() + PATIENCE_S, stages.Ages()
        while not ages.count and time.monotonic() < give_up:
            ages = counted("client")
    assert ages.count == 1


def test_what_all_instances_counted_adds_up_and_is_told(stores_env: dict[str, str], upstash: Upstash) -> None:
    now = time.time()
    upstash.reset_stats()
    for _ in range(2):
        store.passed("verdict", 80_000, 45)
        store.passed("verdict", 400_000, 5)
        metering.write(now)
    assert upstash.stats()["commands"] == 2
    # Three hours ago things were worse.
    store.passed("notice", 100_000, 1)
    metering.write(now)
    store.passed("notice", 900_000, 50)
    metering.write(now - 3 * 3600)
    answer = invoke(system, "GET", "/api/system/stages", key=API_KEY)
    told = {each["stage"]: each for each in answer.json()["stages"]}
    assert list(told) == list(stages.STAGES)
    assert told["verdict"]["hour"] == {"state": "missed", "events": 100, "late": 10, "p95_s": 600}
    assert told["verdict"]["objective_s"] == 150
    assert told["notice"]["hour"]["state"] == "ok"
    assert told["notice"]["day"] == {"state": "missed", "events": 51, "late": 50, "p95_s": 3600}
    assert told["client"]["day"] == {"state": "unknown", "events": 0, "late": 0, "p95_s": None}
    # None of it is paid for, and the month's sums are read at every look at the bill.
    assert not any(map(stages.is_age, usage.read(usage.month_of(now)).total))
    assert invoke(system, "GET", "/api/system/stages").status == 401
    text = invoke(metrics, "GET", "/api/metrics", key=API_KEY).body.decode()
    assert 'openmanager_stage_age_seconds_bucket{stage="verdict",le="90"} 90\n' in text
    assert 'openmanager_stage_age_seconds_count{stage="verdict"} 100\n' in text
    assert 'openmanager_stage_late_total{stage="notice"} 50\n' in text
    assert 'openmanager_stage_objective_seconds{stage="client"} 5\n' in text


def test_what_is_older_than_a_day_is_forgotten(stores_env: dict[str, str], upstash: Upstash) -> None:
    now = time.time()
    store.passed("verdict", 400_000, 50)
    metering.write(now - 86_400 - 2 * store.SLOT_S)
    hour, day = store.read(now)
    assert (hour["verdict"].count, day["verdict"].count) == (0, 0)
    (key,) = upstash.command("KEYS", "om:stages:*")
    assert 0 < upstash.command("TTL", key) <= store.KEPT_S


def test_a_stage_that_is_late_is_one_alert_and_one_end(stores_env: dict[str, str], empty_redis: Upstash) -> None:
    publish(empty_redis, {"id": "ops", "channel": "ntfy", "settings": {"topic": "ops"}})
    for minute in range(120):
        intake.keep([push("web-01", minute, 10.0)], FIRST + minute * MINUTE_MS + 20_500)
        meter.take()
        # A quarter of an hour in which deliveries take too long, and now and then one before and after.
        slow = 10 <= minute < 25 or minute % 40 == 39
        store.passed("notice", 600_000 if slow else 100_000, 2)
        metering.write(due_ms(minute) / 1000)
        rounds.tick(due_ms(minute))
    fields = empty_redis.command("HGETALL", "om:outbox")
    notices = [json.loads(text)["notice"] for text in fields[1::2]]
    ours = sorted((n for n in notices if n["server"] == OURSELVES), key=lambda n: n["at"])
    assert [(n["rule"], n["event"]) for n in ours] == [("notice_age", "firing"), ("notice_age", "resolved")]
    assert ours[0]["facts"]["stage"] == "notice"
    assert ours[0]["severity"] == "warning"
    assert alerts.open_alerts() == []
