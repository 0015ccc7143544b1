"""`metrics`, `record`, `bill`: what was."""

import argparse
from collections.abc import Sequence
from typing import Any
from urllib.parse import quote

from openmanager.catalog import METRIC, METRIC_KEYS

from infra.command.client import Answered, add_span, command, commands, seconds, span
from infra.command.client import main as run
from infra.command.screen import Screen, duration, moment, number, percent, sparkline
from infra.transfer.api import Api

# As openmanager/telemetry/rollups.py has them, which needs numpy; a test holds them together.
STATS = ("mean", "min", "max", "last", "p95")
_ROWS = 20
_CHART = 72


def arguments() -> argparse.ArgumentParser:
    """The parser of the three."""
    return commands(_add_metrics, _add_record, _add_bill)


def main(argv: Sequence[str] | None = None) -> int:
    """The exit code."""
    return run(arguments(), argv)


def _add_metrics(among: Any) -> None:
    made = command(
        among,
        "metrics",
        _metrics,
        "A server's metrics over time: a line of blocks from the least to the largest value, and a table.",
        (
            "metrics web-01 --metric cpu_utilization",
            "metrics web-01 --metric load_5m --metric memory_used --from 1d --step 1h",
            "metrics db-01 --metric disk_busy --from 2026-11-01 --to 2026-11-02 --stat max --json",
        ),
    )
    made.add_argument("server", metavar="SERVER", help="its id")
    made.add_argument(
        "--metric",
        dest="metrics",
        action="append",
        required=True,
        choices=METRIC_KEYS,
        metavar="METRIC",
        help="of the catalogue, such as cpu_utilization; repeatable",
    )
    add_span(made, "an hour before --to")
    made.add_argument("--step", type=seconds, metavar="LENGTH", help="of the grid: 5m, 1h (what keeps 500 points)")
    made.add_argument("--stat", choices=STATS, default="mean", help="of each step (%(default)s)")


def _add_record(among: Any) -> None:
    made = command(
        among,
        "record",
        _record,
        "What predictions were worth, by what came: hits, false alarms, misses and the median lead of warnings, and\n"
        "how far forecasts were off, beside the last value.",
        ("record", "record --server web-01 --from 7d", "record --json | jq .models"),
    )
    made.add_argument("--server", metavar="SERVER", help="only this one's")
    add_span(made, "four weeks before --to")


def _add_bill(among: Any) -> None:
    command(
        among,
        "bill",
        _bill,
        "What this month has cost, and what it is going to cost. Counted by every function as it works.",
        ("bill", "bill --json | jq .projected.usd"),
    )


def _metrics(api: Api, chosen: argparse.Namespace) -> Answered:
    query = span(chosen) | {"metrics": ",".join(chosen.metrics), "stat": chosen.stat}
    if chosen.step:
        query["step"] = str(chosen.step)
    answer = api.ask("GET", f"/api/servers/{quote(chosen.server, safe='')}/metrics", query=query)

    def show(to: Screen) -> None:
        to.line(
            f"{answer['server']}  {moment(answer['from'])} to {moment(answer['to'])}, "
            f"the {answer['stat']} of every {duration(answer['step'])}, from {answer['resolution']}"
        )
        for key, values in answer["metrics"].items():
            _chart(to, key, values)
        to.line()
        _rows(to, answer)

    return answer, show


def _chart(to: Screen, key: str, values: list[float | None]) -> None:
    known = [value for value in values if value is not None]
    to.line()
    to.line(f"{key}: {METRIC[key].description}")
    to.line(sparkline(values, min(to.width or _CHART, _CHART)))
    if known:
        unit = METRIC[key].unit
        ends = (min(known), max(known), known[-1])
        to.line("  ".join(f"{name} {number(v, unit)}" for name, v in zip(("least", "most", "last"), ends, strict=True)))
    else:
        to.line("nothing is known of this span")


def _rows(to: Screen, answer: dict[str, Any]) -> None:
    """The last rows, so that the newest stand nearest to the prompt."""
    keys = list(answer["metrics"])
    rows = [
        (moment(at), *(number(answer["metrics"][key][i], METRIC[key].unit) for key in keys))
        for i, at in enumerate(answer["times"])
    ]
    # A pipe gets all of them.
    shown = rows if to.width is None else rows[-_ROWS:]
    if len(shown) < len(rows):
        to.line(f"the last {len(shown)} of {len(rows)} steps:")
    to.table(("time", *keys), shown, right=keys)


def _record(api: Api, chosen: argparse.Namespace) -> Answered:
    query = span(chosen) | ({"server": chosen.server} if chosen.server else {})
    answer = api.ask("GET", "/api/predictions/record", query=query)

    def show(to: Screen) -> None:
        whose = answer["server"] or "the fleet"
        to.line(f"{whose}, {moment(answer['from'])} to {moment(answer['to'])}: {answer['incidents']} incidents")
        to.line()
        titles = ("model", "hits", "false alarms", "missed", "precision", "recall", "median lead")
        to.table(titles, [_model(name, m) for name, m in answer["models"].items()], right=titles[1:])
        if answer["forecasts"]:
            to.line()
            of = ("forecast of", "error / last value's", "inside 80 %")
            to.table(of, [_forecast(key, f) for key, f in answer["forecasts"].items()], right=of[1:])
        to.line()
        to.line(_probabilities(answer["probabilities"]))

    return answer, show


def _model(name: str, m: dict[str, Any]) -> tuple[str, ...]:
    lead = "-" if m["median_lead_s"] is None else duration(m["median_lead_s"])
    counts = (str(m["hits"]), str(m["false_alarms"]), str(m["missed"]))
    return (name, *counts, percent(m["precision"]), percent(m["recall"]), lead)


def _forecast(metric: str, f: dict[str, Any]) -> tuple[str, str, str]:
    ratio = f.get("mae_over_last_value")
    return (metric, "-" if ratio is None else f"{ratio:.2f}", percent(f.get("inside_80")))


def _probabilities(said: dict[str, Any] | None) -> str:
    if said is None:
        return "no failure probability is settled yet"
    plain = said["brier_of_prevalence"]
    return f"failure probabilities: Brier score {said['brier']:.4f}; saying the mean always {plain:.4f}"


def _bill(api: Api, _: argparse.Namespace) -> Answered:
    answer = api.ask("GET", "/api/system/cost")

    def show(to: Screen) -> None:
        so_far, coming = answer["so_far"], answer["projected"]
        to.line(f"{answer['month']}, as of {answer['as_of']}, {answer['servers']} servers; {answer['prices']['about']}")
        to.line()
        usd = f"so far, {answer['currency']}"
        titles = ("what", "amount", "unit", usd, "nothing free")
        rows = [
            (
                line["label"],
                f"{line['amount']:,.6g}",
                line["unit"],
                f"{line['usd']:.4f}",
                f"{line['usd_without_free']:.4f}",
            )
            for line in so_far["lines"]
        ]
        rows += [(name, "", "", f"{cost:.4f}", f"{cost:.4f}") for name, cost in so_far["monthly"].items()]
        rows.append(("all", "", "", f"{so_far['usd']:.4f}", f"{so_far['usd_without_free']:.4f}"))
        to.table(titles, rows, right=("amount", usd, "nothing free"))
        to.line()
        if coming is None:
            to.line("where the month is going is said once ten minutes of it were counted")
        else:
            each = coming["usd_per_server"]
            to.line(f"the month is going to cost {coming['usd']:.2f} {answer['currency']}, a server {each:.3f}")

    return answer, show
