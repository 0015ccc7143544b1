"""What is usually wrong with an installation, and what to do about it.

    make doctor                        the stack on this machine (`make run`), while it runs
    make doctor STAGE=dev [REGION=…]   a deployment, with your AWS credentials
    openmanager doctor --environment   the stores that the environment's variables name, and OPENMANAGER_URL

It changes nothing but a key of ten seconds in Redis.
"""

import argparse
import json
import os
import sys
from collections.abc import Sequence
from dataclasses import asdict
from pathlib import Path

from infra.aws import Aws, AwsRefused, region_of
from infra.doctor.examine import examine
from infra.doctor.finding import SIGNS, Finding, worst
from infra.doctor.place import NoPlace, Place, deployed, named_by, this_machine

EPILOG = """examples:
  openmanager doctor
  openmanager doctor --stage dev
  openmanager doctor --environment --json

exit codes:
  0    nothing failed; warnings may stand
  1    something did
  2    there is nothing to look at, or the command line is wrong
"""
CHECKOUT = Path(__file__).resolve().parents[2]


def say(text: str) -> None:
    sys.stdout.write(text + "\n")
    sys.stdout.flush()


def arguments() -> argparse.ArgumentParser:
    parser = argparse.ArgumentParser(
        prog="openmanager doctor",
        description=__doc__,
        epilog=EPILOG,
        formatter_class=argparse.RawDescriptionHelpFormatter,
    )
    parser.add_argument("--stage", default="", help="a deployment on AWS")
    parser.add_argument("--region", default="", help="its region; else AWS_REGION, else eu-central-1")
    parser.add_argument("--environment", action="store_true", help="what the environment's variables name")
    parser.add_argument("--json", action="store_true", help="the findings as JSON")
    return parser


def find(chosen: argparse.Namespace) -> Place:
    """What is to be looked at. Raises NoPlace and AwsRefused."""
    if chosen.stage:
        return deployed(Aws(chosen.stage, region_of(chosen.region)))
    if chosen.environment:
        return named_by(os.environ)
    return this_machine(Path(os.environ.get("OPENMANAGER_DATA") or CHECKOUT / ".openmanager").absolute())


def line(finding: Finding) -> str:
    """A finding for people."""
    text = f"  {SIGNS[finding.state]} {finding.check:<9} {finding.what}"
    return f"{text}\n    → {finding.do}" if finding.do else text


def main(argv: Sequence[str] | None = None) -> int:
    """The exit code."""
    chosen = arguments().parse_args(argv)
    try:
        place = find(chosen)
    except (NoPlace, AwsRefused) as error:
        do = getattr(error, "do", "")
        say(json.dumps({"place": None, "findings": [], "error": str(error)}) if chosen.json else f"doctor: {error}")
        if do and not chosen.json:
            say(f"  → {do}")
        return 2
    if not chosen.json:
        say(place.name)
    found = []
    for finding in examine(place):
        found.append(finding)
        if not chosen.json:
            say(line(finding))
    if chosen.json:
        say(json.dumps({"place": place.name, "findings": [asdict(finding) for finding in found]}, ensure_ascii=False))
    else:
        count = {state: sum(finding.state == state for finding in found) for state in SIGNS}
        say(f"{count['failed']} failed, {count['warning']} warnings, {count['ok']} well")
    return 1 if worst(found) else 0


if __name__ == "__main__":
    sys.exit(main())
