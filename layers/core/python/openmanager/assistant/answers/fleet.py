"""Of now: the fleet, one server, and who stands out. Pure."""

from typing import Any

from openmanager.assistant.answers.ahead import SOON_S
from openmanager.assistant.answers.steps import (
    Steps,
    before,
    counted,
    joined,
    one_server,
    open_alerts,
    predictions,
    runbook,
    servers,
    standing,
    valued,
    wanted,
)
from openmanager.assistant.draft import Draft
from openmanager.catalog import STATUSES

_WORST_FIRST = ("offline", "critical", "warning", "unknown", "maintenance", "healthy")
_SHOWN = ("cpu_utilization", "memory_used_effective", "filesystem_utilization", "load_5m")
assert set(_WORST_FIRST) == set(STATUSES)


def status(d: Draft) -> Steps:
    """How many servers are how, which are not well, what is open, and what runs out next."""
    q = d.question
    n, result = yield from servers(d)
    of_role = {"role": q.role} if q.role else {}
    found = [s for s in result["servers"] if wanted(d, s["id"], s.get("role", ""))]
    d.link = "#/servers"
    if not found:
        d.say("no servers of role" if q.role else "no servers", role=d.word(q.role))
        return
    every = d.figure(n, ["servers", of_role], "count", "count")
    if q.status:
        names = [s["id"] for s in found if s["status"] == q.status]
        some = d.figure(n, ["servers", {**of_role, "status": q.status}], "count", "count")
        said = {"all": every, "status": d.word(q.status)}
        d.say("of status" if names else "none of status", count=some, names=d.listed(names), **said)
        d.about = names
        return
    counts = [(s, d.figure(n, ["servers", {**of_role, "status": s}], "count", "count")) for s in _WORST_FIRST]
    parts = joined([counted(d, count, s) for s, count in counts if count["value"]])
    d.say("tally of role" if q.role else "tally", count=every, role=q.role, parts=parts)
    for level in ("offline", "critical"):
        if names := [s["id"] for s in found if s["status"] == level]:
            some = d.figure(n, ["servers", {**of_role, "status": level}], "count", "count")
            d.say("of status", count=some, all=every, status=d.word(level), names=d.listed(names))
    d.about = [s["id"] for s in found if s["status"] in ("offline", "critical", "warning")]
    if not q.role:
        yield from _standing(d)


def _standing(d: Draft) -> Steps:
    n, _ = yield from open_alerts(d)
    parts = standing(d, n)
    d.say("open alerts" if parts else "no open alerts", parts=parts)
    m, found = yield from predictions(d)
    coming = [
        (end["earliest_s"], p["server"], metric)
        for p in found["predictions"]
        for metric, end in p["exhaustion"].items()
        if end["outcome"] == "crosses" and end["skilled"]
    ]
    if coming:
        _, server, metric = min(coming)
        earliest = d.figure(m, ["predictions", {"server": server}, "exhaustion", metric, "earliest_s"], "s")
        soon = "next limit any moment" if earliest["value"] < SOON_S else "next limit"
        d.say(soon, metric=d.metric_name(metric), server=d.server(server), earliest=earliest)


def server(d: Draft) -> Steps:
    """What is known of the servers named."""
    q = d.question
    for name in q.servers:
        n, found = yield from one_server(d, name)
        if q.metric:
            if q.metric in found["metrics"]:
                value = d.metric(n, ["metrics", q.metric], q.metric)
                d.say("server metric", metric=d.metric_name(q.metric), server=d.server(name), value=value)
            else:
                d.say("server no metric", server=d.server(name), metric=d.metric_name(q.metric))
        else:
            yield from _whole(d, name, n, found)
        if q.mode == "advanced":
            yield from before(d, name, q.metric or _telling(found))
    if len(q.servers) == 1:
        shown = q.metric or _telling(found)
        d.chart(name, shown, q.now_s // 60 * 60 - 3600, q.now_s // 60 * 60)
        subject = "offline" if found["status"] == "offline" else shown
        d.check(subject, name)
        d.link = f"#/servers/{name}"
        if q.mode == "advanced" and found["verdict"] and found["verdict"]["reasons"]:
            yield from runbook(d, subject)


def _whole(d: Draft, name: str, n: int, found: Any) -> Steps:
    if found["verdict"]:
        seen = d.figure(n, ["seen"], "time")
        d.say("server status", server=d.server(name), status=d.word(found["status"]), time=seen)
    else:
        d.say("server unjudged", server=d.server(name))
    known = [m for m in _SHOWN if m in found["metrics"]]
    if known:
        values = [[{"text": f"{d.metric_name(m)} "}, d.metric(n, ["metrics", m], m)] for m in known]
        d.say("server values", parts=joined(values))
    if found["verdict"] and found["verdict"]["risk"]:
        d.say("server risk", risk=d.figure(n, ["verdict", "risk", "probability"], "share"))
    m, _ = yield from open_alerts(d, name)
    parts = standing(d, m)
    d.say("server alerts" if parts else "no open alerts of", parts=parts, server=d.server(name))


def _telling(found: Any) -> str:
    """The metric that says most of a server: what makes its status, else the fullest."""
    reasons = (found["verdict"] or {}).get("reasons", ())
    named = [r["metric"] for r in reasons if "metric" in r]
    known = [m for m in _SHOWN[:3] if m in found["metrics"]]
    return named[0] if named else max(known, key=lambda m: found["metrics"][m], default=_SHOWN[0])


def performance(d: Draft) -> Steps:
    """Who has most, or least, of a metric now."""
    q = d.question
    metric = q.metric or "cpu_utilization"
    n, result = yield from servers(d)
    d.link = "#/servers"
    found = [
        s for s in result["servers"] if wanted(d, s["id"], s.get("role", "")) and s["metrics"].get(metric) is not None
    ]
    if not found:
        d.say("no such metric", metric=d.metric_name(metric))
        return
    found.sort(key=lambda s: (s["metrics"][metric] * (1 if q.lowest else -1), s["id"]))
    top = [s["id"] for s in found[: q.count or 3]]
    parts = [valued(d, s, d.metric(n, ["servers", {"id": s}, "metrics", metric], metric)) for s in top]
    d.say("ranked lowest" if q.lowest else "ranked", metric=d.metric_name(metric), parts=joined(parts))
    if q.window:
        d.say("ranked now only")
    d.chart(top[0], metric, q.now_s // 60 * 60 - 3600, q.now_s // 60 * 60)
    d.check(metric, top[0])
    d.about = top
