"""Putting a backup back: looked through first, then made beside what is there, then put in its place at once."""

import contextlib
import time
from pathlib import Path

from openmanager.audit import Head
from openmanager.errors import StoreUnavailable
from openmanager.stores import audit
from openmanager.stores.redis import CommandFailed

from infra.backup import keys, tables
from infra.backup.container import REDIS, Manifest, Progress, Reader, unheard
from infra.backup.stores import Stores
from infra.migrations import apply as migrations
from infra.transfer.api import Failed


def read(path: Path, progress: Progress = unheard) -> Reader:
    """A backup that is whole and that this checkout knows to read; close it. Raises Failed."""
    reader = Reader(path)
    try:
        _schema(reader.manifest)
        reader.check(progress)
    except BaseException:
        reader.close()
        raise
    return reader


def restore(stores: Stores, reader: Reader, *, replace: bool = False, progress: Progress = unheard) -> list[str]:
    """Bring both stores to what a backup holds; `progress` hears of rows. The migrations that came after it.

    Raises Failed, StoreUnavailable and psycopg's errors, and then both stores are as they were, but for one moment:
    the tables are there and Redis does not answer. The message says so then, and the same command with `--replace`
    mends it.
    """
    manifest = reader.manifest
    _fits(stores, manifest, replace)
    now_ms = int(time.time() * 1000)
    staged = keys.Staged(stores.redis)
    try:
        staged.put(reader.lines(REDIS), now_ms)
        newer = _tables(stores, reader, progress)
    except BaseException:
        # They go by themselves, too.
        with contextlib.suppress(StoreUnavailable):
            staged.discard()
        raise
    try:
        staged.switch(int(time.time() * 1000))
    except (StoreUnavailable, CommandFailed, Failed, KeyboardInterrupt) as fault:
        why = str(fault) or type(fault).__name__
        raise Failed(f"the tables are restored, Redis may not be: {why}; run the same command with --replace") from None
    return newer


def _schema(manifest: Manifest) -> list[migrations.Migration]:
    """The migrations that a backup's schema was made by. Raises Failed where this checkout has others."""
    here = {m.name: m for m in migrations.read()}
    if strange := [name for name, _ in manifest.migrations if name not in here]:
        raise Failed(
            f"the backup is of a newer version, {manifest.version}, with {', '.join(strange)}: update this checkout"
        )
    if changed := [name for name, sha256 in manifest.migrations if here[name].sha256 != sha256]:
        raise Failed(f"the backup's schema was made by another {', '.join(changed)} than this checkout has")
    wanted = [here[name] for name, _ in manifest.migrations]
    made = migrations.tables(wanted)
    # Else a file that somebody made up could write into a table of the database's own.
    if foreign := [table.name for table in manifest.tables if table.name not in made]:
        raise Failed(f"the backup has tables that its schema does not: {', '.join(foreign)}")
    return wanted


def _fits(stores: Stores, manifest: Manifest, replace: bool) -> None:
    """Raises Failed for stores that this backup must not go into."""
    here = {m.name for m in migrations.read()}
    if newer := [name for name, _ in tables.applied(stores.postgres) if name not in here]:
        raise Failed(f"the database is newer than this checkout, it has {', '.join(newer)}: update it first")
    if stores.shards != manifest.shards:
        raise Failed(f"the backup is of {manifest.shards} shards and not of {stores.shards}: set OPENMANAGER_SHARDS")
    _must_be_empty(stores, replace)


def _must_be_empty(stores: Stores, replace: bool) -> None:
    if replace:
        return
    held = tables.filled(stores.postgres)
    in_redis = [key for key in keys.found(stores.redis) if keys.kept(key)]
    if held or in_redis:
        what = ", ".join([*held, *(["Redis"] if in_redis else [])])
        raise Failed(f"{stores.name} is not empty ({what}); --replace puts the backup in the place of what is there")


def _tables(stores: Stores, reader: Reader, progress: Progress) -> list[str]:
    """All of Postgres in one transaction."""
    connection, manifest, done = stores.postgres, reader.manifest, 0

    def counted(rows: int) -> None:
        nonlocal done
        done += rows
        progress(min(done, manifest.rows - 1), manifest.rows)

    with tables.replaced(connection):
        tables.make(connection, _schema(manifest))
        tables.load(connection, manifest, reader.chunks, counted)
        newer = tables.make(connection, migrations.read())
        head = tables.audit_head(connection, "not restored")
        if head != Head.parse(manifest.audit_head):
            raise Failed(f"not restored: the audit log ends with {head} and not with {manifest.audit_head}")
        audit.append(connection, "backup.restore", f"{manifest.at} {head}", None, None)
        progress(manifest.rows, manifest.rows)
    return newer
