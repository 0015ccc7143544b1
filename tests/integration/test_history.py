"""History over simulated time: closed days, rollups, retention, and what a chart says across all of it."""

from collections.abc import Callable
from typing import Any

import numpy as np
import psycopg
import pytest
from openmanager import archive, charts, notify
from openmanager.archive.days import _BATCH, SETTLED_AFTER_MS
from openmanager.errors import InvalidInput, StoreUnavailable
from openmanager.oncall import settings as oncall
from openmanager.stores import blocks, history, hot, partitions, postgres, verdicts
from openmanager.stores.partitions import DAY_MS, day_of
from openmanager.stores.pushes import store_pushes
from openmanager.stores.redis import Redis
from openmanager.stores.segments import SEGMENT_MS
from openmanager.telemetry import windows
from openmanager.telemetry.rollups import STATS
from openmanager.telemetry.samples import MINUTE_MS, Push, Samples, merge
from psycopg.types.json import Jsonb

from functions.servers.handler import handler as servers_door
from infra.local.postgres import Postgres
from infra.local.stack import Upstash
from tests.conftest import API_KEY
from tests.events import Reply, invoke
from tests.faults import Killed, dying
from tests.integration.test_archive import same_values

# Midnight of 25 November 2025.
FIRST = 1_764_028_800_000
HOUR_MS = 3_600_000
SERIES = ("cpu_utilization", "disk_reads_total/sda", "memory_used_effective")


def table(first_ms: int, stop_ms: int, step_ms: int, seed: int = 0) -> Samples:
    """A gauge by the hour of day, a counter and a gauge of noise."""
    times = np.arange(first_ms, stop_ms, step_ms, dtype=np.int64)
    noise = np.random.default_rng(seed + first_ms // 1000)
    cpu = np.round(40 + 30 * np.sin(times / DAY_MS * 2 * np.pi) + noise.normal(0, 5, len(times)), 1)
    reads = np.round(times / 1000 * 3 + noise.integers(0, 50, len(times)))
    memory = np.round(noise.uniform(10, 90, len(times)), 1)
    return Samples(SERIES, times, np.stack((cpu, reads, memory), axis=1), np.zeros(len(times), np.bool_))


def cut(samples: Samples) -> dict[int, Samples]:
    """By segment start in s."""
    of = samples.times // SEGMENT_MS
    return {int(s) * SEGMENT_MS // 1000: samples.rows(of == s) for s in np.unique(of)}


def keep(server: str, samples: Samples) -> None:
    """As the archive stores it."""
    blocks.store_segments({(server, at): rows for at, rows in cut(samples).items()})


def settled(day: int = 1) -> int:
    """When day number `day - 1` is over for good."""
    return FIRST + day * DAY_MS + SETTLED_AFTER_MS


def rows(url: str, statement: str, *values: Any) -> list[Any]:
    with psycopg.connect(url) as c:
        return c.execute(statement, values).fetchall()


def contents(url: str) -> dict[str, Any]:
    """Every row of every table that closing days writes."""
    return {
        name: rows(url, f"SELECT * FROM {name} ORDER BY 1, 2")
        for name in ("blocks", "rollups_1m", "rollups_5m", "rollups_1h", "rollups_1d", "days_due")
    }


def chart(server: str, start_ms: int, stop_ms: int, step_s: float | None, now_ms: int, **more: Any) -> dict[str, Any]:
    return charts.metrics(server, charts.Range.of(start_ms / 1000, stop_ms / 1000, step_s), now_ms, **more)


def test_a_closed_day_is_one_block_and_four_rollups_and_reads_the_same(stores_env: dict[str, str]) -> None:
    url = stores_env["DATABASE_URL"]
    sent = table(FIRST - HOUR_MS, FIRST + DAY_MS + HOUR_MS, 20_000)
    keep("web-01", sent)
    wide = {"stat": "mean", "now_ms": settled()}
    before = {step: chart("web-01", FIRST, FIRST + DAY_MS, step, **wide) for step in (60, 300, 3600, 86400)}
    report = archive.run(settled())
    assert (report.days, report.carried_over) == (2, False)
    spans = rows(url, "SELECT segment, span, rows FROM blocks WHERE span = 86400 ORDER BY segment")
    assert [(round(at.timestamp() * 1000), n) for at, _, n in spans] == [(FIRST - DAY_MS, 180), (FIRST, 4320)]
    assert len(rows(url, "SELECT 1 FROM blocks")) == 2 + 6
    for step, level in ((60, "1m"), (300, "5m"), (3600, "1h"), (86400, "1d")):
        after = chart("web-01", FIRST, FIRST + DAY_MS, step, settled())
        assert (before[step].pop("resolution"), after.pop("resolution")) == ("raw", level)
        assert after == before[step]
        assert len(rows(url, f"SELECT 1 FROM rollups_{level}")) == 2
    assert same_values(merge(history.read_blocks("web-01", FIRST - HOUR_MS, settled())), sent)


@pytest.mark.parametrize("stat", STATS)
def test_every_statistic_joins_closed_and_open_days_without_a_seam(stores_env: dict[str, str], stat: str) -> None:
    now_ms = FIRST + 2 * DAY_MS + HOUR_MS
    sent = table(FIRST, now_ms, 20_000)
    keep("web-01", sent.rows(sent.times < now_ms - HOUR_MS))
    store_pushes([Push("web-01", sent.rows(sent.times >= now_ms - HOUR_MS))], now_ms)
    raw = chart("web-01", FIRST, now_ms, 300, now_ms, stat=stat)
    archive.run(now_ms)
    mixed = chart("web-01", FIRST, now_ms, 300, now_ms, stat=stat)
    assert (raw["resolution"], mixed["resolution"]) == ("raw", "5m")
    assert (mixed["metrics"], mixed["times"]) == (raw["metrics"], raw["times"])
    direct = sent.values[sent.times // 300_000 == (FIRST + DAY_MS) // 300_000, 0]
    expected = {
        "mean": np.round(direct.mean(), 1),
        "min": direct.min(),
        "max": direct.max(),
        "last": direct[-1],
        "p95": np.sort(direct)[-1],
    }
    assert mixed["metrics"]["cpu_utilization"][288] == pytest.approx(expected[stat], abs=0.1)


def test_a_step_of_several_buckets_is_put_together_from_them(stores_env: dict[str, str]) -> None:
    sent = table(FIRST, FIRST + DAY_MS, 20_000)
    keep("web-01", sent)
    archive.run(settled())
    answer = chart("web-01", FIRST, FIRST + DAY_MS, 7200, settled(), stat="mean")
    assert answer["resolution"] == "1h"
    grid = windows.metrics(sent, FIRST, FIRST + DAY_MS, 7_200_000)
    assert answer["metrics"]["cpu_utilization"] == pytest.approx(grid[:, 0].tolist(), abs=0.06)
    top = chart("web-01", FIRST, FIRST + DAY_MS, 7200, settled(), stat="max")["metrics"]["cpu_utilization"]
    assert top == sent.values[:, 0].reshape(12, 360).max(axis=1).tolist()


def test_late_samples_open_their_day_again_and_show_at_once(stores_env: dict[str, str]) -> None:
    url = stores_env["DATABASE_URL"]
    sent = table(FIRST, FIRST + DAY_MS, MINUTE_MS)
    gone = (sent.times >= FIRST + 5 * HOUR_MS) & (sent.times < FIRST + 6 * HOUR_MS)
    keep("web-01", sent.rows(~gone))
    archive.run(settled())
    assert chart("web-01", FIRST, FIRST + DAY_MS, 3600, settled())["metrics"]["cpu_utilization"][5] is None
    store_pushes([Push("web-01", sent.rows(gone))], settled())
    at_once = chart("web-01", FIRST, FIRST + DAY_MS, 3600, settled())
    assert at_once["metrics"]["cpu_utilization"][5] is not None
    assert at_once["late"] == [(FIRST + 5 * HOUR_MS) / 1000]
    # The day after was marked as well, for its first rates; nothing is in it.
    assert archive.run(settled() + 2 * DAY_MS).days == 2
    after = chart("web-01", FIRST, FIRST + DAY_MS, 3600, settled() + 2 * DAY_MS)
    assert (at_once.pop("resolution"), after.pop("resolution")) == ("raw", "1h")
    assert after == at_once
    assert rows(url, "SELECT span, rows FROM blocks") == [(86400, 1440)]


def test_the_first_rates_of_a_day_follow_late_samples_of_the_day_before(stores_env: dict[str, str]) -> None:
    sent = table(FIRST, FIRST + 2 * DAY_MS, MINUTE_MS)
    last = sent.times >= FIRST + DAY_MS - 5 * MINUTE_MS
    last &= sent.times < FIRST + DAY_MS
    keep("web-01", sent.rows(~last))
    archive.run(settled(2))
    keep("web-01", sent.rows(last))
    assert archive.run(settled(2)).days == 2
    answer = chart("web-01", FIRST + DAY_MS, FIRST + DAY_MS + HOUR_MS, 60, settled(2))
    grid = windows.metrics(sent, FIRST + DAY_MS, FIRST + DAY_MS + HOUR_MS, MINUTE_MS)
    assert answer["resolution"] == "1m"
    assert answer["metrics"]["disk_reads"] == np.round(grid[:, 7], 1).tolist()


def test_closing_a_day_again_writes_the_same_rows(stores_env: dict[str, str]) -> None:
    url = stores_env["DATABASE_URL"]
    keep("web-01", table(FIRST, FIRST + DAY_MS, MINUTE_MS))
    archive.run(settled())
    once = contents(url)
    with psycopg.connect(url) as c:
        c.execute("INSERT INTO days_due (server, day) VALUES ('web-01', %s)", (day_of(FIRST),))
    assert archive.run(settled()).days == 1
    assert contents(url) == once
    assert archive.run(settled()).days == 0


def test_days_are_closed_in_slices_and_the_next_run_goes_on(stores_env: dict[str, str]) -> None:
    for n in range(120):
        keep(f"web-{n:03}", table(FIRST, FIRST + HOUR_MS, 300_000, seed=n))
    looks: list[int] = []

    def tired() -> bool:
        looks.append(1)
        # Once before the shard, once before the first slice.
        return len(looks) > 2

    first = archive.run(settled(), tired)
    assert (first.days, first.carried_over, first.partitions_dropped) == (_BATCH, True, 0)
    second = archive.run(settled())
    assert (second.days, second.carried_over) == (120 - _BATCH, False)


def test_the_share_of_anomalous_minutes_is_that_of_the_verdicts(stores_env: dict[str, str]) -> None:
    keep("web-01", table(FIRST, FIRST + DAY_MS, MINUTE_MS))
    said = [(FIRST // 1000 + 60 * i, {"anomaly": {"anomalous": i % 4 == 0} if i < 120 else None}) for i in range(1440)]
    # The first half hour as a version recorded it that did not pack.
    partitions.make_ahead(FIRST)
    with psycopg.connect(stores_env["DATABASE_URL"]) as c:
        for minute, verdict in said[:30]:
            c.execute(
                "INSERT INTO predictions (server, minute, verdict) VALUES ('web-01', to_timestamp(%s), %s)",
                (minute, Jsonb(verdict)),
            )
    verdicts.store(("web-01", minute, verdict) for minute, verdict in said)
    live = chart("web-01", FIRST, FIRST + DAY_MS, 3600, settled())
    archive.run(settled())
    for answer in (live, chart("web-01", FIRST, FIRST + DAY_MS, 3600, settled())):
        assert answer["anomalous"] == [0.25, 0.25, *[None] * 22]


def test_a_closed_block_that_is_damaged_is_set_aside_and_its_day_goes_on(stores_env: dict[str, str]) -> None:
    url = stores_env["DATABASE_URL"]
    keep("web-01", table(FIRST, FIRST + DAY_MS, MINUTE_MS))
    archive.run(settled())
    with psycopg.connect(url) as c:
        c.execute("UPDATE blocks SET body = 'rubbish'")
    late = table(FIRST + HOUR_MS, FIRST + HOUR_MS + 600_000, 10_000)
    keep("web-01", late)
    assert archive.run(settled()).days == 1
    assert [key for (key,) in rows(url, "SELECT key FROM damaged_frames")] == ["blocks of a day"]
    assert same_values(merge(history.read_blocks("web-01", FIRST, settled())), late)


def test_a_damaged_rollup_is_passed_over(stores_env: dict[str, str]) -> None:
    keep("web-01", table(FIRST, FIRST + DAY_MS, MINUTE_MS))
    archive.run(settled())
    sound = chart("web-01", FIRST, FIRST + DAY_MS, 3600, settled())
    with psycopg.connect(stores_env["DATABASE_URL"]) as c:
        c.execute("UPDATE rollups_1h SET body = 'rubbish'")
    answer = chart("web-01", FIRST, FIRST + DAY_MS, 3600, settled())
    assert (sound.pop("resolution"), answer.pop("resolution")) == ("1h", "raw")
    assert answer == sound


@pytest.mark.parametrize("after", [False, True], ids=["before", "after"])
def test_a_run_killed_at_any_store_call_loses_and_doubles_nothing(
    stores_env: dict[str, str], monkeypatch: pytest.MonkeyPatch, after: bool
) -> None:
    url = stores_env["DATABASE_URL"]
    sent = table(FIRST, FIRST + 2 * DAY_MS, 300_000)
    now_ms = settled(8)
    keep("web-01", sent.rows(sent.times < FIRST + DAY_MS))
    archive.run(settled())
    store_pushes([Push("web-01", sent.rows(sent.times >= FIRST + DAY_MS - HOUR_MS))], settled(2))
    for call in range(1, 300):
        countdown = [call]
        with monkeypatch.context() as patch:
            patch.setattr(Redis, "run", dying(Redis.run, countdown, after))
            patch.setattr(postgres.Postgres, "run", dying(postgres.Postgres.run, countdown, after))
            try:
                archive.run(now_ms)
            except Killed:
                continue
            break
    assert 8 <= call < 299
    # The first day's samples are past their time, its rollups are not.
    left = merge(history.read_blocks("web-01", FIRST, now_ms))
    assert same_values(left, sent.rows(sent.times >= FIRST + DAY_MS))
    assert rows(url, "SELECT span FROM blocks") == [(86400,)]
    assert rows(url, "SELECT day FROM rollups_1d ORDER BY 1") == [(day_of(FIRST),), (day_of(FIRST + DAY_MS),)]
    grid = windows.metrics(sent, FIRST, FIRST + 2 * DAY_MS, HOUR_MS)
    answer = chart("web-01", FIRST, FIRST + 2 * DAY_MS, 3600, now_ms)
    assert answer["resolution"] == "1h"
    assert answer["metrics"]["memory_used_effective"] == pytest.approx(np.round(grid[:, 5], 1).tolist(), abs=0.11)


class Cut(psycopg.OperationalError):
    """The connection went away in the middle of a transaction."""


@pytest.mark.parametrize("statement", range(1, 14))
def test_a_connection_cut_inside_a_transaction_leaves_all_or_nothing(
    stores_env: dict[str, str], monkeypatch: pytest.MonkeyPatch, statement: int
) -> None:
    url = stores_env["DATABASE_URL"]
    sent = table(FIRST, FIRST + DAY_MS, 300_000)
    keep("web-01", sent)
    countdown = [statement]
    execute = psycopg.Cursor.execute

    def cutting(cursor: Any, *args: Any, **kwargs: Any) -> Any:
        countdown[0] -= 1
        if countdown[0] == 0:
            # From the server's side, as an administrator or a fail-over would:
            with psycopg.connect(url, autocommit=True) as other:
                monkeypatch.setattr(psycopg.Cursor, "execute", execute)
                other.execute("SELECT pg_terminate_backend(%s)", (cursor.connection.info.backend_pid,))
        return execute(cursor, *args, **kwargs)

    monkeypatch.setattr(psycopg.Cursor, "execute", cutting)
    report = archive.run(settled())
    assert report.days == 1
    assert same_values(merge(history.read_blocks("web-01", FIRST, settled())), sent)
    assert rows(url, "SELECT span FROM blocks") == [(86400,)]
    assert rows(url, "SELECT count(*) FROM rollups_1m") == [(1,)]


def test_without_postgres_nothing_is_answered_wrongly_and_the_next_run_catches_up(
    stores_env: dict[str, str], postgres: Postgres
) -> None:
    sent = table(FIRST, FIRST + DAY_MS, 300_000)
    keep("web-01", sent)
    postgres.stop()
    try:
        with pytest.raises(StoreUnavailable, match="Postgres"):
            archive.run(settled())
        with pytest.raises(StoreUnavailable, match="Postgres"):
            chart("web-01", FIRST, FIRST + DAY_MS, 3600, settled())
        with pytest.raises(StoreUnavailable, match="Postgres"):
            charts.page("web-01", FIRST / 1000, settled() / 1000, None, settled())
    finally:
        postgres.start()
    assert archive.run(settled()).days == 1
    assert chart("web-01", FIRST, FIRST + DAY_MS, 3600, settled())["resolution"] == "1h"


@pytest.mark.parametrize(("more", "field"), [({"stat": "median"}, "stat"), ({"only": ["cpu"]}, "metrics")])
def test_an_unknown_statistic_or_metric_is_named(stores_env: dict[str, str], more: dict[str, Any], field: str) -> None:
    with pytest.raises(InvalidInput, match=field) as refused:
        chart("web-01", FIRST, FIRST + HOUR_MS, 60, settled(), **more)
    assert refused.value.field == field


def test_only_the_metrics_asked_for_are_answered(stores_env: dict[str, str]) -> None:
    keep("web-01", table(FIRST, FIRST + HOUR_MS, MINUTE_MS))
    answer = chart("web-01", FIRST, FIRST + HOUR_MS, 60, settled(), only=["cpu_utilization", "load_1m"])
    assert list(answer["metrics"]) == ["cpu_utilization"]


def counted(monkeypatch: pytest.MonkeyPatch) -> Callable[[], int]:
    """How many statements Postgres was sent since the last look."""
    seen = [0]
    execute = psycopg.Cursor.execute

    def counting(cursor: Any, *args: Any, **kwargs: Any) -> Any:
        seen[0] += 1
        return execute(cursor, *args, **kwargs)

    monkeypatch.setattr(psycopg.Cursor, "execute", counting)

    def look() -> int:
        seen[0], found = 0, seen[0]
        return found

    return look


@pytest.mark.parametrize("servers", [1, 100, 1000])
def test_commands_do_not_grow_with_the_servers(
    stores_env: dict[str, str], empty_redis: Upstash, monkeypatch: pytest.MonkeyPatch, servers: int
) -> None:
    for i in range(10):
        minute = table(FIRST + i * MINUTE_MS, FIRST + (i + 1) * MINUTE_MS, MINUTE_MS)
        store_pushes([Push(f"web-{n:04}", minute) for n in range(servers)], FIRST + 600_000)
    hot.set_archived_until(0, FIRST // 1000)
    # As if they had all been judged.
    monkeypatch.setattr("openmanager.archive.move._UNJUDGED_MS", 0)
    partitions.make_ahead(FIRST)
    # Settings are published once, not in every run.
    oncall.republish()
    notify.republish_targets()
    now_ms = FIRST + 4 * SEGMENT_MS + 600_000
    hot.set_hour_done(now_ms // HOUR_MS)
    look = counted(monkeypatch)
    empty_redis.reset_stats()
    moved = archive.run(now_ms)
    assert (moved.blocks, moved.days) == (servers, 0)
    assert empty_redis.stats()["commands"] <= 10
    assert look() <= 12
    hot.set_archived_until(0, settled() // 1000)
    closed = archive.run(settled())
    assert closed.days == servers
    assert look() <= 20 + 12 * -(-servers // _BATCH)


def test_the_route_names_what_it_cannot_answer_and_says_what_answered(stores_env: dict[str, str]) -> None:
    keep("web-01", table(FIRST, FIRST + DAY_MS, MINUTE_MS))
    archive.run(settled())

    def ask(query: str) -> Reply:
        span = f"from={FIRST // 1000}&to={FIRST // 1000 + 3600}"
        return invoke(servers_door, "GET", "/api/servers/web-01/metrics", key=API_KEY, query=f"{span}&{query}")

    answer = ask("step=2592000&stat=max&metrics=cpu_utilization").json()
    assert (answer["stat"], answer["resolution"], len(answer["times"])) == ("max", "1d", 1)
    assert list(answer["metrics"]) == ["cpu_utilization"]
    for query, field in (("stat=median", "stat"), ("metrics=cpu_utilization,cpu", "metrics")):
        refused = ask(query)
        assert (refused.status, refused.json()["field"]) == (400, field)
