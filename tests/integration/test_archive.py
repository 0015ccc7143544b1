"""What the archive moves is all there afterwards, wherever it was cut off; charts do not show the seam."""

import numpy as np
import psycopg
import pytest
from openmanager import archive, charts
from openmanager.charts import hot as hot_samples
from openmanager.errors import NotFound, StoreUnavailable
from openmanager.settings import settings
from openmanager.stores import history, hot, postgres, segments
from openmanager.stores.pushes import store_pushes
from openmanager.stores.redis import Redis, connect
from openmanager.stores.segments import read_server_frames, segments_between
from openmanager.stores.shards import shard_of
from openmanager.telemetry.samples import MINUTE_MS, Push, Samples, from_points, merge
from openmanager.watch import rounds

from infra.local.postgres import Postgres
from infra.local.stack import Upstash
from tests.faults import Killed, dying
from tests.recorded import minutes

FIRST = 1_764_000_000_000 // MINUTE_MS * MINUTE_MS
COUNT = 120
LATER_MS = FIRST + COUNT * MINUTE_MS


def play(pushes: list[Push], every: int = 1) -> None:
    """Push minute by minute, with a round each and the archive now and then."""
    for i, push in enumerate(pushes):
        store_pushes([push], int(push.samples.times[0]) + 500)
        rounds.tick(due_ms(i))
        if i % every == every - 1:
            archive.run(due_ms(i))


def due_ms(minute: int) -> int:
    return FIRST + (minute + 1) * MINUTE_MS + settings().grace_s * 1000


def everything(server: str) -> Samples:
    """All samples of a server, hot and cold, as the charts join them."""
    frames = read_server_frames(server, [*segments_between(FIRST - 3_600_000, LATER_MS + 3_600_000), segments.BACKLOG])
    cold = history.read_blocks(server, FIRST - 3_600_000, LATER_MS + 3_600_000)
    return merge([*(f.read()[0] for f in frames), *cold])


def same_values(a: Samples, b: Samples) -> bool:
    names = sorted(a.series)
    return (
        names == sorted(b.series)
        and np.array_equal(a.times, b.times)
        and np.array_equal(
            a.values[:, [a.series.index(n) for n in names]],
            b.values[:, [b.series.index(n) for n in names]],
            equal_nan=True,
        )
    )


def sent(pushes: list[Push]) -> Samples:
    return merge([p.samples for p in pushes])


def test_two_hours_across_the_seam_are_what_was_sent(stores_env: dict[str, str]) -> None:
    pushes = minutes("web-01", FIRST, COUNT)
    play(pushes, every=5)
    hot_frames = read_server_frames("web-01", segments_between(FIRST, LATER_MS))
    blocks = history.read_blocks("web-01", FIRST, LATER_MS)
    assert hot_frames
    assert blocks
    assert same_values(everything("web-01"), sent(pushes))
    span = charts.Range.of(FIRST / 1000, LATER_MS / 1000, 60)
    answer = charts.metrics("web-01", span, LATER_MS)
    table = sent(pushes)
    assert answer["times"] == [FIRST / 1000 + 60 * i for i in range(COUNT)]
    assert answer["metrics"]["cpu_utilization"] == table.values[:, table.series.index("cpu_utilization")].tolist()
    reads = table.values[:, table.series.index("disk_reads_total/sda")]
    assert answer["metrics"]["disk_reads"] == [None, *np.round(np.diff(reads) / 60, 1).tolist()]
    assert answer["late"] == []


def test_verdicts_servers_and_segments_are_moved_and_gone_from_redis(
    stores_env: dict[str, str], empty_redis: Upstash
) -> None:
    play(minutes("web-01", FIRST, COUNT), every=COUNT)
    with psycopg.connect(stores_env["DATABASE_URL"]) as c:
        assert c.execute("SELECT count(*), count(DISTINCT minute) FROM predictions").fetchone() == (COUNT, COUNT)
        (server,) = c.execute("SELECT id, attributes->>'role' FROM servers").fetchall()
        (blocks,) = c.execute("SELECT count(*) FROM blocks").fetchone() or (0,)
    assert server == ("web-01", "web")
    assert hot.read_verdicts(0) == {}
    left = list(empty_redis.command("KEYS", "om:0:frames:*"))
    assert blocks + len(left) == COUNT // 10
    assert blocks >= 8


@pytest.mark.parametrize(("every_min", "first_min"), [(5, 2), (60, 57), (7, 0)])
def test_what_is_due_hourly_is_done_once_an_hour_whatever_the_schedule(
    stores_env: dict[str, str], monkeypatch: pytest.MonkeyPatch, every_min: int, first_min: int
) -> None:
    done: list[int] = []
    monkeypatch.setattr("openmanager.archive.ledger.mute", lambda now_ms: done.append(now_ms // 3_600_000))
    start = FIRST // 3_600_000
    for minute in range(first_min, 300, every_min):
        archive.run((start * 60 + minute) * MINUTE_MS)
    assert done == list(range(start, start + 5))


def _away(now_ms: int) -> None:
    raise StoreUnavailable("Postgres is away")


def test_hourly_work_that_failed_is_done_by_the_next_run(
    stores_env: dict[str, str], monkeypatch: pytest.MonkeyPatch
) -> None:
    with monkeypatch.context() as patch:
        patch.setattr("openmanager.archive.ledger.mute", _away)
        with pytest.raises(StoreUnavailable):
            archive.run(FIRST)
    done: list[int] = []
    monkeypatch.setattr("openmanager.archive.ledger.mute", done.append)
    archive.run(FIRST + 5 * MINUTE_MS)
    archive.run(FIRST + 10 * MINUTE_MS)
    assert done == [FIRST + 5 * MINUTE_MS]


def test_a_repeated_run_changes_nothing(stores_env: dict[str, str]) -> None:
    play(minutes("web-01", FIRST, COUNT), every=COUNT)
    report = archive.run(due_ms(COUNT - 1))
    assert (report.frames, report.blocks, report.verdicts) == (0, 0, 0)


def test_where_time_is_not_enough_for_all_shards_none_waits_for_ever(
    stores_env: dict[str, str], monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setenv("OPENMANAGER_SHARDS", "4")
    settings.cache_clear()
    # crc32 puts them into four shards:
    servers = ("web-01", "web-02", "web-04", "web-05")
    assert sorted(shard_of(server) for server in servers) == [0, 1, 2, 3]
    for of_each in zip(*(minutes(server, FIRST, COUNT) for server in servers), strict=True):
        store_pushes(of_each, int(of_each[0].samples.times[0]) + 500)
    rounds.tick(due_ms(COUNT - 1))

    def archived() -> list[int]:
        return [len(history.read_blocks(server, FIRST, LATER_MS)) for server in servers]

    # Time for one shard and a part of the next, over and over.
    for _ in range(8):
        left = iter([False] * 6)
        report = archive.run(due_ms(COUNT - 1), lambda: next(left, True))  # noqa: B023
        assert report.carried_over
        so_far = archived()
        assert max(so_far) - min(so_far) <= 6
    assert min(so_far) >= 8


def test_late_samples_are_charted_and_marked_also_when_archived(stores_env: dict[str, str]) -> None:
    pushes = minutes("web-01", FIRST, COUNT)
    play(pushes[:40] + pushes[41:], every=5)
    store_pushes([pushes[40]], LATER_MS)
    span = charts.Range.of(FIRST / 1000, LATER_MS / 1000, 60)
    while_hot = charts.metrics("web-01", span, LATER_MS)
    archive.run(LATER_MS)
    archived = charts.metrics("web-01", span, LATER_MS)
    # Shares are of archived verdicts:
    assert while_hot.pop("anomalous") != archived.pop("anomalous")
    assert while_hot == archived
    assert archived["late"] == [FIRST / 1000 + 40 * 60]
    assert None not in archived["metrics"]["cpu_utilization"]
    assert read_server_frames("web-01", [segments.BACKLOG]) == []


def test_damaged_frames_are_kept_for_a_person_and_never_read_again(
    stores_env: dict[str, str], empty_redis: Upstash
) -> None:
    play(minutes("web-01", FIRST, 3), every=10)
    key = segments.frames_key(0, segments.segment_of(FIRST))
    field = next(f for f in empty_redis.command("HKEYS", key) if "baseline" not in f)
    empty_redis.command("HSET", key, field, "EAAAAAAAAAA=")
    report = archive.run(FIRST + 24 * 3_600_000 * 2)
    assert (report.damaged, report.frames) == (1, 2)
    with psycopg.connect(stores_env["DATABASE_URL"]) as c:
        assert c.execute("SELECT key, field, body FROM damaged_frames").fetchall() == [(key, field, "EAAAAAAAAAA=")]
    assert empty_redis.command("EXISTS", key) == 0


def test_a_damaged_block_is_set_aside_and_the_segment_goes_on(stores_env: dict[str, str]) -> None:
    pushes = minutes("web-01", FIRST, COUNT)
    play(pushes[:30] + pushes[31:], every=5)
    with psycopg.connect(stores_env["DATABASE_URL"], autocommit=True) as c:
        c.execute("UPDATE blocks SET body = 'rubbish' WHERE segment = to_timestamp(%s)", (FIRST / 1000 + 1800,))
        store_pushes([pushes[30]], LATER_MS)
        archive.run(LATER_MS)
        ((key, reason),) = c.execute("SELECT key, reason FROM damaged_frames").fetchall()
    assert key == "blocks"
    assert reason.startswith("block: version")
    assert FIRST + 30 * MINUTE_MS + 20_000 in everything("web-01").times


@pytest.mark.parametrize("after", [False, True], ids=["before", "after"])
def test_nothing_is_lost_or_doubled_wherever_the_archive_dies(
    stores_env: dict[str, str], monkeypatch: pytest.MonkeyPatch, after: bool
) -> None:
    pushes = minutes("web-01", FIRST, COUNT)
    for i, push in enumerate(pushes):
        store_pushes([push], int(push.samples.times[0]) + 500)
        rounds.tick(due_ms(i))
    for call in range(1, 200):
        countdown = [call]
        with monkeypatch.context() as patch:
            patch.setattr(Redis, "run", dying(Redis.run, countdown, after))
            patch.setattr(postgres.Postgres, "run", dying(postgres.Postgres.run, countdown, after))
            try:
                archive.run(due_ms(COUNT - 1))
            except Killed:
                died = True
            else:
                died = False
        assert same_values(everything("web-01"), sent(pushes))
        with psycopg.connect(stores_env["DATABASE_URL"]) as c:
            (moved,) = c.execute("SELECT count(*) FROM predictions").fetchone() or (0,)
        assert max(moved, len(hot.read_verdicts(0))) == COUNT
        if not died:
            break
    assert not died
    assert call >= 5


def test_without_postgres_everything_stays_in_redis_and_rounds_go_on(
    stores_env: dict[str, str], postgres: Postgres
) -> None:
    pushes = minutes("web-01", FIRST, COUNT)
    play(pushes[:60], every=60)
    postgres.stop()
    try:
        for i in range(60, COUNT):
            store_pushes([pushes[i]], int(pushes[i].samples.times[0]) + 500)
            rounds.tick(due_ms(i))
        with pytest.raises(StoreUnavailable, match="Postgres"):
            archive.run(due_ms(COUNT - 1))
    finally:
        postgres.start()
    archive.run(due_ms(COUNT - 1))
    assert same_values(everything("web-01"), sent(pushes))
    with psycopg.connect(stores_env["DATABASE_URL"]) as c:
        assert c.execute("SELECT count(*) FROM predictions").fetchone() == (COUNT,)


def test_charts_reach_back_to_the_archives_mark_however_long_it_has_been_away(stores_env: dict[str, str]) -> None:
    pushes = minutes("web-01", FIRST, COUNT)
    play(pushes, every=60)
    unarchived = minutes("web-01", LATER_MS, COUNT)
    for push in unarchived:
        store_pushes([push], int(push.samples.times[0]) + 500)
    stop_ms = LATER_MS + COUNT * MINUTE_MS
    hot_rows = hot_samples.samples("web-01", FIRST, stop_ms, stop_ms + 7 * 86_400_000)
    found = merge([*hot_rows, *history.read_blocks("web-01", FIRST, stop_ms)])
    assert same_values(found, sent([*pushes, *unarchived]))


def test_an_unknown_server_is_not_found(stores_env: dict[str, str]) -> None:
    with pytest.raises(NotFound, match="nobody"):
        charts.metrics("nobody", charts.Range.of(FIRST / 1000, LATER_MS / 1000, 60), LATER_MS)


def test_a_push_costs_one_command_also_across_a_segment_boundary(
    stores_env: dict[str, str], empty_redis: Upstash
) -> None:
    boundary = (segments.segment_of(FIRST) + 600) * 1000
    batch = from_points([("load_1m", boundary + s * 1000, 1.0) for s in range(-30, 30, 10)])
    empty_redis.reset_stats()
    for name in ("a", "b", "a"):
        store_pushes([Push(name, batch)], boundary + 31_000)
    assert empty_redis.stats()["commands"] == 3
    assert connect().call("EXISTS", segments.frames_key(0, segments.segment_of(FIRST))) == 1
