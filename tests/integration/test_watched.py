"""OpenManager watches itself: rounds that are missing, samples that all stay away, and a heartbeat for who is outside.

Real stores, real receivers, and clocks that the tests set.
"""

import json
import logging
from collections.abc import Callable, Iterator
from typing import Any

import pytest
from openmanager import fleet, notify
from openmanager.alerts.rules import OURSELVES
from openmanager.notify import heartbeat, read_notice
from openmanager.notify.message import compose
from openmanager.oncall import alerts
from openmanager.settings import settings
from openmanager.stores import awaited, config, hot
from openmanager.stores.latest import count_servers
from openmanager.stores.pushes import store_pushes
from openmanager.telemetry.samples import MINUTE_MS
from openmanager.watch import deadman, rounds

from infra.local.stack import Upstash
from tests.integration.test_alerts import FIRST, due_ms, push
from tests.notices import hook, publish
from tests.receivers import Answer, Receiver, running

NAMES = ("web-01", "web-02", "web-03", "db-01")


@pytest.fixture
def receiver(stores_env: dict[str, str], empty_redis: Upstash, monkeypatch: pytest.MonkeyPatch) -> Iterator[Receiver]:
    monkeypatch.setenv("OPENMANAGER_NOTIFY_ALLOW_PRIVATE", "1")
    settings.cache_clear()
    with running(Receiver()) as one:
        publish(empty_redis, hook(one, "en"), hook(one, "ko", language="ko", severity="critical"))
        yield one


def told(receiver: Receiver, rule: str, name: str = "en") -> list[str]:
    """The titles that a target got of a rule."""
    found = [one.json() for one in receiver.received if one.path == f"/{name}"]
    return [one["title"] for one in found if one["notice"]["rule"] == rule]


def at(minute: int) -> int:
    return FIRST + minute * MINUTE_MS + 20_500


def arrive(minute: int, *servers: str) -> None:
    """A minute's samples by the way of the ingest function, one push each."""
    for server in servers:
        deadman.keep([push(server, minute, 10.0)], at(minute))


def tick(minute: int) -> rounds.Report:
    """The tick that judges a minute, as its function does it."""
    report = rounds.tick(due_ms(minute))
    notify.deliver(due_ms(minute))
    return report


def test_missing_rounds_are_told_once_by_who_takes_samples_in_and_resolved_once(receiver: Receiver) -> None:
    for minute in range(5):
        arrive(minute, *NAMES)
        tick(minute)
    assert told(receiver, "rounds") == []
    for minute in range(5, 12):
        # Each process of many looks for itself.
        for server in NAMES:
            deadman.forget()
            arrive(minute, server)
    assert told(receiver, "rounds") == [
        "[Critical] OpenManager: Nothing is judged: no round for 5 min while samples arrive"
    ]
    assert told(receiver, "rounds", "ko") == ["[심각] OpenManager: 데이터는 들어오는데 5분째 판정 중단"]
    (alert,) = [a for a in alerts.open_alerts() if a["rule"] == "rounds"]
    assert (alert["server"], alert["state"], alert["severity"]) == (OURSELVES, "firing", "critical")
    for minute in range(12, 20):
        arrive(minute, *NAMES)
        assert tick(minute).alive
    assert told(receiver, "rounds")[1:] == ["[Resolved] OpenManager: Nothing is judged"]
    assert alerts.open_alerts() == []
    assert {n for n, c in receiver.keys.items() if c != 1} == set()


def test_less_than_five_minutes_without_a_round_are_not_too_long(receiver: Receiver) -> None:
    arrive(0, "web-01")
    tick(0)
    for minute in range(1, 6):
        arrive(minute, "web-01")
    assert told(receiver, "rounds") == []
    arrive(6, "web-01")
    assert len(told(receiver, "rounds")) == 1


def test_a_fleet_that_comes_back_after_a_week_has_not_waited_for_a_week(receiver: Receiver) -> None:
    arrive(0, "web-01")
    tick(0)
    arrive(7 * 1440, "web-01")
    assert told(receiver, "rounds") == []
    assert awaited.waited_s(at(7 * 1440) / 1000) < 1


def test_what_could_not_be_delivered_is_tried_again_while_no_round_comes(receiver: Receiver) -> None:
    receiver.answers = lambda _: Answer(503)
    for minute in range(7):
        arrive(minute, "web-01")
    failed = len(receiver.received)
    assert failed >= 1
    receiver.answers = lambda _: Answer()
    arrive(17, "web-01")
    assert len(receiver.received) == failed + 2
    assert len({one.key for one in receiver.received}) == 2


def test_a_round_that_was_on_its_way_is_overtaken_and_judges_with_the_next(receiver: Receiver) -> None:
    arrive(0, *NAMES)
    tick(0)
    before = hot.read_round(0, [])
    for minute in range(1, 8):
        arrive(minute, *NAMES)
    assert not hot.commit_round(0, before.number, hot.Writes())
    report = tick(7)
    assert (report.verdicts, report.overtaken) == (7 * len(NAMES), [])
    assert [a["state"] for a in alerts.open_alerts() if a["rule"] == "rounds"] == ["recovering"]


def test_a_rule_that_is_switched_off_tells_nobody(receiver: Receiver) -> None:
    off = {"id": "rounds", "kind": "rounds", "critical": 5, "enabled": False}
    config.publish({"rules": json.dumps([off])})
    for minute in range(10):
        arrive(minute, "web-01")
    assert receiver.received == []


def test_a_push_is_stored_and_answered_while_the_receiver_is_away(
    receiver: Receiver, caplog: pytest.LogCaptureFixture
) -> None:
    receiver.answers = lambda _: Answer(cut=True)
    for minute in range(10):
        arrive(minute, "web-01")
    assert hot.read_round(0, [FIRST // 600_000 * 600]).frames


def test_while_rounds_come_a_push_is_one_command_and_a_tick_at_most_eight(
    receiver: Receiver, empty_redis: Upstash
) -> None:
    for minute in range(4):
        empty_redis.reset_stats()
        arrive(minute, *NAMES)
        assert empty_redis.stats()["commands"] == len(NAMES)
        empty_redis.reset_stats()
        tick(minute)
        assert empty_redis.stats()["commands"] <= 8


def test_all_of_a_fleet_that_is_silent_is_one_alert_and_not_one_each(receiver: Receiver) -> None:
    for minute in range(30):
        if minute < 10:
            # Some of them push early in a minute and some late.
            for i, server in enumerate(NAMES):
                deadman.keep([push(server, minute, 10.0)], at(minute) + 9_000 * i)
        tick(minute)
    assert told(receiver, "arrivals") == [
        "[Critical] OpenManager: No samples arrive from any of 4 servers, the last one 3 min ago"
    ]
    assert told(receiver, "arrivals", "ko") == [
        "[심각] OpenManager: 서버 4대 모두 데이터 수신 중단, 마지막 수신 3분 전"
    ]
    assert told(receiver, "offline") == []
    silent = {a["server"]: a["suppressed"] for a in alerts.open_alerts() if a["rule"] == "offline"}
    assert silent == dict.fromkeys(NAMES, f"parent: {OURSELVES} arrivals")
    for minute in range(30, 40):
        arrive(minute, *NAMES)
        tick(minute)
    assert told(receiver, "arrivals")[1:] == ["[Resolved] OpenManager: No samples arrive from any server"]
    assert told(receiver, "offline") == []
    assert alerts.open_alerts() == []


def test_half_of_a_fleet_that_is_silent_is_an_alert_each(receiver: Receiver) -> None:
    for minute in range(20):
        arrive(minute, *(NAMES if minute < 10 else NAMES[:2]))
        tick(minute)
    assert sorted(told(receiver, "offline")) == [
        f"[Critical] {server}: No data received for 3 min" for server in sorted(NAMES[2:])
    ]
    assert told(receiver, "arrivals") == []


def test_who_does_not_come_back_with_the_others_is_told_of_then(receiver: Receiver) -> None:
    for minute in range(30):
        if minute < 10:
            arrive(minute, *NAMES)
        if minute >= 20:
            arrive(minute, *NAMES[:3])
        tick(minute)
    assert len(told(receiver, "arrivals")) == 2
    (only,) = told(receiver, "offline")
    assert only.startswith(f"[Critical] {NAMES[3]}: No data received for")


def test_a_fleet_of_one_has_the_alert_of_its_server(receiver: Receiver) -> None:
    for minute in range(20):
        if minute < 10:
            arrive(minute, "web-01")
        report = tick(minute)
    assert told(receiver, "offline") == ["[Critical] web-01: No data received for 3 min"]
    assert told(receiver, "arrivals") == []
    assert not report.alive


def test_many_shards_that_are_all_silent_are_one_alert(receiver: Receiver, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setenv("OPENMANAGER_SHARDS", "3")
    settings.cache_clear()
    names = [f"web-{n:02}" for n in range(12)]
    for minute in range(25):
        if minute < 10:
            arrive(minute, *names)
        report = tick(minute)
    assert len(told(receiver, "arrivals")) == 1
    assert told(receiver, "offline") == []
    assert not report.alive
    marks = {k: v for k, v in config.read().items() if k.startswith("silent|")}
    assert len(marks) == 3
    assert all(int(since) > 0 for since in marks.values())


def test_a_shard_that_is_silent_alone_is_an_alert_a_server(receiver: Receiver, monkeypatch: pytest.MonkeyPatch) -> None:
    from openmanager.stores.shards import shard_of

    monkeypatch.setenv("OPENMANAGER_SHARDS", "2")
    settings.cache_clear()
    names = [f"web-{n:02}" for n in range(12)]
    silent = [name for name in names if shard_of(name) == 0]
    assert 1 < len(silent) < len(names)
    for minute in range(20):
        arrive(minute, *(names if minute < 10 else [name for name in names if name not in silent]))
        report = tick(minute)
    assert len(told(receiver, "offline")) == len(silent)
    assert told(receiver, "arrivals") == []
    assert report.alive


def test_planned_work_on_the_whole_fleet_is_no_silence(receiver: Receiver) -> None:
    window = {"id": "all", "days": ["mon", "tue", "wed", "thu", "fri", "sat", "sun"], "at": "00:00", "minutes": 1440}
    config.publish({"maintenance": json.dumps([window])})
    for minute in range(20):
        if minute < 10:
            arrive(minute, *NAMES)
        report = tick(minute)
    assert receiver.received == []
    assert report.alive


def test_alerts_about_ourselves_are_of_no_server(receiver: Receiver) -> None:
    for minute in range(10):
        if minute < 4:
            arrive(minute, *NAMES)
        tick(minute)
    assert [a["server"] for a in alerts.open_alerts() if a["rule"] == "arrivals"] == [OURSELVES]
    assert {s["id"] for s in fleet.listing(due_ms(9))} == set(NAMES)
    assert count_servers([0]) == len(NAMES)
    assert {key.partition("|")[0] for key in hot.read_verdicts(0)} == set(NAMES)


def test_an_alert_about_ourselves_reads_in_both_languages() -> None:
    facts = {"kind": "age", "stage": "verdict", "value": 12.0, "limit": 5.0}
    one = {
        "id": "1", "event": "firing", "server": OURSELVES, "rule": "verdict_age", "severity": "warning", "since": 0,
        "at": 60, "title": "", "facts": facts,
    }  # fmt: skip
    assert (
        compose(read_notice(one), "en", "UTC").title
        == "[Warning] OpenManager: Verdicts are late: 12% of the last hour's (limit 5%)"
    )
    assert compose(read_notice(one), "ko", "UTC").title == "[경고] OpenManager: 판정 지연: 최근 1시간의 12% (기준 5%)"
    over = compose(read_notice(one | {"event": "resolved"}), "en", "UTC").title
    assert over == "[Resolved] OpenManager: Verdicts are late"


@pytest.fixture
def outside(receiver: Receiver, monkeypatch: pytest.MonkeyPatch) -> Iterator[Receiver]:
    """A service that expects pings."""
    with running(Receiver()) as one:
        monkeypatch.setenv("OPENMANAGER_HEARTBEAT_URL", f"{one.url}/ping/abc")
        settings.cache_clear()
        yield one


@pytest.fixture
def beating(outside: Receiver, monkeypatch: pytest.MonkeyPatch) -> Callable[[int], dict[str, Any]]:
    """The tick function itself, at the instant that judges a minute."""
    from functions.tick import handler as function
    from tests.events import Context

    def at_minute(minute: int) -> dict[str, Any]:
        monkeypatch.setattr(function.time, "time", lambda: due_ms(minute) / 1000)
        answer: dict[str, Any] = function.handler({}, Context())
        return answer

    return at_minute


def test_a_heartbeat_says_that_rounds_go_on_and_samples_come(
    outside: Receiver, beating: Callable[[int], dict[str, Any]]
) -> None:
    beating(0)
    assert [one.path for one in outside.received] == ["/ping/abc"]  # nobody is there to send anything
    for minute in range(1, 5):
        store_pushes([push(s, minute, 10.0) for s in NAMES], at(minute))
        beating(minute)
    assert len(outside.received) == 5
    # A minute that is taken is not told twice.
    assert beating(4)["held"]
    assert len(outside.received) == 5


def test_no_heartbeat_while_no_samples_arrive(outside: Receiver, beating: Callable[[int], dict[str, Any]]) -> None:
    for minute in range(20):
        if minute < 5 or minute >= 15:
            store_pushes([push(s, minute, 10.0) for s in NAMES], at(minute))
        before = len(outside.received)
        beating(minute)
        assert len(outside.received) - before == int(not 7 <= minute < 15), minute


def test_no_heartbeat_from_a_round_that_did_not_commit(
    outside: Receiver, beating: Callable[[int], dict[str, Any]], monkeypatch: pytest.MonkeyPatch
) -> None:
    store_pushes([push(s, 0, 10.0) for s in NAMES], at(0))
    monkeypatch.setattr(hot, "commit_round", lambda *_: False)
    assert beating(0)["overtaken"] == [0]
    assert outside.received == []


@pytest.mark.parametrize("answer", [Answer(500), Answer(cut=True), Answer(301, {"Location": "http://127.0.0.1:1/"})])
def test_a_service_that_does_not_take_it_never_fails_the_tick(
    answer: Answer,
    outside: Receiver,
    beating: Callable[[int], dict[str, Any]],
    caplog: pytest.LogCaptureFixture,
) -> None:
    outside.answers = lambda _: answer
    with caplog.at_level(logging.WARNING):
        assert not beating(0)["held"]
    assert len(outside.received) == 1
    (said,) = [r.getMessage() for r in caplog.records if "heartbeat" in r.getMessage()]
    assert "/ping/abc" not in said


def test_a_heartbeat_goes_to_no_private_address(
    outside: Receiver, monkeypatch: pytest.MonkeyPatch, caplog: pytest.LogCaptureFixture
) -> None:
    monkeypatch.delenv("OPENMANAGER_NOTIFY_ALLOW_PRIVATE")
    monkeypatch.setenv("OPENMANAGER_HEARTBEAT_URL", outside.url.replace("http", "https") + "/ping/abc")
    settings.cache_clear()
    heartbeat.beat(True)
    assert outside.received == []
    assert "Refused" in caplog.text


def test_the_worker_of_the_first_shard_sends_the_heartbeat_where_rounds_are_handed_out(
    outside: Receiver, monkeypatch: pytest.MonkeyPatch
) -> None:
    from functions.predict import handler as function
    from tests.events import Context

    monkeypatch.setenv("OPENMANAGER_SHARDS", "2")
    settings.cache_clear()
    store_pushes([push(f"web-{n:02}", 0, 10.0) for n in range(12)], at(0))
    monkeypatch.setattr(function.time, "time", lambda: due_ms(0) / 1000)
    for shard in (1, 0):
        body = json.dumps({"shard": shard, "minute": rounds.newest_closed_minute(due_ms(0))})
        answer = function.handler({"Records": [{"body": body, "messageId": str(shard)}]}, Context())
        assert answer == {"batchItemFailures": []}
        assert len(outside.received) == (1 if shard == 0 else 0)
