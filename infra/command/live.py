"""`follow`: the live feed as it comes. It goes on by itself after the last event, however the line breaks."""

import argparse
import json
import os
import sys
import urllib.error
import urllib.parse
from collections import Counter
from collections.abc import Iterator, Sequence
from typing import Any

from openmanager.cli.exits import DONE, INTERRUPTED

from infra.clients.follow import follow
from infra.command.alerts import unit
from infra.command.client import command, commands
from infra.command.main import CHECKOUT
from infra.command.screen import Screen, moment, number, percent, plain, screen, status, write_json
from infra.transfer.api import Api, Failed, NotAllowed, named, unsaid

TOPICS = ("metrics", "predictions", "alerts", "models")


def arguments() -> argparse.ArgumentParser:
    """The parser."""
    return commands(_add_follow)


def _add_follow(among: Any) -> None:
    made = command(
        among,
        "follow",
        None,
        "The live feed: alerts and verdicts as they come, until Ctrl-C. It resumes by itself. While it runs, senders\n"
        "are asked to push more often. --json prints a line of JSON an event, as in\n"
        "infra/clients/README.md.",
        ("follow", "follow --topics alerts --servers 'web-*'", "follow --json | jq -c 'select(.event == \"alert\")'"),
        INTERRUPTED,
    )
    made.add_argument(
        "--topics", default="predictions,alerts", help=f"some of {', '.join(TOPICS)}, comma-separated (%(default)s)"
    )
    made.add_argument("--servers", default="", metavar="SERVERS", help="ids or prefixes such as web-*, comma-separated")
    made.add_argument("--after", default="", metavar="ID", help="go on after this event")
    made.add_argument("--quiet", action="store_true", help="say nothing of lines that break")


def main(argv: Sequence[str] | None = None) -> int:
    """The exit code."""
    chosen = arguments().parse_args(argv)
    last = chosen.after
    try:
        to = screen()
        for event, last, data in _events(chosen):
            if chosen.json:
                write_json({"event": event, "id": last, "data": data})
            else:
                for line in _lines(to, event, data):
                    to.line(line)
            sys.stdout.flush()
    except Failed as fault:
        sys.stderr.write(f"follow: {plain(str(fault))}\n")
        return fault.exit_code
    except KeyboardInterrupt:
        hint = f"; --after {last} goes on from here" if last else ""
        sys.stderr.write("" if chosen.quiet else f"\nfollow: interrupted{hint}\n")
        return INTERRUPTED
    return DONE


def _events(chosen: argparse.Namespace) -> Iterator[tuple[str, str, dict[str, Any]]]:
    """The feed. Raises Failed."""
    url, token = named(chosen, os.environ, CHECKOUT)
    url = url.rstrip("/")
    # A line that breaks is tried again for ever, but an address at which nothing ever was is a mistake:
    Api(url, token, unsaid).ask("GET", "/api/health", accept=(503,))
    query = {"topics": chosen.topics} | ({"servers": chosen.servers} if chosen.servers else {})

    def broke(why: Exception) -> None:
        if not chosen.quiet:
            sys.stderr.write(f"follow: the line broke ({plain(str(why))}); going on\n")

    try:
        yield from follow(url, token, "?" + urllib.parse.urlencode(query), chosen.after, broke)
    except urllib.error.HTTPError as refusal:
        raise _refused(url, refusal) from None


def _refused(url: str, refusal: urllib.error.HTTPError) -> Failed:
    with refusal:
        try:
            detail = json.load(refusal)["detail"]
        except (OSError, ValueError, LookupError, TypeError):
            detail = refusal.reason
    kind = NotAllowed if refusal.code in (401, 403) else Failed
    return kind(f"{url} answered {refusal.code}: {detail}")


def _lines(to: Screen, event: str, data: dict[str, Any]) -> Iterator[str]:
    """An event for people; `metrics` in short, `bye` not at all: the next line follows."""
    if event == "snapshot":
        yield from _snapshot(data)
    elif event == "prediction":
        for server, said in sorted(data["servers"].items()):
            yield f"{moment(data['minute'])}  verdict  {_verdict(server, said)}"
    elif event == "alert":
        for one in data["transitions"]:
            alert = one["alert"]
            told = f", people are told: {one['notice']}" if one["notice"] else ""
            value = f"{number(alert['value'], unit(alert))} (limit {number(alert['limit'], unit(alert))})"
            name = f"{alert['server']}/{alert['rule']}"
            yield f"{moment(one['at'])}  alert    {name} {one['what']}, {alert['severity']}, {value}{told}"
    elif event == "metrics":
        yield f"{moment(data['time'])}  metrics  of {len(data['servers'])} servers"
    elif event == "model":
        states = ", ".join(f"{name} {model['state']}" for name, model in sorted(data["models"].items()))
        yield f"{moment(to.now)}  models   {states}"


def _snapshot(data: dict[str, Any]) -> Iterator[str]:
    if data["gap"]:
        yield f"{moment(data['time'])}  gap      what came in between is no longer held"
    counts = Counter(s["said"]["status"] if s["said"] else "unknown" for s in data["servers"])
    told = ", ".join(f"{count} {name}" for name, count in sorted(counts.items()))
    yield f"{moment(data['time'])}  fleet    {len(data['servers'])} servers: {told}; {len(data['alerts'])} alerts open"


def _verdict(server: str, said: dict[str, Any]) -> str:
    risk = percent(None if said["risk"] is None else said["risk"] / 1000)
    return f"{server} {status(said['status'])}, risk {risk}" + (", anomalous" if said["anomalous"] else "")
