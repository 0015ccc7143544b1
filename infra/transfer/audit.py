"""The audit log as JSON lines, and whether it is whole.

examples:
    openmanager audit export audit.jsonl     fetch all of it from the OpenManager that is named
    openmanager audit verify audit.jsonl     check the chain; needs no OpenManager and no network

Address and key come from OPENMANAGER_URL and OPENMANAGER_TOKEN, else from what runs on the data folder of this
checkout. Both commands print the head, SEQ:HASH. Keep it somewhere else: with `--head` a log is refused that was
shortened or written anew since.
"""

import argparse
import json
import os
import sys
from collections.abc import Iterator, Sequence
from pathlib import Path
from typing import Any

from openmanager.audit import Broken, Head, verify
from openmanager.cli.exits import DONE, FAILED, NOT_ALLOWED, PARTLY, UNREACHABLE, USAGE, explained

from infra.transfer.api import Api, Failed, add_address, named

CHECKOUT = Path(__file__).resolve().parents[2]
BROKEN = PARTLY


def say(text: str) -> None:
    sys.stdout.write(text + "\n")
    sys.stdout.flush()


def noted(text: str) -> Head:
    """A head on the command line."""
    try:
        return Head.parse(text)
    except ValueError as fault:
        raise argparse.ArgumentTypeError(str(fault)) from None


def arguments() -> argparse.ArgumentParser:
    parser = argparse.ArgumentParser(
        prog="openmanager audit",
        description=__doc__,
        epilog=explained(DONE, FAILED, USAGE, BROKEN, UNREACHABLE, NOT_ALLOWED),
        formatter_class=argparse.RawDescriptionHelpFormatter,
    )
    commands = parser.add_subparsers(required=True, dest="command", metavar="COMMAND")
    out = commands.add_parser("export", help="fetch the log, and verify it")
    check = commands.add_parser("verify", help="find the first row that does not fit")
    add_address(out)
    for command in (out, check):
        command.add_argument("file", type=Path)
        command.add_argument("--head", type=noted, metavar="SEQ:HASH", help="what an earlier command printed")
    return parser


def rows(api: Api) -> Iterator[dict[str, Any]]:
    """The whole log, oldest first. Raises Failed."""
    after = 0
    while after is not None:
        page = api.get("/api/audit", {"after": str(after)})
        if page is None:
            raise Failed(f"{api.url} has no audit log")
        yield from page["rows"]
        after = page["next"]


def export(api: Api, file: Path) -> None:
    """Write the log; what is half written is never in the file's place. Raises Failed."""
    part = file.with_name(file.name + ".part")
    with part.open("w", encoding="utf-8") as target:
        for row in rows(api):
            target.write(json.dumps(row) + "\n")
    part.replace(file)


def main(argv: Sequence[str] | None = None) -> int:
    """The exit code."""
    chosen = arguments().parse_args(argv)
    try:
        if chosen.command == "export":
            url, token = named(chosen, os.environ, CHECKOUT)
            export(Api(url, token, say), chosen.file)
        with chosen.file.open(encoding="utf-8") as lines:
            head = verify(lines, chosen.head)
    except (Failed, OSError, UnicodeDecodeError) as fault:
        say(f"{chosen.command}: {fault}")
        return getattr(fault, "exit_code", FAILED)
    except Broken as fault:
        say(f"{chosen.file}: {fault}")
        return BROKEN
    say(f"{chosen.file}: {head.seq} rows, each bound to the one before; head {head}")
    return 0


if __name__ == "__main__":
    sys.exit(main())
