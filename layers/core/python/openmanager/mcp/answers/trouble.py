"""Alerts and incidents."""

from collections.abc import Mapping
from typing import Any

from openmanager.catalog import METRIC
from openmanager.mcp.answer import OTHERS_WROTE, Answer, age_s, cut, instant, page, quoted, shown
from openmanager.mcp.ask import Asked

_STATES = ("firing", "nodata", "recovering", "acknowledged", "pending")
_SEVERITIES = ("critical", "warning")
_MOST_SERVERS, _MOST_EVENTS = 10, 12
_UNITS = {
    "silent_s": "s",
    "horizon_minutes": "probability, 0 to 1",
    "skills": "skill, below 0 is bad",
    "contributions": "times its own threshold",
}


def list_alerts(a: Asked) -> Answer:
    """Open alerts, what needs people first."""
    found = a.use("list_alerts", **({"server": a["server"]} if a["server"] else {}))["alerts"]
    found = [x for x in found if a["severity"] in (None, x["severity"]) and a["state"] in (None, x["state"])]
    rows, following = page(found, _urgent, lambda x: _alert(x, a.now_ms), a["limit"], a["cursor"])
    data = a.begun | {"matching": len(found), "alerts": rows, "next": following}
    lines = [f"{len(found)} open alerts match.", *(_alert_line(r) for r in rows)]
    return Answer(data, [*lines, OTHERS_WROTE] if any("note" in r for r in rows) else lines)


def get_incident(a: Asked) -> Answer:
    """One incident with what happened; without an id the open ones, the gravest first."""
    if a["id"]:
        return _one(a, a.use("get_incident", id=a["id"]))
    found = a.use("list_incidents")["incidents"]
    rows, following = page(found, _grave, lambda i: _incident(i, a.now_ms), a["limit"], a["cursor"])
    data = a.begun | {"matching": len(found), "incidents": rows, "next": following}
    return Answer(data, [f"{len(found)} open incidents.", *(_incident_line(r) for r in rows)])


def _one(a: Asked, whole: Mapping[str, Any]) -> Answer:
    alerts, following = page(whole["alerts"], _urgent, lambda x: _alert(x, a.now_ms), a["limit"], a["cursor"])
    events = [
        {"at": instant(e["at"]), "server": e["alert"]["server"], "rule": e["alert"]["rule"], "what": e["what"]}
        for e in whole["events"][-_MOST_EVENTS:]
    ]
    data = a.begun | {
        "incident": _incident(whole, a.now_ms) | {"open": whole["open"]},
        "alerts": alerts,
        "events": events,
        "events_left_out": len(whole["events"]) - len(events),
        "next": following,
    }
    state = "open" if whole["open"] else "over"
    lines = [_incident_line(data["incident"]) + f"; it is {state}", *(_alert_line(r) for r in alerts)]
    lines += [f"- {e['at']} {e['server']} {e['rule']}: {e['what']}" for e in events]
    return Answer(data, [*lines, OTHERS_WROTE] if any("note" in r for r in alerts) else lines)


def _urgent(alert: Mapping[str, Any]) -> list[Any]:
    state, severity = _STATES.index(alert["state"]), _SEVERITIES.index(alert["severity"])
    return [bool(alert["suppressed"]), state, severity, alert["since"], alert["id"]]


def _grave(incident: Mapping[str, Any]) -> list[Any]:
    return [_SEVERITIES.index(incident["severity"]), incident["began"], incident["id"]]


def _alert(alert: Mapping[str, Any], now_ms: int) -> dict[str, Any]:
    return {
        "server": alert["server"],
        "rule": alert["rule"],
        "state": alert["state"],
        "severity": alert["severity"],
        "value": alert["value"],
        "limit": alert["limit"],
        "unit": unit_of(alert["facts"]),
        "since": instant(alert["since"]),
        "age_s": age_s(alert["since"], now_ms),
        "incident": alert["incident"] or None,
        **({"suppressed": alert["suppressed"]} if alert["suppressed"] else {}),
        # Who took care, and their words, are not for every role.
        **{name: cut(alert[name]) for name in ("by", "note") if alert.get(name)},
    }


def unit_of(facts: Mapping[str, Any]) -> str | None:
    """The unit of an alert's value and limit, by the facts of its kind (alerts.conditions); None without them."""
    if metric := facts.get("metric"):
        return "h until exhaustion" if "outcome" in facts else METRIC[metric].unit
    return next((unit for name, unit in _UNITS.items() if name in facts), None)


def reached(row: Mapping[str, Any]) -> str:
    """The value that a row speaks of, beside its limit."""
    unit = row["unit"] or ""
    return f"value {shown(row['value'], unit)}, limit {shown(row['limit'], unit)}"


def _alert_line(row: Mapping[str, Any]) -> str:
    said = f"- {row['severity']} {row['rule']} on {row['server']}: {row['state']} for {shown(row['age_s'], 's')}"
    said += f", {reached(row)}"
    care = [f"suppressed: {row['suppressed']}"] if row.get("suppressed") else []
    care += [f"by {quoted(row['by'])}"] if row.get("by") else []
    care += [f"note {quoted(row['note'])}"] if row.get("note") else []
    return "; ".join([said, *care])


def _incident(incident: Mapping[str, Any], now_ms: int) -> dict[str, Any]:
    return {
        "id": incident["id"],
        "severity": incident["severity"],
        "began": instant(incident["began"]),
        "age_s": age_s(incident["began"], now_ms),
        "root": incident["root"],
        "server_count": len(incident["servers"]),
        "servers": incident["servers"][:_MOST_SERVERS],
        "alert_count": len(incident["alerts"]),
        "suppressed": incident["suppressed"],
    }


def _incident_line(row: Mapping[str, Any]) -> str:
    root = f"{row['root']['rule']} on {row['root']['server']}"
    many = f"{row['alert_count']} alerts on {row['server_count']} servers, {row['suppressed']} suppressed"
    return f"- {row['severity']} {row['id']} for {shown(row['age_s'], 's')}: it begins with {root}; {many}"
