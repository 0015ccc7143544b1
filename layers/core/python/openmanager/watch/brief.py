"""A verdict in short, as the live feed tells it: whole numbers, and nothing that can be asked for one server. Pure."""

from collections.abc import Mapping
from typing import Any

import numpy as np

from openmanager.catalog import FORECAST_METRICS
from openmanager.watch.judge import Verdict
from openmanager.watch.state import States

# Minutes of processor use that a server's line shows.
RECENT = 40
_CPU = FORECAST_METRICS.index("cpu_utilization")
# What people wait for, of all that a verdict may lack.
_AWAITED = ("history_minutes", "window_minutes", "rebuilding", "models")


def brief(verdict: Verdict) -> dict[str, Any]:
    """Probabilities in thousandths, the anomaly score in hundredths of its threshold, confidence in percent.

    None where nothing is known; `next` and `missing` are not there if there is nothing to say.
    """
    anomaly, failure, risk = verdict.anomaly, verdict.failure, verdict.risk
    said: dict[str, Any] = {
        "status": verdict.status,
        "risk": risk and round(1000 * risk["probability"]),
        "failure": failure and round(1000 * failure["probability"]),
        "anomaly": anomaly and round(100 * anomaly["score"] / max(anomaly["threshold"], 1e-9)),
        "anomalous": bool(anomaly and anomaly["anomalous"]),
        "confidence": round(100 * verdict.confidence),
    }
    if following := soonest(verdict.exhaustion):
        said["next"] = following
    if missing := {name: verdict.missing[name] for name in _AWAITED if name in verdict.missing}:
        said["missing"] = missing
    return said


def soonest(exhaustion: Mapping[str, Mapping[str, Any]]) -> dict[str, Any] | None:
    """The exhaustion that comes first, of those that come at all: one whose forecast has earned it before any other."""
    coming = [(metric, end) for metric, end in exhaustion.items() if end["outcome"] in ("crosses", "at_limit")]
    if not coming:
        return None
    metric, end = min(coming, key=lambda found: (not found[1]["skilled"], found[1]["earliest_s"]))
    return {"metric": metric} | {
        name: end[name] for name in ("earliest_s", "likely_s", "latest_s", "grid_s", "skilled")
    }


def recent(states: States) -> list[list[int | None]]:
    """Of each server (n) the last minutes' processor use in whole percents, oldest first, None without samples."""
    values = states["windows"][:, _CPU, -RECENT:]
    ages = np.arange(RECENT - 1, -1, -1, dtype=np.uint64)
    arrived = (states["history"][:, None] >> ages) & np.uint64(1) == 1
    known = arrived & ~np.isnan(values)
    whole = np.where(known, np.rint(np.where(known, values, 0)), 0).astype(int)
    return [
        [value if there else None for value, there in zip(row, seen, strict=True)]
        for row, seen in zip(whole.tolist(), known.tolist(), strict=True)
    ]
