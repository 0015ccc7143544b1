"""`cost`: what a fleet will cost in a month, by what was measured and the price list."""

import argparse
import json
import os
import sys

from openmanager.errors import InvalidInput

DESCRIPTION = """Estimates a month's bill of a fleet: what one push, one round and one archive were measured to use,
times how often they come, at list prices less what is free. OPENMANAGER_PRICES may say other prices, and what a
database's plan costs a month. `openmanager bill` tells what an installation really used.
"""
EXAMPLES = """examples:
  openmanager cost --servers 100 --interval 60
  openmanager cost --servers 20 --interval 15 --watched 8 --json

"""


def add(commands: "argparse._SubParsersAction[argparse.ArgumentParser]", exit_codes: str) -> None:
    """Add the command to the others."""
    command = commands.add_parser(
        "cost",
        help="estimate a month's bill",
        description=DESCRIPTION,
        epilog=EXAMPLES + exit_codes,
        formatter_class=argparse.RawDescriptionHelpFormatter,
    )
    command.add_argument("--servers", type=int, default=100, metavar="N", help="how many there are (%(default)s)")
    command.add_argument(
        "--interval", type=int, default=60, metavar="SECONDS", help="how often each pushes (%(default)s)"
    )
    command.add_argument(
        "--door",
        choices=("url", "api"),
        default="url",
        help="whether they push to the function's own address or through the HTTP API (%(default)s)",
    )
    command.add_argument(
        "--watched", type=float, default=1.0, metavar="HOURS", help="how long somebody watches a day (%(default)g)"
    )
    command.add_argument("--json", action="store_true", help="as JSON")
    command.set_defaults(run=run)


def run(asked: argparse.Namespace) -> None:
    """Raises InvalidInput, and InvalidSettings for prices that are none."""
    from openmanager.bill.estimate import Plan, estimate
    from openmanager.bill.prices import VARIABLE, price_list

    for name, low, high in (("servers", 1, 1_000_000), ("interval", 1, 3600), ("watched", 0, 24)):
        if not low <= getattr(asked, name) <= high:
            raise InvalidInput(f"--{name}", f"must be from {low:,} to {high:,}")
    told = estimate(
        Plan(asked.servers, asked.interval, asked.door, asked.watched), price_list(os.environ.get(VARIABLE, ""))
    )
    if asked.json:
        sys.stdout.write(json.dumps(told, indent=2) + "\n")
        return
    lines = [
        f"{told['servers']:,} servers, a push every {told['push_every_s']} s, watched"
        f" {told['watched_hours_a_day']:g} h a day; {told['prices']['about']}, as of {told['prices']['as_of']}",
        f"{'':<20}{'a month':>18}{'':<10}{told['currency']:>12}{'nothing free':>15}",
    ]
    lines += [
        f"{line['label']:<20}{line['amount']:>18,.0f} {line['unit']:<9}{line['usd']:>12.2f}"
        f"{line['usd_without_free']:>15.2f}"
        for line in told["lines"]
    ]
    lines += [f"{what:<20}{'':>28}{usd:>12.2f}{usd:>15.2f}" for what, usd in told["monthly"].items()]
    lines.append(f"{'all':<48}{told['usd']:>12.2f}{told['usd_without_free']:>15.2f}")
    lines.append(f"{'a server':<48}{told['usd_per_server']:>12.3f}{told['usd_without_free'] / told['servers']:>15.3f}")
    sys.stdout.write("\n".join(lines) + "\n")
