"""Build the layers and functions for Lambda: `python -m infra.packaging`."""

import argparse
import json
import sys
import time
from collections.abc import Sequence
from pathlib import Path

from . import contents, report
from .build import build
from .distributions import LAYERS
from .failure import CannotPackage
from .target import TARGETS


def main(argv: Sequence[str]) -> int:
    """The exit code: 1 if nothing could be built or a budget is broken."""
    known = (*LAYERS, *contents.functions())
    parser = argparse.ArgumentParser(prog="python -m infra.packaging", description=__doc__)
    parser.add_argument("--arch", choices=(*TARGETS, "all"), default="arm64", help="what Lambda calls it (arm64)")
    parser.add_argument("--only", nargs="+", choices=known, default=(), metavar="NAME", help="some layers or functions")
    parser.add_argument("--out", type=Path, default=contents.ROOT / "build", help="the folder for all (build)")
    parser.add_argument("--compare", action="store_true", help="zip the layers unpruned too, and show that size")
    parser.add_argument("--json", action="store_true", help="write the report to stdout as JSON")
    options = parser.parse_args(argv)
    targets = TARGETS.values() if options.arch == "all" else [TARGETS[options.arch]]
    documents = []
    for target in targets:
        began = time.monotonic()
        folder = options.out / target.arch
        _say(f"{target.arch}, into {folder}")
        try:
            artifacts = build(target, options.only, folder, options.compare, _say)
        except CannotPackage as error:
            _say(f"cannot package: {error}")
            return 1
        documents.append(report.document(target.arch, target.version, artifacts))
        (folder / "report.json").write_text(json.dumps(documents[-1], indent=1) + "\n")
        _say(f"{report.table(artifacts)}\n{target.arch} took {time.monotonic() - began:.1f} s")
    if options.json:
        sys.stdout.write(json.dumps(documents, indent=1) + "\n")
    broken = [f"{one['arch']}: {text}" for one in documents for text in one["broken_budgets"]]
    for text in broken:
        _say(f"over budget: {text}")
    return 1 if broken else 0


def _say(text: str) -> None:
    sys.stderr.write(text + "\n")


if __name__ == "__main__":
    sys.exit(main(sys.argv[1:]))
