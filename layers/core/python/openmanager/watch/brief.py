"""What a verdict comes to for a line in a list and for a chart of what is ahead. Pure."""

from collections.abc import Mapping
from typing import Any

import numpy as np

from openmanager.catalog import FORECAST_METRICS, METRIC
from openmanager.watch import coarse
from openmanager.watch.judge import LIMITS, SILENT_MS, Verdict
from openmanager.watch.state import HOUR, WINDOW, States

# Minutes of processor use that a server's line shows.
RECENT = 40
_CPU = FORECAST_METRICS.index("cpu_utilization")
# What people wait for, of all that a verdict may lack.
_AWAITED = ("history_minutes", "window_minutes", "rebuilding", "models")


def brief(verdict: Verdict) -> dict[str, Any]:
    """A verdict in whole numbers: probabilities in thousandths, the anomaly score in hundredths of its threshold,
    confidence in percent.

    None where nothing is known; `next` and `missing` are not there if there is nothing to say, `allowed_s` not where a
    server may be silent for as long as most.
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
    if (allowed_s := verdict.silence["allowed_s"]) != SILENT_MS // 1000:
        said["allowed_s"] = allowed_s
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


def outlook(verdict: Verdict, state: np.void) -> dict[str, Any] | None:
    """The metric that a server's risk is about, with what was measured of it: the one that meets its limit first, else
    the fullest. None where nothing is measured that could be full.

    `values` are the last minutes, oldest first, `start` the first one's (s); minutes without samples are None as far
    back as that is remembered, before that they hold the value before.
    """
    coming = soonest(verdict.exhaustion)
    metric = coming["metric"] if coming else _fullest(state)
    if metric is None:
        return None
    row = np.round(state["windows"][FORECAST_METRICS.index(metric)].astype(np.float64), METRIC[metric].decimals)
    gone = np.isnan(row)
    gone[-HOUR:] |= (state["history"] >> np.arange(HOUR - 1, -1, -1, dtype=np.uint64)) & np.uint64(1) == 0
    values = [None if lacking else value for value, lacking in zip(row.tolist(), gone.tolist(), strict=True)]
    return {
        "metric": metric,
        # What `next` counts to, and where the metric makes a server critical.
        "limit": coarse.LIMIT,
        "critical": LIMITS[metric][1] if metric in LIMITS else None,
        "start": verdict.minute - 60 * (WINDOW - 1),
        "values": values,
        "next": coming,
    }


def _fullest(state: np.void) -> str | None:
    """Of the metrics that make a server's status the one that is highest now."""
    now = {metric: float(state["windows"][FORECAST_METRICS.index(metric), -1]) for metric in LIMITS}
    known = {metric: value for metric, value in now.items() if not np.isnan(value)}
    return max(known, key=known.__getitem__, default=None)
