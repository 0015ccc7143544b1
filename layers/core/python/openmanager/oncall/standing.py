"""Open alerts as people see them. Of the stores it needs Redis only, so that the live feed can tell of them, too."""

import json
from collections.abc import Mapping
from typing import Any

from openmanager.settings import settings
from openmanager.stores import config
from openmanager.stores.latest import read_books

RANK = {"critical": 0, "warning": 1}
_STATES = ("firing", "nodata", "recovering", "acknowledged", "pending")


def open_alerts() -> list[dict[str, Any]]:
    """Every alert that is not resolved, what needs people first. An acknowledgement counts from when it was asked for.

    Raises StoreUnavailable.
    """
    wishes = requests()
    found = [
        shown(alert, wishes.get(f"{server}|{alert['rule']}"))
        for server, text in read_books(range(settings().shards)).items()
        for alert in json.loads(text)["alerts"]
    ]
    return sorted(found, key=order)


def requests() -> dict[str, Mapping[str, Any]]:
    """What people asked for and no round has carried out yet, by `server|rule`."""
    return {
        name.removeprefix("request|"): json.loads(text)
        for name, text in config.read().items()
        if name.startswith("request|")
    }


def shown(alert: Mapping[str, Any], wish: Mapping[str, Any] | None) -> dict[str, Any]:
    """An alert as people see it: times in s, 0 as null; `trace_id` is null until it has fired."""
    seen = dict(alert)
    if wish is not None and alert["fired"]:
        taken = bool(wish.get("acknowledged"))
        if alert["state"] in ("firing", "acknowledged"):
            seen["state"] = "acknowledged" if taken else "firing"
        seen |= {"by": wish.get("by", "") if taken else "", "note": wish.get("note", "") if taken else ""}
    # Alerts that fired before there were traces have none.
    seen["trace_id"] = alert.get("trace_id") or None
    for name in ("since", "changed", "fired", "clear", "easing", "blind", "told", "acknowledged"):
        seen[name] = alert[name] * 60 or None
    return {"id": f"{alert['server']}|{alert['rule']}|{alert['since']}"} | seen


def order(alert: Mapping[str, Any]) -> tuple[Any, ...]:
    """What needs people first sorts first."""
    hidden = bool(alert["suppressed"])
    return hidden, _STATES.index(alert["state"]), RANK[alert["severity"]], alert["since"], alert["id"]
