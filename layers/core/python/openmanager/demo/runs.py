"""One run of the demo fleet at a time: who starts and stops it, and when it ends by itself."""

import time
from dataclasses import replace
from typing import Any

from openmanager.demo.fleet import fleet
from openmanager.demo.scenarios import STORY_MIN, Truth, truth
from openmanager.demo.state import MINUTE_MS, Run, read, write
from openmanager.errors import StoreUnavailable

_TRIES = 5


def start(
    scenario: str, servers: int, minutes: int, seed: int, speed: float | None, past: int, now_ms: int | None = None
) -> dict[str, Any]:
    """Begin a run, in place of any other; leave it as it is if just this one runs already. What `status` says.

    `speed` None makes the whole story fit the minutes. `past` is how many ordinary minutes come before it.
    """
    now_ms = now_ms or _now_ms()
    pace = STORY_MIN / minutes if speed is None else speed
    minute = now_ms // MINUTE_MS
    for _ in range(_TRIES):
        text, run = read()
        asked = Run(scenario, servers, minutes, seed, pace, past, minute * MINUTE_MS, minute - past - 1)
        if run and run.state(now_ms) == "running" and _same(run, asked):
            return _described(run, now_ms)
        if run:
            asked = replace(asked, fed=max(asked.fed, run.fed))
        if write(text, asked):
            return _described(asked, now_ms)
    raise StoreUnavailable("the demo fleet is being started and stopped by others just now")


def stop(now_ms: int | None = None) -> dict[str, Any]:
    """End the run, if there is one. What `status` says."""
    now_ms = now_ms or _now_ms()
    for _ in range(_TRIES):
        text, run = read()
        if run is None or run.state(now_ms) != "running":
            return _described(run, now_ms)
        stopped = replace(run, stopped_ms=now_ms)
        if write(text, stopped):
            return _described(stopped, now_ms)
    raise StoreUnavailable("the demo fleet is being started and stopped by others just now")


def status(now_ms: int | None = None) -> dict[str, Any]:
    """`state` (idle, running, stopped, finished), the run, its `truth` and what `happens`, all times in seconds."""
    return _described(read()[1], now_ms or _now_ms())


def _same(run: Run, asked: Run) -> bool:
    return replace(run, started_ms=0, fed=0) == replace(asked, started_ms=0, fed=0)


def _described(run: Run | None, now_ms: int) -> dict[str, Any]:
    if run is None:
        return {"state": "idle"}
    ends_ms = run.ends_ms if run.stopped_ms is None else run.stopped_ms
    told = truth(run.scenario, run.seed, run.servers, run.speed)
    began = run.started_ms / 1000
    return {
        "state": run.state(now_ms),
        "scenario": run.scenario,
        "seed": run.seed,
        "speed": round(run.speed, 3),
        "minutes": run.minutes,
        "servers": [server.name for server in fleet(run.servers)],
        "started": began,
        "ends": ends_ms / 1000,
        "sent_until": (run.fed + 1) * 60,
        "truth": {
            "servers": told.servers,
            "affected": told.affected,
            "metric": told.metric,
            "limit": told.limit,
            **_moments(told, began),
        },
        "happens": _happens(told, began, ends_ms / 1000),
    }


def _moments(told: Truth, began: float) -> dict[str, float | None]:
    moments = {"onset": told.onset_s, "exhaustion": told.exhaustion_s, "end": told.end_s}
    return {name: None if at is None else round(began + at, 1) for name, at in moments.items()}


def _happens(told: Truth, began: float, ends: float) -> list[dict[str, Any]]:
    """What is to be seen within the run, each turn with its time (s)."""
    turns = (
        (told.onset_s, f"{told.scenario} begins at {', '.join(told.servers)}, first in {told.metric}"),
        (told.exhaustion_s, f"{told.metric} reaches {told.limit}"),
        (told.release_s, f"{told.scenario} recedes"),
        (told.end_s, f"{told.scenario} is over"),
    )
    seen = [{"at": round(began + at, 1), "what": what} for at, what in turns if at is not None and began + at < ends]
    return [*seen, {"at": ends, "what": "the servers fall silent"}]


def _now_ms() -> int:
    return int(time.time() * 1000)
