"""Partitions come and go with time (test_retention.py: what is there at which age)."""

from pathlib import Path

import psycopg
import pytest
from openmanager import archive
from openmanager.stores import history, partitions, postgres, rollups
from openmanager.stores.partitions import DAY_MS, day_of
from openmanager.telemetry.blocks import encode_block
from openmanager.telemetry.samples import MINUTE_MS, merge
from psycopg.types.json import Jsonb

from infra.migrations import apply as migrations
from tests.integration.test_archive import same_values
from tests.integration.test_history import FIRST, HOUR_MS, chart, cut, keep, rows, settled, table


def there(url: str) -> bool:
    """Whether the first day's blocks still have their partition."""
    return bool(rows(url, "SELECT 1 WHERE to_regclass('blocks_20251125') IS NOT NULL"))


def test_samples_of_a_day_whose_past_is_dropped_fill_gaps_and_double_nothing(stores_env: dict[str, str]) -> None:
    url = stores_env["DATABASE_URL"]
    sent = table(FIRST, FIRST + DAY_MS, 300_000)
    hole = (sent.times >= FIRST + 5 * HOUR_MS) & (sent.times < FIRST + 6 * HOUR_MS)
    keep("web-01", sent.rows(~hole))
    archive.run(settled())
    now_ms = settled(10)
    archive.run(now_ms)
    assert not there(url)
    before = chart("web-01", FIRST, FIRST + DAY_MS, 3600, now_ms)
    keep("web-01", sent)
    assert there(url)
    assert archive.run(now_ms).days >= 1
    assert not there(url)
    after = chart("web-01", FIRST, FIRST + DAY_MS, 3600, now_ms)
    for key, values in before["metrics"].items():
        assert values[5] is None
        assert [v for i, v in enumerate(after["metrics"][key]) if i != 5] == [v for i, v in enumerate(values) if i != 5]
        assert after["metrics"][key][5] is not None


def test_blocks_stay_while_their_day_is_still_to_be_closed(stores_env: dict[str, str]) -> None:
    keep("web-01", table(FIRST, FIRST + DAY_MS, 300_000))
    partitions.drop_expired(settled(20))
    assert there(stores_env["DATABASE_URL"])
    archive.run(settled(20))
    assert not there(stores_env["DATABASE_URL"])


def test_a_partition_that_is_being_read_is_left_for_the_next_run(stores_env: dict[str, str]) -> None:
    url = stores_env["DATABASE_URL"]
    keep("web-01", table(FIRST, FIRST + DAY_MS, 300_000))
    archive.run(settled())
    with psycopg.connect(url) as reader:
        reader.execute("SELECT count(*) FROM blocks").fetchall()
        partitions.drop_expired(settled(10))
        assert reader.execute("SELECT count(*) FROM blocks").fetchall() == [(1,)]
    assert partitions.drop_expired(settled(10)) >= 1
    assert not there(url)


def test_partitions_are_made_ahead_and_once(stores_env: dict[str, str], empty_database: str) -> None:
    migrations.apply(empty_database)
    made = postgres.Postgres(empty_database, 3)
    try:
        with pytest.MonkeyPatch.context() as patch:
            patch.setattr(partitions, "connect", lambda: made)
            assert partitions.make_ahead(FIRST) == 10
            assert partitions.make_ahead(FIRST) == 0
            assert partitions.make_ahead(FIRST + DAY_MS) == 1
    finally:
        made.close()


def test_rows_of_the_first_schema_are_carried_over(empty_database: str, tmp_path: Path) -> None:
    folder = Path(migrations.__file__).parent
    for name in ("0001_start.sql",):
        (tmp_path / name).write_text((folder / name).read_text())
    migrations.apply(empty_database, tmp_path)
    sent = table(FIRST - HOUR_MS, FIRST + HOUR_MS, MINUTE_MS)
    with psycopg.connect(empty_database) as c:
        for at, part in cut(sent).items():
            c.execute(
                "INSERT INTO blocks (server, segment, rows, body) VALUES ('web-01', to_timestamp(%s), %s, %s)",
                (at, len(part), encode_block(part)),
            )
        for i in range(3):
            c.execute(
                "INSERT INTO predictions (server, minute, verdict) VALUES ('web-01', to_timestamp(%s), %s)",
                (FIRST / 1000 + i * 4 * 86400, Jsonb({"n": i})),
            )
    migrations.apply(empty_database)
    carried = postgres.Postgres(empty_database, 3)
    try:
        with pytest.MonkeyPatch.context() as patch:
            patch.setattr(history, "connect", lambda: carried)
            assert same_values(merge(history.read_blocks("web-01", FIRST - DAY_MS, FIRST + DAY_MS)), sent)
            patch.setattr(partitions, "connect", lambda: carried)
            # Of the ten, the day and the week are there already, by the same names.
            assert partitions.make_ahead(FIRST - DAY_MS) == 6
            patch.setattr(rollups, "connect", lambda: carried)
            assert rollups.close_days(day_of(settled()), 16, lambda _: {}) == 2
            assert same_values(merge(history.read_blocks("web-01", FIRST - DAY_MS, FIRST + DAY_MS)), sent)
    finally:
        carried.close()
    assert rows(empty_database, "SELECT verdict->>'n' FROM predictions ORDER BY minute") == [("0",), ("1",), ("2",)]
    assert len(rows(empty_database, "SELECT 1 FROM days_due")) == 2
