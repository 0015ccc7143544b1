"""All that an OpenManager knows in one file, and back.

    openmanager backup FILE                 of this machine, whether it runs or not
    openmanager backup FILE --stage prod    of a deployment on AWS, with your AWS credentials
    openmanager restore FILE                into this machine, while it does not run

With --environment it is the stores that DATABASE_URL, UPSTASH_REDIS_REST_URL and UPSTASH_REDIS_REST_TOKEN name.
"""

import argparse
import os
import signal
import sys
from collections.abc import Sequence
from contextlib import AbstractContextManager
from pathlib import Path
from types import FrameType

import psycopg
from openmanager.cli.exits import DONE, FAILED, INTERRUPTED, USAGE, explained
from openmanager.cli.progress import Progress
from openmanager.errors import StoreUnavailable
from openmanager.stores.redis import CommandFailed

from infra.backup import stores
from infra.backup.container import Manifest
from infra.backup.make import backup
from infra.backup.restore import read, restore
from infra.doctor.place import Place
from infra.transfer.api import Failed

CHECKOUT = Path(__file__).resolve().parents[2]
EXAMPLES = {
    "backup": """examples:
  openmanager backup openmanager.backup
  openmanager backup openmanager.backup --stage prod --region eu-central-1

""",
    "restore": """examples:
  openmanager restore openmanager.backup --check
  openmanager restore openmanager.backup --replace

""",
}


def say(text: str) -> None:
    sys.stdout.write(text + "\n")
    sys.stdout.flush()


def arguments() -> argparse.ArgumentParser:
    parser = argparse.ArgumentParser(
        prog="openmanager", description=__doc__, formatter_class=argparse.RawDescriptionHelpFormatter
    )
    commands = parser.add_subparsers(required=True, dest="command", metavar="COMMAND")
    exits = explained(DONE, FAILED, USAGE, INTERRUPTED)

    def add(name: str, summary: str) -> argparse.ArgumentParser:
        raw = argparse.RawDescriptionHelpFormatter
        text = f"{summary[:1].upper()}{summary[1:]}."
        return commands.add_parser(
            name, help=summary, description=text, epilog=EXAMPLES[name] + exits, formatter_class=raw
        )

    out = add("backup", "write all that an installation knows to one file")
    out.add_argument("file", type=Path, help="a new file, readable by you alone")
    back = add("restore", "put what `backup` wrote back")
    back.add_argument("file", type=Path, help="what `backup` wrote")
    back.add_argument("--replace", action="store_true", help="in the place of what is there, which is lost")
    back.add_argument("--check", action="store_true", help="only read the file and say what is in it")
    for command in (out, back):
        which = command.add_mutually_exclusive_group()
        which.add_argument("--stage", default="", help="a deployment on AWS")
        which.add_argument("--environment", action="store_true", help="the stores that the variables name")
        command.add_argument("--region", default="", help="the stage's region; else AWS_REGION, else eu-central-1")
        command.add_argument("--quiet", action="store_true", help="no progress bar")
    return parser


def place(chosen: argparse.Namespace) -> AbstractContextManager[Place]:
    """Whose stores are meant."""
    if chosen.stage:
        return stores.of_stage(chosen.stage, chosen.region)
    if chosen.environment:
        return stores.of_environment(os.environ)
    data = Path(os.environ.get("OPENMANAGER_DATA") or CHECKOUT / ".openmanager").absolute()
    return stores.of_machine(data, running=chosen.command == "backup")


def told(manifest: Manifest) -> str:
    """What a backup holds, in a line."""
    return (
        f"{manifest.rows:,} rows of {len(manifest.tables)} tables and {manifest.keys:,} keys of Redis, as of "
        f"{manifest.at}; audit log up to {manifest.audit_head}"
    )


def make(chosen: argparse.Namespace) -> None:
    """Raises Failed and what the stores raise."""
    with (
        place(chosen) as where,
        stores.opened(where) as opened,
        Progress("rows", wanted=not chosen.quiet) as progress,
    ):
        manifest = backup(opened, chosen.file, progress)
    say(f"{chosen.file}: {told(manifest)}")


def put_back(chosen: argparse.Namespace) -> None:
    """Raises Failed and what the stores raise."""
    wanted = not chosen.quiet
    with Progress("lines checked", wanted) as checked, read(chosen.file, checked) as reader:
        say(f"{chosen.file} is whole: {told(reader.manifest)}")
        if chosen.check:
            return
        with place(chosen) as where, stores.opened(where) as opened, Progress("rows", wanted) as progress:
            newer = restore(opened, reader, replace=chosen.replace, progress=progress)
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
        return FAILED
    except KeyboardInterrupt:
        say(f"\n{chosen.command}: interrupted; all is as it was before")
        return INTERRUPTED
    return DONE


if __name__ == "__main__":
    sys.exit(main())
