"""Of what is ahead: what runs out and when, and the risk of an incident. Pure."""

from collections.abc import Mapping
from typing import Any

from openmanager.assistant import times
from openmanager.assistant.answers.steps import (
    Steps,
    beyond,
    joined,
    one_server,
    prediction,
    predictions,
    servers,
    valued,
    wanted,
)
from openmanager.assistant.draft import Draft, Part
from openmanager.assistant.wording import length
from openmanager.catalog import FORECAST_METRICS, METRIC

# Metrics that are forecast and have a limit.
BOUNDED = tuple(m for m in FORECAST_METRICS if METRIC[m].high is not None)
_TOLD = 3
# Less than verdicts are apart is no time to speak of.
SOON_S = 60
# What is no part to speak of.
_LEAST_PART = 0.005
_PAST_S = 6 * 3600


def capacity(d: Draft) -> Steps:
    """What meets its limit first, and when."""
    q = d.question
    if q.metric and q.metric not in BOUNDED:
        d.say("capacity no forecast", metric=d.metric_name(q.metric))
        return
    _, found = yield from predictions(d)
    asked = [p for p in found["predictions"] if wanted(d, p["server"], p["role"])]
    metrics = (q.metric,) if q.metric else BOUNDED
    horizon = times.horizon_s(q.horizon, q.now_s, q.offset_m) if q.horizon else float("inf")
    coming = sorted(
        # What has met its limit comes before what will, and what has earned trust before what has not.
        (end["outcome"] != "at_limit", not end["skilled"], end["earliest_s"], p["server"], metric)
        for p in asked
        for metric in metrics
        for end in [p["exhaustion"].get(metric, {"outcome": ""})]
        if end["outcome"] in ("crosses", "at_limit") and end["earliest_s"] <= horizon
    )
    for _, _, _, server, metric in coming[: q.count or (_TOLD if not q.servers else len(coming))]:
        n, about = yield from one_server(d, server)
        _limit(d, n, about, server, metric)
    if coming:
        *_, server, metric = coming[0]
        now = int(q.now_s // 60 * 60)
        d.chart(server, metric, now - _PAST_S, now)
        d.check(metric, server)
        d.link = f"#/servers/{server}"
        d.about = [server]
        yield from beyond(d, server, metric)
        return
    yield from _nothing(d, asked, metrics)


def _limit(d: Draft, n: int, about: Any, server: str, metric: str) -> None:
    """What is known of when a metric meets its limit."""
    end, path = about["verdict"]["exhaustion"].get(metric), ["verdict", "exhaustion", metric]
    # A round may have come in between.
    if not end or end["outcome"] not in ("crosses", "at_limit"):
        return
    named = {"metric": d.metric_name(metric), "server": d.server(server)}
    value = d.metric(n, ["metrics", metric], metric)
    if end["outcome"] == "at_limit":
        d.say("capacity at limit", value=value, **named)
        return
    soon = "capacity any moment" if end["earliest_s"] < SOON_S else "capacity"
    d.say(soon, value=value, earliest=d.figure(n, [*path, "earliest_s"], "s"), **named)
    if end["likely_s"] is not None:
        d.say("capacity likely", likely=d.figure(n, [*path, "likely_s"], "s"))
    if end["latest_s"] is not None:
        coverage = d.figure(n, [*path, "coverage"], "share")
        d.say("capacity latest", coverage=coverage, latest=d.figure(n, [*path, "latest_s"], "s"))
    else:
        d.say("capacity open")
    if not end["skilled"]:
        d.say("capacity unskilled")


def _nothing(d: Draft, asked: list[Any], metrics: tuple[str, ...]) -> Steps:
    """Nothing meets a limit, or nobody knows."""
    q = d.question
    known = [p for p in asked if any(m in p["exhaustion"] for m in metrics)]
    within = d.word("within").format(span=length(q.horizon, q.language)) if q.horizon else ""
    if not q.servers:
        d.say("capacity none" if known else "capacity unknown all", within=within)
        yield from _fullest(d, metrics)
        return
    for name in q.servers:
        n, about = yield from one_server(d, name)
        told = (about["verdict"] or {}).get("exhaustion", {})
        if any(m in told for m in metrics):
            d.say("capacity none of", server=d.server(name), within=within)
            for m in metrics:
                if m in about["metrics"]:
                    value = d.metric(n, ["metrics", m], m)
                    d.say("capacity calm", metric=d.metric_name(m), server=d.server(name), value=value)
        else:
            d.say("capacity unknown", metric=d.metric_name(q.metric) or d.word("exhaustion"), server=d.server(name))
            _waits(d, n, about["verdict"])
    if len(q.servers) == 1:
        d.link = f"#/servers/{name}"


def _fullest(d: Draft, metrics: tuple[str, ...]) -> Steps:
    """How far from it the fullest are: of the metric asked about, else of disk space, which is what people mean."""
    q = d.question
    metric = metrics[0] if len(metrics) == 1 else "filesystem_utilization"
    n, result = yield from servers(d)
    found = [s for s in result["servers"] if metric in s["metrics"] and wanted(d, s["id"], s.get("role", ""))]
    top = sorted(found, key=lambda s: (-s["metrics"][metric], s["id"]))[: q.count or _TOLD]
    if top:
        parts = [valued(d, s["id"], d.metric(n, ["servers", {"id": s["id"]}, "metrics", metric], metric)) for s in top]
        d.say("ranked", metric=d.metric_name(metric), parts=joined(parts))
        d.check(metric, top[0]["id"])
        d.link = f"#/servers/{top[0]['id']}"


def predictions_of_risk(d: Draft, found: Any) -> list[tuple[float, str, Mapping[str, Any]]]:
    """(risk, server, verdict) of those asked about whose risk is known, the highest first."""
    known = [p for p in found["predictions"] if p["risk"] and wanted(d, p["server"], p["role"])]
    return sorted(((-p["risk"]["probability"], p["server"], p) for p in known), key=lambda row: row[:2])


def risks(d: Draft) -> Steps:
    """Who is most likely to have an incident soon."""
    q = d.question
    if q.servers:
        for name in q.servers:
            n, about = yield from one_server(d, name)
            _risk(d, n, name, about)
        if len(q.servers) == 1:
            d.link = f"#/servers/{name}"
            d.check("offline" if about["status"] == "offline" else _main(about), name)
    else:
        _, found = yield from predictions(d)
        known = predictions_of_risk(d, found)
        if not known:
            d.say("risk unknown all")
            return
        top = known[: q.count or _TOLD]
        parts = [valued(d, s, d.figure(prediction(d, p), ["risk", "probability"], "share")) for _, s, p in top]
        d.say("risks", parts=joined(parts))
        d.about = [s for _, s, _ in top]
        _, first, worst = top[0]
        made = made_of(d, prediction(d, worst), worst["risk"], ["risk"])
        if made:
            d.say("risk parts of", server=d.server(first), parts=made)
        d.link = f"#/servers/{first}"
        d.check(_main({"verdict": worst, "metrics": {}}), first)
    if q.horizon and times.horizon_s(q.horizon, q.now_s, q.offset_m) > 1800:
        d.say("risk horizon")


def _risk(d: Draft, n: int, name: str, about: Any) -> None:
    verdict = about["verdict"]
    if about["status"] == "offline":
        d.say("risk offline", server=d.server(name))
    elif not verdict or not verdict["risk"]:
        d.say("risk unknown", server=d.server(name))
        _waits(d, n, verdict)
    else:
        d.say("risk of", server=d.server(name), risk=d.figure(n, ["verdict", "risk", "probability"], "share"))
        if made_of(d, n, verdict["risk"], ["verdict", "risk"]):
            d.say("risk parts", parts=made_of(d, n, verdict["risk"], ["verdict", "risk"]))
        for metric, end in verdict["exhaustion"].items():
            if end["outcome"] in ("crosses", "at_limit"):
                _limit(d, n, about, name, metric)


def made_of(d: Draft, n: int, risk: Mapping[str, Any], path: list[str]) -> list[Part]:
    """What a risk is made of, the most of it first."""
    parts = sorted((k for k, p in risk["parts"].items() if p >= _LEAST_PART), key=lambda k: (-risk["parts"][k], k))
    return joined([[{"text": f"{d.word(k) if k not in METRIC else d.metric_name(k)} "},
                    d.figure(n, [*path, "parts", k], "share")] for k in parts])  # fmt: skip


def _waits(d: Draft, n: int, verdict: Any) -> None:
    if verdict and verdict["missing"].get("history_minutes"):
        d.say("waits", minutes=d.figure(n, ["verdict", "missing", "history_minutes"], "count"))


def _main(about: Any) -> str:
    """The metric that is most of a risk, of those that can be looked at."""
    parts = ((about["verdict"] or {}).get("risk") or {}).get("parts", {})
    bounded = [m for m in parts if m in METRIC]
    return max(bounded, key=lambda m: parts[m], default="healthy")
