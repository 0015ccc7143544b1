"""Of what is wrong: anomalies, alerts, what stands out behind them, and what to look at. Pure."""

from collections.abc import Mapping
from typing import Any

from openmanager.assistant.answers.ahead import SOON_S, made_of
from openmanager.assistant.answers.steps import (
    Steps,
    ask_again,
    beyond,
    joined,
    metrics,
    one_server,
    open_alerts,
    prediction,
    predictions,
    servers,
    standing,
    wanted,
    window_name,
)
from openmanager.assistant.draft import Draft, Part, plain
from openmanager.catalog import METRIC
from openmanager.errors import NotFound
from openmanager.tools.call import Call

_TOLD = 5
_IN_TROUBLE = ("offline", "critical", "warning")
_CROSSING = ("crosses", "at_limit")


def anomalies(d: Draft) -> Steps:
    """Who behaves unusually, now or in a window."""
    q = d.question
    if q.window:
        yield from _anomalies_past(d)
        return
    if q.servers:
        for name in q.servers:
            n, about = yield from one_server(d, name)
            _unusual(d, n, name, about["anomaly"], ["anomaly"])
        if len(q.servers) == 1:
            d.link = f"#/servers/{name}"
            yield from _most_unusual(d, name, about["anomaly"])
        return
    n, found = yield from predictions(d)
    judged = {"role": q.role} if q.role else {}
    all_ = d.figure(n, ["predictions", judged], "count", "count")
    anomalous = [p for p in found["predictions"] if wanted(d, p["server"], p["role"]) and _is_anomalous(p)]
    anomalous.sort(key=lambda p: (-p["anomaly"]["score"] / max(p["anomaly"]["threshold"], 1e-9), p["server"]))
    if not anomalous:
        d.say("ordinary" if all_["value"] else "anomaly unknown all", all=all_)
        return
    some = d.figure(n, ["predictions", {**judged, "anomaly/anomalous": True}], "count", "count")
    names = [p["server"] for p in anomalous]
    d.say("anomalous", count=some, all=all_, names=d.listed(names))
    for p in anomalous[:2]:
        _unusual(d, prediction(d, p), p["server"], p["anomaly"], ["anomaly"])
    d.about = names
    d.link = f"#/servers/{names[0]}"
    yield from _most_unusual(d, names[0], anomalous[0]["anomaly"])


def _is_anomalous(verdict: Mapping[str, Any]) -> bool:
    return bool(verdict["anomaly"] and verdict["anomaly"]["anomalous"])


def _unusual(d: Draft, n: int, name: str, anomaly: Any, path: list[str]) -> None:
    if not anomaly:
        d.say("anomaly unknown", server=d.server(name))
        return
    score, threshold = (d.figure(n, [*path, k], "number") for k in ("score", "threshold"))
    key = "anomalous one" if anomaly["anomalous"] else "ordinary one"
    d.say(key, server=d.server(name), score=score, threshold=threshold)
    if anomaly["anomalous"] and anomaly["contributions"]:
        d.say("anomalous parts", parts=_contributions(d, n, anomaly["contributions"], [*path, "contributions"]))


def _contributions(d: Draft, n: int, shares: Mapping[str, float], path: list[str]) -> list[Part]:
    top = sorted(shares, key=lambda m: (-shares[m], m))[:3]
    return joined([[{"text": f"{d.metric_name(m)} "}, d.figure(n, [*path, m], "share")] for m in top])


def _most_unusual(d: Draft, name: str, anomaly: Any) -> Steps:
    """Show what is most of it; of what is unusual a runbook may tell, too."""
    shares = (anomaly or {}).get("contributions", {})
    if shares:
        metric = min(shares, key=lambda m: (-shares[m], m))
        now = int(d.question.now_s // 60 * 60)
        d.chart(name, metric, now - 3 * 3600, now)
        d.check(metric, name)
        if anomaly["anomalous"]:
            yield from beyond(d, name, metric)


def _anomalies_past(d: Draft) -> Steps:
    q = d.question
    name, start, stop = q.span("1h")
    said = window_name(d, name)
    for server in q.servers:
        n, found = yield from metrics(d, server, q.metric or "cpu_utilization", (start, stop), said)
        share = d.figure(n, ["anomalous"], "share", "mean")
        known = share["value"] is not None
        d.say("anomalous share" if known else "anomalous share none", share=share, server=d.server(server), window=said)
    if q.servers:
        d.link = f"#/servers/{q.servers[0]}"
        return
    # Of the whole fleet what people were told of, rather than every server's every minute.
    call = Call("alert_history", {"from": start, "to": stop, "rule": "anomaly"})
    found = yield call
    yield from _fired(d, call, found, said, "anomaly alerts")


def alerts(d: Draft) -> Steps:
    """What is open, or what fired in a window."""
    q = d.question
    d.link = "#/alerts"
    only = q.servers[0] if len(q.servers) == 1 else ""
    if q.window:
        name, start, stop = q.span("24h")
        arguments = {"from": start, "to": stop} | ({"server": only} if only else {})
        call = Call("alert_history", arguments)
        found = yield call
        yield from _fired(d, call, found, window_name(d, name), "fired")
        return
    n, found = yield from open_alerts(d, only)
    of_severity = {"severity": q.status} if q.status in ("critical", "warning") else {}
    shown = [
        a for a in found["alerts"]
        if a["state"] != "pending" and all(a[k] == v for k, v in of_severity.items())
        and (not q.servers or a["server"] in q.servers)
    ]  # fmt: skip
    if q.role:
        _, fleet = yield from servers(d)
        members = {s["id"] for s in fleet["servers"] if s.get("role") == q.role}
        shown = [a for a in shown if a["server"] in members]
    elif not of_severity and len(q.servers) < 2:
        parts = standing(d, n)
        if parts:
            d.say("open alerts", parts=parts)
    if not shown:
        key = "no alerts of" if of_severity or q.role else "no open alerts of" if only else "no open alerts"
        d.say(key, server=d.server(only))
    for alert in shown[: q.count or _TOLD]:
        _alert(d, n, alert)
    d.about = list(dict.fromkeys(a["server"] for a in shown))
    first = next((a for a in shown if a["rule"] in _RULE_METRICS), None)
    if first:
        d.check(_RULE_METRICS[first["rule"]], first["server"])
        yield from beyond(d, first["server"], _RULE_METRICS[first["rule"]])


# Of the rules that come with us, what they watch.
_RULE_METRICS = {
    "cpu": "cpu_utilization",
    "memory": "memory_used_effective",
    "filesystem": "filesystem_utilization",
    "filesystem_exhaustion": "filesystem_utilization",
    "memory_exhaustion": "memory_used_effective",
    "swap_exhaustion": "swap_utilization",
    "offline": "offline",
}


def _alert(d: Draft, n: int, alert: Mapping[str, Any]) -> None:
    path: list[str | int | dict[str, Any]] = ["alerts", {"id": alert["id"]}]
    said = {"server": d.server(alert["server"]), "rule": d.word(alert["rule"]), "severity": d.word(alert["severity"])}
    if alert["suppressed"]:
        d.say("alert suppressed", reason=plain(alert["suppressed"]), **said)
    elif alert["state"] == "acknowledged" and alert.get("by"):
        at = d.figure(n, [*path, "acknowledged" if alert["acknowledged"] else "since"], "time")
        d.say("alert by", by=plain(alert["by"]), time=at, **said)
    else:
        d.say("alert line", state=d.word(alert["state"]), time=d.figure(n, [*path, "since"], "time"), **said)


def _fired(d: Draft, call: Call, found: Any, said: str, key: str) -> Steps:
    """How many alerts fired, and which."""
    n = d.look(call, found, call.arguments["from"], call.arguments["to"])
    d.fact(n, "fact history", count=d.figure(n, ["events"], "count", "count"))
    q = d.question
    fired = [e for e in found["events"] if e["what"] == "firing" and wanted(d, e["alert"]["server"], q.role)]
    d.link = "#/alerts"
    if fired:
        filters = {"what": "firing"} | ({"alert/server": q.servers[0]} if len(q.servers) == 1 else {})
        count = d.figure(n, ["events", filters], "count", "count")
        lines = [_event(d, e["alert"], d.figure(n, ["events", {"id": e["id"]}, "at"], "time")) for e in fired[:_TOLD]]
        parts = joined(lines) + [{"text": d.word("and more")}] * (len(fired) > _TOLD)
        d.say(key, count=count, window=said, parts=parts)
    # The history is written every few minutes; what is open is known at once.
    known = {(e["alert"]["server"], e["alert"]["rule"], e["alert"]["fired"]) for e in fired}
    m, found_open = yield from open_alerts(d, call.arguments.get("server", ""))
    newer = [
        a for a in found_open["alerts"]
        if a["fired"] and call.arguments["from"] <= a["fired"] < call.arguments["to"]
        and call.arguments.get("rule", a["rule"]) == a["rule"]
        and wanted(d, a["server"], q.role) and (a["server"], a["rule"], a["fired"]) not in known
    ]  # fmt: skip
    if newer:
        lines = [_event(d, a, d.figure(m, ["alerts", {"id": a["id"]}, "fired"], "time")) for a in newer[:_TOLD]]
        d.say("fired open", parts=joined(lines) + [{"text": d.word("and more")}] * (len(newer) > _TOLD))
    if not fired and not newer:
        d.say(f"{key} none", window=said)
    if found["next"]:
        d.say("fired more")
    d.about = list(dict.fromkeys([e["alert"]["server"] for e in fired] + [a["server"] for a in newer]))


def _event(d: Draft, alert: Mapping[str, Any], at: Part) -> list[Part]:
    return [d.server(alert["server"]), {"text": f" {d.word(alert['rule'])} "}, at]


def causes(d: Draft) -> Steps:
    """What stands out on a server that is not well."""
    server = yield from _whom(d)
    if not server:
        return
    try:
        found = yield (call := Call("explain_server", {"server": server}))
    except NotFound:
        d.say("not there", server=d.server(server))
        return
    n = d.look(call, found, found["minute"], found["minute"] + 60)
    d.fact(n, "fact explanation", server=d.server(server))
    _reasons(d, n, server, found)
    d.link = f"#/servers/{server}"
    d.about = [server]
    subject = _subject(found)
    if subject in METRIC:
        now = int(d.question.now_s // 60 * 60)
        d.chart(server, subject, now - 6 * 3600, now)
    d.check(subject, server)
    yield from beyond(d, server, subject)


def _reasons(d: Draft, n: int, server: str, found: Any) -> None:
    well = not found["reasons"] and not _coming(found)
    if well:
        d.say("cause none", server=d.server(server), status=d.word(found["status"]))
    else:
        d.say("cause status", server=d.server(server), status=d.word(found["status"]))
    for i, reason in enumerate(found["reasons"]):
        path: list[str | int | dict[str, Any]] = ["reasons", i]
        if "metric" in reason:
            value, limit = (d.metric(n, [*path, k], reason["metric"]) for k in ("value", "limit"))
            level = d.word(reason["level"])
            d.say("cause reason", metric=d.metric_name(reason["metric"]), value=value, limit=limit, level=level)
        elif "silent_s" in reason:
            d.say("cause silent", silent=d.figure(n, [*path, "silent_s"], "s"))
        elif "anomaly" in reason:
            score, limit = (d.figure(n, [*path, k], "number") for k in ("anomaly", "limit"))
            d.say("cause anomaly", score=score, limit=limit)
    unusual = [i for i, c in enumerate(found["contributions"]) if c["value"] is not None][:3]
    if any("anomaly" in r for r in found["reasons"]) and unusual:
        d.say("cause contributions", parts=joined([_contribution(d, n, found, i) for i in unusual]))
    for metric in _coming(found):
        earliest = d.figure(n, ["exhaustion", metric, "earliest_s"], "s")
        soon = "cause any moment" if found["exhaustion"][metric]["earliest_s"] < SOON_S else "cause ahead"
        d.say(soon, metric=d.metric_name(metric), earliest=earliest)
    if found["risk"] and found["risk"]["parts"] and not well:
        d.say("cause parts", parts=made_of(d, n, found["risk"], ["risk"]))
    if found["nearest"]:
        followed = d.word("followed") if found["nearest"]["incident"] else d.word("not followed")
        d.say("cause nearest", time=d.figure(n, ["nearest", "minute"], "time"), followed=followed)
    needs = [s["server"] for s in found["depends_on"] if s["status"] in _IN_TROUBLE]
    if needs:
        d.say("cause needs", names=d.listed(needs))
    if d.question.mode == "advanced":
        for key, others in (("cause depends", "depends_on"), ("cause affects", "affects")):
            if found[others]:
                count = d.figure(n, [others], "count", "count")
                d.say(key, count=count, names=d.listed([s["server"] for s in found[others]]))
    if not well:
        d.say("cause caution")


def _contribution(d: Draft, n: int, found: Any, i: int) -> list[Part]:
    about = found["contributions"][i]
    share = d.figure(n, ["contributions", i, "share"], "share")
    value = d.metric(n, ["contributions", i, "value"], about["metric"])
    return [{"text": f"{d.metric_name(about['metric'])} "}, value, {"text": " ("}, share, {"text": ")"}]


def _coming(found: Any) -> list[str]:
    ends = found["exhaustion"]
    coming = [m for m in ends if ends[m]["outcome"] in _CROSSING and (ends[m]["skilled"] or _at_limit(ends[m]))]
    return sorted(coming, key=lambda m: (ends[m]["earliest_s"], m))


def _at_limit(end: Mapping[str, Any]) -> bool:
    return bool(end["outcome"] == "at_limit")


def _subject(found: Any) -> str:
    """What to look at first: why it is as it is, then what is unusual, then what runs out."""
    if found["status"] == "offline":
        return "offline"
    named = [r["metric"] for r in found["reasons"] if "metric" in r]
    unusual = [c["metric"] for c in found["contributions"]] if any("anomaly" in r for r in found["reasons"]) else []
    return next(iter([*named, *unusual, *_coming(found)]), "healthy")


def _whom(d: Draft) -> Any:
    """The server that is asked about: the one named, else the one that is in trouble; more than one is asked back."""
    q = d.question
    if q.servers:
        return q.servers[0]
    _, found = yield from servers(d)
    bad = [s["id"] for s in found["servers"] if s["status"] in _IN_TROUBLE and wanted(d, s["id"], s.get("role", ""))]
    if len(bad) == 1:
        return bad[0]
    if not bad:
        d.say("all well")
        return ""
    d.say("which server")
    for server in bad[:_TOLD]:
        d.choose(server, ask_again(d, server))
    return ""


def advice(d: Draft) -> Steps:
    """What to look at on a server, in order."""
    server = yield from _whom(d)
    if not server:
        return
    try:
        found = yield (call := Call("explain_server", {"server": server}))
    except NotFound:
        d.say("not there", server=d.server(server))
        return
    n = d.look(call, found, found["minute"], found["minute"] + 60)
    d.fact(n, "fact explanation", server=d.server(server))
    subject = d.question.metric or _subject(found)
    d.link = f"#/servers/{server}"
    d.about = [server]
    named = {"server": d.server(server)}
    if subject == "healthy":
        d.say("advise well", **named)
    else:
        _reasons(d, n, server, found)
        if subject in found["exhaustion"] and subject in _coming(found):
            earliest = d.figure(n, ["exhaustion", subject, "earliest_s"], "s")
            # That it may be at any moment is among the reasons.
            if earliest["value"] >= SOON_S:
                d.say("advise ahead", metric=d.metric_name(subject), earliest=earliest, **named)
        d.say(
            f"advise {subject}" if d.knows(f"advise {subject}") else "advise other",
            metric=d.metric_name(subject), **named,
        )  # fmt: skip
    m, _ = yield from open_alerts(d, server)
    firing = d.figure(m, ["alerts", {"state": "firing"}], "count", "count")
    if firing["value"]:
        d.say("advise alerts", count=firing)
    d.check(subject, server)
    yield from beyond(d, server, subject)


def logs(d: Draft) -> Steps:
    """There are none; where they are."""
    yield from ()
    d.say("logs")
    if d.question.servers:
        d.check("logs", d.question.servers[0])
        d.link = f"#/servers/{d.question.servers[0]}"
    else:
        d.check("logs")
