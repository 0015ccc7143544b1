"""`python -m tests.schemas`: a backup of a filled installation with today's schema, for when the next migration comes.

`python -m tests.schemas 0008` stops at a migration before that; today's code fills it all the same.
"""

import shutil
import sys
import tempfile
from collections.abc import Sequence
from pathlib import Path

sys.path.insert(0, str(Path(__file__).resolve().parents[2] / "layers/core/python"))

from infra.backup import make, stores
from infra.doctor.place import named_by
from infra.local.stack import Stack
from infra.migrations import apply as migrations
from tests import filled
from tests.conftest import API_KEY
from tests.schemas.before import FIRST_MS, FOLDER


def main(argv: Sequence[str]) -> int:
    """Writes the file."""
    last = argv[0] if argv else "9999"
    with tempfile.TemporaryDirectory() as folder:
        some, stack = Path(folder) / "sql", Stack(Path(folder) / "stores")
        some.mkdir()
        for file in migrations.HERE.glob("*.sql"):
            if file.name[:4] <= last:
                shutil.copy(file, some)
        stack.upstash.start()
        stack.postgres.start()
        try:
            names = migrations.apply(stack.postgres.url, some)
            env = {**stack.environment, "OPENMANAGER_API_KEY": API_KEY, "OPENMANAGER_STORE_TIMEOUT_S": "20"}
            path = FOLDER / f"{names[-1][:4]}.zip"
            path.unlink(missing_ok=True)
            with filled.within(env):
                filled.fill(FIRST_MS)
                with stores.opened(named_by(env)) as opened:
                    make.backup(opened, path)
        finally:
            stack.postgres.stop()
            stack.upstash.stop()
    return 0


if __name__ == "__main__":
    sys.exit(main(sys.argv[1:]))
