"""What is known of the servers now: newest values and last verdict. Redis only, so that it answers without Postgres."""

import time
from collections import defaultdict
from collections.abc import Mapping, Sequence
from typing import Any

import numpy as np

from openmanager.catalog import METRICS
from openmanager.errors import DamagedFrame, NotFound
from openmanager.settings import settings
from openmanager.stores.latest import read_latest, read_server_latest
from openmanager.stores.segments import (
    StoredFrame,
    read_server_frames,
    read_shard_frames,
    read_version,
    segments_between,
)
from openmanager.telemetry import windows
from openmanager.telemetry.samples import LABEL_PREFIX, Samples, merge

# What counts as "now": long enough to hold every part of one scrape, however its sender cut it up.
_NOW_MS = 30_000
_BEFORE_MS = 150_000
_FRAMES = 6
_WORST_FIRST = ("offline", "critical", "warning", "unknown", "maintenance", "healthy")


def listing(now_ms: int | None = None) -> list[dict[str, Any]]:
    """Every server with its newest values and last verdict, worst first."""
    now_ms = now_ms or _now_ms()
    found = []
    for shard in range(settings().shards):
        latest = read_latest(shard)
        frames: dict[str, list[StoredFrame]] = defaultdict(list)
        for frame in read_shard_frames(shard, segments_between(now_ms, now_ms)):
            frames[frame.server].append(frame)
        found += [_entry(s, latest.get(s), frames.get(s, [])) for s in latest.keys() | frames.keys()]
    return sorted(found, key=lambda e: (_WORST_FIRST.index(e["status"]), e["id"]))


def version(now_ms: int | None = None) -> list[Any]:
    """What is the same while `listing` is, and cheaper to ask for: one command a shard."""
    now_ms = now_ms or _now_ms()
    return [read_version(shard, segments_between(now_ms, now_ms)) for shard in range(settings().shards)]


def detail(server: str, now_ms: int | None = None) -> dict[str, Any]:
    """One server as in `listing`, with its whole verdict. Raises NotFound."""
    now_ms = now_ms or _now_ms()
    latest = read_server_latest(server)
    frames = read_server_frames(server, segments_between(now_ms, now_ms))
    if latest is None and not frames:
        raise NotFound(f"server {server!r} has sent nothing")
    return _entry(server, latest, frames) | {"verdict": latest["verdict"] if latest else None}


def _entry(server: str, latest: Mapping[str, Any] | None, frames: Sequence[StoredFrame]) -> dict[str, Any]:
    verdict = (latest or {}).get("verdict")
    live, seen, attributes = _live(frames)
    if latest:
        attributes = {**latest["attributes"], **attributes}
        seen = max(seen, latest["seen"])
    return {
        "id": server,
        **{name: value for name, value in attributes.items() if not name.startswith(LABEL_PREFIX)},
        "labels": {
            name.removeprefix(LABEL_PREFIX): value
            for name, value in attributes.items()
            if name.startswith(LABEL_PREFIX)
        },
        "status": verdict["status"] if verdict else "unknown",
        "seen": seen,
        "metrics": (latest["metrics"] if latest else {}) | live,
        "confidence": verdict["confidence"] if verdict else 0.0,
        "anomaly": verdict and verdict["anomaly"],
        "failure": verdict and verdict["failure"],
        "judged": verdict and verdict["minute"],
    }


def _live(frames: Sequence[StoredFrame]) -> tuple[dict[str, float], float, Mapping[str, str]]:
    """(newest values, when in s, attributes); a few frames, because a counter needs a sample before."""
    samples: list[Samples] = []
    attributes: dict[str, str] = {}
    newest_first = sorted(frames, key=lambda f: -f.first_ms)[:_FRAMES]
    for frame in reversed([f for f in newest_first if f.first_ms > newest_first[0].first_ms - _BEFORE_MS]):
        try:
            read, about = frame.read()
        except DamagedFrame:
            continue  # the round reports it and the archive sets it aside
        samples.append(read)
        attributes |= about
    table = merge(samples)
    if not len(table):
        return {}, 0.0, attributes
    newest = int(table.times[-1])
    row = windows.metrics(table, newest - _NOW_MS + 1, newest + 1, _NOW_MS)[0]
    values = {m.key: round(float(v), m.decimals) for m, v in zip(METRICS, row, strict=True) if not np.isnan(v)}
    return values, newest / 1000, attributes


def _now_ms() -> int:
    return int(time.time() * 1000)
