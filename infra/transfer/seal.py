"""Encrypt the secrets of notification targets with the first key of OPENMANAGER_ENCRYPTION_KEYS.

    python3 run.py seal

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

from infra.transfer.api import Api, Failed, locate

CHECKOUT = Path(__file__).resolve().parents[2]
SOME_LEFT = 3


def say(text: str) -> None:
    sys.stdout.write(text + "\n")
    sys.stdout.flush()


def arguments() -> argparse.ArgumentParser:
    parser = argparse.ArgumentParser(
        prog="run.py seal",
        description=__doc__,
        epilog=f"exit codes: 0 done, 1 it could not go on, {SOME_LEFT} some secrets could not be read, and why is said",
        formatter_class=argparse.RawDescriptionHelpFormatter,
    )
    parser.add_argument("--url", default="", help="address of OpenManager; else OPENMANAGER_URL")
    parser.add_argument("--token", default="", help="an administrator's key; better as OPENMANAGER_TOKEN")
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
        url, token = locate(chosen.url, chosen.token, dict(os.environ), CHECKOUT)
        return seal(Api(url, token, say))
    except Failed as fault:
        say(f"seal: {fault}")
        return 1


if __name__ == "__main__":
    sys.exit(main())
