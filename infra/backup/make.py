"""Making a backup: in the direction in which things go from one store to the other, so that none slips through.

Pushes that Postgres took while Redis was away go from there to Redis, all else goes from Redis to Postgres. So the
first are read first, then Redis, then all other tables as they are at one moment. What is read twice by that comes to
the same place when it is moved again.
"""

import time
import tomllib
from datetime import UTC, datetime
from pathlib import Path

from openmanager.audit import START, Head

from infra.backup import keys, tables
from infra.backup.container import REDIS, Manifest, Progress, Table, Writer, unheard
from infra.backup.stores import Stores
from infra.migrations import apply as migrations
from infra.transfer.api import Failed

_PROJECT = Path(__file__).resolve().parents[2] / "pyproject.toml"


def version() -> str:
    """Of this checkout."""
    return str(tomllib.loads(_PROJECT.read_text())["project"]["version"])


def backup(stores: Stores, path: Path, progress: Progress = unheard) -> Manifest:
    """Write all that the stores hold; `progress` hears of rows. Raises Failed, StoreUnavailable and psycopg's errors,
    and then there is no file.
    """
    schema = tables.applied(stores.postgres)
    _known(schema)
    names = tables.ours(stores.postgres)
    rest = [name for name in names if name != tables.INTAKE]
    at_ms = int(time.time() * 1000)
    with Writer(path) as writer:
        first = [] if rest == names else _dump(stores, [tables.INTAKE], writer, unheard)[0]
        with writer.part(REDIS) as part:
            for line in keys.dump(stores.redis, stores.shards, at_ms):
                part.write(line)
        others, head = _dump(stores, rest, writer, progress)
        manifest = Manifest(
            version=version(),
            at=datetime.fromtimestamp(at_ms // 1000, UTC).isoformat(),
            shards=stores.shards,
            migrations=schema,
            audit_head=str(head),
            tables=tuple(sorted([*first, *others], key=lambda table: table.name)),
            keys=part.lines,
            keys_sha256=part.sha256,
        )
        writer.finish(manifest)
    return manifest


def _known(schema: tuple[tuple[str, str], ...]) -> None:
    """Raises Failed for a schema that this checkout cannot make again."""
    if not schema:
        raise Failed("the database has none of our tables; is DATABASE_URL the right one?")
    here = {m.name: m.sha256 for m in migrations.read()}
    if strange := [name for name, sha256 in schema if here.get(name) != sha256]:
        raise Failed(f"the database has migrations that this checkout does not have: {', '.join(strange)}; update it")


def _dump(stores: Stores, names: list[str], writer: Writer, progress: Progress) -> tuple[list[Table], Head]:
    """These tables as they are at one moment, and the audit log's head if it is one of them."""
    connection = stores.postgres
    with tables.snapshot(connection, names):
        total, done = sum(tables.count(connection, name) for name in names), 0

        def counted(rows: int) -> None:
            nonlocal done
            done += rows
            progress(min(done, total - 1), total)

        written = [tables.dump(connection, name, writer, counted) for name in names]
        progress(total, total)
        head = tables.audit_head(connection, "not backed up") if "audit_log" in names else Head(0, START)
    return written, head
