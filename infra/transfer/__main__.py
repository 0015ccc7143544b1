"""History out of an OpenManager and into one.

    openmanager export FOLDER                    the last seven days of every server
    openmanager import FOLDER                    what was exported, into the OpenManager that is named
    openmanager import host.csv --server web-01  a file of your own

Address and key come from OPENMANAGER_URL and OPENMANAGER_TOKEN, else from what runs on the data folder of this
checkout. The same command goes on after an interruption.
"""

import argparse
import os
import sys
import time
from collections.abc import Sequence
from pathlib import Path

from openmanager.cli.exits import DONE, FAILED, INTERRUPTED, NOT_ALLOWED, PARTLY, UNREACHABLE, USAGE, explained
from openmanager.cli.progress import Progress

from infra.transfer.api import Api, Failed, add_address, named
from infra.transfer.backfill import backfill
from infra.transfer.export import export
from infra.transfer.files import FORMATS, milliseconds

CHECKOUT = Path(__file__).resolve().parents[2]
SOME_LEFT_OUT = PARTLY
CODES = (DONE, FAILED, USAGE, UNREACHABLE, NOT_ALLOWED, INTERRUPTED)
EXPORT_EXAMPLES = """examples:
  openmanager export history
  openmanager export history --server web-01 --server db-01 --from 2026-11-01 --format parquet

"""
IMPORT_EXAMPLES = """examples:
  openmanager import history
  openmanager import host.csv --server web-01

"""
WEEK_MS = 7 * 86_400_000


def say(text: str) -> None:
    sys.stdout.write(text + "\n")
    sys.stdout.flush()


def when(text: str) -> int:
    """A time on the command line, in milliseconds."""
    try:
        return milliseconds(text)
    except (ValueError, OverflowError):
        raise argparse.ArgumentTypeError(f"{text!r} is neither ISO 8601 nor Unix seconds") from None


def arguments() -> argparse.ArgumentParser:
    parser = argparse.ArgumentParser(
        prog="openmanager", description=__doc__, formatter_class=argparse.RawDescriptionHelpFormatter
    )
    commands = parser.add_subparsers(required=True, dest="command", metavar="COMMAND")
    raw = argparse.RawDescriptionHelpFormatter
    out = commands.add_parser(
        "export",
        help="write history to files",
        description="Writes raw samples to files, one for each server and day. The same command goes on after a break.",
        epilog=EXPORT_EXAMPLES + explained(*CODES),
        formatter_class=raw,
    )
    out.add_argument("folder", type=Path, help="a new folder, or one where an export was begun")
    out.add_argument("--server", action="append", default=[], metavar="SERVER", help="only this one; repeatable")
    out.add_argument("--from", type=when, dest="from_ms", metavar="TIME", help="ISO 8601 or Unix seconds (a week ago)")
    out.add_argument("--to", type=when, dest="to_ms", metavar="TIME", help="(now)")
    out.add_argument("--format", choices=FORMATS, default="csv", help="(csv); Parquet needs the package pyarrow")
    back = commands.add_parser(
        "import",
        help="send files through the ingest door",
        description="Sends files of samples through the ingest door. What was left out is counted by its reasons.",
        epilog=IMPORT_EXAMPLES + explained(*sorted({*CODES, SOME_LEFT_OUT})),
        formatter_class=raw,
    )
    back.add_argument("source", type=Path, help="a folder that was exported, or a .csv or .parquet file")
    back.add_argument(
        "--server", default="", metavar="SERVER", help="whose a file's samples are; of a folder, only this"
    )
    back.add_argument("--restart", action="store_true", help="send again what was sent before an interruption")
    for command in (out, back):
        command.add_argument("--quiet", action="store_true", help="no line a file and no progress bar")
        add_address(command)
    return parser


def run(chosen: argparse.Namespace) -> int:
    """Raises Failed."""
    url, token = named(chosen, os.environ, CHECKOUT)
    with Progress("days" if chosen.command == "export" else "octets", not chosen.quiet) as progress:
        return carry(chosen, url, token, progress)


def carry(chosen: argparse.Namespace, url: str, token: str, progress: Progress) -> int:
    """Export or import, and say what became of it; the exit code. Raises Failed."""

    def tell(text: str) -> None:
        progress.clear()
        if not chosen.quiet:
            say(text)

    api = Api(url, token, tell)
    if chosen.command == "export":
        to_ms = int(time.time() * 1000) if chosen.to_ms is None else chosen.to_ms
        from_ms = to_ms - WEEK_MS if chosen.from_ms is None else chosen.from_ms
        if from_ms >= to_ms:
            raise Failed("--from must lie before --to")
        index = export(api, chosen.folder, chosen.format, chosen.server, (from_ms, to_ms), tell, progress)
        files = [file for entry in index["servers"].values() for file in entry["files"].values()]
        total = sum(file["samples"] for file in files)
        say(f"{len(index['servers'])} servers, {len(files)} files, {total:,} samples in {chosen.folder}")
        return 0
    done = backfill(api, chosen.source, chosen.server, chosen.restart, tell, progress)
    say(f"{done.sent:,} samples sent, {done.taken:,} taken")
    if not (done.left_out or done.reasons):
        return 0
    say(f"{done.left_out:,} samples were left out:")
    for reason, count in done.reasons.most_common():
        say(f"  {count:,} × {reason}")
    return SOME_LEFT_OUT


def main(argv: Sequence[str] | None = None) -> int:
    """The exit code."""
    chosen = arguments().parse_args(argv)
    try:
        return run(chosen)
    except Failed as fault:
        say(f"{chosen.command}: {fault}")
        return fault.exit_code
    except KeyboardInterrupt:
        say(f"\n{chosen.command}: interrupted; the same command goes on from here")
        return 130


if __name__ == "__main__":
    sys.exit(main())
