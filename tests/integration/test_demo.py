"""The demo fleet through its routes, the real stores and the ordinary door."""

import json
from typing import Any

import numpy as np
import pytest
from openmanager import fleet
from openmanager.demo import runs, state
from openmanager.demo.feeding import feed
from openmanager.demo.generator import table
from openmanager.settings import settings
from openmanager.stores import hot
from openmanager.stores.redis import Redis
from openmanager.stores.segments import BACKLOG, read_server_frames, segments_between
from openmanager.telemetry import windows
from openmanager.telemetry.samples import MINUTE_MS, merge
from openmanager.watch import rounds

from functions.demo.handler import handler as switch
from infra.local.stack import Upstash
from tests.conftest import API_KEY
from tests.events import Reply, invoke
from tests.faults import Killed, dying

NOW = 1_793_620_800_000 // MINUTE_MS * MINUTE_MS  # noon of Monday, 2 November 2026
LEAK: dict[str, Any] = {
    "scenario": "memory_leak",
    "servers": 5,
    "minutes": 60,
    "seed": 1,
    "speed": 1.0,
    "past": 30,
}


def post(path: str, body: object = None) -> Reply:
    octets = None if body is None else json.dumps(body).encode()
    return invoke(switch, "POST", f"/api/system/{path}", key=API_KEY, body=octets)


def stored(server: str, start_ms: int, minutes: int) -> np.ndarray:
    """What the round would see of a server (minutes, metrics)."""
    stop = start_ms + minutes * MINUTE_MS
    found = read_server_frames(server, [*segments_between(start_ms, stop), BACKLOG])
    return windows.metrics(merge([frame.read()[0] for frame in found]), start_ms, stop, MINUTE_MS)


def test_start_answers_what_will_happen_and_twice_is_once(stores_env: dict[str, str]) -> None:
    assert invoke(switch, "GET", "/api/system/demo", key=API_KEY).json() == {"state": "idle"}
    first = post("start", {"scenario": "memory_leak", "servers": 6, "minutes": 60, "seed": 3})
    said = first.json()
    assert (first.status, said["state"], said["speed"]) == (200, "running", 1.0)
    assert said["ends"] - said["started"] == 3600
    assert said["servers"][0] == "demo-web-01"
    assert len(said["servers"]) == 6
    assert said["started"] < said["truth"]["onset"] < said["truth"]["exhaustion"] < said["ends"]
    assert said["truth"]["servers"][0] in said["servers"]
    assert [turn["at"] for turn in said["happens"]] == sorted(turn["at"] for turn in said["happens"])
    assert "memory_used_effective reaches 100" in [turn["what"] for turn in said["happens"]]
    again = post("start", {"scenario": "memory_leak", "servers": 6, "minutes": 60, "seed": 3}).json()
    assert again == said
    assert invoke(switch, "GET", "/api/system/demo", key=API_KEY).json() == said
    other = post("start", {"scenario": "spike", "servers": 6, "minutes": 60, "seed": 3}).json()
    assert (other["scenario"], other["state"]) == ("spike", "running")


def test_without_a_body_an_ordinary_half_hour_begins(stores_env: dict[str, str]) -> None:
    said = post("start").json()
    assert (said["scenario"], said["minutes"], len(said["servers"])) == ("normal", 30, 12)
    assert [turn["what"] for turn in said["happens"]] == ["the servers fall silent"]


def test_a_body_out_of_form_or_too_large_is_refused(stores_env: dict[str, str]) -> None:
    reply = invoke(switch, "POST", "/api/system/start", key=API_KEY, body=b"{scenario: spike}")
    assert (reply.status, reply.json()["field"]) == (400, "body")
    assert invoke(switch, "POST", "/api/system/start", key=API_KEY, body=b" " * 5000).status == 413
    assert invoke(switch, "POST", "/api/system/start", body=b"{scenario").status == 401


def test_stop_ends_it_and_twice_is_once(stores_env: dict[str, str]) -> None:
    assert post("stop").json() == {"state": "idle"}
    post("start", {"scenario": "ddos"})
    stopped = post("stop")
    assert (stopped.status, stopped.json()["state"]) == (200, "stopped")
    assert post("stop").json() == stopped.json()
    assert post("start", {"scenario": "ddos"}).json()["state"] == "running"


@pytest.mark.parametrize(
    ("body", "field"),
    [
        ({"scenario": "earthquake"}, "scenario"),
        ({"servers": 2}, "servers"),
        ({"servers": 101}, "servers"),
        ({"minutes": 241}, "minutes"),
        ({"minutes": 0}, "minutes"),
        ({"minutes": "long"}, "minutes"),
        ({"seed": -1}, "seed"),
        ({"seed": 1 << 32}, "seed"),
        ({"speed": 0}, "speed"),
        ({"past": 241}, "past"),
        ({"sceanrio": "spike"}, "sceanrio"),
        ([], "body"),
        ("spike", "body"),
    ],
)
def test_a_bad_request_names_its_field_and_starts_nothing(stores_env: dict[str, str], body: object, field: str) -> None:
    reply = post("start", body)
    assert (reply.status, reply.json()["field"]) == (400, field)
    assert invoke(switch, "GET", "/api/system/demo", key=API_KEY).json() == {"state": "idle"}


def test_nothing_costs_one_command_and_a_minute_of_any_fleet_three(
    stores_env: dict[str, str], empty_redis: Upstash
) -> None:
    empty_redis.reset_stats()
    assert feed(NOW) == 0
    assert empty_redis.stats()["commands"] == 1
    runs.start(**LEAK, now_ms=NOW)
    feed(NOW + MINUTE_MS)
    empty_redis.reset_stats()
    assert feed(NOW + 2 * MINUTE_MS) == 1
    assert empty_redis.stats()["commands"] == 3
    empty_redis.reset_stats()
    assert feed(NOW + 2 * MINUTE_MS + 500) == 0
    assert empty_redis.stats()["commands"] == 1
    runs.start(**{**LEAK, "servers": 100, "past": 0}, now_ms=NOW + 4 * MINUTE_MS)
    feed(NOW + 5 * MINUTE_MS)
    empty_redis.reset_stats()
    assert feed(NOW + 6 * MINUTE_MS) == 1
    assert empty_redis.stats()["commands"] == 3


def test_each_minute_s_samples_come_as_they_were_made(stores_env: dict[str, str]) -> None:
    runs.start(**LEAK, now_ms=NOW + 17_000)
    assert feed(NOW + MINUTE_MS) == 31
    for minute in range(2, 8):
        assert feed(NOW + minute * MINUTE_MS + 300) == 1
    made = table("memory_leak", 5, 1, -30, 37, NOW)
    for name, values in made.items():
        assert np.array_equal(stored(name, NOW - 30 * MINUTE_MS, 37), values, equal_nan=True)


def test_missed_minutes_are_made_up_for_with_the_same_samples(stores_env: dict[str, str]) -> None:
    runs.start(**LEAK, now_ms=NOW)
    feed(NOW + 3 * MINUTE_MS)
    assert feed(NOW + 20 * MINUTE_MS) == 17
    made = table("memory_leak", 5, 1, 0, 20, NOW)
    assert np.array_equal(stored("demo-api-01", NOW, 20), made["demo-api-01"])


@pytest.mark.parametrize("after", [False, True])
@pytest.mark.parametrize("call", [1, 2, 3])
def test_a_feed_that_dies_at_any_store_call_loses_and_doubles_nothing(
    stores_env: dict[str, str], monkeypatch: pytest.MonkeyPatch, call: int, after: bool
) -> None:
    runs.start(**LEAK, now_ms=NOW)
    feed(NOW + MINUTE_MS)
    with monkeypatch.context() as fatal:
        fatal.setattr(Redis, "run", dying(Redis.run, [call], after))
        with pytest.raises(Killed):
            feed(NOW + 2 * MINUTE_MS)
    feed(NOW + 3 * MINUTE_MS)
    assert runs.status(NOW)["sent_until"] == NOW // 1000 + 180
    made = table("memory_leak", 5, 1, -30, 33, NOW)
    for name, values in made.items():
        assert np.array_equal(stored(name, NOW - 30 * MINUTE_MS, 33), values, equal_nan=True)


def test_the_timer_ends_a_run_with_its_last_minute(stores_env: dict[str, str]) -> None:
    runs.start(**{**LEAK, "minutes": 5, "past": 0}, now_ms=NOW)
    assert feed(NOW + 4 * MINUTE_MS) == 4
    assert feed(NOW + 9 * MINUTE_MS) == 1
    assert feed(NOW + 10 * MINUTE_MS) == 0
    assert runs.status(NOW + 10 * MINUTE_MS)["state"] == "finished"
    assert np.isnan(stored("demo-web-01", NOW + 5 * MINUTE_MS, 5)).all()


def test_after_a_stop_nothing_comes(stores_env: dict[str, str]) -> None:
    runs.start(**{**LEAK, "past": 0}, now_ms=NOW)
    feed(NOW + 2 * MINUTE_MS)
    runs.stop(NOW + 2 * MINUTE_MS + 1)
    assert feed(NOW + 3 * MINUTE_MS) == 0
    assert np.isnan(stored("demo-web-01", NOW + 2 * MINUTE_MS, 5)).all()


def test_a_stop_during_a_feed_is_not_undone_by_it(stores_env: dict[str, str], monkeypatch: pytest.MonkeyPatch) -> None:
    runs.start(**LEAK, now_ms=NOW)
    before = state.write

    def stopped_meanwhile(text: str, run: state.Run) -> bool:
        monkeypatch.setattr(state, "write", before)
        runs.stop(NOW + MINUTE_MS)
        return before(text, run)

    monkeypatch.setattr(state, "write", stopped_meanwhile)
    feed(NOW + MINUTE_MS)
    assert runs.status(NOW + MINUTE_MS)["state"] == "stopped"
    assert feed(NOW + 2 * MINUTE_MS) == 0


def test_a_second_run_sends_no_second_past(stores_env: dict[str, str]) -> None:
    runs.start(**LEAK, now_ms=NOW)
    feed(NOW + 10 * MINUTE_MS)
    runs.start(**{**LEAK, "seed": 2}, now_ms=NOW + 12 * MINUTE_MS)
    # Two minutes between the runs and the first of the new one:
    assert feed(NOW + 13 * MINUTE_MS) == 3
    kept = table("memory_leak", 5, 1, -30, 40, NOW)
    assert np.array_equal(stored("demo-web-01", NOW - 30 * MINUTE_MS, 40), kept["demo-web-01"])


def test_with_redis_away_the_tick_goes_on_and_the_minute_comes_later(
    stores_env: dict[str, str], upstash: Upstash
) -> None:
    runs.start(**{**LEAK, "past": 0}, now_ms=NOW)
    with upstash.away():
        assert feed(NOW + MINUTE_MS) == 0
    assert feed(NOW + 2 * MINUTE_MS) == 2


def test_the_round_judges_the_whole_past_at_once_and_lists_what_is_invented(
    stores_env: dict[str, str], monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setenv("OPENMANAGER_GRACE_S", "15")
    settings.cache_clear()
    runs.start(**{**LEAK, "scenario": "normal", "past": 240}, now_ms=NOW)
    feed(NOW + MINUTE_MS)
    report = rounds.tick(NOW + MINUTE_MS + 20_000)
    assert (report.servers, report.verdicts) == (5, 5 * 241)
    said = [json.loads(text) for text in hot.read_verdicts(0).values()]
    assert all(v["status"] != "offline" for v in said)
    newest = [v for v in said if v["minute"] == NOW // 1000]
    assert [v["confidence"] for v in newest] == [1.0] * 5
    for entry in fleet.listing(NOW + MINUTE_MS + 20_000):
        assert entry["labels"]["demo"] == "true"
        assert entry["id"].startswith("demo-")
        assert entry["role"] in ("web", "api", "database", "cache", "load-balancer")
