"""The migration runner against a real, empty database."""

from pathlib import Path

import psycopg
import pytest

from infra.migrations.apply import MigrationChanged, apply


def tables(url: str) -> set[str]:
    with psycopg.connect(url) as connection:
        rows = connection.execute("select tablename from pg_tables where schemaname = 'public'")
        return {name for (name,) in rows}


def test_files_are_applied_in_order_and_only_once(empty_database: str, tmp_path: Path) -> None:
    (tmp_path / "0002_more.sql").write_text("alter table a add column b int; create table c ();")
    (tmp_path / "0001_first.sql").write_text("create table a (rate text default '5%');")
    assert apply(empty_database, tmp_path) == ["0001_first.sql", "0002_more.sql"]
    assert apply(empty_database, tmp_path) == []
    assert tables(empty_database) == {"a", "c", "schema_migrations"}


def test_a_failing_file_leaves_nothing_of_itself_and_keeps_what_came_before(
    empty_database: str, tmp_path: Path
) -> None:
    (tmp_path / "0001_first.sql").write_text("create table a ();")
    (tmp_path / "0002_broken.sql").write_text("create table b (); select 1 / 0;")
    with pytest.raises(psycopg.errors.DivisionByZero):
        apply(empty_database, tmp_path)
    assert tables(empty_database) == {"a", "schema_migrations"}
    (tmp_path / "0002_broken.sql").write_text("create table b ();")
    assert apply(empty_database, tmp_path) == ["0002_broken.sql"]


def test_an_applied_file_must_not_change(empty_database: str, tmp_path: Path) -> None:
    (tmp_path / "0001_first.sql").write_text("create table a ();")
    apply(empty_database, tmp_path)
    (tmp_path / "0001_first.sql").write_text("create table a (id int);")
    with pytest.raises(MigrationChanged, match=r"0001_first\.sql"):
        apply(empty_database, tmp_path)


def test_our_own_migrations_apply_to_an_empty_database(empty_database: str) -> None:
    apply(empty_database)
    assert apply(empty_database) == []


def test_functions_find_both_stores_by_their_environment(stores_env: dict[str, str]) -> None:
    from openmanager.settings import settings

    assert settings().redis_url == stores_env["UPSTASH_REDIS_REST_URL"]
    assert settings().database_url == stores_env["DATABASE_URL"]
