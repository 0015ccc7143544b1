"""An incident's report as JSON, from its facts. Pure: what is not in the facts is named in `not_in_the_data`.

Every section says where its rows come from (`source`) and of which span of time they are (`window`, s since 1970):

    history   transitions of alerts, in Postgres; what it has not got yet, from the open alerts in Redis (`book`)
    fleet     the last verdicts on the servers, and the graph of roles
    ledger    settled predictions and incidents
    samples   metrics as the charts show them
    notices   attempts to notify, in Postgres and Redis, and what still waits
"""

from collections.abc import Mapping, Sequence
from dataclasses import field
from typing import Any

from openmanager.alerts import incidents
from openmanager.catalog import METRIC
from openmanager.values import frozen

# Before an incident, for what led to it.
BEFORE_S = 1800
# A ledger's incident began when minutes were bad, an alert after its rule's patience: they are of the same trouble if
# they overlap, or lie no further apart than alerts of one incident do.
NEAR_S = incidents.TOGETHER_MIN * 60
# How far ahead the farthest-sighted warnings look (ledger.track.HORIZON_MIN), and a little for their episodes' length.
AHEAD_S = 2 * 86_400
MOST_SERVERS = 8
_MOST_METRICS = 6
_MOST_ROWS = 400
_MOST_NAMES = 50
_TELLING = ("cpu_utilization", "memory_used_effective", "filesystem_utilization", "load_5m")
_RANK = ("warning", "critical")
# What of an alert's life the open alerts tell, in the order in which it comes.
_LIVED = (("pending", "since"), ("firing", "fired"), ("acknowledged", "acknowledged"))

Row = dict[str, Any]


@frozen
class Facts:
    """What the stores have of an incident: itself as the API shows it, the fleet, the ledger, charts, notices.

    `now` is up to when the fleet was judged (s), None if that is not known. `charts` are by server: the same span's
    least, mean and greatest values, None for a server without samples.
    """

    incident: Mapping[str, Any]
    fleet: Mapping[str, Mapping[str, Any]] = field(default_factory=dict)
    graph: incidents.Graph = field(default_factory=dict)
    now: float | None = None
    incidents: Sequence[Mapping[str, Any]] = ()
    charts: Mapping[str, Mapping[str, Any] | None] = field(default_factory=dict)
    attempts: Sequence[Mapping[str, Any]] = ()
    waiting: Sequence[Mapping[str, Any]] = ()


def span(incident: Mapping[str, Any], now: float | None) -> tuple[float, float]:
    """The time a report is of: from half an hour before the first condition to the end, or to what is known."""
    events, members = incident["events"], incident["alerts"]
    start = min(a["since"] for a in [*members, *(e["alert"] for e in events)])
    last = max([e["at"] for e in events] + [a["changed"] for a in members])
    stop = max(last, now or 0) if incident["open"] else last
    return start - BEFORE_S, stop + 60


def watched(incident: Mapping[str, Any]) -> dict[str, list[str]]:
    """Server -> the metrics that tell most of what happened there, the root's first; of so many servers only."""
    found: dict[str, list[str]] = {incident["root"]["server"]: []}
    for alert in _lives(incident):
        kind, facts = _kind(alert["facts"]), alert["facts"]
        about = found.setdefault(alert["server"], [])
        if kind in ("threshold", "exhaustion"):
            about.append(facts["metric"])
        elif kind == "anomaly":
            shares = facts.get("contributions") or {}
            about += sorted(shares, key=lambda m: (-shares[m], m))[:3]
    return {
        server: [m for m in dict.fromkeys([*about, *_TELLING]) if m in METRIC][:_MOST_METRICS]
        for server, about in list(found.items())[:MOST_SERVERS]
    }


def compose(facts: Facts) -> Row:
    """The report."""
    incident = facts.incident
    start, stop = span(incident, facts.now)
    window = {"from": start, "to": stop}
    lives = _lives(incident)
    timeline = _timeline(incident, {life["id"]: life["facts"] for life in lives})
    ended = None if incident["open"] else max(e["at"] for e in incident["events"])
    metrics = _metrics(facts, lives)
    announced, settled = _announced(facts, lives, window)
    notices = _notices(facts)
    # Who could not be told at once was told later.
    told_to = max([stop, *(row["at"] + 1 for row in notices)])
    sections: dict[str, Row] = {
        "timeline": {"source": "history", "window": window, "rows": _bounded(timeline)},
        "servers": {"source": "fleet", "window": _judged(facts), "rows": _servers(facts)},
        "announced": {"source": "ledger", "window": {"from": start - AHEAD_S, "to": stop}, "rows": announced},
        "acknowledged": {
            "source": "history", "window": window, "rows": [r for r in timeline if r["what"] == "acknowledged"],
        },
        "metrics": {"source": "samples", "window": window, "rows": metrics},
        "resolution": {"source": "history", "window": window, "rows": [_ended(life) for life in lives]},
        "notifications": {"source": "notices", "window": window | {"to": told_to}, "rows": _bounded(notices)},
    }  # fmt: skip
    return {
        "id": incident["id"],
        "open": incident["open"],
        "severity": max((life["worst"] for life in lives), key=_RANK.index),
        "root": incident["root"],
        "began": incident["began"],
        "ended": ended,
        "lasted_s": (ended or stop) - incident["began"],
        "window": window,
        **sections,
        "not_in_the_data": _unknown(facts, lives, sections, len(timeline), settled),
    }


def _kind(facts: Mapping[str, Any]) -> str:
    """What an alert's rule watches, by the facts that its condition left (alerts.conditions); "" where it left none.

    The rules themselves may have changed since.
    """
    marks = {"outcome": "exhaustion", "metric": "threshold", "silent_s": "offline", "horizon_minutes": "failure"}
    marks |= {"contributions": "anomaly", "p_value": "anomaly", "skills": "quality"}
    marks |= {"stage": "age", "waited_s": "rounds", "silent_servers": "arrivals"}
    return next((kind for mark, kind in marks.items() if mark in facts), "")


def _lives(incident: Mapping[str, Any]) -> list[Row]:
    """Each alert's life: as it fired, how it stands, and what of it happened; the earliest first."""
    events: dict[str, list[Mapping[str, Any]]] = {}
    for event in incident["events"]:
        events.setdefault(event["alert"]["id"], []).append(event)
    standing = {a["id"]: a for a in incident["alerts"]}
    lives = []
    for identity in dict.fromkeys([*events, *standing]):
        own = events.get(identity, [])
        last = standing.get(identity) or own[-1]["alert"]
        open_ = identity in standing and not (own and own[-1]["what"] in ("resolved", "cleared"))
        fired = next((e["alert"] for e in own if e["what"] == "firing"), last)
        # The last transition of an alert that was taken away says why, and nothing else.
        known = next((e["alert"] for e in own[::-1] if _kind(e["alert"]["facts"])), fired)
        about = fired if _kind(fired["facts"]) else known
        lives.append({
            "id": identity, "server": last["server"], "rule": last["rule"], "events": own, "last": last,
            "open": open_ and incident["open"], "fired": last["fired"],
            # An alert that has not fired has no worst yet.
            "worst": max(last["worst"], last["severity"], key=_RANK.index),
            "facts": about["facts"],
        })  # fmt: skip
    return sorted(lives, key=lambda life: (life["fired"] or life["last"]["since"], life["server"], life["rule"]))


def _timeline(incident: Mapping[str, Any], facts: Mapping[str, Mapping[str, Any]]) -> list[Row]:
    """What happened, oldest first; `facts` say by alert what it watches, which its last transition may not."""
    rows = [
        _event(e["at"], e["what"], e["alert"], facts)
        | {"value": e["alert"]["value"], "limit": e["alert"]["limit"], "told": e["notice"] or None, "source": "history"}
        for e in incident["events"]
    ]
    had = {(e["alert"]["id"], e["what"]) for e in incident["events"]}
    for alert in incident["alerts"] if incident["open"] else ():
        # The history is written every few minutes. Until then there are times, and no value as it was at them.
        rows += [
            _event(alert[when], what, alert, facts) | {"value": None, "limit": None, "told": None, "source": "book"}
            for what, when in _LIVED
            if alert[when] and (alert["id"], what) not in had
        ]
    return sorted(rows, key=lambda r: (r["at"], r["server"], r["rule"]))


def _event(at: float, what: str, alert: Mapping[str, Any], facts: Mapping[str, Mapping[str, Any]]) -> Row:
    about = facts[alert["id"]]
    row = {
        "at": at, "server": alert["server"], "rule": alert["rule"], "what": what, "severity": alert["severity"],
        "kind": _kind(about), "metric": about.get("metric"),
    }  # fmt: skip
    if alert["suppressed"]:
        row["suppressed"] = alert["suppressed"]
    return row | ({"by": alert["by"], "note": alert["note"]} if what == "acknowledged" else {})


def _bounded(rows: list[Row]) -> list[Row]:
    """The first and the last of very many."""
    half = _MOST_ROWS // 2
    return rows if len(rows) <= _MOST_ROWS else rows[:half] + rows[-half:]


def _judged(facts: Facts) -> Row | None:
    minutes = [facts.fleet[s]["minute"] for s in facts.incident["servers"] if s in facts.fleet]
    minutes = [m for m in minutes if m is not None]
    return {"from": min(minutes), "to": max(minutes) + 60} if minutes else None


def _servers(facts: Facts) -> list[Row]:
    return [
        {
            "server": server,
            "role": facts.fleet.get(server, {}).get("role") or None,
            "status": facts.fleet.get(server, {}).get("status"),
            **_neighbours(facts, server),
        }
        for server in facts.incident["servers"]
    ]


def _neighbours(facts: Facts, server: str) -> Row:
    role = facts.fleet.get(server, {}).get("role")

    def of(roles: set[str]) -> Row:
        found = [
            {"server": other, "role": about["role"], "status": about["status"]}
            for other, about in sorted(facts.fleet.items())
            if other != server and about["role"] in roles
        ]
        bad = [row for row in found if row["status"] != "healthy"]
        return {"count": len(found), "not_healthy": bad[:_MOST_NAMES]}

    if not role:
        return {"needs": None, "affects": None}
    return {
        "needs": of(incidents.upstream(facts.graph, role)),
        "affects": of(incidents.dependents(facts.graph, role)),
    }


def _announced(facts: Facts, lives: list[Row], window: Row) -> tuple[list[Row], set[str]]:
    """(what was said ahead, the servers whose trouble the ledger has settled)."""
    rows, settled = [], set()
    fired = {life["server"]: life for life in reversed(lives) if life["fired"] and not _predicts(life)}
    for found in facts.incidents:
        server = found["server"]
        if found["ended"] < window["from"] + BEFORE_S - NEAR_S or found["began"] >= window["to"] + NEAR_S:
            continue
        settled.add(server)
        about = {"server": server, "incident": {k: found[k] for k in ("kind", "began", "ended")}, "source": "ledger"}
        said = {m: found["began"] - 60 * minutes for m, minutes in found["announced"].items()}
        rows += [
            about | _ahead(model, at, found["began"], fired.get(server)) | {"to_incident_s": found["began"] - at}
            for model, at in sorted(said.items(), key=lambda item: (item[1], item[0]))
        ]
        if not said:
            rows.append(about | {"model": None})
    for life in lives:
        first = fired.get(life["server"])
        if _predicts(life) and life["fired"] and first and life["fired"] < first["fired"]:
            # An alert that looks ahead says so to people before the ledger has settled anything.
            rows.append({"server": life["server"], "source": "history"}
                        | _ahead(life["rule"], life["fired"], first["fired"], first))  # fmt: skip
    return rows, settled


def _predicts(life: Mapping[str, Any]) -> bool:
    return _kind(life["facts"]) in ("failure", "exhaustion")


def _ahead(what: str, at: float, until: float, fired: Mapping[str, Any] | None) -> Row:
    """That something said so ahead, and how long before an alert fired."""
    alert = fired and {"rule": fired["rule"], "fired": fired["fired"]}
    lead = fired["fired"] - at if fired and fired["fired"] >= at else None
    return {
        "model": what, "predicted": at, "alert": alert, "to_alert_s": lead, "window": {"from": at, "to": until},
    }  # fmt: skip


def _metrics(facts: Facts, lives: list[Row]) -> list[Row]:
    rows = []
    for server, metrics in watched(facts.incident).items():
        chart = facts.charts.get(server)
        if chart is None:
            continue
        own = [life for life in lives if life["server"] == server and life["fired"]]
        for metric in metrics:
            least, mean, most = (chart[stat]["metrics"].get(metric) for stat in ("min", "mean", "max"))
            if mean is None:
                continue
            # As its own alert fired, else the server's first.
            named = [life for life in own if life["facts"].get("metric") == metric]
            about = next(iter([*sorted(named, key=_predicts), *own]), None)
            rows.append({
                "server": server, "metric": metric, "unit": METRIC[metric].unit,
                "min": min(v for v in least if v is not None), "max": max(v for v in most if v is not None),
                "fired": about and about["fired"], "at_firing": about and _at(chart["mean"], metric, about["fired"]),
                "step_s": chart["mean"]["step"], "resolution": chart["mean"]["resolution"],
                "window": {"from": chart["mean"]["from"], "to": chart["mean"]["to"]},
            })  # fmt: skip
    return rows


def _at(chart: Mapping[str, Any], metric: str, at: float) -> float | None:
    """The mean of the step that a moment lies in."""
    i = int((at - chart["from"]) // chart["step"])
    values = chart["metrics"][metric]
    return values[i] if 0 <= i < len(values) else None


def _ended(life: Mapping[str, Any]) -> Row:
    last, end = life["last"], life["events"][-1] if life["events"] else None
    resolved = end if end and end["what"] in ("resolved", "cleared") else None
    row = {
        "server": life["server"], "rule": life["rule"], "fired": life["fired"], "kind": _kind(life["facts"]),
        "metric": life["facts"].get("metric"), "state": last["state"] if life["open"] else None,
        "resolved": resolved and resolved["at"],
        "after_s": resolved["at"] - life["fired"] if resolved and life["fired"] else None,
    }  # fmt: skip
    if not resolved:
        return row
    reason = resolved["alert"]["facts"].get("reason")
    # Why an alert was taken away is a reason; else its condition was over, at this value.
    said = {"reason": reason} if reason else {"value": resolved["alert"]["value"], "limit": resolved["alert"]["limit"]}
    return row | said


def _notices(facts: Facts) -> list[Row]:
    names = ("server", "rule", "event", "target", "tries", "outcome", "status")
    rows = [{"at": a["at_ms"] / 1000} | {name: a.get(name) for name in names} for a in facts.attempts]
    rows += [{"at": w["at"]} | {name: w.get(name) for name in names} for w in facts.waiting]
    return sorted(rows, key=lambda r: (r["at"], r["target"], r["server"], r["rule"], r["event"]))


def _unknown(
    facts: Facts, lives: list[Row], sections: Mapping[str, Row], happened: int, settled: set[str]
) -> list[Row]:
    """What a reader would look for and nothing stored says."""
    # Whatever somebody did on a server, and whatever it logged, is never sent here.
    unknown: list[Row] = [{"what": "actions"}, {"what": "logs"}]
    if any(r["source"] == "book" for r in sections["timeline"]["rows"]):
        unknown.append({"what": "history"})
    if happened > _MOST_ROWS:
        unknown.append({"what": "timeline", "count": happened - _MOST_ROWS})
    servers = facts.incident["servers"]
    charted = {r["server"] for r in sections["metrics"]["rows"]}
    about = {
        "role": [r["server"] for r in sections["servers"]["rows"] if r["role"] is None],
        "settled": [s for s in servers if s not in settled],
        "samples": [s for s in watched(facts.incident) if s not in charted],
        "left_out": [s for s in servers if s not in watched(facts.incident)],
    }  # fmt: skip
    unknown += [{"what": what, "servers": names} for what, names in about.items() if names]
    unknown += [
        {"what": "end", "server": r["server"], "rule": r["rule"]}
        for r in sections["resolution"]["rows"]
        if r["state"] is None and r["resolved"] is None
    ]
    unknown += [
        {"what": "at_firing", "server": r["server"], "metric": r["metric"]}
        for r in sections["metrics"]["rows"]
        if r["fired"] and r["at_firing"] is None
    ]
    told = any(e["notice"] for life in lives for e in life["events"])
    if told and not sections["notifications"]["rows"]:
        unknown.append({"what": "notices"})
    if facts.incident["open"] and facts.now is None:
        unknown.append({"what": "judged"})
    return unknown
