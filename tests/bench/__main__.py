"""`python -m tests.bench [PART...]`: by default those that take minutes; `pages` and `demo` take half an hour,
`contract`, `bill` and `scale` ten minutes, `cold` forty.

`dashboard` needs a browser and an environment of its own: `make bench-dashboard`. `endurance` and `soak` have options
of their own: `python -m tests.bench soak --help`, and docs/endurance.md.
"""

import argparse
import os
import sys
from pathlib import Path

sys.path.insert(0, str(Path(__file__).resolve().parents[2] / "layers/core/python"))
# One thread, or the measured ratios are those of the machine.
os.environ.setdefault("OPENBLAS_NUM_THREADS", "1")

from tests.bench.output import say

PARTS = ("codec", "commands", "throughput", "authentication", "faults", "inference", "rounds", "feed")
LONG = ("pages", "demo", "contract", "dashboard", "cold", "bill", "scale")
# With options of their own, and an exit code.
ALONE = ("endurance", "soak")


def run(part: str, sizes: list[int], write: bool, scale: list[int] | None, most: int | None) -> None:
    """One part; each imports its own, so that the others' needs do not matter to it."""
    if part == "codec":
        from tests.bench import codec

        codec.main()
    elif part == "commands":
        from tests.bench import commands

        commands.main(sizes)
    elif part == "inference":
        from tests.bench import inference

        inference.main()
    elif part == "authentication":
        from tests.bench import authentication

        authentication.main()
    elif part == "contract":
        from tests.bench import contract

        contract.main()
    elif part == "rounds":
        from tests.bench import rounds

        rounds.main()
    elif part == "feed":
        from tests.bench import feed

        feed.main()
    elif part == "pages":
        from tests.bench import pages

        pages.main()
    elif part == "demo":
        from tests.bench import demo

        demo.main()
    elif part == "cold":
        from tests.bench import cold

        cold.main()
    elif part == "bill":
        from tests.bench import bill

        bill.main(write)
    elif part == "scale":
        from tests.bench.scale import report

        report.main(scale or report.SIZES, most or report.MOST)
    elif part == "dashboard":
        from tests.bench import dashboard

        dashboard.main()
    else:
        from tests.bench import faults, throughput

        for line in (throughput if part == "throughput" else faults).report():
            say(line)


def alone(part: str, argv: list[str]) -> int:
    """The exit code of a part that says whether what it saw was well."""
    if part == "endurance":
        from tests.endurance.__main__ import main

        return main(argv)
    from tests.endurance import soak

    return soak.main(argv)


def main() -> None:
    """Run what was asked for."""
    if sys.argv[1:2] and sys.argv[1] in ALONE:
        sys.exit(alone(sys.argv[1], sys.argv[2:]))
    parser = argparse.ArgumentParser(prog="python -m tests.bench", description=__doc__)
    parser.add_argument("parts", nargs="*", help=f"of {', '.join(PARTS)} (the default), {', '.join((*LONG, *ALONE))}")
    parser.add_argument(
        "--servers", default="1,100,1000", help="fleet sizes of commands, comma-separated (%(default)s)"
    )
    parser.add_argument("--write", action="store_true", help="keep what `bill` measures, for its estimates")
    parser.add_argument("--sizes", help="fleet sizes of `scale`, comma-separated (100,1000,10000)")
    parser.add_argument(
        "--most", type=int, help="servers that `scale` simulates of a larger fleet, in whole shards (2500)"
    )
    arguments = parser.parse_args()
    if unknown := set(arguments.parts) - {*PARTS, *LONG}:
        parser.error(f"{', '.join(sorted(unknown))}: not of {', '.join((*PARTS, *LONG))}")
    sizes = [int(part) for part in arguments.servers.split(",")]
    scale = [int(part) for part in arguments.sizes.split(",")] if arguments.sizes else None
    for i, part in enumerate(arguments.parts or PARTS):
        if i:
            say()
        run(part, sizes, arguments.write, scale, arguments.most)


if __name__ == "__main__":
    main()
