"""Open alerts and incidents as they stand, their history, and acknowledging them."""

import json
import re
from collections import defaultdict
from collections.abc import Mapping, Sequence
from typing import Any

from openmanager.alerts.rules import OURSELVES
from openmanager.alerts.texts import storable
from openmanager.errors import InvalidInput, NotFound
from openmanager.oncall.standing import RANK, open_alerts, order, requests, shown
from openmanager.stores import alerts, audit, config
from openmanager.stores.latest import read_book
from openmanager.stores.shards import shard_of

PAGE = 200
_LONGEST_NOTE = 500
_CURSOR = r"[0-9]{1,11}([.][0-9]{1,9})?~[^\u0000]{1,1024}"
CURSOR = {"type": "string", "pattern": f"^{_CURSOR}$", "description": "`next` of the page before"}
NOTE = {
    "type": "object",
    "examples": [{"note": "on it"}],
    "properties": {"note": {"type": "string", "maxLength": _LONGEST_NOTE}},
}


def of_server(server: str) -> list[dict[str, Any]]:
    """One server's open alerts."""
    wishes = requests()
    return sorted((shown(a, wishes.get(f"{server}|{a['rule']}")) for a in _book(server)), key=order)


def open_incidents() -> list[dict[str, Any]]:
    """Open incidents, the gravest first, each with its alerts."""
    grouped: dict[str, list[dict[str, Any]]] = defaultdict(list)
    for alert in open_alerts():
        if alert["incident"]:
            grouped[alert["incident"]].append(alert)
    return sorted(map(_incident, grouped.values()), key=lambda i: (RANK[i["severity"]], i["began"]))


def incident(identity: str) -> dict[str, Any]:
    """One incident with its alerts and everything that happened to them. Raises NotFound."""
    now = [a for a in open_alerts() if a["incident"] == identity]
    events = alerts.of_incident(identity)
    if not now and not events:
        raise NotFound(f"incident {identity!r} is not known")
    # A pair, for names run together may be those of another server and rule.
    last = {(e["alert"]["server"], e["alert"]["rule"]): shown(e["alert"], None) for e in events}
    members = list((last | {(a["server"], a["rule"]): a for a in now}).values())
    return _incident(members) | {"open": bool(now), "events": _events(events)}


def read_note(asked: Mapping[str, Any]) -> str:
    """What somebody says as they acknowledge. Raises InvalidInput."""
    note = asked.get("note", "")
    if not isinstance(note, str) or len(note) > _LONGEST_NOTE:
        raise InvalidInput("note", f"must be a text of at most {_LONGEST_NOTE} characters")
    return note


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
        if not re.fullmatch(_CURSOR, cursor):
            raise InvalidInput("cursor", "is none of ours")
        at, _, identity = cursor.partition("~")
        before = (float(at), identity)
    found = alerts.read(start_s, stop_s, server, rule, PAGE, before)
    following = f"{found[-1]['at']}~{found[-1]['id']}" if len(found) == PAGE else None
    return {"events": _events(found), "next": following}


def _events(found: Sequence[Mapping[str, Any]]) -> list[dict[str, Any]]:
    return [{**event, "alert": shown(event["alert"], None)} for event in found]


def _book(server: str) -> list[dict[str, Any]]:
    # What is said of ourselves is the first shard's (watch.alerting).
    text = read_book(0 if server == OURSELVES else shard_of(server), server)
    found: list[dict[str, Any]] = json.loads(text)["alerts"] if text else []
    return found


def _ask(server: str, rule: str, wish: dict[str, Any]) -> dict[str, Any]:
    found = next((a for a in _book(server) if a["rule"] == rule), None)
    if found is None or not found["fired"]:
        raise NotFound(f"no alert of rule {rule!r} is open for server {server!r}")
    config.ask(server, rule, json.dumps(wish))
    audit.record("alert.acknowledge" if wish["acknowledged"] else "alert.unacknowledge", f"{server}|{rule}", None, wish)
    return shown(found, wish)


def _incident(members: list[dict[str, Any]]) -> dict[str, Any]:
    explains = [a for a in members if not a["suppressed"]] or members
    root = min(explains, key=lambda a: (RANK[a["severity"]], a["fired"] or a["since"]))
    return {
        "id": root["incident"],
        "severity": min((a["severity"] for a in members), key=RANK.__getitem__),
        "began": min(a["fired"] or a["since"] for a in members),
        "servers": sorted({a["server"] for a in members}),
        "root": {"server": root["server"], "rule": root["rule"]},
        "suppressed": sum(bool(a["suppressed"]) for a in members),
        "alerts": sorted(members, key=order),
    }
