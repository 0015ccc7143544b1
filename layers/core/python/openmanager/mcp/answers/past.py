"""What predictions have been worth, and what a past would have paged."""

from collections.abc import Mapping
from typing import Any

from openmanager import spans
from openmanager.mcp.answer import Answer, instant, page, percent, shown
from openmanager.mcp.answers.trouble import reached, unit_of
from openmanager.mcp.ask import Asked

_DAY_S = 86_400
# A whole day as the route has it: whole minutes around the span, so one fewer than fit.
_LONGEST_S = 60.0 * 1439


def prediction_record(a: Asked) -> Answer:
    """Hits, misses and false alarms, and whether probabilities and forecasts beat doing without."""
    stop = a.now_ms / 1000
    start = stop - a["days"] * _DAY_S
    found = a.use("prediction_record", **{"from": start, "to": stop, "server": a["server"]})
    data = a.begun | {"server": a["server"], "window": _window(start, stop)} | _record(found)
    return Answer(data, _record_lines(data, f"In the last {a['days']} days"))


def replay(a: Asked) -> Answer:
    """What a stored day of a server would have paged, by the rules in force or by others."""
    start, stop = spans.span(a["from"], a["to"], a.now_ms, _LONGEST_S)
    rules = {} if a["rules"] is None else {"rules": a["rules"]}
    found = a.use("replay", server=a["server"], **{"from": start, "to": stop}, **rules)
    rows, following = page(found["notices"], _when, _notice, a["limit"], a["cursor"])
    data = a.begun | {
        "server": a["server"],
        "window": _window(start, stop),
        "rules": "those in force" if a["rules"] is None else "those of the call",
        "replayed_min": found["minutes"],
        "fired": found["fired"],
        "notices": rows,
        "next": following,
        **_record(found["record"]),
        "cost_usd": found["cost"]["usd"],
    }
    begin = f"{a['server']}, {data['window']['from']} to {data['window']['to']}, by {data['rules']}"
    lines = [f"{begin}: {data['fired']} alerts would have fired ({data['replayed_min']} minutes with the day before)."]
    lines += [f"- {r['at']} {r['event']} {r['severity']} {r['rule']}: {reached(r)}" for r in rows]
    return Answer(data, [*lines, *_record_lines(data, "Of these minutes, and the day before that taught the models")])


def _window(start: float, stop: float) -> dict[str, str]:
    return {"from": instant(start), "to": instant(stop)}


def _when(notice: Mapping[str, Any]) -> list[Any]:
    return [notice["at"], notice["rule"], notice["event"]]


def _notice(notice: Mapping[str, Any]) -> dict[str, Any]:
    kept = {name: notice[name] for name in ("event", "rule", "severity", "value", "limit")}
    return {"at": instant(notice["at"])} | kept | {"unit": unit_of(notice["facts"])}


def _record(found: Mapping[str, Any]) -> dict[str, Any]:
    scored = found["probabilities"]
    models = {name: _model(m) for name, m in found["models"].items()}
    unknown = [f"how good {n}'s warnings are, because none has been settled" for n, m in models.items() if not _any(m)]
    if not scored:
        unknown.append("how good the probabilities are, because none has been scored yet")
    return {
        "incidents": found["incidents"],
        "models": models,
        "probabilities": scored and {name: scored[name] for name in ("count", "brier", "skill")},
        "forecasts": {
            metric: {"steps": f["steps"], "skill": f["skill"], "inside_80_percent": percent(f["inside_80"])}
            for metric, f in found["forecasts"].items()
        },
        "unknown": unknown,
    }


def _model(found: Mapping[str, Any]) -> dict[str, Any]:
    return {
        "horizon_min": found["horizon_minutes"],
        "hits": found["hits"],
        "false_alarms": found["false_alarms"],
        "missed": found["missed"],
        "precision_percent": percent(found["precision"]),
        "recall_percent": percent(found["recall"]),
        "median_lead_s": found["median_lead_s"],
    }


def _any(model: Mapping[str, Any]) -> bool:
    return bool(model["hits"] + model["false_alarms"])


def _record_lines(data: Mapping[str, Any], when: str) -> list[str]:
    lines = [f"{when}: {data['incidents']} incidents."]
    for name, m in data["models"].items():
        counts = f"{m['hits']} warnings came true, {m['false_alarms']} did not, {m['missed']} incidents were missed"
        lead = "" if m["median_lead_s"] is None else f"; median lead {shown(m['median_lead_s'], 's')}"
        worth = f"precision {shown(m['precision_percent'], '%')}, recall {shown(m['recall_percent'], '%')}"
        lines.append(f"- {name} ({m['horizon_min']} min ahead): {counts}; {worth}{lead}")
    if scored := data["probabilities"]:
        worth = f"Brier {scored['brier']:g}, skill {shown(scored['skill'])} (above 0 is good)"
        lines.append(f"- probabilities: {worth}, of {scored['count']} that were scored")
    for metric, f in data["forecasts"].items():
        inside = shown(f["inside_80_percent"], "%")
        lines.append(f"- forecasts of {metric}: skill {shown(f['skill'])}, {inside} inside their 80% interval")
    return lines
