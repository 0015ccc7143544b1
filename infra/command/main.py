"""Which command was called; help, the version, and what is said of a command that is none."""

import difflib
import os
import sys
import tomllib
from collections.abc import Sequence
from pathlib import Path

from openmanager.cli.exits import DONE, FAILED, INTERRUPTED, NOT_ALLOWED, PARTLY, UNREACHABLE, USAGE, explained

from infra.command.table import COMMANDS, GROUPS

CHECKOUT = Path(__file__).resolve().parents[2]
CHECKOUT_ONLY = """In the checkout, by ./openmanager or python3 run.py:
  test          run the tests; further words are pytest's
  install       make .venv, and .venv/bin/openmanager for the PATH
"""
EXAMPLES = """examples:
  openmanager up                                    start it here
  openmanager status                                how the fleet is
  openmanager server web-01                         one server, whole
  openmanager silence --for 1h --server web-01 --reason deployment
  openmanager ask "which disk fills up first?"
  openmanager alerts --json | jq '.alerts[].server'
"""
ENVIRONMENT = """environment:
  OPENMANAGER_URL, OPENMANAGER_TOKEN   the installation that is meant, and an API key or token for it; else the
                                       one that runs on the data folder, by its credentials.json
  OPENMANAGER_DATA                     the data folder (.openmanager in the checkout)
  NO_COLOR                             no colours; without a terminal there are none
"""


def text() -> str:
    """The help of the whole."""
    lines = ["usage: openmanager COMMAND [OPTION...]", "       openmanager COMMAND --help", ""]
    lines += ["OpenManager watches a fleet of servers and says what will break next.", ""]
    for group, title in GROUPS.items():
        lines.append(f"{title}:")
        lines += [f"  {c.name:<13} {c.summary}" for c in COMMANDS.values() if c.group == group]
        lines.append("")
    codes = explained(DONE, FAILED, USAGE, PARTLY, UNREACHABLE, NOT_ALLOWED, INTERRUPTED)
    return "\n".join([*lines, CHECKOUT_ONLY, EXAMPLES, ENVIRONMENT, codes])


def version() -> str:
    """The version, as pyproject.toml has it."""
    found: str = tomllib.loads((CHECKOUT / "pyproject.toml").read_text())["project"]["version"]
    return found


def unknown(name: str) -> str:
    """What is said of a command that is none."""
    near = difflib.get_close_matches(name, COMMANDS, n=2, cutoff=0.6)
    hint = f"did you mean {' or '.join(near)}?" if near else "`openmanager --help` lists them"
    return f"{name!r} is not a command; {hint}"


def main(argv: Sequence[str]) -> int:
    """The exit code. Raises SystemExit where a command's options are wrong or its help was asked for."""
    name, *more = argv or ("",)
    try:
        if name == "help" and more:
            name, more = more[0], ["--help"]
        code = _run(name, more)
        sys.stdout.flush()
    except BrokenPipeError:
        # Whoever read the output has seen enough, as `| head` does. Python flushes once more when it ends:
        os.dup2(os.open(os.devnull, os.O_WRONLY), sys.stdout.fileno())
        return DONE
    except KeyboardInterrupt:
        sys.stderr.write(f"\n{name}: interrupted\n")
        return INTERRUPTED
    return code


def _run(name: str, more: Sequence[str]) -> int:
    if name in ("", "help", "-h", "--help"):
        (sys.stdout if name else sys.stderr).write(text())
        return DONE if name else USAGE
    if name in ("-V", "--version", "version"):
        sys.stdout.write(f"openmanager {version()}\n")
        return DONE
    if name not in COMMANDS:
        sys.stderr.write(f"openmanager: {unknown(name)}\n")
        return USAGE
    # Whatever folder it is called in, what runs here is found.
    os.environ["OPENMANAGER_DATA"] = os.environ.get("OPENMANAGER_DATA") or str(CHECKOUT / ".openmanager")
    return COMMANDS[name].main(more)
