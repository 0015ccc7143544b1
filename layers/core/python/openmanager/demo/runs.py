"""One run of the demo fleet at a time: its state in Redis, who starts and stops it, and when it ends by itself.

om:demo   JSON of the last run, for as long as its servers may be remembered; written only over what was read
"""

import json
import time
from dataclasses import asdict, dataclass, replace
from typing import Any

from openmanager.demo.fleet import fleet
from openmanager.demo.scenarios import STORY_MIN, Truth, truth
from openmanager.errors import StoreUnavailable
from openmanager.stores.redis import connect

KEY = "om:demo"
LONGEST_MIN = 240
# An ordinary past that a new fleet begins with: what a baseline takes to be trusted (telemetry.scaling.WARM_UP).
PAST_MIN = 240
_MINUTE_MS = 60_000
# As long as a silent server is remembered (watch.round.FORGET_MIN): a new run sends the same names no second past.
_REMEMBERED_S = 7 * 86_400
_TRIES = 5

# A write that another one overtook changes nothing. KEYS: the state. ARGV: what it was ('' for none), what it becomes.
_REPLACE = f"""
if (redis.call('GET', KEYS[1]) or '') ~= ARGV[1] then return 0 end
redis.call('SET', KEYS[1], ARGV[2], 'EX', {_REMEMBERED_S})
return 1
"""


@dataclass(frozen=True, slots=True)
class Run:
    """A run as it was started, and how far it came: `fed` is the last minute (since 1970) that was sent."""

    scenario: str
    servers: int
    minutes: int
    seed: int
    speed: float
    past: int
    started_ms: int
    fed: int
    stopped_ms: int | None = None

    @property
    def ends_ms(self) -> int:
        """When it ends unless it is stopped."""
        return self.started_ms + self.minutes * _MINUTE_MS

    def state(self, now_ms: int) -> str:
        """running, stopped or finished."""
        if self.stopped_ms is not None:
            return "stopped"
        return "running" if now_ms < self.ends_ms else "finished"


def start(
    scenario: str, servers: int, minutes: int, seed: int, speed: float | None, past: int, now_ms: int | None = None
) -> dict[str, Any]:
    """Begin a run, in place of any other; leave it as it is if just this one runs already. What `status` says.

    `speed` None makes the whole story fit the minutes. `past` is how many ordinary minutes come before it.
    """
    now_ms = now_ms or _now_ms()
    pace = STORY_MIN / minutes if speed is None else speed
    minute = now_ms // _MINUTE_MS
    for _ in range(_TRIES):
        text, run = read()
        asked = Run(scenario, servers, minutes, seed, pace, past, minute * _MINUTE_MS, minute - past - 1)
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


def read() -> tuple[str, Run | None]:
    """The state as it is written, and as a run; ("", None) where there is none."""
    text: str | None = connect().call("GET", KEY, repeatable=True)
    return (text, Run(**json.loads(text))) if text else ("", None)


def write(before: str, run: Run) -> bool:
    """Write a run over what was read before; False if that has changed meanwhile."""
    replaced: int = connect().call("EVAL", _REPLACE, 1, KEY, before, json.dumps(asdict(run)))
    return replaced == 1


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
