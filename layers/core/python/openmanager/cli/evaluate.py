"""`evaluate`: the shipped models over a CSV of one server's metrics."""

import argparse
from pathlib import Path

# Heavy parts are imported by `run`: help must not load them.

DESCRIPTION = """Scores a CSV of one server's metrics with the shipped models, as the live round would have done minute
by minute, and sums up what they say.

The first line names the columns: `time` (ISO 8601, UTC unless it says otherwise, or seconds or milliseconds since 1970)
and metrics as the catalogue names them (cpu_utilization, load_5m, disk_busy, …; counters as disk_reads_total/sda too,
which become rates). What `openmanager export` writes can be read. Rows nearer than a minute are averaged into minutes;
an empty cell is a missing value. A column `label` (1 in incidents) adds how well the scores tell incidents apart.
"""
EXAMPLES = """examples:
  openmanager evaluate web-01.csv
  openmanager evaluate web-01.csv --from 2026-03-01 --out scores.csv
  openmanager evaluate fleet.csv --server web-01 --json | jq .labels

"""


def add(commands: "argparse._SubParsersAction[argparse.ArgumentParser]", exit_codes: str) -> None:
    """Add the command to the others."""
    command = commands.add_parser(
        "evaluate",
        help="score a CSV of one server's metrics with the models",
        description=DESCRIPTION,
        epilog=EXAMPLES + exit_codes,
        formatter_class=argparse.RawDescriptionHelpFormatter,
    )
    command.add_argument("file", type=Path, metavar="FILE.csv")
    command.add_argument("--out", type=Path, metavar="SCORES.csv", help="write one line of scores for each minute")
    command.add_argument("--json", action="store_true", help="print the summary as JSON")
    command.add_argument("--quiet", action="store_true", help="no progress bar")
    command.add_argument("--from", dest="begin", metavar="TIME", help="sum up scores from here; rows before only teach")
    command.add_argument("--time", default="", metavar="COLUMN", help="the column of times (time, timestamp, …)")
    command.add_argument("--label", default="", metavar="COLUMN", help="the column of labels (label, incident, …)")
    command.add_argument("--server", default="", metavar="NAME", help="whose rows, where a column names several")
    command.add_argument(
        "--step", type=_seconds, default=0, metavar="SECONDS", help="the grid (60, or the rows' distance if longer)"
    )
    command.add_argument(
        "--shares",
        action=argparse.BooleanOptionalAction,
        help="percent metrics are written 0 to 1 (told from the values: none above 1)",
    )
    command.set_defaults(run=run)


def _seconds(text: str) -> int:
    if not text.isdecimal() or not int(text):
        raise argparse.ArgumentTypeError(f"{text!r} is not a whole number of seconds above 0")
    return int(text)


def run(chosen: argparse.Namespace) -> None:
    """Raises OpenManagerError."""
    import json
    import sys

    from openmanager.cli import report, text
    from openmanager.cli.progress import Progress
    from openmanager.cli.scored import score, write
    from openmanager.errors import InvalidInput
    from openmanager.sources import table

    begin_ms = None
    if chosen.begin:
        try:
            begin_ms = table.milliseconds(chosen.begin)
        except (ValueError, OverflowError):
            raise InvalidInput("--from", f"{chosen.begin!r} is neither ISO 8601 nor Unix seconds") from None
    data = table.read(chosen.file, chosen.time, chosen.label, chosen.server, chosen.step)
    with Progress("minutes", not chosen.quiet) as progress:
        scored = score(data, chosen.shares, progress)
    summary = report.summary(data, scored, begin_ms) | {"file": str(chosen.file)}
    if chosen.out:
        write(chosen.out, data, scored)
    sys.stdout.write(json.dumps(summary, indent=1) + "\n" if chosen.json else text.text(summary))
