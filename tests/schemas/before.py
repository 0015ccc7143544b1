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
# The newest that is not of today's schema.
FILE = max(file for file in FOLDER.glob("*.zip") if file.stem < migrations.read()[-1].name[:4])
# The migrations that came after it.
NEWER = [m.name for m in migrations.read() if m.name[:4] > FILE.stem]


def put(stores: Stores) -> None:
    """Make that schema and fill it."""
    with Reader(FILE) as reader:
        with tables.replaced(stores.postgres):
            tables.make(stores.postgres, [m for m in migrations.read() if m.name not in NEWER])
            tables.load(stores.postgres, reader.manifest, reader.chunks, lambda _: None)
        staged = keys.Staged(stores.redis)
        # As if it had been made a moment ago, so that nothing has had its time.
        staged.put(reader.lines(REDIS), 0)
        staged.switch(int(time.time() * 1000))
