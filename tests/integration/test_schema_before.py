"""A database of the schema before comes to today's whole: at once, interrupted, by several, while it is in use."""

import os
import subprocess
import sys
import threading
import time
from collections.abc import Iterator
from concurrent.futures import ThreadPoolExecutor
from functools import partial
from pathlib import Path
from typing import Any

import psycopg
import pytest
from openmanager.archive import ledger
from openmanager.stores.postgres import connect, instant
from psycopg.types.json import Jsonb

from infra.backup import stores
from infra.backup.restore import read, restore
from infra.doctor.place import named_by
from infra.local.stack import Stack
from infra.migrations import apply as migrations
from tests import filled
from tests.integration.test_backup import House, without_own
from tests.integration.test_ledger import verdict
from tests.live import CHECKOUT, PATIENCE_S
from tests.schemas import before
from tests.schemas.before import NEWER

LAST = NEWER[-1]
# Everything that is not a row.
SHAPE = """
    SELECT 'index', indexname::text, indexdef FROM pg_indexes WHERE schemaname = 'public'
    UNION ALL SELECT 'column', table_name || '.' || column_name, data_type || is_nullable
    FROM information_schema.columns WHERE table_schema = 'public'
    UNION ALL SELECT 'trigger', tgname::text, tgrelid::regclass::text FROM pg_trigger WHERE NOT tgisinternal
    ORDER BY 1, 2, 3
"""
# As the archive of the version before recorded a verdict.
AS_BEFORE = "INSERT INTO predictions (server, minute, verdict) VALUES (%s, %s, %s)"


@pytest.fixture(scope="module")
def _house(tmp_path_factory: pytest.TempPathFactory) -> Iterator[House]:
    with Stack(tmp_path_factory.mktemp("before")) as stack:
        yield House(stack)


@pytest.fixture
def house(_house: House) -> House:
    """An installation as the schema before left it."""
    _house.clear()
    with stores.opened(named_by(_house.env)) as opened:
        before.put(opened)
    return _house


def url(house: House) -> str:
    return house.stack.postgres.url


def shape(house: House) -> list[Any]:
    with psycopg.connect(url(house)) as c:
        return c.execute(SHAPE).fetchall()


def applied(house: House) -> list[str]:
    with psycopg.connect(url(house)) as c:
        return [name for (name,) in c.execute("SELECT name FROM schema_migrations ORDER BY name")]


def waiting(house: House) -> bool:
    """Whether somebody waits for a lock."""
    with psycopg.connect(url(house)) as c:
        return c.execute("SELECT count(*) FROM pg_locks WHERE NOT granted").fetchone() != (0,)


def wait_for(condition: Any) -> None:
    give_up = time.monotonic() + PATIENCE_S
    while not condition():
        assert time.monotonic() < give_up
        time.sleep(0.02)


def test_every_row_is_kept_and_everything_is_answered_as_before(house: House) -> None:
    rows, keys = house.everything()
    assert all(rows.values())
    with filled.within(house.env):
        answers = filled.answers(before.FIRST_MS)
    assert migrations.apply(url(house)) == NEWER
    assert house.rows() == rows
    assert house.keys() == keys
    with filled.within(house.env):
        assert filled.answers(before.FIRST_MS) == answers
        assert filled.ask("PUT", "/api/rules/memory", {"for_min": 7}).status == 200


def test_it_has_the_shape_of_a_new_database(house: House, empty_database: str) -> None:
    migrations.apply(url(house))
    migrations.apply(empty_database)
    with psycopg.connect(empty_database) as c:
        new = c.execute(SHAPE).fetchall()
    # All but partitions, which come with the rows.
    assert [row for row in shape(house) if "_20" not in row[1]] == new


def test_a_backup_of_it_is_restored_and_brought_to_today(house: House) -> None:
    rows, _ = house.everything()
    migrations.apply(url(house))
    of_today = shape(house)
    with read(before.FILE) as reader, stores.opened(named_by(house.env)) as opened:
        assert restore(opened, reader, replace=True) == NEWER
    assert without_own(house.rows()) == rows
    assert shape(house) == of_today
    assert migrations.apply(url(house)) == []


def test_an_interrupted_migration_leaves_the_schema_before(house: House) -> None:
    """Killed when all of its statements are done, and it waits to write down that they are."""
    names, was, rows = applied(house), shape(house), house.rows()
    argv = [sys.executable, "-m", "infra.migrations.apply"]
    env = {**os.environ, "DATABASE_URL": url(house), "PYTHONPATH": f"{CHECKOUT}:{CHECKOUT / 'layers/core/python'}"}
    with psycopg.connect(url(house)) as user:
        user.execute("LOCK TABLE schema_migrations IN SHARE MODE")
        process = subprocess.Popen(argv, env=env, cwd=CHECKOUT)
        wait_for(lambda: waiting(house))
        process.kill()
        process.wait(PATIENCE_S)
        with psycopg.connect(url(house), autocommit=True) as c:
            # What its server process would notice sooner or later.
            c.execute("SELECT pg_terminate_backend(pid) FROM pg_locks WHERE NOT granted")
    assert (applied(house), shape(house), house.rows()) == (names, was, rows)
    assert migrations.apply(url(house)) == NEWER


def test_a_migration_that_fails_in_the_middle_leaves_the_schema_before(house: House, tmp_path: Path) -> None:
    names, was, rows = applied(house), shape(house), house.rows()
    for file in migrations.HERE.glob("*.sql"):
        (tmp_path / file.name).write_bytes(file.read_bytes())
    (tmp_path / LAST).write_text((tmp_path / LAST).read_text() + "\nDELETE FROM servers; SELECT 1 / 0;\n")
    with pytest.raises(psycopg.errors.DivisionByZero):
        migrations.apply(url(house), tmp_path)
    assert (applied(house), shape(house), house.rows()) == (names, was, rows)
    assert migrations.apply(url(house)) == NEWER


def test_four_that_migrate_at_once_do_it_once(house: House) -> None:
    rows = house.rows()
    with psycopg.connect(url(house)) as user, ThreadPoolExecutor(4) as pool:
        # All of them begin before the first can end.
        user.execute("LOCK TABLE schema_migrations IN SHARE MODE")
        done = [pool.submit(migrations.apply, url(house)) for _ in range(4)]
        wait_for(lambda: waiting(house))
        user.rollback()
        # A migration each takes its turn.
        assert sorted(name for future in done for name in future.result(PATIENCE_S)) == NEWER
    assert house.rows() == rows


def test_the_archive_of_the_version_before_goes_on_while_it_is_migrated(house: House) -> None:
    """What writes does not notice, but for a moment's wait, and nothing that it wrote is missing."""
    minute, written, failed = before.FIRST_MS // 60_000 + 200, [0], list[BaseException]()
    stop = threading.Event()

    def write() -> None:
        try:
            while not stop.is_set():
                said = verdict(minute + written[0])
                row = (said[0], instant(said[1]), Jsonb(said[2]))
                connect().run(partial(psycopg.Connection.execute, query=AS_BEFORE, params=row))
                ledger.settle([said])
                written[0] += 1
        except BaseException as error:
            failed.append(error)

    with filled.within(house.env):
        thread = threading.Thread(target=write)
        thread.start()
        wait_for(lambda: written[0] > 3)
        assert migrations.apply(url(house)) == NEWER
        at_the_end = written[0]
        wait_for(lambda: written[0] > at_the_end + 3)
        stop.set()
        thread.join()
    assert failed == []
    with psycopg.connect(url(house)) as c:
        since = "SELECT count(*) FROM predictions WHERE minute >= to_timestamp(%s)"
        assert c.execute(since, (minute * 60,)).fetchone() == (written[0],)
