"""Deploy a stage of OpenManager to AWS, and see that it works.

    make deploy STAGE=dev [REGION=…] [ARCH=arm64] [SETTINGS=file.env] [MAIL=…]
    openmanager deploy --stage dev [--settings FILE] [--dry-run]

Every step may be done again: a deployment that broke off goes on with the same command. It asks nothing, so that CI
can call it. Settings stand encrypted in AWS's Parameter Store below /openmanager/<stage>/; --settings writes those of
a file there (NAME=value lines; docs/settings.md lists the names), and secrets that can be made are made the first time.
"""

import argparse
import sys
from collections.abc import Sequence
from pathlib import Path

from openmanager.cli.exits import DONE, FAILED, USAGE, explained

from infra.aws import Aws, AwsRefused, region_of
from infra.deploy.failure import CannotDeploy
from infra.deploy.steps import Deployment, Steps
from infra.packaging.target import TARGETS

EPILOG = """examples:
  openmanager deploy --stage dev --region eu-central-1 --settings settings.env --dry-run
  openmanager deploy --stage prod

environment:
  AWS credentials as boto3 finds them (AWS_PROFILE, …), AWS_REGION, OSLS (another osls)

""" + explained(DONE, FAILED, USAGE)


def say(text: str) -> None:
    sys.stdout.write(text + "\n")
    sys.stdout.flush()


def arguments() -> argparse.ArgumentParser:
    parser = argparse.ArgumentParser(
        prog="openmanager deploy",
        description=__doc__,
        epilog=EPILOG,
        formatter_class=argparse.RawDescriptionHelpFormatter,
    )
    parser.add_argument(
        "--stage", default="dev", help="its name, part of all that it consists of (default: %(default)s)"
    )
    parser.add_argument("--region", default="", help="else AWS_REGION, else eu-central-1")
    parser.add_argument("--arch", choices=tuple(TARGETS), default="arm64", help="of Lambda (default: %(default)s)")
    parser.add_argument("--settings", type=Path, metavar="FILE", help="write these settings first")
    parser.add_argument("--mail", default="", help="who is told of alarms; serverless.yml says which")
    parser.add_argument(
        "--param", action="append", default=[], metavar="NAME=VALUE", help="another of serverless.yml's"
    )
    parser.add_argument("--packaged", action="store_true", help="take what `make package` has built")
    parser.add_argument("--dry-run", action="store_true", help="look at everything, change nothing")
    return parser


def main(argv: Sequence[str] | None = None) -> int:
    """The exit code."""
    chosen = arguments().parse_args(argv)
    steps = None
    try:
        aws = Aws(chosen.stage, region_of(chosen.region))
        params = [*chosen.param, *([f"mail={chosen.mail}"] if chosen.mail else [])]
        deployment = Deployment(aws, chosen.arch, chosen.settings, tuple(params), chosen.packaged, chosen.dry_run)
        say(f"OpenManager {aws.stage} in {aws.region}, {chosen.arch}{' (dry run)' if chosen.dry_run else ''}")
        steps = Steps(deployment, say)
        steps.run()
    except (CannotDeploy, AwsRefused) as fault:
        say(f"  ✗ {steps.name if steps else 'start':<9} {fault}\n    → {fault.do}")
        done = ", ".join(steps.changed) if steps else ""
        say(f"\nDone so far: {done or 'nothing was changed'}. The same command goes on from here.")
        return 1
    return 0


if __name__ == "__main__":
    sys.exit(main())
