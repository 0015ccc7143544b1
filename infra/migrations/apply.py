"""Brings a database to the newest schema: `python -m infra.migrations.apply` with DATABASE_URL.

Migrations are the SQL files beside this one, applied in order of their names, each in a transaction of
its own. An applied file never changes again; what comes later is a new file.
"""

import hashlib
import os
import re
import sys
from collections.abc import Iterator, Sequence
from contextlib import contextmanager
from dataclasses import dataclass, field
from pathlib import Path

import psycopg

HERE = Path(__file__).parent
LOCK = 0x6F6D  # "om": any number will do, as long as every runner takes the same

RECORD = """
    create table if not exists schema_migrations (
        name text primary key,
        sha256 text not null,
        applied_at timestamptz not null default now()
    )
"""


class MigrationChanged(Exception):
    """A file differs from what was applied under its name."""


@dataclass(frozen=True, slots=True)
class Migration:
    """A file's name, the SHA-256 of its octets, and what it says."""

    name: str
    sha256: str
    sql: bytes = field(repr=False)


def read(folder: Path = HERE) -> list[Migration]:
    """The migrations of a folder in the order in which they are applied."""
    files = ((file.name, file.read_bytes()) for file in sorted(folder.glob("*.sql")))
    return [Migration(name, hashlib.sha256(sql).hexdigest(), sql) for name, sql in files]


def tables(migrations: Sequence[Migration]) -> list[str]:
    """The names of the tables that these migrations make, without partitions."""
    return sorted({name.decode() for m in migrations for name in re.findall(rb"(?m)^CREATE TABLE (\w+)", m.sql)})


def apply(database_url: str, folder: Path = HERE) -> list[str]:
    """Apply what is missing and return its names. Two callers at once take turns."""
    # Behind a pooler prepared statements belong to somebody else.
    with psycopg.connect(database_url, autocommit=True, prepare_threshold=None) as connection:
        with turn(connection):
            connection.execute(RECORD)
        applied_now: list[str] = []
        for migration in read(folder):
            with turn(connection):
                if bring(connection, migration):
                    applied_now.append(migration.name)
    return applied_now


def bring(connection: psycopg.Connection, migration: Migration) -> bool:
    """Apply a migration in the transaction that is open, unless it is applied; whether it was not.

    Raises MigrationChanged if another one was applied under its name.
    """
    name, sha256 = migration.name, migration.sha256
    known = connection.execute("select sha256 from schema_migrations where name = %s", [name]).fetchone()
    if known is None:
        connection.execute(migration.sql)
        connection.execute("insert into schema_migrations (name, sha256) values (%s, %s)", [name, sha256])
    elif known[0] != sha256:
        raise MigrationChanged(f"{name} was changed after it had been applied")
    return known is None


@contextmanager
def turn(connection: psycopg.Connection) -> Iterator[None]:
    """A transaction that nobody else who applies migrations is in.

    The lock ends with it, however it ends. One of the connection would stay for ever with a pooler, which gives each
    transaction whatever connection is free.
    """
    with connection.transaction():
        connection.execute("select pg_advisory_xact_lock(%s)", [LOCK])
        connection.execute("set local statement_timeout = 0")
        yield


def main() -> int:
    database_url = os.environ.get("DATABASE_URL", "")
    if not database_url:
        sys.stderr.write("DATABASE_URL is not set\n")
        return 2
    for name in apply(database_url):
        sys.stdout.write(f"applied {name}\n")
    return 0


if __name__ == "__main__":
    sys.exit(main())
