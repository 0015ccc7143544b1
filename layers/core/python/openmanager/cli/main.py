"""Which command was called, and what it says when it cannot go on."""

import argparse
import os
import sys
from collections.abc import Sequence

from openmanager.cli import cost, evaluate, mcp, replay
from openmanager.errors import OpenManagerError

DONE, FAILED, INTERRUPTED = 0, 1, 130
EXIT_CODES = """exit codes:
  0    done
  1    a file, a setting or a model cannot be used, and why is said
  2    the command line is wrong
  130  interrupted
"""


def parser() -> argparse.ArgumentParser:
    """The commands; each adds itself and sets `run`, which returns nothing and raises OpenManagerError."""
    top = argparse.ArgumentParser(
        prog="run.py",
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
    chosen = parser().parse_args(argv)
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
