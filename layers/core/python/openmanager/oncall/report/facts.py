"""What the stores have of an incident, read once each."""

import json
from collections.abc import Collection, Iterator, Mapping
from typing import Any

from openmanager import charts
from openmanager.errors import InvalidInput, NotFound
from openmanager.notify.entries import read_entry, shown
from openmanager.oncall import alerts
from openmanager.oncall import settings as desk
from openmanager.oncall.report.compose import AHEAD_S, NEAR_S, Facts, compose, span, watched
from openmanager.security import fields
from openmanager.settings import settings
from openmanager.stores import ledger, notifications, outbox
from openmanager.stores.latest import read_latest

# The oldest outcomes that the archive has not moved yet; it does every five minutes.
_UNMOVED = 2_000


def report(identity: str, now_ms: int, hidden: Collection[str] = ()) -> dict[str, Any]:
    """An incident's report, without the fields that are hidden from who asks. Raises NotFound, StoreUnavailable."""
    incident = alerts.incident(identity)
    fleet = _fleet()
    minutes = [fleet[s]["minute"] for s in incident["servers"] if s in fleet and fleet[s]["minute"] is not None]
    now = max(minutes, default=None)
    start, stop = span(incident, now)
    servers: list[str] = incident["servers"]
    attempts, waiting = _notices({a["id"]: (a["server"], a["rule"]) for a in _known(incident)}, start)
    facts = Facts(
        incident=incident,
        fleet=fleet,
        graph={role: tuple(needs) for role, needs in desk.dependencies().items()},
        now=now,
        incidents=[i for s in servers for i in ledger.incidents(start - AHEAD_S, stop + NEAR_S, s)],
        charts={server: _charts(server, names, start, stop, now_ms) for server, names in watched(incident).items()},
        attempts=attempts,
        waiting=waiting,
    )
    seen: dict[str, Any] = fields.without(compose(facts), hidden)
    return seen


def _known(incident: Mapping[str, Any]) -> Iterator[Mapping[str, Any]]:
    yield from incident["alerts"]
    yield from (event["alert"] for event in incident["events"])


def _fleet() -> dict[str, dict[str, Any]]:
    """Server -> its role, and status and minute of its last verdict."""
    found = {}
    for shard in range(settings().shards):
        for server, left in read_latest(shard).items():
            verdict = left["verdict"] or {}
            role = left["attributes"].get("role", "")
            found[server] = {"role": role, "status": verdict.get("status"), "minute": verdict.get("minute")}
    return found


def _charts(server: str, metrics: list[str], start: float, stop: float, now_ms: int) -> dict[str, Any] | None:
    window = charts.Range.of(start, stop, None)
    try:
        return {stat: charts.metrics(server, window, now_ms, stat, metrics) for stat in ("min", "mean", "max")}
    except NotFound:
        return None


def _notices(alerts_: Mapping[str, tuple[str, str]], start: float) -> tuple[list[dict[str, Any]], list[dict[str, Any]]]:
    """(attempts to tell of these alerts, what still waits), by alert -> (server, rule)."""

    def about(notice: str, server: str, rule: str) -> bool:
        # Its name is the alert's, then what was told; as names may hold the sign between them, its words count, too.
        alert = notice.rsplit("|", 2)[0]
        return alerts_.get(alert) == (server, rule)

    stored = notifications.outcomes_of(sorted(alerts_), start)
    moving = [json.loads(text) for _, text in outbox.outcomes(_UNMOVED)]
    attempts = {
        (a["key"], a["at_ms"]): a
        for a in (*stored, *moving)
        if "notice" in a and about(a["notice"], a["server"], a["rule"])
    }
    waiting = []
    for key, text in outbox.waiting_and_failed()[0].items():
        try:
            entry = read_entry(key, text)
        except InvalidInput:
            # The delivery sets it aside, and says so.
            continue
        notice = entry.notice
        if about(notice.id, notice.server, notice.rule):
            waiting.append(shown(entry)["notice"] | {
                "target": entry.target, "tries": entry.tries, "outcome": "waiting", "status": entry.status,
            })  # fmt: skip
    return list(attempts.values()), waiting
