"""How old what passes each stage is: counted by whoever sees it pass, and read for the last hour and day.

om:stages:{start}    a hash for each ten minutes, from `start` (s) on, kept for a little over a day: quantity -> sum
                     over all instances (openmanager.stages); written with all else that is counted (stores.usage)
"""

from collections import Counter
from collections.abc import Iterable, Mapping
from typing import Any

from openmanager import meter
from openmanager.settings import settings
from openmanager.stages import STAGES, TOLERATED, Ages, ages, counted
from openmanager.stores import cadence
from openmanager.stores.redis import Command, connect, pairs

SLOT_S = 600
HOUR_S, DAY_S = 3600, 86_400
KEPT_S = DAY_S + 2 * SLOT_S
# Agents send what they measured at once, and Prometheus within seconds; the rest is for slow ways and clocks that are
# off. How often senders push does not matter: what counts is the newest sample.
_INGEST_S = 30
# A minute is judged by the first tick after its grace, which comes within a minute, and the round takes its time.
_TICK_S, _ROUND_S = 60, 15
# Notices leave with the tick that wrote them, those of workers' rounds with the next one.
_NOTICE_S = 60
# After the poll that finds it.
_WRITE_S = 3

# All sums of some hashes together, in one command. KEYS: the hashes.
_SUMS = """
local sums = {}
for _, key in ipairs(KEYS) do
  local found = redis.call('HGETALL', key)
  for i = 1, #found, 2 do sums[found[i]] = (sums[found[i]] or 0) + tonumber(found[i + 1]) end
end
local flat = {}
for name, sum in pairs(sums) do flat[#flat + 1] = name; flat[#flat + 1] = string.format('%.0f', sum) end
return flat
"""


def objective_s(stage: str) -> float:
    """How old at most 95 % of what passes a stage may be (s), as things stand: senders that were asked to push less
    often are waited for (stores.cadence), and so are verdicts and notices."""
    verdict_s = cadence.grace_s() + _TICK_S + _ROUND_S
    return {
        "ingest": _INGEST_S,
        "verdict": verdict_s,
        "notice": verdict_s + _NOTICE_S,
        "client": settings().stream_poll_s + _WRITE_S,
    }[stage]


def passed(stage: str, age_ms: float, count: int = 1, *, late: bool = False) -> None:
    """Count that so many events of an age passed a stage; with `late` they are late at any age."""
    if count:
        meter.count_all(counted(stage, age_ms, objective_s(stage), count, late))


def key(at_s: float) -> str:
    """The hash that an instant belongs to."""
    return f"om:stages:{int(at_s) // SLOT_S * SLOT_S}"


def keys(now_s: float, span_s: int) -> list[str]:
    """The hashes that the last `span_s` seconds are in; the first of them may begin a little before."""
    return [key(now_s - back) for back in range(0, span_s, SLOT_S)]


def by_stage(hashes: Iterable[Mapping[str, str | int]]) -> dict[str, Ages]:
    """Stage -> its ages, of all these hashes together."""
    sums: Counter[str] = Counter()
    for found in hashes:
        sums.update({name: int(amount) for name, amount in found.items()})
    return {stage: ages(sums, stage) for stage in STAGES}


def read(now_s: float) -> tuple[dict[str, Ages], dict[str, Ages]]:
    """(the last hour, the last day) by stage; on the way it hears how often senders are asked to push. One request.

    Raises StoreUnavailable.
    """
    spans = (keys(now_s, HOUR_S), keys(now_s, DAY_S))
    commands: list[Command] = [("EVAL", _SUMS, len(names), *names) for names in spans]
    hour, day, asked = connect().run(*commands, ("GET", cadence.KEY), repeatable=True)
    cadence.remember(asked)
    return by_stage([pairs(hour)]), by_stage([pairs(day)])


def statement(now_s: float) -> list[dict[str, Any]]:
    """Each stage, its objective as of now, and how it was kept in the last hour and day. Raises StoreUnavailable."""
    hour, day = read(now_s)
    return [
        {
            "stage": stage,
            "about": about,
            "objective_s": objective_s(stage),
            "tolerated": TOLERATED,
            "hour": hour[stage].as_dict(),
            "day": day[stage].as_dict(),
        }
        for stage, about in STAGES.items()
    ]
