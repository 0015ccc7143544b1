"""One minute of many servers: scale, infer, judge. Pure but for the models; time is an argument."""

from dataclasses import asdict, dataclass, field
from typing import Any

import numpy as np
from numpy.typing import NDArray

from openmanager.catalog import COLUMN, FORECAST_METRICS, METRIC, METRICS, MODEL_METRICS, STATUSES
from openmanager.errors import ModelUnavailable
from openmanager.inference import anomaly, failure, forecast
from openmanager.telemetry.samples import MINUTE_MS
from openmanager.telemetry.scaling import WARM_UP, Scaler, step
from openmanager.watch.state import WINDOW, States

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
_FORECAST_COLUMNS = [COLUMN[k] for k in FORECAST_METRICS]
_FORECAST_HIGH = np.array([METRIC[k].high or np.inf for k in FORECAST_METRICS])
_HOUR = np.uint64((1 << WINDOW) - 1)

Table = NDArray[np.float64]


@dataclass(frozen=True, slots=True)
class Verdict:
    """What is said of one server and minute; `minute` is its start in seconds.

    `anomaly` and `failure` are None where nothing can be said. `confidence` is the share of a full baseline (240
    minutes) times the share of the last hour's minutes that arrived times the share of the 20 metrics that are known;
    `missing` says what lacks: minutes until the baseline is full, minutes until forecasts begin, metrics, models.
    """

    server: str
    minute: int
    status: str
    reasons: list[dict[str, Any]]
    anomaly: dict[str, Any] | None
    failure: dict[str, Any] | None
    forecasts: dict[str, list[float]]
    confidence: float
    missing: dict[str, Any] = field(default_factory=dict)

    def as_dict(self) -> dict[str, Any]:
        """The verdict as JSON values."""
        return asdict(self)


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
    paths = _paths(states, absent)
    silent = _silent(states, minute)
    return [
        _verdict(server, states[i], minute, x[i], bool(silent[i]), scores[i], chances[i], paths[i], absent)
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
    _shift_windows(states, x)
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


def _silent(states: States, minute: int) -> NDArray[np.bool_]:
    cadence_ms = np.where(states["cadence_s"] == 0, SLOWEST_START_MS, states["cadence_s"].astype(np.float64) * 1000)
    allowed = np.maximum(SILENT_CADENCES * cadence_ms, SILENT_MS)
    silence: NDArray[np.int64] = (minute + 1) * MINUTE_MS - states["seen_ms"]
    return np.greater(silence, allowed)


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
            "anomalous": bool(smoothed[i] > limit[i]),
            "contributions": {MODEL_METRICS[j]: round(float(share[j]), 2) for j in order if share[j] >= 0.05},
        }
    return answers


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


def _shift_windows(states: States, x: Table) -> None:
    """The minute enters the last hour of each forecast metric; short gaps hold the last value."""
    windows = states["windows"]
    value = x[:, _FORECAST_COLUMNS].astype(np.float32)
    value = np.where(np.isnan(value), windows[:, :, -1], value)
    windows[:, :, :-1] = windows[:, :, 1:].copy()
    windows[:, :, -1] = value


def _paths(states: States, absent: list[str]) -> list[dict[str, list[float]]]:
    """The next 30 minutes of each forecast metric whose last hour is complete."""
    windows = states["windows"]
    answers: list[dict[str, list[float]]] = [{} for _ in range(len(states))]
    at, series = np.nonzero(~np.isnan(windows).any(axis=2))
    if not len(at):
        return answers
    high = _FORECAST_HIGH[series]
    full = windows[at, series].astype(np.float64)
    floor = 0.001 * np.where(np.isfinite(high), high, np.abs(full).max(axis=1))
    try:
        ahead = forecast.path(full, floor)
    except ModelUnavailable as reason:
        absent.append(str(reason))
        return answers
    ahead = np.clip(ahead, 0, high[:, None])
    for i, (row, column) in enumerate(zip(at, series, strict=True)):
        key = FORECAST_METRICS[column]
        answers[row][key] = np.round(ahead[i], METRIC[key].decimals).tolist()
    return answers


def _verdict(
    server: str,
    state: np.void,
    minute: int,
    x: NDArray[np.float64],
    silent: bool,
    score: dict[str, Any] | None,
    chance: dict[str, Any] | None,
    paths: dict[str, list[float]],
    absent: list[str],
) -> Verdict:
    reasons, status = _status(state, minute, x, silent, score)
    state["status"] = STATUSES.index(status)
    history = int(state["count"].max())
    minutes = min(WINDOW, minute - int(state["first"]) + 1)
    arrived = (int(state["history"]) & ((1 << minutes) - 1)).bit_count() / minutes
    known = int(np.count_nonzero(state["count"]))
    missing: dict[str, Any] = {}
    if history < WARM_UP:
        missing["history_minutes"] = WARM_UP - history
    if history and not paths and not absent:
        missing["window_minutes"] = int(np.isnan(state["windows"]).sum(axis=1).min())
    if unknown := [k for k, seen in zip(MODEL_METRICS, state["count"], strict=True) if not seen]:
        missing["metrics"] = unknown
    if absent:
        missing["models"] = list(absent)
    confidence = min(1.0, history / WARM_UP) * arrived * known / len(MODEL_METRICS)
    return Verdict(server, minute * 60, status, reasons, score, chance, paths, round(confidence, 3), missing)


def _status(
    state: np.void, minute: int, x: NDArray[np.float64], silent: bool, score: dict[str, Any] | None
) -> tuple[list[dict[str, Any]], str]:
    """(why, status). A minute without samples keeps the status until the silence is long enough."""
    if silent:
        seconds = (minute + 1) * 60 - int(state["seen_ms"]) // 1000
        return [{"level": "offline", "silent_s": seconds}], "offline"
    if np.isnan(x).all():
        return [], STATUSES[int(state["status"])]
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
