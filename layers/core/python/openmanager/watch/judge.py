"""One minute of many servers: scale, infer, judge. Pure but for the models; time is an argument."""

from dataclasses import field, fields
from typing import Any

import numpy as np
from numpy.typing import NDArray

from openmanager.catalog import COLUMN, METRIC, METRICS, MODEL_METRICS, STATUSES
from openmanager.errors import ModelUnavailable
from openmanager.inference import anomaly, failure, forecast
from openmanager.telemetry.samples import MINUTE_MS
from openmanager.telemetry.scaling import WARM_UP, Scaler, step
from openmanager.values import frozen
from openmanager.watch import outlook, past, risk
from openmanager.watch.state import HOUR, WINDOW, States

# Where a metric makes a server's status (warning, critical), in the metric's unit.
LIMITS: dict[str, tuple[float, float]] = {
    "cpu_utilization": (80, 90),
    "memory_used_effective": (80, 90),
    "filesystem_utilization": (80, 90),
}
# A server is offline after this many of its own cadences without a sample, but not before three minutes.
SILENT_CADENCES = 3
SILENT_MS = 180_000
# Until the cadence is known, any up to this one is allowed for.
SLOWEST_START_MS = 300_000
_CADENCE_WEIGHT = np.float32(0.2)
_NAMED_CONTRIBUTIONS = 5

_HIGH = np.array([np.nan if METRIC[k].high is None else METRIC[k].high for k in MODEL_METRICS], np.float32)
_MODEL_COLUMNS = [COLUMN[k] for k in MODEL_METRICS]
_HOUR = np.uint64((1 << HOUR) - 1)

Table = NDArray[np.float64]


@frozen
class Verdict:
    """What is said of one server and minute; `minute` is its start in seconds.

    `silence` says for how long nothing came, how long is allowed by the server's own cadence, and the ratio.
    `anomaly` and `failure` are None where nothing can be said. `forecasts` and `exhaustion` are by metric, `risk`
    combines what is ahead, with its parts (watch.outlook, watch.risk). `confidence` is the share of a full baseline
    (240 minutes) times that of the last hour's minutes that arrived times that of the 20 metrics that are known;
    `missing` says what lacks: minutes until the baseline is full, minutes until forecasts begin, metrics, models.
    """

    server: str
    minute: int
    status: str
    reasons: list[dict[str, Any]]
    silence: dict[str, Any]
    anomaly: dict[str, Any] | None
    failure: dict[str, Any] | None
    forecasts: dict[str, Any]
    exhaustion: dict[str, Any]
    risk: dict[str, Any] | None
    confidence: float
    missing: dict[str, Any] = field(default_factory=dict)

    @classmethod
    def unknown(cls, server: str, minute: int, why: str) -> "Verdict":
        """The verdict on a server that could not be judged in minute `minute` (since 1970)."""
        silence = {"silent_s": 0, "allowed_s": SILENT_MS // 1000, "score": 0.0}
        reasons = [{"level": "unknown", "error": why}]
        missing = {"judgement": why}
        return cls(server, minute * 60, "unknown", reasons, silence, None, None, {}, {}, None, 0.0, missing)

    def as_dict(self) -> dict[str, Any]:
        """The verdict as JSON values, which it shares: they are not to be changed."""
        return {name: getattr(self, name) for name in _FIELDS}


_FIELDS = tuple(f.name for f in fields(Verdict))


def judge(
    servers: list[str],
    states: States,
    minute: int,
    x: Table,
    rows: NDArray[np.int64],
    newest_ms: NDArray[np.int64],
) -> list[Verdict]:
    """Verdicts of the servers (n) for one minute; `states` (n,) learn it in place.

    `x` (n, len(METRICS)) the minute's metrics, NaN where unknown; `rows` (n,) how many instants it had samples for;
    `newest_ms` (n,) the newest of them. Each row depends on its own server alone.
    """
    scores, chances, absent = learn(states, minute, x, rows, newest_ms)
    paths, bounded = outlook.say(states, absent)
    ends = risk.exhaustions(states, bounded, minute)
    silences = _silences(states, minute)
    return [
        _verdict(server, states[i], minute, x[i], silences[i], scores[i], chances[i], paths[i], ends[i], absent)
        for i, server in enumerate(servers)
    ]


def learn(
    states: States, minute: int, x: Table, rows: NDArray[np.int64], newest_ms: NDArray[np.int64]
) -> tuple[list[dict[str, Any] | None], list[dict[str, Any] | None], list[str]]:
    """All that `judge` remembers of a minute, and what the models said on the way: (anomalies, chances, models absent).

    A past that is replayed comes through here alone, so that it leaves the very record that rounds would have left.
    """
    _learn_presence(states, minute, rows, newest_ms)
    z = _scale(states, x[:, _MODEL_COLUMNS].astype(np.float32))
    absent: list[str] = []
    scores = _scored(states, z, absent)
    chances = _chances(states, z, absent)
    outlook.learn(states, minute, x, absent)
    return scores, chances, absent


def _learn_presence(states: States, minute: int, rows: NDArray[np.int64], newest_ms: NDArray[np.int64]) -> None:
    new = states["first"] == 0
    states["first"] = np.where(new, minute, states["first"])
    states["judged"] = minute
    arrived = rows > 0
    states["history"] = ((states["history"] << np.uint64(1)) | arrived.astype(np.uint64)) & _HOUR
    # A server's first minute tells the distance of its samples only if it holds several.
    tells = arrived & (~new | (rows > 1))
    since = np.where(new, minute * MINUTE_MS, states["seen_ms"])
    gap = ((newest_ms - since) / np.maximum(rows, 1) / 1000).astype(np.float32)
    gap = np.clip(gap, np.float32(1), np.float32(3600))
    cadence = states["cadence_s"]
    learnt = np.where(cadence == 0, gap, cadence + _CADENCE_WEIGHT * (gap - cadence))
    states["cadence_s"] = np.where(tells, learnt, cadence)
    states["seen_ms"] = np.where(arrived, newest_ms, states["seen_ms"])


def _silences(states: States, minute: int) -> list[dict[str, Any]]:
    """How long each server has been silent, and how long it may be."""
    cadence_ms = np.where(states["cadence_s"] == 0, SLOWEST_START_MS, states["cadence_s"].astype(np.float64) * 1000)
    allowed = np.maximum(SILENT_CADENCES * cadence_ms, SILENT_MS)
    silent: NDArray[np.int64] = (minute + 1) * MINUTE_MS - states["seen_ms"]
    return [
        {"silent_s": int(s) // 1000, "allowed_s": int(a) // 1000, "score": round(float(s / a), 2), "over": bool(s > a)}
        for s, a in zip(silent, allowed, strict=True)
    ]


def _scale(states: States, x: NDArray[np.float32]) -> NDArray[np.float32]:
    names = ("mean", "deviation", "peak", "count")
    scaler = Scaler(*(states[name] for name in names))
    z = step(scaler, x, _HIGH)
    for name in names:
        states[name] = getattr(scaler, name)
    return z


def _scored(states: States, z: NDArray[np.float32], absent: list[str]) -> list[dict[str, Any] | None]:
    """Anomaly of each server, None where no metric is known against a past."""
    answers: list[dict[str, Any] | None] = [None] * len(states)
    known = np.flatnonzero(~np.isnan(z).all(axis=1))
    if not len(known):
        return answers
    try:
        error, contributions = anomaly.score(z[known])
        smoothed = anomaly.smooth(states["score"][known], error)
        limit = anomaly.threshold(states["quantile"][known])
        codes = _codes(z[known], smoothed > limit)
        rank = past.p_values(states["past"][known], smoothed)
        states["past"][known] = past.learn(states["past"][known], smoothed)
        states["quantile"][known] = anomaly.update_quantile(states["quantile"][known], smoothed)
    except ModelUnavailable as reason:
        absent.append(str(reason))
        return answers
    states["score"][known] = smoothed
    for i, row in enumerate(known):
        share = contributions[i] / max(float(error[i]), 1e-9)
        order = np.argsort(-share, kind="stable")[:_NAMED_CONTRIBUTIONS]
        answers[row] = {
            "score": _short(smoothed[i]),
            "threshold": _short(limit[i]),
            "p_value": _short(rank[i]),
            "anomalous": bool(smoothed[i] > limit[i]),
            "contributions": {MODEL_METRICS[j]: round(float(share[j]), 2) for j in order if share[j] >= 0.05},
        }
        if i in codes:
            answers[row]["code"] = codes[i]
    return answers


def _codes(z: NDArray[np.float32], anomalous: NDArray[np.bool_]) -> dict[int, list[float]]:
    """Of anomalous rows the network's code, by which alike minutes are found (oncall.explain)."""
    rows = np.flatnonzero(anomalous)
    if not len(rows):
        return {}
    return {
        int(i): np.round(c, 3).tolist() for i, c in zip(rows, anomaly.code(z[rows]).astype(np.float64), strict=True)
    }


def _chances(states: States, z: NDArray[np.float32], absent: list[str]) -> list[dict[str, Any] | None]:
    """Failure probability of each server, None where none of the five inputs is known."""
    answers: list[dict[str, Any] | None] = [None] * len(states)
    known = np.flatnonzero(~np.isnan(z).all(axis=1))
    if not len(known):
        return answers
    try:
        smoothed = failure.smooth(states["inputs"][known], failure.inputs(z[known]))
        chance = failure.probability(smoothed)
    except ModelUnavailable as reason:
        absent.append(str(reason))
        return answers
    states["inputs"][known] = smoothed
    for i, row in enumerate(known):
        answers[row] = {"probability": round(float(chance[i]), 4), "horizon_minutes": failure.HORIZON_MIN}
    return answers


def _verdict(
    server: str,
    state: np.void,
    minute: int,
    x: NDArray[np.float64],
    silence: dict[str, Any],
    score: dict[str, Any] | None,
    chance: dict[str, Any] | None,
    paths: dict[str, Any],
    ends: dict[str, Any],
    absent: list[str],
) -> Verdict:
    over = silence.pop("over")
    reasons, status = _status(x, STATUSES[int(state["status"])], over, silence, score)
    state["status"] = STATUSES.index(status)
    history = int(state["count"].max())
    minutes = min(HOUR, minute - int(state["first"]) + 1)
    arrived = (int(state["history"]) & ((1 << minutes) - 1)).bit_count() / minutes
    known = int(np.count_nonzero(state["count"]))
    missing: dict[str, Any] = {}
    if history < WARM_UP:
        missing["history_minutes"] = WARM_UP - history
    if history and not paths and not absent:
        lacking = np.isnan(state["windows"][:, WINDOW - forecast.WINDOW :]).sum(axis=1)
        missing["window_minutes"] = int(lacking.min())
    if unknown := [k for k, seen in zip(MODEL_METRICS, state["count"], strict=True) if not seen]:
        missing["metrics"] = unknown
    if absent:
        missing["models"] = list(absent)
    confidence = min(1.0, history / WARM_UP) * arrived * known / len(MODEL_METRICS)
    ahead = risk.combined(chance, ends) if not over else None
    return Verdict(
        server, minute * 60, status, reasons, silence, score, chance, paths, ends, ahead, round(confidence, 3), missing
    )


def _status(
    x: NDArray[np.float64], before: str, over: bool, silence: dict[str, Any], score: dict[str, Any] | None
) -> tuple[list[dict[str, Any]], str]:
    """(why, status). A minute without samples keeps the status until the silence is long enough."""
    if over:
        return [{"level": "offline", "silent_s": silence["silent_s"]}], "offline"
    if np.isnan(x).all():
        return [], before
    reasons: list[dict[str, Any]] = []
    for key, (warning, critical) in LIMITS.items():
        value = x[COLUMN[key]]
        if value >= warning:
            level, limit = ("critical", critical) if value >= critical else ("warning", warning)
            reasons.append({"level": level, "metric": key, "value": round(float(value), 1), "limit": limit})
    if score and score["anomalous"]:
        reasons.append({"level": "warning", "anomaly": score["score"], "limit": score["threshold"]})
    levels = {reason["level"] for reason in reasons}
    return reasons, next((level for level in ("critical", "warning") if level in levels), "healthy")


def values(x: NDArray[np.float64]) -> dict[str, float]:
    """A row of metrics as JSON values, rounded to the catalogue's precision, unknown ones left out."""
    return {m.key: round(float(v), m.decimals) for m, v in zip(METRICS, x, strict=True) if not np.isnan(v)}


def _short(value: np.float32) -> float:
    return float(f"{value:.4g}")
