"""One server's poison is its own: everybody else is judged on time, and what was wrong is said."""

import json
from typing import Any

import numpy as np
import pytest
from openmanager import archive
from openmanager.catalog import COLUMN
from openmanager.settings import settings
from openmanager.stores import hot, past, postgres, segments
from openmanager.stores.pushes import forget_baselines, store_pushes
from openmanager.telemetry.samples import MINUTE_MS, Push, from_points
from openmanager.watch import judge as judging
from openmanager.watch import poison, rounds
from openmanager.watch.rebuild import split
from openmanager.watch.state import pack, unpack

from infra.local.stack import Upstash
from tests.recorded import minutes

FIRST = 1_764_000_000_000 // MINUTE_MS * MINUTE_MS
GOOD = [f"good-{i}" for i in range(6)]
BAD = "bad-1"


def due_ms(minute: int) -> int:
    return FIRST + (minute + 1) * MINUTE_MS + settings().grace_s * 1000


def push(minute: int, servers: list[str]) -> None:
    pushes = [minutes(server, FIRST, minute + 1)[minute] for server in servers]
    store_pushes(pushes, FIRST + minute * MINUTE_MS + 20_500)


def verdicts(minute: int) -> dict[str, Any]:
    at = FIRST // 1000 + 60 * minute
    found = (json.loads(text) for text in hot.read_verdicts(0).values())
    return {v["server"]: v for v in found if v["minute"] == at}


@pytest.fixture
def expected(stores_env: dict[str, str], empty_redis: Upstash) -> list[dict[str, Any]]:
    """What is said of the good ones, minute by minute, when there is no other."""
    said = []
    for i in range(4):
        push(i, GOOD)
        rounds.tick(due_ms(i))
        said.append(verdicts(i))
    empty_redis.command("FLUSHALL")
    forget_baselines()
    assert [set(v) for v in said] == [set(GOOD)] * 4
    return said


def good(minute: int) -> dict[str, Any]:
    return {server: v for server, v in verdicts(minute).items() if server in GOOD}


@pytest.mark.parametrize(
    ("field", "text"),
    [
        (f"{BAD}|{FIRST + 80_000}|000000000000", ""),
        (f"{BAD}|{FIRST + 80_000}|000000000000", "!"),
        (f"{BAD}|{FIRST + 80_000}|000000000000", "é"),
        (f"{BAD}|{FIRST + 80_000}|000000000000", "QAAA" * 3),
        (f"{BAD}|{FIRST + 80_000}|000000000000|late", "YAAAAAAAAAA="),
        (f"{BAD}|later|000000000000", "QAAA"),
        (f"{BAD}|{FIRST + 80_000}", "QAAA"),
        (f"{BAD}|{10**30}|000000000000", "QAAA"),
        (f"{BAD}|baseline|zz", "QAAA"),
        (f"{BAD}|baseline", "QAAA"),
        (BAD, "QAAA"),
        ("", ""),
    ],
)
def test_nothing_in_a_segment_s_hash_keeps_the_others_from_their_verdicts(
    expected: list[dict[str, Any]], empty_redis: Upstash, field: str, text: str
) -> None:
    for i in range(3):
        push(i, [BAD, *GOOD] if i == 0 else GOOD)
        if i == 1:
            empty_redis.command("HSET", segments.frames_key(0, segments.segment_of(FIRST)), field, text)
        report = rounds.tick(due_ms(i))
        assert good(i) == expected[i]
        assert report.verdicts == 7
    assert report.poison == {}


def test_what_has_no_place_in_a_hash_is_set_aside_for_a_person(
    stores_env: dict[str, str], empty_redis: Upstash
) -> None:
    key = segments.frames_key(0, segments.segment_of(FIRST))
    for field in (BAD, f"{BAD}|later|0000", f"{BAD}|baseline"):
        empty_redis.command("HSET", key, field, "QAAA")
    push(0, GOOD)
    rounds.tick(due_ms(0))
    assert archive.run(FIRST + 3 * 3_600_000).damaged == 3
    rows = postgres.connect().run(lambda c: c.execute("SELECT field FROM damaged_frames ORDER BY 1").fetchall())
    assert [field for (field,) in rows] == sorted((BAD, f"{BAD}|later|0000", f"{BAD}|baseline"))


def test_a_frame_that_does_not_read_is_said_in_the_verdict_of_its_minute(
    stores_env: dict[str, str], empty_redis: Upstash
) -> None:
    push(0, [BAD, *GOOD])
    rounds.tick(due_ms(0))
    key = segments.frames_key(0, segments.segment_of(FIRST))
    empty_redis.command("HSET", key, f"{BAD}|{FIRST + 80_000}|000000000000", "QAAA")
    report = rounds.tick(due_ms(1))
    assert report.damaged == 1
    assert verdicts(1)[BAD]["missing"]["damaged_frames"] == 1
    assert "damaged_frames" not in verdicts(1)[GOOD[0]]["missing"]


def poisoned(monkeypatch: pytest.MonkeyPatch, raises: Any) -> list[int]:
    """Judging raises where `raises(server, state, x)`; the sizes of the batches it was asked for."""
    sizes = []

    def judge(servers: list[str], states: Any, minute: int, x: Any, *rest: Any) -> Any:
        sizes.append(len(servers))
        # Something is learnt already when it breaks off:
        said = judging.judge(servers, states, minute, x, *rest)
        if any(raises(server, state, row) for server, state, row in zip(servers, states, x, strict=True)):
            raise FloatingPointError("no such number")
        return said

    monkeypatch.setattr(poison, "judge", judge)
    return sizes


def test_a_minute_that_cannot_be_judged_is_passed_over_with_its_reason(
    expected: list[dict[str, Any]], monkeypatch: pytest.MonkeyPatch
) -> None:
    cpu = COLUMN["cpu_utilization"]
    value = minutes(BAD, FIRST, 2)[1].samples
    bad_cpu = value.values[0, value.series.index("cpu_utilization")]
    sizes = poisoned(monkeypatch, lambda server, _, x: server == BAD and x[cpu] == bad_cpu)
    reports = []
    for i in range(4):
        push(i, [BAD, *GOOD])
        reports.append(rounds.tick(due_ms(i)))
        assert good(i) == expected[i]
    assert [r.poison for r in reports] == [{}, {BAD: "FloatingPointError: no such number"}, {}, {}]
    said = verdicts(1)[BAD]
    assert (said["status"], said["confidence"]) == ("unknown", 0.0)
    assert said["missing"] == {"judgement": "FloatingPointError: no such number"}
    assert verdicts(3)[BAD]["missing"]["history_minutes"] == 240 - 3
    # Halves, not one by one:
    assert len(sizes) <= 3 + 1 + 2 * 3 + 1


def test_a_record_that_cannot_be_judged_with_begins_anew_and_is_to_be_rebuilt(
    expected: list[dict[str, Any]], empty_redis: Upstash, monkeypatch: pytest.MonkeyPatch
) -> None:
    poisoned(monkeypatch, lambda server, state, _: server == BAD and state["peak"].max() > 1e15)
    for i in range(4):
        push(i, [BAD, *GOOD])
        if i == 2:
            servers, states = unpack(split(past.read_state(0))[0])
            states["peak"][servers.index(BAD)] = np.float32(1e16)
            empty_redis.command("HSET", "om:0:state", BAD, pack(states)[servers.index(BAD)])
        report = rounds.tick(due_ms(i))
        assert good(i) == expected[i]
        if i == 2:
            assert report.poison == {BAD: "FloatingPointError: no such number"}
            missing = verdicts(i)[BAD]["missing"]
            assert (missing["rebuilding"], missing["record"]) == (True, "FloatingPointError: no such number")
    assert report.poison == {}
    assert verdicts(3)[BAD]["missing"]["history_minutes"] == 240 - 2
    assert verdicts(3)[BAD]["status"] != "offline"


@pytest.mark.parametrize("value", [9e14, -9e14, 1e-12, 0.0])
def test_absurd_values_are_judged_like_any_other(expected: list[dict[str, Any]], value: float) -> None:
    names = ("cpu_utilization", "load_1m", "disk_wait", "network_receive_bytes", "tcp_established", "uptime")
    for i in range(4):
        at = FIRST + i * MINUTE_MS + 20_000
        table = from_points([(name, at, value if i % 2 else -value) for name in names])
        store_pushes([Push(BAD, table, {})], at + 500)
        push(i, GOOD)
        report = rounds.tick(due_ms(i))
        assert report.poison == {}
        assert good(i) == expected[i]
        assert BAD in verdicts(i)
