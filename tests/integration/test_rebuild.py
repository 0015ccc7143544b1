"""What Redis lost of the servers' past comes back from the archive, and nothing is judged twice for it."""

import json
from typing import Any

import numpy as np
import psycopg
import pytest
from openmanager import archive
from openmanager.settings import settings
from openmanager.stores import hot, past
from openmanager.stores.postgres import Postgres
from openmanager.stores.pushes import forget_baselines, store_pushes
from openmanager.stores.redis import Redis
from openmanager.stores.verdicts import unpack as unpack_verdict
from openmanager.telemetry.samples import MINUTE_MS, Push, merge
from openmanager.watch import lost, rounds
from openmanager.watch.rebuild import rebuild, split
from openmanager.watch.state import STATE, unpack

from infra.local.stack import Upstash
from tests.faults import Killed, dying
from tests.recorded import minutes

FIRST = 1_764_000_000_000 // MINUTE_MS * MINUTE_MS
COUNT = 80
NAMES = ("web-01", "web-02")


def pushes(server: str, count: int = COUNT) -> list[Push]:
    return minutes(server, FIRST, count, skip=50 * NAMES.index(server))


def due_ms(minute: int) -> int:
    return FIRST + (minute + 1) * MINUTE_MS + settings().grace_s * 1000


def play(first: int, stop: int, servers: tuple[str, ...] = NAMES, moved: bool = True) -> None:
    """Minutes first to stop - 1: pushes, a round each, the archive every five."""
    for i in range(first, stop):
        store_pushes([pushes(server, i + 1)[i] for server in servers], FIRST + i * MINUTE_MS + 20_500)
        rounds.tick(due_ms(i))
        if moved and i % 5 == 4:
            archive.run(due_ms(i))


def records() -> dict[str, np.void]:
    return dict(zip(*unpack(split(past.read_state(0))[0]), strict=True))


def verdicts(url: str) -> dict[tuple[str, int], Any]:
    """Every verdict, archived or not."""
    found = {}
    for field, text in hot.read_verdicts(0).items():
        server, _, minute = field.rpartition("|")
        found[server, int(minute)] = json.loads(text)
    with psycopg.connect(url) as c:
        for server, minute, body in c.execute("SELECT server, minute, body FROM predictions").fetchall():
            found.setdefault((server, round(minute.timestamp())), unpack_verdict(bytes(body)))
    return found


def same(a: np.void, b: np.void, but: tuple[str, ...] = ()) -> bool:
    names = [name for name in STATE.names or () if name not in but]
    return all(a[name].tobytes() == b[name].tobytes() for name in names)


def at(minute: int) -> int:
    return FIRST // 1000 + 60 * minute


def test_a_rebuilt_record_is_the_one_that_the_rounds_left(stores_env: dict[str, str]) -> None:
    play(0, COUNT, moved=False)
    left = records()
    histories = [merge([p.samples for p in pushes(server)]) for server in NAMES]
    last = FIRST // MINUTE_MS + COUNT - 1
    made = rebuild(histories, np.array([last, last]))
    for server, record in zip(NAMES, made, strict=True):
        # Status, role and the outlook of the coarser grids are what verdicts say, not what is learnt of samples.
        assert same(record, left[server], but=("status", "role", "outcome"))


def test_after_a_lost_state_the_verdicts_go_on_as_if_nothing_had_happened(
    stores_env: dict[str, str], empty_redis: Upstash
) -> None:
    play(0, COUNT)
    undisturbed = verdicts(stores_env["DATABASE_URL"])
    empty_redis.command("FLUSHALL")
    forget_baselines()
    with psycopg.connect(stores_env["DATABASE_URL"]) as c:
        c.execute("TRUNCATE blocks, predictions, servers, days_due")

    play(0, 62)
    empty_redis.command("DEL", "om:0:state")
    play(62, 63, moved=False)
    assert verdicts(stores_env["DATABASE_URL"])["web-01", at(62)]["missing"]["history_minutes"] > 200
    archive.run(due_ms(62))
    assert sorted(lost.restore(due_ms(62)).rebuilt) == list(NAMES)
    play(63, COUNT)
    assert lost.restore(due_ms(COUNT - 1)) == lost.Report()
    said = verdicts(stores_env["DATABASE_URL"])
    assert said.keys() == undisturbed.keys()
    # What was said once stays said, although the round after the loss came across those minutes again:
    assert {k: v for k, v in said.items() if k[1] < at(62)} == {k: v for k, v in undisturbed.items() if k[1] < at(62)}
    assert {k: v for k, v in said.items() if k[1] > at(62)} == {k: v for k, v in undisturbed.items() if k[1] > at(62)}


def test_verdicts_say_that_a_record_is_being_rebuilt(
    stores_env: dict[str, str], empty_redis: Upstash, monkeypatch: pytest.MonkeyPatch
) -> None:
    play(0, 60)
    empty_redis.command("HDEL", "om:0:state", "web-01")
    play(60, 61, moved=False)
    report = lost.restore(due_ms(60), lambda: bool(past.read_state(0).get("web-01|past") == ""))
    assert (report.rebuilt, report.waiting) == ([], 1)
    play(61, 62, moved=False)
    said = verdicts(stores_env["DATABASE_URL"])
    assert said["web-01", at(61)]["missing"]["rebuilding"] is True
    assert "rebuilding" not in said["web-02", at(61)]["missing"]
    assert lost.restore(due_ms(61)).rebuilt == ["web-01"]
    play(62, 63, moved=False)
    said = verdicts(stores_env["DATABASE_URL"])
    assert "rebuilding" not in said["web-01", at(62)]["missing"]
    assert said["web-01", at(62)]["missing"]["history_minutes"] == 240 - 63
    assert sorted(past.read_state(0)) == ["@round", "@whole", *NAMES]


def test_a_record_that_does_not_read_costs_no_minute_of_anybody_and_comes_back(
    stores_env: dict[str, str], empty_redis: Upstash
) -> None:
    play(0, 60)
    empty_redis.command("HSET", "om:0:state", "web-01", "AAAA")
    empty_redis.reset_stats()
    play(60, 61, moved=False)
    # Push, lease, and the round's usual commands: no search through a day of segments.
    assert empty_redis.stats()["commands"] <= 10
    said = verdicts(stores_env["DATABASE_URL"])
    assert len(said) == 61 * len(NAMES)
    assert said["web-01", at(60)]["missing"]["rebuilding"] is True
    assert said["web-01", at(60)]["status"] != "offline"
    assert lost.restore(due_ms(60)).rebuilt == ["web-01"]
    play(61, 62, moved=False)
    missing = verdicts(stores_env["DATABASE_URL"])["web-01", at(61)]["missing"]
    assert missing["history_minutes"] == 240 - 62
    assert "rebuilding" not in missing


def test_a_server_that_fell_silent_is_not_forgotten_with_the_state(
    stores_env: dict[str, str], empty_redis: Upstash
) -> None:
    play(0, 50)
    play(50, 95, ("web-02",))
    empty_redis.command("FLUSHALL")
    play(95, 96, ("web-02",), moved=False)
    # The one that still sends has a record by now, though a young one, and has missed it for longer.
    assert lost.restore(due_ms(95)).rebuilt == ["web-02", "web-01"]
    play(96, 98, ("web-02",), moved=False)
    said = verdicts(stores_env["DATABASE_URL"])
    assert said["web-01", at(97)]["status"] == "offline"
    assert said["web-01", at(97)]["silence"]["silent_s"] == 97 * 60 + 60 - 49 * 60 - 20
    assert records()["web-01"]["role"] == b"web"
    # One that people had removed does not come back:
    empty_redis.command("HDEL", "om:0:state", "web-01")
    assert lost.restore(due_ms(97)) == lost.Report()


def test_a_server_that_says_little_is_rebuilt_once_and_not_again(
    stores_env: dict[str, str], empty_redis: Upstash
) -> None:
    for i in range(0, 95, 15):
        store_pushes([pushes("web-01", i + 1)[i]], FIRST + i * MINUTE_MS + 20_500)
        rounds.tick(due_ms(i + 14))
    archive.run(due_ms(99))
    empty_redis.command("DEL", "om:0:state")
    store_pushes([pushes("web-01", 160)[159]], FIRST + 159 * MINUTE_MS + 20_500)
    rounds.tick(due_ms(159))
    assert lost.restore(due_ms(159)).rebuilt == ["web-01"]
    for i in range(160, 170):
        rounds.tick(due_ms(i))
        assert lost.restore(due_ms(i)).rebuilt == []
    assert records()["web-01"]["count"].max() == 8


def test_new_servers_are_nobody_s_loss(stores_env: dict[str, str]) -> None:
    play(0, 40)
    assert lost.restore(due_ms(39)) == lost.Report()
    assert lost.restore(due_ms(39)) == lost.Report()
    assert sorted(past.read_state(0)) == ["@round", "@whole", *NAMES]


@pytest.mark.parametrize("after", [False, True], ids=["before a call", "after a call"])
def test_a_rebuild_cut_off_at_any_store_call_is_finished_by_the_next(
    stores_env: dict[str, str], empty_redis: Upstash, monkeypatch: pytest.MonkeyPatch, after: bool
) -> None:
    play(0, 60)
    undisturbed = records()["web-01"].copy()
    deaths = 0
    while True:
        empty_redis.command("DEL", "om:0:state")
        countdown = [deaths + 1]
        with monkeypatch.context() as patch:
            patch.setattr(Redis, "run", dying(Redis.run, countdown, after))
            patch.setattr(Postgres, "run", dying(Postgres.run, countdown, after))
            try:
                # The round after the loss, the rebuilding, and the round that takes it on:
                rounds.run_shard(0, FIRST // MINUTE_MS + 59, rounds.Report(0), lambda: False)
                lost.restore(due_ms(59))
                rounds.run_shard(0, FIRST // MINUTE_MS + 59, rounds.Report(0), lambda: False)
                died = False
            except Killed:
                died = True
                deaths += 1
        lost.restore(due_ms(60))
        lost.restore(due_ms(60))
        play(60, 61, moved=False)
        assert records()["web-01"]["count"].tolist() == (undisturbed["count"] + (undisturbed["count"] > 0)).tolist()
        empty_redis.command("DEL", f"om:lease:tick:{FIRST // MINUTE_MS + 60}")
        if not died:
            break
    assert deaths >= 8
