"""All that an OpenManager knows in one file, and back.

    python3 run.py backup FILE                 of this machine, whether it runs or not
    python3 run.py backup FILE --stage prod    of a deployment on AWS, with your AWS credentials
    python3 run.py restore FILE                into this machine, while it does not run

With --environment it is the stores that DATABASE_URL, UPSTASH_REDIS_REST_URL and UPSTASH_REDIS_REST_TOKEN name.
"""

import argparse
import os
import signal
import sys
from collections.abc import Sequence
from contextlib import AbstractContextManager
from functools import partial
from pathlib import Path
from types import FrameType

import psycopg
from openmanager.cli.progress import tell
from openmanager.errors import StoreUnavailable
from openmanager.stores.redis import CommandFailed

from infra.backup import stores
from infra.backup.container import Manifest, Progress, unheard
from infra.backup.make import backup
from infra.backup.restore import read, restore
from infra.doctor.place import Place
from infra.transfer.api import Failed

CHECKOUT = Path(__file__).resolve().parents[2]


def say(text: str) -> None:
    sys.stdout.write(text + "\n")
    sys.stdout.flush()


def arguments() -> argparse.ArgumentParser:
    parser = argparse.ArgumentParser(
        prog="run.py", description=__doc__, formatter_class=argparse.RawDescriptionHelpFormatter
    )
    commands = parser.add_subparsers(required=True, dest="command", metavar="COMMAND")
    exits = "exit codes: 0 done, 1 not done and why is said"
    out = commands.add_parser("backup", help="write all of it to a file", epilog=exits)
    out.add_argument("file", type=Path, help="a new file, readable by you alone")
    back = commands.add_parser("restore", help="put such a file back", epilog=exits)
    back.add_argument("file", type=Path, help="what `backup` wrote")
    back.add_argument("--replace", action="store_true", help="in the place of what is there, which is lost")
    back.add_argument("--check", action="store_true", help="only read the file and say what is in it")
    for command in (out, back):
        which = command.add_mutually_exclusive_group()
        which.add_argument("--stage", default="", help="a deployment on AWS")
        which.add_argument("--environment", action="store_true", help="the stores that the variables name")
        command.add_argument("--region", default="", help="the stage's region; else AWS_REGION, else eu-central-1")
    return parser


def place(chosen: argparse.Namespace) -> AbstractContextManager[Place]:
    """Whose stores are meant."""
    if chosen.stage:
        return stores.of_stage(chosen.stage, chosen.region)
    if chosen.environment:
        return stores.of_environment(os.environ)
    data = Path(os.environ.get("OPENMANAGER_DATA") or CHECKOUT / ".openmanager").absolute()
    return stores.of_machine(data, running=chosen.command == "backup")


def progress(what: str) -> Progress:
    return partial(tell, what=what) if sys.stderr.isatty() else unheard


def told(manifest: Manifest) -> str:
    """What a backup holds, in a line."""
    return (
        f"{manifest.rows:,} rows of {len(manifest.tables)} tables and {manifest.keys:,} keys of Redis, as of "
        f"{manifest.at}; audit log up to {manifest.audit_head}"
    )


def make(chosen: argparse.Namespace) -> None:
    """Raises Failed and what the stores raise."""
    with place(chosen) as where, stores.opened(where) as opened:
        manifest = backup(opened, chosen.file, progress("rows"))
    say(f"{chosen.file}: {told(manifest)}")


def put_back(chosen: argparse.Namespace) -> None:
    """Raises Failed and what the stores raise."""
    with read(chosen.file, progress("lines checked")) as reader:
        say(f"{chosen.file} is whole: {told(reader.manifest)}")
        if chosen.check:
            return
        with place(chosen) as where, stores.opened(where) as opened:
            newer = restore(opened, reader, replace=chosen.replace, progress=progress("rows"))
            say(f"restored into {where.name}; rows counted, the audit log's chain verified")
        if newer:
            say(f"brought from the backup's schema to today's: {', '.join(newer)}")


def _stop(_number: int, _frame: FrameType | None) -> None:
    raise KeyboardInterrupt


def main(argv: Sequence[str] | None = None) -> int:
    """The exit code."""
    chosen = arguments().parse_args(argv)
    # As Ctrl-C, so that what was begun is taken back.
    signal.signal(signal.SIGTERM, _stop)
    try:
        (make if chosen.command == "backup" else put_back)(chosen)
    except (Failed, StoreUnavailable, CommandFailed, psycopg.Error) as fault:
        say(f"{chosen.command}: {fault}")
        return 1
    except KeyboardInterrupt:
        say(f"\n{chosen.command}: interrupted; all is as it was before")
        return 130
    return 0


if __name__ == "__main__":
    sys.exit(main())
