"""Brings a database to the newest schema: `python -m infra.migrations.apply` with DATABASE_URL.

Migrations are the SQL files beside this one, applied in order of their names, each in a transaction of
its own. An applied file never changes again; what comes later is a new file.
"""

import hashlib
import os
import sys
from collections.abc import Iterator
from contextlib import contextmanager
from pathlib import Path

import psycopg

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


def apply(database_url: str, folder: Path = Path(__file__).parent) -> list[str]:
    """Apply what is missing and return its names. Two callers at once take turns."""
    applied_now: list[str] = []
    # Behind a pooler prepared statements belong to somebody else.
    with psycopg.connect(database_url, autocommit=True, prepare_threshold=None) as connection:
        with _turn(connection):
            connection.execute(RECORD)
        for file in sorted(folder.glob("*.sql")):
            sql = file.read_bytes()
            checksum = hashlib.sha256(sql).hexdigest()
            with _turn(connection):
                known = connection.execute(
                    "select sha256 from schema_migrations where name = %s", [file.name]
                ).fetchone()
                if known is None:
                    connection.execute(sql)
                    connection.execute(
                        "insert into schema_migrations (name, sha256) values (%s, %s)", [file.name, checksum]
                    )
                    applied_now.append(file.name)
                elif known[0] != checksum:
                    raise MigrationChanged(f"{file.name} was changed after it had been applied")
    return applied_now


@contextmanager
def _turn(connection: psycopg.Connection) -> Iterator[None]:
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
