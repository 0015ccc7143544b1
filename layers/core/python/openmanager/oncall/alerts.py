"""Open alerts and incidents as they stand, their history, and acknowledging them."""

import json
from collections import defaultdict
from collections.abc import Mapping, Sequence
from typing import Any

from openmanager.alerts.rules import OURSELVES
from openmanager.alerts.texts import storable
from openmanager.errors import InvalidInput, NotFound
from openmanager.settings import settings
from openmanager.stores import alerts, audit, config, hot
from openmanager.stores.segments import shard_of
from openmanager.telemetry.samples import LATEST_S

PAGE = 200
_RANK = {"critical": 0, "warning": 1}
_STATES = ("firing", "nodata", "recovering", "acknowledged", "pending")


def open_alerts() -> list[dict[str, Any]]:
    """Every alert that is not resolved, what needs people first. An acknowledgement counts from when it was asked for.

    Raises StoreUnavailable.
    """
    wishes = _requests()
    found = [
        _shown(alert, wishes.get(f"{server}|{alert['rule']}"))
        for server, text in hot.read_books(range(settings().shards)).items()
        for alert in json.loads(text)["alerts"]
    ]
    return sorted(found, key=_order)


def of_server(server: str) -> list[dict[str, Any]]:
    """One server's open alerts."""
    wishes = _requests()
    return sorted((_shown(a, wishes.get(f"{server}|{a['rule']}")) for a in _book(server)), key=_order)


def open_incidents() -> list[dict[str, Any]]:
    """Open incidents, the gravest first, each with its alerts."""
    grouped: dict[str, list[dict[str, Any]]] = defaultdict(list)
    for alert in open_alerts():
        if alert["incident"]:
            grouped[alert["incident"]].append(alert)
    return sorted(map(_incident, grouped.values()), key=lambda i: (_RANK[i["severity"]], i["began"]))


def incident(identity: str) -> dict[str, Any]:
    """One incident with its alerts and everything that happened to them. Raises NotFound."""
    now = [a for a in open_alerts() if a["incident"] == identity]
    events = alerts.of_incident(identity)
    if not now and not events:
        raise NotFound(f"incident {identity!r} is not known")
    # A pair, for names run together may be those of another server and rule.
    last = {(e["alert"]["server"], e["alert"]["rule"]): _shown(e["alert"], None) for e in events}
    members = list((last | {(a["server"], a["rule"]): a for a in now}).values())
    return _incident(members) | {"open": bool(now), "events": _events(events)}


def acknowledge(server: str, rule: str, by: str, note: str) -> dict[str, Any]:
    """Take care of an alert; the next round carries it out. Raises NotFound."""
    # Or it would keep the archive from storing what happened.
    note = "".join(c for c in note if storable(c))
    return _ask(server, rule, {"acknowledged": True, "by": by, "note": note})


def unacknowledge(server: str, rule: str, by: str) -> dict[str, Any]:
    """Give it back to everybody. Raises NotFound."""
    return _ask(server, rule, {"acknowledged": False, "by": by})


def history(start_s: float, stop_s: float, server: str | None, rule: str | None, cursor: str | None) -> dict[str, Any]:
    """What happened to alerts in [start, stop), newest first, a page at a time. Raises InvalidInput for the cursor."""
    before = None
    if cursor is not None:
        at, _, identity = cursor.partition("~")
        try:
            before = (float(at), identity)
        except ValueError:
            before = (-1.0, "")
        if not 0 <= before[0] <= LATEST_S:
            raise InvalidInput("cursor", "is none of ours")
    found = alerts.read(start_s, stop_s, server, rule, PAGE, before)
    following = f"{found[-1]['at']}~{found[-1]['id']}" if len(found) == PAGE else None
    return {"events": _events(found), "next": following}


def _events(found: Sequence[Mapping[str, Any]]) -> list[dict[str, Any]]:
    return [{**event, "alert": _shown(event["alert"], None)} for event in found]


def _requests() -> dict[str, Mapping[str, Any]]:
    return {
        name.removeprefix("request|"): json.loads(text)
        for name, text in config.read().items()
        if name.startswith("request|")
    }


def _book(server: str) -> list[dict[str, Any]]:
    # What is said of ourselves is the first shard's (watch.alerting).
    text = hot.read_book(0 if server == OURSELVES else shard_of(server), server)
    found: list[dict[str, Any]] = json.loads(text)["alerts"] if text else []
    return found


def _ask(server: str, rule: str, wish: dict[str, Any]) -> dict[str, Any]:
    found = next((a for a in _book(server) if a["rule"] == rule), None)
    if found is None or not found["fired"]:
        raise NotFound(f"no alert of rule {rule!r} is open for server {server!r}")
    config.ask(server, rule, json.dumps(wish))
    audit.record("alert.acknowledge" if wish["acknowledged"] else "alert.unacknowledge", f"{server}|{rule}", None, wish)
    return _shown(found, wish)


def _shown(alert: Mapping[str, Any], wish: Mapping[str, Any] | None) -> dict[str, Any]:
    """An alert as people see it: times in s, 0 as null."""
    shown = dict(alert)
    if wish is not None and alert["fired"]:
        taken = bool(wish.get("acknowledged"))
        if alert["state"] in ("firing", "acknowledged"):
            shown["state"] = "acknowledged" if taken else "firing"
        shown |= {"by": wish.get("by", "") if taken else "", "note": wish.get("note", "") if taken else ""}
    for name in ("since", "changed", "fired", "clear", "easing", "blind", "told", "acknowledged"):
        shown[name] = alert[name] * 60 or None
    return {"id": f"{alert['server']}|{alert['rule']}|{alert['since']}"} | shown


def _order(alert: Mapping[str, Any]) -> tuple[Any, ...]:
    hidden = bool(alert["suppressed"])
    return hidden, _STATES.index(alert["state"]), _RANK[alert["severity"]], alert["since"], alert["id"]


def _incident(members: list[dict[str, Any]]) -> dict[str, Any]:
    explains = [a for a in members if not a["suppressed"]] or members
    root = min(explains, key=lambda a: (_RANK[a["severity"]], a["fired"] or a["since"]))
    return {
        "id": root["incident"],
        "severity": min((a["severity"] for a in members), key=_RANK.__getitem__),
        "began": min(a["fired"] or a["since"] for a in members),
        "servers": sorted({a["server"] for a in members}),
        "root": {"server": root["server"], "rule": root["rule"]},
        "suppressed": sum(bool(a["suppressed"]) for a in members),
        "alerts": sorted(members, key=_order),
    }
