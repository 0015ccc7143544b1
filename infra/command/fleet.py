"""`status`, `servers`, `server`: how the fleet is now."""

import argparse
import time
from collections.abc import Iterator, Sequence
from typing import Any
from urllib.parse import quote

from openmanager.catalog import METRIC, METRICS
from openmanager.cli.exits import PARTLY

from infra.command.alerts import show_alerts
from infra.command.client import Answered, command, commands
from infra.command.client import main as run
from infra.command.screen import (
    OF_STATUS,
    Painted,
    Screen,
    duration,
    moment,
    number,
    percent,
    sparkline,
    status,
)
from infra.transfer.api import Api, Busy

STATUSES = tuple(OF_STATUS)
_WORST = 10
# Grace is ten minutes at most (openmanager/settings.py), and a round may miss some minutes.
_ROUND_LATE_S = 900
_SHOWN = ("cpu_utilization", "memory_used_effective", "filesystem_utilization", "load_5m")


def arguments() -> argparse.ArgumentParser:
    """The parser of the three."""
    return commands(_add_status, _add_servers, _add_server)


def main(argv: Sequence[str] | None = None) -> int:
    """The exit code."""
    return run(arguments(), argv)


def _add_status(among: Any) -> None:
    made = command(
        among,
        "status",
        _status,
        "The fleet at a glance. Counts by status, the servers that need people, open alerts, and how OpenManager\n"
        "itself is: its store, its models, the last round and the last push.",
        ("status", "status --check || echo look", "status --json | jq '.fleet.servers | length'"),
        PARTLY,
    )
    made.add_argument(
        "--check", action="store_true", help=f"exit with {PARTLY} where a server is critical or offline, or we are ill"
    )


def _add_servers(among: Any) -> None:
    made = command(
        among,
        "servers",
        _servers,
        "Every server with its newest values and its verdict, worst first.",
        ("servers", "servers --status critical", "servers --json | jq -r '.servers[].id'"),
    )
    made.add_argument("--status", choices=STATUSES, help="only these")


def _add_server(among: Any) -> None:
    made = command(
        among,
        "server",
        _server,
        "One server. Its values, what is predicted of it, and its open alerts.",
        ("server web-01", "server web-01 --json | jq .server.verdict.risk"),
    )
    made.add_argument("server", metavar="SERVER", help="its id")


def _status(api: Api, chosen: argparse.Namespace) -> Answered:
    health = api.ask("GET", "/api/health", accept=(503,))
    if health.get("status") != "ok":
        raise Busy(f"{api.url} runs, and says that it is {health.get('status')}: {_stores(health)}")
    fleet = api.ask("GET", "/api/stream/snapshot", query={"topics": "predictions,alerts,models"})
    newest = _newest_verdict(api, fleet)
    late = newest is not None and time.time() - newest["minute"] > _ROUND_LATE_S
    if chosen.check and (late or _ill(fleet) or any(_state(s) in ("critical", "offline") for s in fleet["servers"])):
        chosen.found = PARTLY

    def show(to: Screen) -> None:
        counts = {name: sum(_state(s) == name for s in fleet["servers"]) for name in STATUSES}
        told = ", ".join(f"{count} {name}" for name, count in counts.items() if count)
        to.line(f"{len(fleet['servers'])} servers" + (f": {told}" if told else " have reported yet"))
        _show_worst(to, fleet["servers"])
        to.line()
        show_alerts(to, fleet["alerts"])
        to.line()
        to.pairs([*_ourselves(to, health, fleet), ("rounds", _rounds(to, newest, late))])

    return {"health": health, "fleet": fleet, "newest_verdict": newest}, show


def _newest_verdict(api: Api, fleet: dict[str, Any]) -> dict[str, Any] | None:
    """The whole verdict on the server that was seen last: it says of which minute the last round was."""
    judged = [s for s in fleet["servers"] if s["said"]]
    if not judged:
        return None
    server = max(judged, key=lambda s: s["seen"])["id"]
    found: dict[str, Any] = api.ask("GET", f"/api/servers/{quote(server, safe='')}/prediction")
    return found


def _rounds(to: Screen, newest: dict[str, Any] | None, late: bool) -> str:
    if newest is None:
        return "none has judged a server yet"
    return Painted(f"the last was of {to.ago(newest['minute'])} ago", "red" if late else "green")


def _state(server: dict[str, Any]) -> str:
    return server["said"]["status"] if server["said"] else "unknown"


def _show_worst(to: Screen, servers: list[dict[str, Any]]) -> None:
    rank = {name: i for i, name in enumerate(STATUSES)}
    bad = [s for s in servers if _state(s) in ("critical", "offline", "warning")]
    bad.sort(key=lambda s: (rank[_state(s)], -((s["said"] or {}).get("risk") or 0), s["id"]))
    if not bad:
        return
    to.line()
    rows = [
        (
            s["id"],
            status(_state(s)),
            percent(_thousandths(s["said"].get("risk"))),
            sparkline(s["recent"], 20, low=0, high=100),
            to.ago(s["seen"]),
        )
        for s in bad[:_WORST]
    ]
    to.table(("server", "status", "risk", "cpu lately", "seen"), rows, right=("risk", "seen"))
    if len(bad) > _WORST:
        to.line(f"and {len(bad) - _WORST} more: openmanager servers")


def _thousandths(value: int | None) -> float | None:
    return None if value is None else value / 1000


def _stores(health: dict[str, Any]) -> str:
    return ", ".join(f"{name} {state}" for name, state in health.get("stores", {}).items()) or "of no store"


def _ill(fleet: dict[str, Any]) -> bool:
    return any(model["state"] != "ready" for model in fleet["models"].values())


def _ourselves(to: Screen, health: dict[str, Any], fleet: dict[str, Any]) -> Iterator[tuple[str, str]]:
    yield "installation", f"{fleet['stage']}, version {fleet['version']}"
    yield "stores", _stores(health)
    models = [f"{name} {model['state']}" for name, model in sorted(fleet["models"].items())]
    yield "models", Painted(", ".join(models) or "none has run yet", "red" if _ill(fleet) else "green")
    seen = max((s["seen"] for s in fleet["servers"]), default=0)
    late = sum(to.now - s["seen"] > (s["said"] or {}).get("allowed_s", 180) for s in fleet["servers"])
    yield "pushes", f"the last {to.ago(seen)} ago" + (f", {late} servers are late" if late else "") if seen else "none"


def _servers(api: Api, chosen: argparse.Namespace) -> Answered:
    query = {"status": chosen.status} if chosen.status else {}
    answer = api.ask("GET", "/api/servers", query=query)

    def show(to: Screen) -> None:
        if not answer["servers"]:
            to.line(f"no server is {chosen.status}" if chosen.status else "no server has reported yet")
            return
        titles = ("server", "role", "status", "cpu", "memory", "disk", "load", "failure", "confidence", "seen")
        to.table(titles, [_row(to, server) for server in answer["servers"]], right=titles[3:])

    return answer, show


def _row(to: Screen, server: dict[str, Any]) -> tuple[str, ...]:
    values = [number(server["metrics"].get(key), METRIC[key].unit) for key in _SHOWN]
    failure = (server.get("failure") or {}).get("probability")
    ends = (percent(failure), percent(server.get("confidence")), to.ago(server["seen"]))
    return (server["id"], server.get("role", "-"), status(server["status"]), *values, *ends)


def _server(api: Api, chosen: argparse.Namespace) -> Answered:
    server = api.ask("GET", f"/api/servers/{quote(chosen.server, safe='')}")
    found = api.ask("GET", "/api/alerts", query={"server": chosen.server})

    def show(to: Screen) -> None:
        to.pairs(list(_about(to, server)))
        to.line()
        known = [m for m in METRICS if server["metrics"].get(m.key) is not None]
        rows = [(m.key, number(server["metrics"][m.key], m.unit), m.description) for m in known]
        to.table(("metric", "value", "what it is"), rows, right=("value",))
        to.line()
        show_alerts(to, found["alerts"])

    return {"server": server, **found}, show


def _about(to: Screen, server: dict[str, Any]) -> Iterator[tuple[str, str]]:
    yield "server", server["id"]
    for name in ("hostname", "role", "environment"):
        if server.get(name):
            yield name, server[name]
    if server["labels"]:
        yield "labels", ", ".join(f"{name}={value}" for name, value in sorted(server["labels"].items()))
    yield "status", status(server["status"])
    yield "seen", f"{moment(server['seen'])}, {to.ago(server['seen'])} ago"
    if verdict := server.get("verdict"):
        yield from of_verdict(to, verdict)


def of_verdict(to: Screen, verdict: dict[str, Any]) -> Iterator[tuple[str, str]]:
    """What a verdict says, in lines for people."""
    yield "judged", f"{moment(verdict['minute'])}, {to.ago(verdict['minute'])} ago"
    if verdict.get("reasons"):
        yield "because", "; ".join(map(_reason, verdict["reasons"]))
    if risk := verdict.get("risk"):
        parts = ", ".join(f"{name} {percent(value)}" for name, value in risk.get("parts", {}).items())
        yield "risk", f"{percent(risk['probability'])} in the next half hour" + (f" ({parts})" if parts else "")
    if anomaly := verdict.get("anomaly"):
        much = ", ".join(f"{key} {percent(share)}" for key, share in anomaly.get("contributions", {}).items())
        said = f"{anomaly['score']:.3g} against {anomaly['threshold']:.3g}"
        yield "anomaly", Painted(f"{said}: {much}", "yellow") if anomaly["anomalous"] else said
    for metric, one in (verdict.get("exhaustion") or {}).items():
        yield metric, exhaustion(one)
    yield "confidence", percent(verdict.get("confidence"))
    if missing := verdict.get("missing"):
        yield "missing", "; ".join(f"{name.replace('_', ' ')}: {_listed(value)}" for name, value in missing.items())


def _reason(reason: Any) -> str:
    """A reason as the round writes it: what it is about, and figures."""
    if not isinstance(reason, dict):
        return str(reason)
    return ", ".join(f"{name.replace('_', ' ')} {_listed(value)}" for name, value in reason.items())


def _listed(value: Any) -> str:
    return " ".join(map(str, value)) if isinstance(value, list) else str(value)


def exhaustion(one: dict[str, Any]) -> str:
    """When a metric reaches its limit, in words."""
    words = str(one["outcome"]).replace("_", " ")
    if one["outcome"] != "crosses":
        return words
    latest = one.get("latest_s")
    until = "maybe never" if latest is None else duration(latest)
    unproven = "" if one.get("skilled") else ", by a forecast that is not proven here"
    return f"reaches its limit in {duration(one['earliest_s'])} at the earliest, {until} at the latest{unproven}"
