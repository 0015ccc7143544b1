"""Remove a stage of OpenManager from AWS. Settings and data stay, and how to delete them is said.

make remove STAGE=dev [REGION=…]
openmanager remove --stage dev [--yes]
"""

import argparse
import os
import sys
from collections.abc import Callable, Sequence

from openmanager.cli.exits import DONE, FAILED, USAGE, explained

from infra.aws import Aws, AwsRefused, region_of
from infra.deploy import programs
from infra.deploy.__main__ import say
from infra.deploy.cloudformation import CHECKOUT, run_osls
from infra.deploy.failure import CannotDeploy


def arguments() -> argparse.ArgumentParser:
    parser = argparse.ArgumentParser(
        prog="openmanager remove",
        description=__doc__,
        epilog="examples:\n  openmanager remove --stage dev\n\n" + explained(DONE, FAILED, USAGE),
        formatter_class=argparse.RawDescriptionHelpFormatter,
    )
    parser.add_argument("--stage", required=True, help="which")
    parser.add_argument("--region", default="", help="else AWS_REGION, else eu-central-1")
    parser.add_argument("--yes", action="store_true", help="do not ask for its name")
    return parser


def remove(aws: Aws, sure: Callable[[], bool]) -> None:
    """Remove the stack once somebody is sure. Raises CannotDeploy and AwsRefused."""
    account, _ = aws.identity()
    if aws.stack() is None:
        elsewhere = aws.elsewhere()
        do = f"call this with REGION={elsewhere[0]}" if elsewhere else "there is nothing to remove"
        raise CannotDeploy(f"there is no stack {aws.stack_name} in {aws.region}", do)
    say(f"""{aws.stack_name} in {aws.region}, account {account}

  goes    the functions, their addresses, schedules, queues, alarms and logs
  stays   the settings below {aws.path}/ in the Parameter Store, and {aws.login_parameter}
          Redis: every key that begins with om:
          Postgres: all tables
""")
    if not sure():
        raise CannotDeploy("that is not its name", "nothing was removed")
    osls = programs.find_osls(os.environ, say)
    log = CHECKOUT / "build" / f"remove-{aws.stage}.log"
    run_osls(osls, ["remove", "--stage", aws.stage, "--region", aws.region], {}, log, lambda line: say(f"      {line}"))
    if aws.stack() is not None:
        do = "its events in the CloudFormation console name what could not be deleted; then call this again"
        raise CannotDeploy(f"{aws.stack_name} is still there", do)
    ssm = f"aws ssm --region {aws.region}"
    say(f"""  ✓ {aws.stack_name} is removed

Should the rest go too:
  settings  {ssm} get-parameters-by-path --path {aws.path} --recursive --query 'Parameters[].Name' --output text |
              xargs -n 10 {ssm} delete-parameters --names
            {ssm} delete-parameter --name {aws.login_parameter}
  Redis     delete the database in Upstash's console
  Postgres  delete the database at your provider, or: DROP SCHEMA public CASCADE; CREATE SCHEMA public;
""")


def main(argv: Sequence[str] | None = None) -> int:
    """The exit code."""
    chosen = arguments().parse_args(argv)

    def sure() -> bool:
        if chosen.yes:
            return True
        sys.stdout.write(f"Type {chosen.stage} to remove it: ")
        sys.stdout.flush()
        return bool(sys.stdin.readline().strip() == chosen.stage)

    try:
        remove(Aws(chosen.stage, region_of(chosen.region)), sure)
    except (CannotDeploy, AwsRefused) as fault:
        say(f"  ✗ {fault}\n    → {fault.do}")
        return 1
    return 0


if __name__ == "__main__":
    sys.exit(main())
