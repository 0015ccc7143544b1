"""Why a server is judged as it is, from stored facts alone: nothing here is guessed, and what is not known is null."""

from collections.abc import Mapping, Sequence
from typing import Any

from openmanager.alerts import incidents
from openmanager.catalog import METRIC
from openmanager.errors import NotFound
from openmanager.oncall import settings as desk
from openmanager.settings import settings
from openmanager.stores import ledger, verdicts
from openmanager.stores.latest import read_latest

# How far back alike minutes are looked for: verdicts are kept for 30 days.
_PAST_S = 30 * 86_400
_MOST = 5_000
# Minutes nearer than this to now are the same episode.
_SAME_S = 3_600
# An incident within this long after an alike minute is said to have followed it.
_FOLLOWED_S = 1_800


def explain(server: str) -> dict[str, Any]:
    """A server's last verdict explained. Raises NotFound.

    `contributions` the metrics that make its minute unusual, with their values; `nearest` the most similar anomalous
    minute of its own past by the autoencoder's code, and whether an incident followed; `depends_on` and `affects` the
    servers of roles that it needs and that need it, with their status.
    """
    fleet = {s: v for shard in range(settings().shards) for s, v in read_latest(shard).items()}
    found = fleet.get(server)
    if not found or not found["verdict"]:
        raise NotFound(f"server {server!r} has not been judged")
    verdict, anomaly = found["verdict"], found["verdict"]["anomaly"]
    graph = {role: tuple(needs) for role, needs in desk.dependencies().items()}
    role = found["attributes"].get("role", "")
    return {
        "server": server,
        "minute": verdict["minute"],
        "status": verdict["status"],
        "reasons": verdict["reasons"],
        "p_value": anomaly and anomaly.get("p_value"),
        "contributions": _contributions(anomaly, found["metrics"]),
        "nearest": _nearest(server, verdict["minute"], anomaly),
        "exhaustion": verdict["exhaustion"],
        "risk": verdict["risk"],
        "depends_on": _of_roles(fleet, incidents.upstream(graph, role), server),
        "affects": _of_roles(fleet, incidents.dependents(graph, role), server),
        "confidence": verdict["confidence"],
    }


def _contributions(anomaly: Mapping[str, Any] | None, values: Mapping[str, float]) -> list[dict[str, Any]]:
    shares = anomaly["contributions"] if anomaly else {}
    return [
        {"metric": key, "share": share, "value": values.get(key), "unit": METRIC[key].unit}
        for key, share in shares.items()
    ]


def _nearest(server: str, minute: int, anomaly: Mapping[str, Any] | None) -> dict[str, Any] | None:
    """The most similar anomalous minute of the past; None where this one is ordinary, or is the first of its kind."""
    code = anomaly and anomaly.get("code")
    if not anomaly or not code:
        return None
    # Another release's network may have had a code of another length.
    past = [
        a
        for a in verdicts.anomalous(server, minute - _PAST_S, minute - _SAME_S, _MOST)
        if len(a.get("code", ())) == len(code)
    ]
    nearest = min(past, key=lambda a: _distance(code, a["code"]), default=None)
    if nearest is None:
        return None
    at = nearest["minute"]
    followed = ledger.incidents(at, at + _FOLLOWED_S, server)
    return {
        "minute": at,
        "distance": round(_distance(code, nearest["code"]), 3),
        "contributions": nearest["contributions"],
        "incident": {k: followed[0][k] for k in ("began", "ended", "kind")} if followed else None,
    }


def _distance(a: Sequence[float], b: Sequence[float]) -> float:
    return float(sum((x - y) ** 2 for x, y in zip(a, b, strict=True)) ** 0.5)


def _of_roles(fleet: Mapping[str, Any], roles: set[str], server: str) -> list[dict[str, Any]]:
    return [
        {"server": other, "role": found["attributes"].get("role", ""), "status": (found["verdict"] or {}).get("status")}
        for other, found in sorted(fleet.items())
        if other != server and found["attributes"].get("role", "") in roles
    ]
