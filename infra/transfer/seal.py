"""Encrypt the secrets of notification targets with the first key of OPENMANAGER_ENCRYPTION_KEYS.

    openmanager seal

To begin: set the variable, deploy, run this once for what was stored before. To change keys: put the new one first,
deploy, run this, drop the old one, deploy. The functions have the keys; this command asks them and needs none.
Address and key of the API come from OPENMANAGER_URL and OPENMANAGER_TOKEN, else from what runs on the data folder of
this checkout.
"""

import argparse
import os
import sys
from collections.abc import Sequence
from pathlib import Path

from openmanager.cli.exits import DONE, FAILED, NOT_ALLOWED, PARTLY, UNREACHABLE, USAGE, explained

from infra.transfer.api import Api, Failed, add_address, named

CHECKOUT = Path(__file__).resolve().parents[2]
SOME_LEFT = PARTLY


def say(text: str) -> None:
    sys.stdout.write(text + "\n")
    sys.stdout.flush()


def arguments() -> argparse.ArgumentParser:
    parser = argparse.ArgumentParser(
        prog="openmanager seal",
        description=__doc__,
        epilog=explained(DONE, FAILED, USAGE, SOME_LEFT, UNREACHABLE, NOT_ALLOWED),
        formatter_class=argparse.RawDescriptionHelpFormatter,
    )
    add_address(parser)
    return parser


def seal(api: Api) -> int:
    """The exit code. Raises Failed."""
    done = api.post("/api/notifications/targets/seal", {})
    if done["key"] is None:
        raise Failed(f"{api.url} has no OPENMANAGER_ENCRYPTION_KEYS; its secrets are stored as they are")
    say(f"targets whose secrets were encrypted with the key {done['key']!r}: {len(done['changed'])}")
    for target, reasons in done["unreadable"].items():
        for name, reason in reasons.items():
            say(f"left as it was: target {target}, {name}: {reason}")
    return SOME_LEFT if done["unreadable"] else 0


def main(argv: Sequence[str] | None = None) -> int:
    """The exit code."""
    chosen = arguments().parse_args(argv)
    try:
        url, token = named(chosen, os.environ, CHECKOUT)
        return seal(Api(url, token, say))
    except Failed as fault:
        say(f"seal: {fault}")
        return fault.exit_code


if __name__ == "__main__":
    sys.exit(main())
