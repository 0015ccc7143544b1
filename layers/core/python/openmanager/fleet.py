"""What is known of the servers now and over time: hot and archived data as one."""

import time
from collections import defaultdict
from collections.abc import Mapping, Sequence
from dataclasses import dataclass
from typing import Any

import numpy as np

from openmanager.catalog import METRIC_KEYS, METRICS
from openmanager.errors import DamagedFrame, InvalidInput, NotFound
from openmanager.settings import settings
from openmanager.stores import hot
from openmanager.stores.segments import (
    BACKLOG,
    StoredFrame,
    read_server_frames,
    read_shard_frames,
    segments_between,
    shard_of,
)
from openmanager.telemetry import windows
from openmanager.telemetry.samples import Samples, merge

MAX_POINTS = 1_500
_MAX_HOT_MS = 48 * 3600 * 1000
# What counts as "now": long enough to hold every part of one scrape, however its sender cut it up.
_NOW_MS = 30_000
_WORST_FIRST = ("offline", "critical", "warning", "unknown", "maintenance", "healthy")


def listing(now_ms: int | None = None) -> list[dict[str, Any]]:
    """Every server with its newest values and last verdict, worst first."""
    now_ms = now_ms or _now_ms()
    found = []
    for shard in range(settings().shards):
        latest = hot.read_latest(shard)
        frames: dict[str, list[StoredFrame]] = defaultdict(list)
        for frame in read_shard_frames(shard, segments_between(now_ms, now_ms)):
            frames[frame.server].append(frame)
        found += [_entry(s, latest.get(s), frames.get(s, [])) for s in latest.keys() | frames.keys()]
    return sorted(found, key=lambda e: (_WORST_FIRST.index(e["status"]), e["id"]))


def detail(server: str, now_ms: int | None = None) -> dict[str, Any]:
    """One server as in `listing`, with its whole verdict. Raises NotFound."""
    now_ms = now_ms or _now_ms()
    latest = hot.read_server_latest(server)
    frames = read_server_frames(server, segments_between(now_ms, now_ms))
    if latest is None and not frames:
        raise NotFound(f"server {server!r} has sent nothing")
    return _entry(server, latest, frames) | {"verdict": latest["verdict"] if latest else None}


def prediction(server: str) -> dict[str, Any]:
    """The last verdict on a server. Raises NotFound, saying whether the server is unknown or not judged yet."""
    latest = hot.read_server_latest(server)
    if latest and latest["verdict"]:
        verdict: dict[str, Any] = latest["verdict"]
        return verdict
    now_ms = _now_ms()
    if read_server_frames(server, [*segments_between(now_ms, now_ms), BACKLOG]):
        raise NotFound(f"server {server!r} has not been judged yet: its first verdict comes with the next round")
    raise NotFound(f"server {server!r} has sent nothing")


def _entry(server: str, latest: Mapping[str, Any] | None, frames: Sequence[StoredFrame]) -> dict[str, Any]:
    verdict = (latest or {}).get("verdict")
    live, seen, attributes = _live(frames)
    if latest:
        attributes = attributes or latest["attributes"]
        seen = max(seen, latest["seen"])
    return {
        "id": server,
        **attributes,
        "status": verdict["status"] if verdict else "unknown",
        "seen": seen,
        "metrics": (latest["metrics"] if latest else {}) | live,
        "confidence": verdict["confidence"] if verdict else 0.0,
        "anomaly": verdict and verdict["anomaly"],
        "failure": verdict and verdict["failure"],
        "judged": verdict and verdict["minute"],
    }


def _live(frames: Sequence[StoredFrame]) -> tuple[dict[str, float], float, Mapping[str, str]]:
    """(newest values, when in s, attributes) from the newest two frames: a counter needs a sample before."""
    samples: list[Samples] = []
    attributes: Mapping[str, str] = {}
    for frame in sorted(frames, key=lambda f: f.first_ms)[-2:]:
        try:
            read, attributes = frame.read()
        except DamagedFrame:
            continue  # the round reports it and the archive sets it aside
        samples.append(read)
    table = merge(samples)
    if not len(table):
        return {}, 0.0, attributes
    newest = int(table.times[-1])
    row = windows.metrics(table, newest - _NOW_MS + 1, newest + 1, _NOW_MS)[0]
    values = {m.key: round(float(v), m.decimals) for m, v in zip(METRICS, row, strict=True) if not np.isnan(v)}
    return values, newest / 1000, attributes


@dataclass(frozen=True, slots=True)
class Range:
    """A span of time (ms) cut into steps, both ends on a step."""

    start_ms: int
    stop_ms: int
    step_ms: int

    @classmethod
    def of(cls, start_s: float, stop_s: float, step_s: float | None) -> "Range":
        """Raises InvalidInput naming `from` or `step`. Without a step: a minute, or as many as keep 500 points."""
        if start_s >= stop_s:
            raise InvalidInput("from", "must lie before `to`")
        minutes = -(-(stop_s - start_s) // (500 * 60))
        step_ms = int((step_s if step_s is not None else minutes * 60) * 1000)
        if step_ms < 1000:
            raise InvalidInput("step", "must be at least 1 second")
        start = int(start_s * 1000) // step_ms * step_ms
        stop = -(-int(stop_s * 1000) // step_ms) * step_ms
        if (stop - start) // step_ms > MAX_POINTS:
            raise InvalidInput("step", f"gives {(stop - start) // step_ms} points; at most {MAX_POINTS} are returned")
        return cls(start, stop, step_ms)


def history(server: str, span: Range, now_ms: int | None = None) -> dict[str, Any]:
    """A server's metrics over a span, hot and archived joined. Raises NotFound for a server nothing is known of."""
    # Imported here: only this route needs Postgres, and a listing must answer without it.
    from openmanager.stores import history as cold

    now_ms = now_ms or _now_ms()
    first = span.start_ms - windows.LOOKBACK_MS
    # Hot before cold: what the archive moves in between is then seen twice, which `merge` undoes, and never missed.
    samples = _hot_samples(server, first, min(span.stop_ms, now_ms), now_ms)
    samples += cold.connect().read_blocks(server, first, span.stop_ms)
    table = merge(samples)
    if not len(table) and hot.read_server_latest(server) is None:
        raise NotFound(f"server {server!r} has sent nothing in this time, nor lately")
    values = windows.metrics(table, span.start_ms, span.stop_ms, span.step_ms)
    starts = np.arange(span.start_ms, span.stop_ms, span.step_ms)
    late = np.unique((table.times[table.late] - span.start_ms) // span.step_ms)
    return {
        "server": server,
        "from": span.start_ms / 1000,
        "to": span.stop_ms / 1000,
        "step": span.step_ms / 1000,
        "times": (starts / 1000).tolist(),
        "metrics": {
            key: [None if np.isnan(v) else float(v) for v in np.round(values[:, i], METRICS[i].decimals)]
            for i, key in enumerate(METRIC_KEYS)
            if not np.isnan(values[:, i]).all()
        },
        "late": (starts[late[(late >= 0) & (late < len(starts))]] / 1000).tolist(),
    }


def _hot_samples(server: str, first_ms: int, last_ms: int, now_ms: int) -> list[Samples]:
    until = hot.archived_until(shard_of(server))
    segments = [
        s for s in segments_between(max(first_ms, now_ms - _MAX_HOT_MS), last_ms)
        if until is None or s >= until
    ]
    found = []
    for frame in read_server_frames(server, [*segments, BACKLOG]):
        try:
            found.append(frame.read()[0])
        except DamagedFrame:
            continue  # the round reports it and the archive sets it aside
    return found


def _now_ms() -> int:
    return int(time.time() * 1000)
