"""Which command was called, and what it says when it cannot go on."""

import argparse
import os
import sys
from collections.abc import Sequence

from openmanager.cli import cost, evaluate, mcp, replay
from openmanager.cli.exits import DONE, FAILED, INTERRUPTED, USAGE, explained
from openmanager.errors import OpenManagerError

EXIT_CODES = explained(DONE, FAILED, USAGE, INTERRUPTED)


def arguments() -> argparse.ArgumentParser:
    """The commands; each adds itself and sets `run`, which returns nothing and raises OpenManagerError."""
    top = argparse.ArgumentParser(
        prog="openmanager",
        description="OpenManager from a terminal.",
        epilog=EXIT_CODES,
        formatter_class=argparse.RawDescriptionHelpFormatter,
    )
    commands = top.add_subparsers(required=True, dest="command", metavar="COMMAND")
    evaluate.add(commands, EXIT_CODES)
    replay.add(commands, EXIT_CODES)
    cost.add(commands, EXIT_CODES)
    mcp.add(commands, EXIT_CODES)
    return top


def main(argv: Sequence[str] | None = None) -> int:
    """The exit code."""
    chosen = arguments().parse_args(argv)
    try:
        chosen.run(chosen)
        sys.stdout.flush()
    except BrokenPipeError:
        # Whoever read the output has seen enough, as `| head` does. Python flushes once more when it ends:
        os.dup2(os.open(os.devnull, os.O_WRONLY), sys.stdout.fileno())
    except OpenManagerError as error:
        sys.stderr.write(f"{chosen.command}: {error}\n")
        return FAILED
    except KeyboardInterrupt:
        sys.stderr.write(f"\n{chosen.command}: interrupted\n")
        return INTERRUPTED
    return DONE
