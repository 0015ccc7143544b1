"""`replay`: a recorded past through models, rules and ledger."""

import argparse
from pathlib import Path
from typing import TYPE_CHECKING, Any

if TYPE_CHECKING:
    from openmanager.watch.replay import Replayed

# Heavy parts are imported by `run`: help must not load them.

DESCRIPTION = """Runs recorded minutes through models, alert rules and ledger, as rounds would have done live,
and says what would have paged, when, how the predictions did, and what it would have cost.

Each file is one server's CSV as `evaluate` reads it, on minutes. Files of one call share their time, so that what
depends on each other is grouped into incidents.
"""
EXAMPLES = """examples:
  openmanager replay web-01.csv
  openmanager replay web-01.csv=web db-01.csv=database --rules my-rules.json
  openmanager replay web-01.csv --json | jq .record.models

"""


def add(commands: "argparse._SubParsersAction[argparse.ArgumentParser]", exit_codes: str) -> None:
    """Add the command to the others."""
    command = commands.add_parser(
        "replay",
        help="say what a recorded past would have paged",
        description=DESCRIPTION,
        epilog=EXAMPLES + exit_codes,
        formatter_class=argparse.RawDescriptionHelpFormatter,
    )
    command.add_argument("files", nargs="+", metavar="FILE.csv[=ROLE]", help="a server's minutes, and its role")
    command.add_argument("--rules", type=Path, metavar="RULES.json", help="a list of rules in the place of the default")
    command.add_argument("--json", action="store_true", help="print everything as JSON")
    command.add_argument("--quiet", action="store_true", help="no progress bar")
    command.set_defaults(run=run)


def run(chosen: argparse.Namespace) -> None:
    """Raises OpenManagerError."""
    import json
    import sys

    from openmanager.alerts.rules import DEFAULTS, parse_rules
    from openmanager.cli.progress import Progress
    from openmanager.errors import InvalidInput
    from openmanager.sources import table
    from openmanager.watch.config import Config
    from openmanager.watch.replay import Past, replay

    rules = DEFAULTS
    if chosen.rules:
        try:
            rules = parse_rules(json.loads(chosen.rules.read_text()))
        except (OSError, ValueError) as fault:
            raise InvalidInput(str(chosen.rules), f"cannot be read ({fault})") from None
    pasts = []
    for name in chosen.files:
        file, _, role = name.rpartition("=") if "=" in name else (name, "", "")
        minutes = table.read(Path(file), step_s=60)
        pasts.append(Past(Path(file).stem, minutes.start_ms // 60_000, minutes.values, role))
    twice = {p.server for p in pasts if sum(q.server == p.server for q in pasts) > 1}
    if twice:
        raise InvalidInput("files", f"two are named {min(twice)}")
    with Progress("minutes", not chosen.quiet) as progress:
        found = replay(pasts, Config(rules=rules), progress)
    sys.stdout.write(json.dumps(found.as_dict(), indent=1) + "\n" if chosen.json else text(found))


def text(found: "Replayed") -> str:
    """The outcome for people."""
    from openmanager.sources.table import moment

    whole = found.as_dict()
    lines = [f"{len(whole['servers'])} servers, {whole['minutes']:,} minutes, {whole['fired']} pages"]
    lines += [
        f"  {moment(n['at'] * 1000)}  {n['event']:10} {n['severity']:8} {n['server']} {n['rule']}{_value(n)}"
        for n in whole["notices"]
    ]
    lines.append("what predictions were worth:")
    for model, m in whole["record"]["models"].items():
        lead = "" if m["median_lead_s"] is None else f", median lead {m['median_lead_s'] / 60:.0f} min"
        lines.append(
            f"  {model:11} {m['hits']} right, {m['false_alarms']} wrong, "
            f"{m['missed']} of {m['incidents']} incidents missed{lead}"
        )
    for metric, f in whole["record"]["forecasts"].items():
        ratio = "-" if f["mae_over_last_value"] is None else f"{f['mae_over_last_value']:.2f}"
        lines.append(
            f"  forecast {metric}: error {ratio} of the last value's, {f['inside_80']:.0%} inside the 80 % interval"
        )
    cost = whole["cost"]
    lines.append(f"it would have cost {cost['redis_commands']:,} Redis commands (${cost['usd']:.2f})")
    if found.models_absent:
        lines.append(f"without models: {'; '.join(sorted(found.models_absent))}")
    return "\n".join(lines) + "\n"


def _value(notice: dict[str, Any]) -> str:
    value, limit = notice["value"], notice["limit"]
    return "" if value is None else f" {value:g}" + ("" if limit is None else f" (limit {limit:g})")
