"""The round over real recorded data: the same verdicts however the minutes come, and nothing judged twice."""

import json
import random
from typing import Any

import pytest
from openmanager.settings import settings
from openmanager.stores import hot, segments
from openmanager.stores.pushes import forget_baselines, store_pushes
from openmanager.telemetry.samples import MINUTE_MS, Push, merge
from openmanager.watch import rounds
from openmanager.watch.state import new_states, pack

from infra.local.stack import Upstash
from tests.recorded import minutes

FIRST = 1_764_000_000_000 // MINUTE_MS * MINUTE_MS
COUNT = 90


def whole(pushes: list[Push]) -> Push:
    return Push(pushes[0].server, merge([p.samples for p in pushes]), pushes[0].attributes)


def due_ms(minute: int) -> int:
    """When minute number `minute` of a test has closed."""
    return FIRST + (minute + 1) * MINUTE_MS + settings().grace_s * 1000


def verdicts() -> dict[str, Any]:
    return {field: json.loads(text) for field, text in hot.read_verdicts(0).items()}


def one_by_one(pushes: list[Push]) -> None:
    for i, push in enumerate(pushes):
        store_pushes([push], int(push.samples.times[0]) + 500)
        rounds.tick(due_ms(i))


@pytest.fixture
def expected(stores_env: dict[str, str], empty_redis: Upstash) -> dict[str, Any]:
    """The verdicts when every minute arrives at once and is judged on time."""
    one_by_one(minutes("web-01", FIRST, COUNT))
    said = verdicts()
    empty_redis.command("FLUSHALL")
    forget_baselines()
    assert len(said) == COUNT
    assert said[f"web-01|{FIRST // 1000 + 60 * (COUNT - 1)}"]["forecasts"].keys() >= {"cpu_utilization", "load_5m"}
    return said


def test_a_whole_past_in_one_batch_gets_the_same_verdicts(expected: dict[str, Any]) -> None:
    store_pushes([whole(minutes("web-01", FIRST, COUNT))], due_ms(COUNT - 1) - 1000)
    rounds.tick(due_ms(COUNT - 1))
    assert verdicts() == expected


def test_every_minute_twice_by_functions_that_know_nothing_of_each_other(expected: dict[str, Any]) -> None:
    for i, push in enumerate(minutes("web-01", FIRST, COUNT)):
        for _ in range(2):
            forget_baselines()
            store_pushes([push], int(push.samples.times[0]) + 500)
        rounds.tick(due_ms(i))
    assert verdicts() == expected


def test_minutes_out_of_order_within_the_grace(expected: dict[str, Any], monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setenv("OPENMANAGER_GRACE_S", "240")
    settings.cache_clear()
    pushes = minutes("web-01", FIRST, COUNT)
    shuffled = random.Random(7)
    for start in range(0, COUNT, 3):
        some = list(range(start, min(start + 3, COUNT)))
        shuffled.shuffle(some)
        for i in some:
            store_pushes([pushes[i]], FIRST + (start + 3) * MINUTE_MS)
        rounds.tick(FIRST + (start + 3) * MINUTE_MS)
    for i in range(COUNT):
        rounds.tick(due_ms(i))
    assert verdicts() == expected


def test_minutes_cut_into_requests_series_by_series(expected: dict[str, Any]) -> None:
    for i, push in enumerate(minutes("web-01", FIRST, COUNT)):
        s = push.samples
        for part in (slice(None, 5), slice(5, 11), slice(11, None)):
            cut = type(s)(s.series[part], s.times, s.values[:, part], s.late)
            store_pushes([Push(push.server, cut, push.attributes)], int(s.times[0]) + 500)
        rounds.tick(due_ms(i))
    assert verdicts() == expected


def test_a_missed_tick_is_caught_up(expected: dict[str, Any]) -> None:
    for i, push in enumerate(minutes("web-01", FIRST, COUNT)):
        store_pushes([push], int(push.samples.times[0]) + 500)
        if i % 7 == 0 or i == COUNT - 1:
            rounds.tick(due_ms(i))
    assert verdicts() == expected


def test_a_server_s_verdicts_do_not_depend_on_its_neighbours(expected: dict[str, Any]) -> None:
    others = [minutes(f"db-{n:02}", FIRST, COUNT, skip=n * 50) for n in range(1, 8)]
    for i, push in enumerate(minutes("web-01", FIRST, COUNT)):
        store_pushes([push, *(pushes[i] for pushes in others)], int(push.samples.times[0]) + 500)
        rounds.tick(due_ms(i))
    assert {field: v for field, v in verdicts().items() if v["server"] == "web-01"} == expected


def test_a_round_cut_off_by_time_goes_on_where_it_stopped(expected: dict[str, Any]) -> None:
    store_pushes([whole(minutes("web-01", FIRST, COUNT))], due_ms(COUNT - 1) - 1000)
    left = COUNT
    report = rounds.tick(due_ms(COUNT - 1), lambda: True)
    assert report.carried_over == [0]
    while report.verdicts or report.carried_over:
        report = rounds.Report(0)
        rounds.run_shard(0, rounds.newest_closed_minute(due_ms(COUNT - 1)), report, lambda: True)
        left -= report.verdicts
    assert left == 0
    assert verdicts() == expected


def test_a_second_tick_of_a_minute_changes_nothing(stores_env: dict[str, str], empty_redis: Upstash) -> None:
    one_by_one(minutes("web-01", FIRST, 5))
    before = snapshot(empty_redis)
    assert rounds.tick(due_ms(4)).held
    assert snapshot(empty_redis) == before
    # Nor does one whose lease was lost:
    empty_redis.command("DEL", f"om:lease:tick:{FIRST // MINUTE_MS + 4}")
    report = rounds.tick(due_ms(4))
    assert (report.held, report.verdicts) == (False, 0)
    assert snapshot(empty_redis) == before


def snapshot(redis: Upstash) -> dict[str, Any]:
    keys = sorted(k for k in redis.command("KEYS", "om:*") if not k.startswith("om:lease"))
    return {
        k: redis.command("XRANGE", k, "-", "+") if k == "om:feed" else sorted(redis.command("HGETALL", k)) for k in keys
    }


def test_the_loser_of_two_rounds_writes_nothing(stores_env: dict[str, str], empty_redis: Upstash) -> None:
    one_by_one(minutes("web-01", FIRST, 5))
    number = hot.read_round(0, []).number
    state = {"web-01": pack(new_states(1))[0]}
    assert hot.commit_round(0, number, hot.Writes(states=state))
    before = snapshot(empty_redis)
    late = hot.Writes({"web-01": "x"}, {"web-01": 1}, {"web-01|0": 2}, [("metrics", 3)], {"t": 4}, {"n": "5"})
    assert not hot.commit_round(0, number, late)
    assert snapshot(empty_redis) == before


def test_what_comes_after_the_grace_never_rewrites_a_verdict(stores_env: dict[str, str]) -> None:
    pushes = minutes("web-01", FIRST, 20)
    one_by_one(pushes[:10] + pushes[10:11])
    store_pushes([pushes[12]], int(pushes[12].samples.times[0]) + 500)
    rounds.tick(due_ms(12))
    before = verdicts()
    # Minute 11 comes three minutes late: it is stored and marked, and the verdict on its gap stands.
    store_pushes([pushes[11]], due_ms(11) + 1)
    rounds.tick(due_ms(13))
    assert {k: v for k, v in verdicts().items() if k in before} == before
    frames = segments.read_server_frames("web-01", segments.segments_between(FIRST, FIRST + 20 * MINUTE_MS))
    marked = {int(f.first_ms - FIRST) // MINUTE_MS: f.late for f in frames}
    assert [minute for minute, late in marked.items() if late] == [11]
    assert len(marked) == 13


def test_a_silent_server_is_offline_after_three_of_its_own_cadences(stores_env: dict[str, str]) -> None:
    pushes = minutes("web-01", FIRST, 30)
    one_by_one(pushes[:10])
    for i in range(10, 20):
        rounds.tick(due_ms(i))
    status = [v["status"] for _, v in sorted(verdicts().items())]
    # Silent from second 20 of minute 9 on; three minutes of silence are over within minute 12.
    assert status[9:14] == ["healthy", "healthy", "healthy", "offline", "offline"]
    store_pushes([pushes[20]], int(pushes[20].samples.times[0]) + 500)
    rounds.tick(due_ms(20))
    assert verdicts()[f"web-01|{FIRST // 1000 + 1200}"]["status"] == "healthy"


def test_a_server_that_sends_every_five_minutes_is_not_called_offline(stores_env: dict[str, str]) -> None:
    pushes = minutes("web-01", FIRST, 60)
    for i in range(60):
        if i % 5 == 0:
            store_pushes([pushes[i]], int(pushes[i].samples.times[0]) + 500)
        rounds.tick(due_ms(i))
    assert {v["status"] for v in verdicts().values()} == {"healthy"}


def test_a_damaged_frame_is_set_aside_and_everyone_else_judged(
    stores_env: dict[str, str], empty_redis: Upstash
) -> None:
    for name in ("web-01", "web-02"):
        store_pushes(minutes(name, FIRST, 1), FIRST + 30_000)
    key = segments.frames_key(0, segments.segment_of(FIRST))
    (field,) = (f for f in empty_redis.command("HKEYS", key) if f.startswith("web-01") and "baseline" not in f)
    empty_redis.command("HSET", key, field, "EAAAAAAAAAA=")
    report = rounds.tick(due_ms(0))
    assert (report.damaged, report.verdicts) == (1, 1)
    assert [v["server"] for v in verdicts().values()] == ["web-02"]


def test_little_history_is_said_instead_of_guessed_over(stores_env: dict[str, str]) -> None:
    one_by_one(minutes("web-01", FIRST, 12))
    first, *_, last = (v for _, v in sorted(verdicts().items()))
    assert (first["anomaly"], first["failure"], first["forecasts"]) == (None, None, {})
    assert first["confidence"] < last["confidence"] < 0.05
    assert last["missing"]["history_minutes"] == 240 - 12
    assert last["missing"]["window_minutes"] == 60 - 12
    assert "disk_queue" in last["missing"]["metrics"]
    assert 0 <= last["failure"]["probability"] <= 1
