"""`python -m tests.endurance`: hours of faults. docs/endurance.md says what it does and what the table means."""

import argparse
import signal
import sys
from pathlib import Path

sys.path.insert(0, str(Path(__file__).resolve().parents[2] / "layers/core/python"))

from tests.endurance.run import Wanted, run


def main(argv: list[str] | None = None) -> int:
    """The exit code: 1 if something promised was not kept."""
    parser = argparse.ArgumentParser(prog="python -m tests.bench endurance", description=__doc__)
    parser.add_argument("--seed", type=int, default=1, help="of the plan of faults (%(default)s)")
    parser.add_argument("--minutes", type=float, default=60, help="of the stack's clock (%(default)g)")
    parser.add_argument("--rate", type=float, default=6, help="minutes of the stack's clock in one (%(default)g)")
    parser.add_argument("--each", type=int, default=2, help="how often each kind of fault (%(default)s)")
    parser.add_argument("--loss", action="store_true", help="also have Redis lose its disk, once")
    parser.add_argument("--keep", type=Path, metavar="FOLDER", help="leave logs, plan and data there")
    chosen = parser.parse_args(argv)
    # Whoever is told to end takes processes and mounts along.
    signal.signal(signal.SIGTERM, lambda *_: sys.exit(1))
    wanted = Wanted(chosen.seed, chosen.minutes, chosen.rate, chosen.each, chosen.loss)
    return 0 if run(wanted, chosen.keep) else 1


if __name__ == "__main__":
    sys.exit(main())
