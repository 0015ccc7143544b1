"""The demo fleet's run as it stands in Redis. Light: every tick looks whether there is one.

om:demo   JSON of the last run, for as long as its servers may be remembered; written only over what was read
"""

import json
from dataclasses import asdict

from openmanager.stores.redis import connect
from openmanager.values import frozen

KEY = "om:demo"
MINUTE_MS = 60_000
LONGEST_MIN = 240
# An ordinary past that a new fleet begins with: what a baseline takes to be trusted (telemetry.scaling.WARM_UP).
PAST_MIN = 240
# As long as a silent server is remembered (watch.round.FORGET_MIN): a new run sends the same names no second past.
_REMEMBERED_S = 7 * 86_400

# A write that another one overtook changes nothing. KEYS: the state. ARGV: what it was ('' for none), what it becomes.
_REPLACE = f"""
if (redis.call('GET', KEYS[1]) or '') ~= ARGV[1] then return 0 end
redis.call('SET', KEYS[1], ARGV[2], 'EX', {_REMEMBERED_S})
return 1
"""


@frozen
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
        return self.started_ms + self.minutes * MINUTE_MS

    def state(self, now_ms: int) -> str:
        """running, stopped or finished."""
        if self.stopped_ms is not None:
            return "stopped"
        return "running" if now_ms < self.ends_ms else "finished"


def read() -> tuple[str, Run | None]:
    """The state as it is written, and as a run; ("", None) where there is none."""
    text: str | None = connect().call("GET", KEY, repeatable=True)
    return (text, Run(**json.loads(text))) if text else ("", None)


def write(before: str, run: Run) -> bool:
    """Write a run over what was read before; False if that has changed meanwhile."""
    replaced: int = connect().call("EVAL", _REPLACE, 1, KEY, before, json.dumps(asdict(run)))
    return replaced == 1
