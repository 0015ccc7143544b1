"""`predictions`, `prediction`: what is likely to fail next."""

import argparse
from collections.abc import Sequence
from typing import Any
from urllib.parse import quote

from infra.command.client import Answered, command, commands
from infra.command.client import main as run
from infra.command.fleet import of_verdict
from infra.command.screen import Painted, Screen, duration, percent, sparkline, status
from infra.transfer.api import Api

_WIDE = 30


def arguments() -> argparse.ArgumentParser:
    """The parser of both."""
    return commands(_add_predictions, _add_prediction)


def main(argv: Sequence[str] | None = None) -> int:
    """The exit code."""
    return run(arguments(), argv)


def _add_predictions(among: Any) -> None:
    made = command(
        among,
        "predictions",
        _predictions,
        "What is likely to fail next, the highest risk first: the risk of the next half hour, its failure gauge, the\n"
        "anomaly score in percent of the server's own threshold, and which metric reaches its limit when.",
        ("predictions", "predictions --limit 5", "predictions --json | jq '.servers[].said.risk'"),
    )
    made.add_argument("--limit", type=int, default=20, metavar="N", help="how many are shown (%(default)s; 0: all)")


def _add_prediction(among: Any) -> None:
    made = command(
        among,
        "prediction",
        _prediction,
        "The whole last verdict on a server, its forecasts drawn.",
        ("prediction web-01", "prediction web-01 --json | jq .forecasts"),
    )
    made.add_argument("server", metavar="SERVER", help="its id")


def _predictions(api: Api, chosen: argparse.Namespace) -> Answered:
    answer = api.ask("GET", "/api/stream/snapshot", query={"topics": "predictions"})

    def show(to: Screen) -> None:
        judged = [s for s in answer["servers"] if s["said"]]
        judged.sort(key=lambda s: (-(s["said"]["risk"] or 0), s["id"]))
        if not judged:
            to.line("no server was judged yet; the first verdict follows two to three minutes after the first push")
            return
        shown = judged[: chosen.limit or None]
        titles = ("server", "status", "risk", "failure", "anomaly", "runs out", "confidence")
        to.table(titles, [_row(s["id"], s["said"]) for s in shown], right=("risk", "failure", "anomaly", "confidence"))
        if len(shown) < len(judged):
            to.line(f"and {len(judged) - len(shown)} more (--limit 0)")

    return answer, show


def _row(server: str, said: dict[str, Any]) -> tuple[str, ...]:
    anomaly = "-" if said["anomaly"] is None else f"{said['anomaly']} %"
    return (
        server,
        status(said["status"]),
        percent(None if said["risk"] is None else said["risk"] / 1000),
        percent(None if said["failure"] is None else said["failure"] / 1000),
        Painted(anomaly, "yellow") if said["anomalous"] else anomaly,
        _next(said.get("next")),
        f"{said['confidence']} %",
    )


def _next(coming: dict[str, Any] | None) -> str:
    if coming is None:
        return "-"
    when = coming["earliest_s"] if coming["likely_s"] is None else coming["likely_s"]
    unproven = "" if coming["skilled"] else " (not proven)"
    return f"{coming['metric']} in {duration(when)}{unproven}"


def _prediction(api: Api, chosen: argparse.Namespace) -> Answered:
    verdict = api.ask("GET", f"/api/servers/{quote(chosen.server, safe='')}/prediction")

    def show(to: Screen) -> None:
        to.pairs([("server", verdict["server"]), ("status", status(verdict["status"])), *of_verdict(to, verdict)])
        forecasts = verdict.get("forecasts") or {}
        if not forecasts:
            return
        to.line()
        rows = [
            (
                metric,
                sparkline(f["path"], _WIDE),
                f"{f['path'][0]:g} to {f['path'][-1]:g}",
                f"{f['low'][-1]:g} to {f['high'][-1]:g}",
                f["method"],
                "yes" if f["skilled"] else "no",
            )
            for metric, f in forecasts.items()
        ]
        to.table(("metric", "next 30 minutes", "path", "80 % at the end", "by", "proven"), rows)

    return verdict, show
