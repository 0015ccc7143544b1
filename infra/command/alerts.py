"""`alerts`, `incidents`, `report`, `ack`, `silence`, `silences`: what is wrong, and who is told."""

import argparse
from collections.abc import Iterator, Sequence
from typing import Any
from urllib.parse import quote

from openmanager.catalog import METRIC

from infra.command.client import Answered, add_language, add_span, command, commands, instant, language, seconds, span
from infra.command.client import main as run
from infra.command.screen import Painted, Screen, moment, number, plain, status
from infra.transfer.api import Api, Failed

_OF_STATE = {"firing": "red", "nodata": "yellow", "recovering": "green", "acknowledged": "blue", "pending": "grey"}


def arguments() -> argparse.ArgumentParser:
    """The parser of them all."""
    return commands(_add_alerts, _add_incidents, _add_report, _add_ack, _add_silence, _add_silences)


def main(argv: Sequence[str] | None = None) -> int:
    """The exit code."""
    return run(arguments(), argv)


def _add_alerts(among: Any) -> None:
    made = command(
        among,
        "alerts",
        _alerts,
        "Open alerts, what needs people first. With --all what happened to alerts in a span of time, newest first.",
        ("alerts", "alerts --server web-01", "alerts --all --from 7d"),
    )
    which = made.add_mutually_exclusive_group()
    which.add_argument("--open", action="store_true", help="those that are open (this is what is shown anyway)")
    which.add_argument("--all", action="store_true", help="the history, ended ones too")
    made.add_argument("--server", metavar="SERVER", help="only this server's")
    made.add_argument("--rule", metavar="RULE", help="only this rule's; with --all")
    add_span(made, "with --all: a week before --to")


def _add_incidents(among: Any) -> None:
    command(
        among,
        "incidents",
        _incidents,
        "Open incidents: alerts of one server, or of roles that need each other, within half an hour.",
        ("incidents", "incidents --json | jq '.incidents[].root'"),
    )


def _add_report(among: Any) -> None:
    made = command(
        among,
        "report",
        _report,
        "What happened in an incident, as Markdown, and what of it is not in the data.",
        ("report 'web-01|29931454'", "report 'web-01|29931454' --language ko > report.md"),
    )
    made.add_argument("incident", metavar="INCIDENT", help="its id, as `incidents` lists it")
    add_language(made)


def _add_ack(among: Any) -> None:
    made = command(
        among,
        "ack",
        _ack,
        "Take care of an alert. Nobody is reminded of it any more unless it worsens.",
        ("ack web-01/cpu --note 'on it'", "ack web-01/cpu --undo"),
    )
    made.add_argument("alert", metavar="ALERT", type=_alert, help="SERVER/RULE, as `alerts` lists it, or an alert's id")
    made.add_argument("--note", default="", metavar="TEXT", help="what others are to know")
    made.add_argument("--undo", action="store_true", help="give it back to everybody")


def _add_silence(among: Any) -> None:
    made = command(
        among,
        "silence",
        _silence,
        "Tell nobody for a while of what some servers, roles and rules say. Alerts go on, and are told when it ends;\n"
        "it ends by itself, after 30 days at the latest.",
        (
            "silence --for 1h --server web-01 --reason deployment",
            "silence --until 2027-01-01T06:00Z --role web --rule cpu",
            "silence --end 1a3918313399",
        ),
    )
    end = made.add_mutually_exclusive_group(required=True)
    end.add_argument("--for", dest="for_s", type=seconds, metavar="LENGTH", help="how long: 30m, 2h, 1d")
    end.add_argument("--until", dest="until_s", type=instant, metavar="TIME", help="until when: ISO 8601")
    end.add_argument("--end", metavar="SILENCE", help="end this one now")
    for name, metavar in (("server", "SERVER"), ("role", "ROLE"), ("rule", "RULE")):
        made.add_argument(
            f"--{name}", dest=f"{name}s", action="append", default=[], metavar=metavar, help="of this; repeatable"
        )
    made.add_argument("--all", action="store_true", help="of everything; else one of the three above must be named")
    made.add_argument("--reason", default="", metavar="TEXT", help="why, for those who wonder")


def _add_silences(among: Any) -> None:
    command(among, "silences", _silences, "Silences that have not ended.", ("silences",))


def _alert(text: str) -> tuple[str, str]:
    """(server, rule) from SERVER/RULE or SERVER|RULE|SINCE."""
    server, rule, *_ = [*text.replace("|", "/").split("/"), "", ""]
    if not server or not rule:
        raise argparse.ArgumentTypeError(f"{text!r} is no alert such as web-01/cpu")
    return server, rule


def _alerts(api: Api, chosen: argparse.Namespace) -> Answered:
    asked = {name: getattr(chosen, name) for name in ("server", "rule") if getattr(chosen, name)}
    if not chosen.all:
        if chosen.rule or span(chosen):
            raise Failed("--rule, --from and --to choose from the history: add --all")
        answer = api.ask("GET", "/api/alerts", query=asked)
        return answer, lambda to: show_alerts(to, answer["alerts"])
    history = _whole_history(api, asked | span(chosen))
    return history, lambda to: _show_history(to, history["events"])


def _whole_history(api: Api, query: dict[str, str]) -> dict[str, Any]:
    """All pages as one."""
    events: list[dict[str, Any]] = []
    page: dict[str, Any] = {"next": ""}
    while page["next"] is not None:
        page = api.ask("GET", "/api/alerts/history", query=query | ({"cursor": page["next"]} if page["next"] else {}))
        events += page["events"]
    return {"events": events, "next": None}


def show_alerts(to: Screen, alerts: list[dict[str, Any]]) -> None:
    """Open alerts as a table."""
    if not alerts:
        to.line(Painted("no alert is open", "green"))
        return
    rows = [
        (
            f"{a['server']}/{a['rule']}",
            status(a["severity"]),
            Painted(a["state"], _OF_STATE.get(a["state"], "grey")),
            number(a["value"], unit(a)),
            number(a["limit"], unit(a)),
            to.ago(a["since"]),
            _remark(a),
        )
        for a in alerts
    ]
    titles = ("alert", "severity", "state", "value", "limit", "for", "remark")
    to.table(titles, rows, right=("value", "limit", "for"))


def unit(alert: dict[str, Any]) -> str:
    """What an alert's value and limit are in, by its facts (openmanager/alerts/conditions.py)."""
    facts = alert["facts"]
    if "silent_s" in facts:
        return "s"
    if "outcome" in facts:
        return "h"
    return METRIC[facts["metric"]].unit if facts.get("metric") in METRIC else ""


def _remark(alert: dict[str, Any]) -> str:
    parts = [f"suppressed: {alert['suppressed']}"] if alert["suppressed"] else []
    # Neither is shown to viewers.
    if alert.get("by"):
        parts.append(f"{alert['by']}: {alert['note']}" if alert.get("note") else alert["by"])
    return "; ".join(parts)


def _show_history(to: Screen, events: list[dict[str, Any]]) -> None:
    if not events:
        to.line("nothing happened to any alert in this span")
        return
    rows = [
        (
            moment(e["at"]),
            f"{e['alert']['server']}/{e['alert']['rule']}",
            status(e["alert"]["severity"]),
            e["what"],
            e["notice"] or "-",
            number(e["alert"]["value"], unit(e["alert"])),
        )
        for e in events
    ]
    to.table(("time", "alert", "severity", "what", "told", "value"), rows, right=("value",))


def _incidents(api: Api, _: argparse.Namespace) -> Answered:
    answer = api.ask("GET", "/api/incidents")

    def show(to: Screen) -> None:
        if not answer["incidents"]:
            to.line(Painted("no incident is open", "green"))
            return
        rows = [
            (
                i["id"],
                status(i["severity"]),
                f"{i['root']['server']}/{i['root']['rule']}",
                str(len(i["alerts"])),
                to.ago(i["began"]),
                ", ".join(i["servers"]),
            )
            for i in answer["incidents"]
        ]
        titles = ("incident", "severity", "root", "alerts", "for", "servers")
        to.table(titles, rows, right=("alerts", "for"))

    return answer, show


def _report(api: Api, chosen: argparse.Namespace) -> Answered:
    path = f"/api/incidents/{quote(chosen.incident, safe='')}/report"
    query = {"language": language(chosen) or "en"}
    if chosen.json:
        return api.ask("GET", path, query=query | {"format": "json"}), lambda _: None
    text = api.text("GET", path, query=query | {"format": "markdown"})
    return None, lambda to: _show_lines(to, text)


def _show_lines(to: Screen, text: str) -> None:
    for line in text.splitlines():
        to.line(line)


def _ack(api: Api, chosen: argparse.Namespace) -> Answered:
    server, rule = (quote(part, safe="") for part in chosen.alert)
    path = f"/api/alerts/{server}/{rule}/acknowledge"
    if chosen.undo:
        answer = api.ask("DELETE", path)
    else:
        answer = api.ask("POST", path, {"note": chosen.note} if chosen.note else {})
    name = "/".join(chosen.alert)
    return answer, lambda to: to.line(f"{name} is {plain(answer['state'])}" + (" again" if chosen.undo else ""))


def _silence(api: Api, chosen: argparse.Namespace) -> Answered:
    if chosen.end:
        answer = api.ask("DELETE", f"/api/silences/{quote(chosen.end, safe='')}")
        return answer, lambda to: to.line(f"silence {chosen.end} has ended")
    body: dict[str, Any] = {name: getattr(chosen, name) for name in ("servers", "roles", "rules")}
    if not any(body.values()) and not chosen.all:
        raise Failed("silence what? name --server, --role or --rule, or everything with --all")
    if chosen.for_s is not None:
        body["minutes"] = -(-chosen.for_s // 60)
    else:
        body["end"] = int(chosen.until_s)
    made = api.ask("POST", "/api/silences", body | {"reason": chosen.reason})

    def show(to: Screen) -> None:
        to.line(f"nobody is told of {_covered(made)} until {moment(made['end'])}")
        to.line(f"to end it before: openmanager silence --end {made['id']}")

    return made, show


def _covered(silence: dict[str, Any]) -> str:
    return ", ".join(_kinds(silence)) or "anything"


def _kinds(silence: dict[str, Any]) -> Iterator[str]:
    for name in ("servers", "roles", "rules"):
        if silence[name]:
            yield f"{name} {' '.join(silence[name])}"


def _silences(api: Api, _: argparse.Namespace) -> Answered:
    answer = api.ask("GET", "/api/silences")

    def show(to: Screen) -> None:
        if not answer["silences"]:
            to.line("no silence is set")
            return
        rows = [(s["id"], moment(s["end"]), s["by"], _covered(s), s["reason"]) for s in answer["silences"]]
        to.table(("silence", "until", "by", "of", "reason"), rows)

    return answer, show
