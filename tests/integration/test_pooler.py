"""Behind a pooler in transaction mode, where nothing may belong to a connection."""

from collections.abc import Iterator
from pathlib import Path

import psycopg
import pytest
from openmanager.stores.postgres import Postgres

from infra.migrations.apply import apply
from tests.pooler import pooled


@pytest.fixture
def pooler(empty_database: str, tmp_path: Path) -> Iterator[str]:
    with pooled(empty_database, tmp_path) as url:
        yield url


def test_functions_reach_postgres_through_it_although_it_takes_no_options(pooler: str) -> None:
    with pytest.raises(psycopg.OperationalError, match="unsupported startup parameter"):
        psycopg.connect(pooler, options="-c statement_timeout=20000")
    postgres = Postgres(pooler, 5)
    try:
        assert postgres.run(lambda c: c.execute("SHOW statement_timeout").fetchone()) == ("20s",)
    finally:
        postgres.close()


def test_migrations_leave_no_lock_behind_for_the_next_to_wait_for(pooler: str, empty_database: str) -> None:
    assert apply(pooler)
    with psycopg.connect(empty_database) as direct:
        assert direct.execute("select count(*) from pg_locks where locktype = 'advisory'").fetchone() == (0,)
    assert apply(pooler) == []
