"""The fleet as a whole, and servers looked for."""

from collections import Counter
from collections.abc import Mapping
from typing import Any

from openmanager.catalog import METRIC, STATUSES
from openmanager.mcp.answer import OTHERS_WROTE, Answer, age_s, cut, page, percent, quoted, shown
from openmanager.mcp.ask import Asked

# What a row says of a server, by the metric's key.
FIGURES = {
    "cpu_percent": "cpu_utilization",
    "memory_percent": "memory_used_effective",
    "disk_percent": "filesystem_utilization",
    "load_5m": "load_5m",
}
# Figures that servers may be sorted by, most first.
SORTS = {"cpu": "cpu_percent", "memory": "memory_percent", "disk": "disk_percent", "load": "load_5m", "risk": ""}
_WORST_FIRST = ("offline", "critical", "warning", "unknown", "maintenance", "healthy")
_WORST = 8
_RISK_WINDOW_MIN = 30


def fleet_overview(a: Asked) -> Answer:
    """How many servers are in which state, which are worst and why, and what is open."""
    servers, verdicts = a.use("list_servers")["servers"], _verdicts(a)
    alerts = a.use("list_alerts")["alerts"]
    counted = Counter(s["status"] for s in servers)
    judged = [age for s in servers if (age := age_s(s["judged"], a.now_ms)) is not None]
    worst = sorted(
        (s for s in servers if s["status"] != "healthy" or (_risk(verdicts, s) or 0) >= 50),
        key=lambda s: (_WORST_FIRST.index(s["status"]), -(_risk(verdicts, s) or 0), s["id"]),
    )
    rows = [_judged_row(s, verdicts.get(s["id"]), a.now_ms) for s in worst[:_WORST]]
    open_ = Counter("suppressed" if x["suppressed"] else f"{x['state']}_{x['severity']}" for x in alerts)
    incidents = len({x["incident"] for x in alerts if x["incident"]})
    data = a.begun | {
        "servers": len(servers),
        "statuses": {status: counted[status] for status in STATUSES if counted[status]},
        "judged_age_s": {"newest": min(judged), "oldest": max(judged)} if judged else None,
        "open_alerts": dict(open_),
        "open_incidents": incidents,
        "risk_window_min": _RISK_WINDOW_MIN,
        "worst": rows,
        "unknown": _not_judged(len(servers) - len(judged)),
    }
    states = ", ".join(f"{n} {status}" for status, n in data["statuses"].items()) or "none"
    ages = f"; judged {min(judged)} to {max(judged)} s ago" if judged else ""
    opened = ", ".join(f"{n} {name.replace('_', ' ')}" for name, n in open_.items()) or "none"
    lines = [
        f"{len(servers)} servers: {states}{ages}.",
        f"Open alerts: {opened}; incidents: {incidents}.",
        *(_judged_line(row) for row in rows),
    ]
    if len(worst) > len(rows):
        lines.append(f"{len(worst) - len(rows)} more: find_servers.")
    return Answer(data, lines)


def find_servers(a: Asked) -> Answer:
    """Servers by name, role, state, label, sorted by what is asked for."""
    verdicts, sort = _verdicts(a), a["sort"]
    found = [s for s in a.use("list_servers")["servers"] if _wanted(s, a)]

    def key(server: Mapping[str, Any]) -> list[Any]:
        if sort in SORTS:
            value = _risk(verdicts, server) if sort == "risk" else _figure(server, SORTS[sort])
            return [value is None, -(value or 0), server["id"]]
        return [_WORST_FIRST.index(server["status"]), server["id"]] if sort == "worst" else [server["id"]]

    def row(server: Mapping[str, Any]) -> dict[str, Any]:
        labels = {name: cut(value) for name, value in server["labels"].items()}
        return (
            _judged_row(server, verdicts.get(server["id"]), a.now_ms, why=False)
            | {name: _figure(server, name) for name in FIGURES}
            | {"figures_age_s": age_s(server["seen"], a.now_ms)}
            | ({"hostname": cut(server["hostname"])} if server.get("hostname") else {})
            | ({"labels": labels} if labels else {})
        )

    rows, following = page(found, key, row, a["limit"], a["cursor"])
    data = a.begun | {"matching": len(found), "risk_window_min": _RISK_WINDOW_MIN, "servers": rows, "next": following}
    lines = [f"{len(found)} servers match.", *(_found_line(r) for r in rows)]
    return Answer(data, [*lines, OTHERS_WROTE] if rows else lines)


def _wanted(server: Mapping[str, Any], a: Asked) -> bool:
    text = (a["text"] or "").lower()
    names = (server["id"], server.get("hostname", ""), *(f"{k}={v}" for k, v in server["labels"].items()))
    return (
        (not text or any(text in name.lower() for name in names))
        and a["role"] in (None, server.get("role", ""))
        and a["status"] in (None, server["status"])
    )


def _verdicts(a: Asked) -> Mapping[str, Mapping[str, Any]]:
    return {v["server"]: v for v in a.use("list_predictions")["predictions"]}


def _risk(verdicts: Mapping[str, Mapping[str, Any]], server: Mapping[str, Any]) -> float | None:
    verdict = verdicts.get(server["id"])
    return percent(verdict["risk"]["probability"]) if verdict and verdict["risk"] else None


def _figure(server: Mapping[str, Any], name: str) -> float | None:
    value: float | None = server["metrics"].get(FIGURES[name])
    return value


def _judged_row(
    server: Mapping[str, Any], verdict: Mapping[str, Any] | None, now_ms: int, why: bool = True
) -> dict[str, Any]:
    risk = verdict and verdict["risk"]
    return {
        "server": server["id"],
        "role": cut(server.get("role", "")) or None,
        "status": server["status"],
        **({"why": reasons(verdict["reasons"]) if verdict else ["not judged yet"]} if why else {}),
        "risk_percent": percent(risk["probability"]) if risk else None,
        "judged_age_s": age_s(server["judged"], now_ms),
    }


def reasons(said: list[dict[str, Any]]) -> list[str]:
    """Why a server has its status, each in a few words."""
    texts = []
    for reason in said:
        if metric := reason.get("metric"):
            unit = METRIC[metric].unit
            texts.append(f"{metric} {shown(reason['value'], unit)}, limit {shown(reason['limit'], unit)}")
        elif "anomaly" in reason:
            texts.append(f"unusual: score {reason['anomaly']:g}, its own limit {reason['limit']:g}")
        elif "silent_s" in reason:
            texts.append(f"silent for {shown(reason['silent_s'], 's')}")
    return texts


def _not_judged(count: int) -> list[str]:
    return [f"the state of {count} servers, because no round has judged them yet"] if count else []


def _judged_line(row: Mapping[str, Any]) -> str:
    risk = "not known" if row["risk_percent"] is None else f"{row['risk_percent']:g}% in 30 min"
    role = f" ({quoted(row['role'])})" if row["role"] else ""
    return f"- {row['server']}{role} {row['status']}: {'; '.join(row['why']) or 'no reason kept'}; risk {risk}"


def _found_line(row: Mapping[str, Any]) -> str:
    figures = [
        f"{name.removesuffix('_percent')} {shown(row[name], '%' if name.endswith('percent') else '')}"
        for name in FIGURES
        if row[name] is not None
    ]
    risk = [] if row["risk_percent"] is None else [f"risk {row['risk_percent']:g}%"]
    age = [] if row["figures_age_s"] is None else [f"{row['figures_age_s']} s old"]
    role = f" ({quoted(row['role'])})" if row["role"] else ""
    others = [quoted(f"{k}={v}") for k, v in row.get("labels", {}).items()]
    return f"- {row['server']}{role} {row['status']}: {', '.join([*figures, *risk, *age, *others]) or 'no figures'}"
