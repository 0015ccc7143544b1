"""What all commands that ask an installation share: options, where it is, how their answers and errors are shown."""

import argparse
import os
import re
import sys
import time
from collections.abc import Callable, Sequence
from typing import Any

from openmanager.cli.exits import DONE, FAILED, NOT_ALLOWED, UNREACHABLE, USAGE, explained

from infra.command.main import CHECKOUT
from infra.command.screen import Screen, plain, screen, write_json
from infra.transfer.api import Api, Failed, add_address, named, unsaid
from infra.transfer.files import milliseconds

# A little longer than a gateway gives a function.
_TIMEOUT_S = 35
_UNITS = {"s": 1, "m": 60, "min": 60, "h": 3600, "d": 86_400, "w": 604_800}
_LENGTH = re.compile(r"([0-9]{1,6})(s|min|m|h|d|w)")
LANGUAGES = ("en", "ko")

Adder = Callable[["argparse._SubParsersAction[argparse.ArgumentParser]"], None]
# What a command does with an installation: the answer to be shown as JSON, and what shows it to people.
Show = Callable[[Screen], None]
Answered = tuple[Any, Show]


def commands(*adders: Adder) -> argparse.ArgumentParser:
    """A parser of some commands, each added by its own function."""
    top = argparse.ArgumentParser(prog="openmanager")
    all_of_them = top.add_subparsers(required=True, dest="command", metavar="COMMAND")
    for add in adders:
        add(all_of_them)
    return top


def command(
    among: "argparse._SubParsersAction[argparse.ArgumentParser]",
    name: str,
    run: Callable[[Api, argparse.Namespace], Answered] | None,
    about: str,
    examples: Sequence[str],
    *more_codes: int,
) -> argparse.ArgumentParser:
    """One command with the options that all have. `run` asks, and says what is shown; None where `main` is its own."""
    codes = explained(*sorted({DONE, FAILED, USAGE, UNREACHABLE, NOT_ALLOWED, *more_codes}))
    lines = "".join(f"  openmanager {example}\n" for example in examples)
    made = among.add_parser(
        name,
        description=about,
        help=about.partition(".")[0],
        epilog=f"examples:\n{lines}\n{codes}",
        formatter_class=argparse.RawDescriptionHelpFormatter,
    )
    add_address(made)
    made.add_argument("--json", action="store_true", help="what the API answers, as one JSON document")
    made.set_defaults(run=run)
    return made


def main(parser: argparse.ArgumentParser, argv: Sequence[str] | None) -> int:
    """Run the chosen command; its exit code. BrokenPipeError and KeyboardInterrupt are the caller's."""
    chosen = parser.parse_args(argv)
    try:
        answer, show = chosen.run(connect(chosen), chosen)
        if chosen.json:
            write_json(answer)
        else:
            show(screen())
    except Failed as fault:
        sys.stderr.write(f"{chosen.command}: {plain(str(fault))}\n")
        return fault.exit_code
    return getattr(chosen, "found", DONE)


def connect(chosen: argparse.Namespace) -> Api:
    """The installation that is meant. Raises Failed."""
    url, token = named(chosen, os.environ, CHECKOUT)
    return Api(url, token, unsaid, timeout_s=_TIMEOUT_S)


def add_language(parser: argparse.ArgumentParser) -> None:
    """The option for texts that the API has in two languages, read by `language`."""
    parser.add_argument("--language", choices=LANGUAGES, help="of the answer (Korean where LANG says so)")


def language(chosen: argparse.Namespace) -> str | None:
    """The language that is asked for, None where neither options nor locale say."""
    if chosen.language:
        return str(chosen.language)
    locale = os.environ.get("LC_ALL") or os.environ.get("LC_MESSAGES") or os.environ.get("LANG") or ""
    return "ko" if locale.lower().startswith("ko") else None


def seconds(text: str) -> int:
    """A length of time on the command line, such as 90s, 30m, 2h or 7d."""
    found = _LENGTH.fullmatch(text)
    if not found or not int(found[1]):
        raise argparse.ArgumentTypeError(f"{text!r} is not a length of time such as 90s, 30m, 2h or 7d")
    return int(found[1]) * _UNITS[found[2]]


def instant(text: str) -> float:
    """An instant on the command line in Unix seconds: ISO 8601 (UTC unless it says otherwise), or how long ago (2h)."""
    if _LENGTH.fullmatch(text):
        return time.time() - seconds(text)
    try:
        return milliseconds(text) / 1000
    except (ValueError, OverflowError):
        raise argparse.ArgumentTypeError(
            f"{text!r} is neither ISO 8601, Unix seconds nor a length of time such as 2h"
        ) from None


def add_span(parser: argparse.ArgumentParser, usual: str) -> None:
    """The options of a span of time, read by `span`."""
    for name, else_ in (("from", usual), ("to", "now")):
        parser.add_argument(
            f"--{name}", dest=f"{name}_s", type=instant, metavar="TIME", help=f"ISO 8601, or how long ago: 2h ({else_})"
        )


def span(chosen: argparse.Namespace) -> dict[str, str]:
    """The query of a span of time."""
    ends = {"from": chosen.from_s, "to": chosen.to_s}
    return {name: f"{at:.3f}" for name, at in ends.items() if at is not None}
