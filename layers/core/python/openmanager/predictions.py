"""What the last round said of the servers, and what is ahead of them.

Redis only, and without numpy, which costs a cold start a seventh of its time.
"""

import time
from collections.abc import Mapping, Sequence
from typing import Any

from openmanager.catalog import METRIC
from openmanager.errors import NotFound
from openmanager.settings import settings
from openmanager.stores.latest import read_latest, read_outlooks, read_server_latest


def prediction(server: str) -> dict[str, Any]:
    """The last verdict on a server. Raises NotFound, saying whether the server is unknown or not judged yet."""
    left = read_server_latest(server)
    if left and left["verdict"]:
        verdict: dict[str, Any] = left["verdict"]
        return verdict
    # It loads numpy, and nearly nobody gets here.
    from openmanager.stores.segments import has_sent

    if has_sent(server, int(time.time() * 1000)):
        raise NotFound(f"server {server!r} has not been judged yet: its first verdict comes with the next round")
    raise NotFound(f"server {server!r} has sent nothing")


def outlooks(servers: Sequence[str]) -> list[dict[str, Any]]:
    """What is ahead of some servers, in the order asked for: the metric that the risk is about, measured and forecast.

    Servers that were not judged yet are not among them. Raises StoreUnavailable.
    """
    found = read_outlooks(servers)
    return [_outlook(server, *found[server]) for server in dict.fromkeys(servers) if server in found]


def _outlook(server: str, verdict: Mapping[str, Any], about: Mapping[str, Any] | None) -> dict[str, Any]:
    nothing = {"metric": None, "limit": None, "critical": None, "unit": None, "history": None, "forecast": None}
    if about is None:
        return {"server": server, **nothing, "next": None, "risk": verdict["risk"]}
    ahead = verdict["forecasts"].get(about["metric"])
    return {
        "server": server,
        "metric": about["metric"],
        "limit": about["limit"],
        "critical": about["critical"],
        "unit": METRIC[about["metric"]].unit,
        "history": {"start": about["start"], "step": 60, "values": about["values"]},
        "forecast": ahead and {"at": verdict["minute"] + 60, "step": 60, **ahead},
        "next": about["next"],
        "risk": verdict["risk"],
    }


def predictions() -> list[dict[str, Any]]:
    """The last verdict on every server that has one, with its attributes, by name."""
    found = [item for shard in range(settings().shards) for item in read_latest(shard).items()]
    return [
        {**left["verdict"], "role": left["attributes"].get("role", "")}
        for _, left in sorted(found, key=lambda item: item[0])
        if left["verdict"]
    ]
