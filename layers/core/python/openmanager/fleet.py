"""What is known of the servers now: newest values and last verdict. Redis only, so that it answers without Postgres."""

import re
import time
from collections import defaultdict
from collections.abc import Mapping, Sequence
from typing import Any

import numpy as np
from numpy.typing import NDArray

from openmanager.catalog import METRICS
from openmanager.errors import DamagedFrame, InvalidInput, NotFound
from openmanager.names import SERVER_ID
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
from openmanager.values import frozen

# What counts as "now": long enough to hold every part of one scrape, however its sender cut it up.
_NOW_MS = 30_000
_BEFORE_MS = 150_000
_FRAMES = 6
# The most that a page holds: some 1.1 MB, where AWS hands over 6 and Vercel 4.5.
MOST = 1_000
_WORST_FIRST = ("offline", "critical", "warning", "unknown", "maintenance", "healthy")

_CURSOR = re.compile(rf"([0-{len(_WORST_FIRST) - 1}])\.({SERVER_ID.pattern})")
CURSOR = {"type": "string", "pattern": f"^{_CURSOR.pattern}$", "description": "`next` of the page before; with a limit"}


def listing(now_ms: int | None = None, status: str | None = None) -> list[dict[str, Any]]:
    """Every server, or every one of a status, with its newest values and last verdict, worst first."""
    now_ms = now_ms or _now_ms()
    return _entries(_ordered(now_ms, status))


def page(limit: int | None, cursor: str | None, status: str | None = None, now_ms: int | None = None) -> dict[str, Any]:
    """`servers`, at most `limit` of `listing` from the cursor on, and `next`, the cursor of what follows or None.

    With neither it is all of them, and no `next`; a cursor alone goes on by MOST.
    A cursor is the place of the last server shown, so one that comes or goes between two pages moves no other. One
    whose status changes between them may be shown twice or not at all. Raises InvalidInput naming `cursor`.
    """
    if limit is None and cursor is None:
        return {"servers": listing(now_ms, status)}
    limit = limit or MOST
    # Before the stores are asked:
    after = None if cursor is None else _read_cursor(cursor)
    found = [one for one in _ordered(now_ms or _now_ms(), status) if after is None or one.place > after]
    shown = found[:limit]
    following = "{}.{}".format(*shown[-1].place) if len(found) > limit else None
    return {"servers": _entries(shown), "next": following}


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
    [entry] = _entries([_Known(server, latest, frames)])
    return entry | {"verdict": latest["verdict"] if latest else None}


@frozen
class _Known:
    """A server with what the rounds left of it, and its frames of late."""

    server: str
    latest: dict[str, Any] | None
    frames: Sequence[StoredFrame]

    @property
    def verdict(self) -> dict[str, Any] | None:
        return self.latest["verdict"] if self.latest else None

    @property
    def status(self) -> str:
        return str(self.verdict["status"]) if self.verdict else "unknown"

    @property
    def place(self) -> tuple[int, str]:
        return _WORST_FIRST.index(self.status), self.server


def _ordered(now_ms: int, status: str | None) -> list[_Known]:
    """The servers of a status, or all, worst first; what their frames say has not been read yet."""
    found: list[_Known] = []
    for shard in range(settings().shards):
        latest = read_latest(shard)
        frames: dict[str, list[StoredFrame]] = defaultdict(list)
        for frame in read_shard_frames(shard, segments_between(now_ms, now_ms)):
            frames[frame.server].append(frame)
        found += [_Known(s, latest.get(s), frames.get(s, [])) for s in latest.keys() | frames.keys()]
    return sorted((one for one in found if status in (None, one.status)), key=lambda one: one.place)


def _read_cursor(cursor: str) -> tuple[int, str]:
    read = _CURSOR.fullmatch(cursor)
    if read is None:
        raise InvalidInput("cursor", f"{cursor[:64]!r} is not the `next` of a page")
    return int(read[1]), read[2]


def _entries(known: Sequence[_Known]) -> list[dict[str, Any]]:
    """The servers as `listing` shows them."""
    tables, abouts = [], []
    for one in known:
        table, about = _now(one.frames)
        tables.append(table)
        abouts.append(about)
    # Together, which costs hardly more than one.
    live = [i for i, table in enumerate(tables) if len(table)]
    rows = dict(zip(live, windows.newest([tables[i] for i in live], _NOW_MS), strict=True))
    return [
        _entry(one, abouts[i], _shown(rows[i]) if i in rows else {}, _seen(tables[i])) for i, one in enumerate(known)
    ]


def _entry(one: _Known, attributes: Mapping[str, str], live: Mapping[str, float], seen: float) -> dict[str, Any]:
    latest, verdict = one.latest, one.verdict
    if latest:
        attributes = {**latest["attributes"], **attributes}
        seen = max(seen, latest["seen"])
    return {
        "id": one.server,
        **{name: value for name, value in attributes.items() if not name.startswith(LABEL_PREFIX)},
        "labels": {
            name.removeprefix(LABEL_PREFIX): value
            for name, value in attributes.items()
            if name.startswith(LABEL_PREFIX)
        },
        "status": one.status,
        "seen": seen,
        "metrics": {**(latest["metrics"] if latest else {}), **live},
        "confidence": verdict["confidence"] if verdict else 0.0,
        "anomaly": verdict and verdict["anomaly"],
        "failure": verdict and verdict["failure"],
        "judged": verdict and verdict["minute"],
    }


def _now(frames: Sequence[StoredFrame]) -> tuple[Samples, Mapping[str, str]]:
    """(newest samples, attributes); a few frames, because a counter needs a sample before."""
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
    return merge(samples), attributes


def _seen(table: Samples) -> float:
    return int(table.times[-1]) / 1000 if len(table) else 0.0


def _shown(row: NDArray[np.float64]) -> dict[str, float]:
    return {m.key: round(float(v), m.decimals) for m, v in zip(METRICS, row, strict=True) if not np.isnan(v)}


def _now_ms() -> int:
    return int(time.time() * 1000)
