"""One server: its metrics, why it is unusual, what may fail, what runs out. The last two of the fleet, too."""

import math
from collections.abc import Mapping
from statistics import fmean
from typing import Any

from openmanager import spans
from openmanager.catalog import METRIC
from openmanager.mcp.answer import Answer, age_s, cut, instant, page, percent, quoted, shown
from openmanager.mcp.answers.fleet import reasons
from openmanager.mcp.ask import Asked

_LEAST_STEP_S = 60
_MOST_NAMED = 8


def query_metrics(a: Asked) -> Answer:
    """A statistic of some metrics on an even grid, no more points than asked for."""
    start, stop = spans.span(a["from"], a["to"], a.now_ms)
    step = max(_LEAST_STEP_S, math.ceil((stop - start) / a["points"] / _LEAST_STEP_S) * _LEAST_STEP_S)
    asked = {"from": start, "to": stop, "step": step, "metrics": ",".join(a["metrics"]), "stat": a["stat"]}
    found = a.use("query_metrics", server=a["server"], **asked)
    series = {key: _series(key, values, found, a.now_ms) for key, values in found["metrics"].items()}
    data = a.begun | {
        "server": a["server"],
        "window": {"from": instant(found["from"]), "to": instant(found["to"])},
        "step_s": found["step"],
        "stat": found["stat"],
        "from_samples_or": found["resolution"],
        "series": series,
        "unknown": [f"{key}, because nothing of it came in the window" for key in a["metrics"] if key not in series],
    }
    window = f"{data['window']['from']} to {data['window']['to']}"
    lines = [f"{a['server']}, {window}, {found['stat']} of every {found['step']:g} s:"]
    for key, one in series.items():
        unit = one["unit"]
        span = ", ".join(f"{name} {shown(one[name], unit)}" for name in ("min", "mean", "max", "last"))
        values = " ".join("-" if v is None else f"{v:g}" for v in one["values"])
        lines.append(f"- {key} ({unit or 'no unit'}): {span}, the last {one['last_age_s']} s ago; {values}")
    return Answer(data, lines)


def _series(key: str, values: list[float | None], found: Mapping[str, Any], now_ms: int) -> dict[str, Any]:
    known = [v for v in values if v is not None]
    last = max(i for i, v in enumerate(values) if v is not None)
    # A step's value is as old as its end, and no younger than now.
    end = found["times"][last] + found["step"]
    return {
        "unit": METRIC[key].unit,
        "values": values,
        "min": min(known),
        "mean": round(fmean(known), METRIC[key].decimals),
        "max": max(known),
        "last": known[-1],
        "last_age_s": age_s(min(end, now_ms / 1000), now_ms),
    }


def explain_anomaly(a: Asked) -> Answer:
    """Why a server's last minute is called what it is."""
    said = a.use("explain_server", server=a["server"])
    whole = a.use("get_prediction", server=a["server"])
    anomaly, nearest = whole["anomaly"], said["nearest"]
    data = a.begun | {
        "server": a["server"],
        "judged_at": instant(said["minute"]),
        "judged_age_s": age_s(said["minute"], a.now_ms),
        "status": said["status"],
        "why": reasons(said["reasons"]),
        "anomalous": anomaly and anomaly["anomalous"],
        "score": anomaly and anomaly["score"],
        "threshold": anomaly and anomaly["threshold"],
        "p_value": said["p_value"],
        "contributions": [
            {"metric": c["metric"], "share_percent": percent(c["share"]), "value": c["value"], "unit": c["unit"]}
            for c in said["contributions"]
        ],
        "nearest_past": nearest
        and {
            "at": instant(nearest["minute"]),
            "metrics": list(nearest["contributions"]),
            "incident_within_30_min": nearest["incident"] and nearest["incident"]["kind"],
        },
        "depends_on": _named(said["depends_on"]),
        "affects": _named(said["affects"]),
        "confidence_percent": percent(said["confidence"]),
        "unknown": [] if anomaly else [f"whether it is unusual, because {_because(whole['missing'])}"],
    }
    return Answer(data, _explained(data))


def _named(servers: list[dict[str, Any]]) -> dict[str, Any]:
    """How many, and those that are not healthy first."""
    ordered = sorted(servers, key=lambda s: (s["status"] == "healthy", s["server"]))
    named = [{"server": s["server"], "status": s["status"]} for s in ordered[:_MOST_NAMED]]
    return {"count": len(servers), "servers": named}


def _explained(data: Mapping[str, Any]) -> list[str]:
    state = {None: "is not known to be unusual", True: "is unusual", False: "is as usual"}[data["anomalous"]]
    lines = [f"{data['server']} {state} in the minute of {data['judged_at']} ({data['judged_age_s']} s ago)."]
    if data["why"]:
        lines.append(f"Status {data['status']}: {'; '.join(data['why'])}.")
    if data["anomalous"] is not None:
        p = "" if data["p_value"] is None else f"; {data['p_value']:g} of its past minutes were as unusual"
        lines.append(f"Score {data['score']:g}, its own threshold {data['threshold']:g}{p}.")
    lines += [
        f"- {c['metric']} {shown(c['value'], c['unit'])} makes {c['share_percent']:g}% of it"
        for c in data["contributions"]
    ]
    if past := data["nearest_past"]:
        followed = past["incident_within_30_min"] or "none"
        lines.append(f"Most alike before: {past['at']} ({', '.join(past['metrics'])}); incident after it: {followed}.")
    for name, label in (("depends_on", "Depends on"), ("affects", "Affects")):
        if data[name]["count"]:
            some = ", ".join(f"{s['server']} {s['status']}" for s in data[name]["servers"])
            lines.append(f"{label} {data[name]['count']} servers, such as {some}.")
    return lines


def predict_failure(a: Asked) -> Answer:
    """The probability that a server has an incident within half an hour; without a server those most at risk."""
    verdicts = _verdicts(a)
    known = [v for v in verdicts if v["risk"]] if not a["server"] else verdicts

    def row(v: Mapping[str, Any]) -> dict[str, Any]:
        risk, failure = v["risk"], v["failure"]
        return {
            "server": v["server"],
            "status": v["status"],
            "risk_percent": percent(risk["probability"]) if risk else None,
            "parts_percent": {name: percent(p) for name, p in risk["parts"].items()} if risk else {},
            "failure_percent": percent(failure["probability"]) if failure else None,
            "confidence_percent": percent(v["confidence"]),
            "judged_age_s": age_s(v["minute"], a.now_ms),
        }

    def key(v: Mapping[str, Any]) -> list[Any]:
        return [-(v["risk"]["probability"] if v["risk"] else 0), v["server"]]

    rows, following = page(known, key, row, a["limit"], a["cursor"])
    lacking = [v for v in verdicts if not v["risk"]]
    unknown = [f"the risk of {v['server']}, because {_because(v['missing'])}" for v in lacking[:1]]
    if len(lacking) > 1:
        unknown = [f"the risk of {len(lacking)} servers, because their past is too short or nothing comes from them"]
    data = a.begun | {"window_min": 30, "predictions": rows, "next": following, "unknown": unknown}
    lines = ["Probability of an incident (offline, or critical for 5 min) within 30 min:"]
    for r in rows:
        parts = ", ".join(f"{name} {p:g}%" for name, p in r["parts_percent"].items())
        risk = shown(r["risk_percent"], "%")
        sure = f"confidence {shown(r['confidence_percent'], '%')}, judged {r['judged_age_s']} s ago"
        lines.append(f"- {r['server']} {r['status']}: {risk}{f' ({parts})' if parts else ''}; {sure}")
    return Answer(data, lines)


def _verdicts(a: Asked) -> list[Mapping[str, Any]]:
    if a["server"]:
        return [a.use("get_prediction", server=a["server"])]
    return list(a.use("list_predictions")["predictions"])


def time_to_exhaustion(a: Asked) -> Answer:
    """When disk space, memory or swap meet their limit; without a server those that come first."""
    ends = [
        {"server": v["server"], "metric": metric, "minute": v["minute"], **end}
        for v in _verdicts(a)
        for metric, end in v["exhaustion"].items()
        if a["metric"] in (None, metric)
    ]
    coming = [e for e in ends if e["outcome"] in ("crosses", "at_limit")]

    def row(end: Mapping[str, Any]) -> dict[str, Any]:
        # It was said of the end of its minute.
        passed = a.now_ms / 1000 - (end["minute"] + 60)
        left = {n: None if end[n] is None else max(0, round(end[n] - passed)) for n in _BOUNDS}
        return {
            "server": end["server"],
            "metric": end["metric"],
            "at_limit": end["outcome"] == "at_limit",
            **left,
            "interval_percent": percent(end["coverage"]),
            "beats_last_value": end["skilled"],
            "judged_age_s": age_s(end["minute"], a.now_ms),
        }

    def key(end: Mapping[str, Any]) -> list[Any]:
        # As the assistant has it: what is at its limit, then what has earned trust, then what comes first.
        return [end["outcome"] != "at_limit", not end["skilled"], end["earliest_s"], end["server"], end["metric"]]

    rows, following = page(coming, key, row, a["limit"], a["cursor"])
    calm = len(ends) - len(coming)
    data = a.begun | {"exhaustions": rows, "next": following, "not_within_horizon": calm, "unknown": []}
    if not ends:
        who = a["server"] or "any server"
        data["unknown"] = [f"when anything of {who} runs out, because its past is too short for a forecast"]
    lines = [f"{len(coming)} meet their limit within what is forecast, {calm} do not."]
    for r in rows:
        bounds = ", ".join(f"{n.removesuffix('_s')} {shown(r[n], 's')}" for n in _BOUNDS)
        when = "is at its limit" if r["at_limit"] else f"reaches its limit in: {bounds}"
        trust = "" if r["beats_last_value"] else "; its forecasts have been no better than the last value"
        lines.append(f"- {r['server']} {r['metric']} {when}{trust}; said {r['judged_age_s']} s ago")
    if rows:
        lines.append(f"The interval holds {rows[0]['interval_percent']:g}% of cases; latest not known: maybe never.")
    return Answer(data, lines)


_BOUNDS = ("earliest_s", "likely_s", "latest_s")


def _because(missing: Mapping[str, Any]) -> str:
    """What a verdict lacks, in words."""
    if minutes := missing.get("history_minutes"):
        return f"its past is {minutes} min too short"
    if minutes := missing.get("window_minutes"):
        return f"forecasts need {minutes} min more"
    if "judgement" in missing:
        return f"it could not be judged: {quoted(cut(missing['judgement']))}"
    return "nothing usable came from it in that minute"
