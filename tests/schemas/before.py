"""An installation as the schema before today's left it, in stores that have no table yet."""

import time
from pathlib import Path

from infra.backup import keys, tables
from infra.backup.container import REDIS, Reader
from infra.backup.stores import Stores
from infra.migrations import apply as migrations

FOLDER = Path(__file__).parent
# From when on tests.schemas fills: 24 November 2025, 16:00 UTC.
FIRST_MS = 1_764_000_000_000
# Today's last but one.
FILE = FOLDER / f"{migrations.read()[-2].name[:4]}.zip"


def put(stores: Stores) -> list[str]:
    """Make that schema and fill it; the migrations that are missing to today's."""
    with Reader(FILE) as reader:
        names = [name for name, _ in reader.manifest.migrations]
        every = migrations.read()
        with tables.replaced(stores.postgres):
            tables.make(stores.postgres, [m for m in every if m.name in names])
            tables.load(stores.postgres, reader.manifest, reader.chunks, lambda _: None)
        staged = keys.Staged(stores.redis)
        # As if it had been made a moment ago, so that nothing has had its time.
        staged.put(reader.lines(REDIS), 0)
        staged.switch(int(time.time() * 1000))
    return [m.name for m in every if m.name not in names]
