"""What a fleet will cost before it is there: what one push, round and archive used when they were measured. Pure.

measured.json is written by `python -m tests.bench bill --write`, from counters of the real functions.
"""

import json
import math
from collections import defaultdict
from collections.abc import Mapping
from dataclasses import fields
from functools import lru_cache
from pathlib import Path
from typing import Any, Literal

from openmanager.bill.prices import PriceList, amounts, invoice
from openmanager.values import frozen

# The mean month: 365.25 days over 12.
MONTH_S = 30.4375 * 86_400
_TICK_S, _ARCHIVE_S = 60, 300
# A whole processor of Lambda's: https://docs.aws.amazon.com/lambda/latest/dg/configuration-memory.html
MB_A_CPU = 1769
_MEMORY_MB, _LIVE_MB = 512, 256
# To Redis in the same region and back, TLS held open.
ROUND_TRIP_MS = 3.0
# As DESIGN has it: some 250 servers a shard.
_SERVERS_A_SHARD = 250
# Lambda's pollers ask a queue whether anything is in it, five of them for up to 20 s each, all month.
_POLLS = 5 * MONTH_S / 20
# While somebody watches: one look of a hub every two seconds, and what a page reads of 100 servers meanwhile.
_LOOK_S, _WATCHED_BYTES_S = 2.0, 1_000


@frozen
class Unit:
    """What one invocation used on the average: commands of Redis, ms of a whole processor, octets."""

    commands: float = 0.0
    cpu_ms: float = 0.0
    redis_bytes: float = 0.0
    egress_bytes: float = 0.0
    log_bytes: float = 0.0


@frozen
class Plan:
    """A fleet: how many servers, how often each pushes (s), through which door, and how long somebody watches a day."""

    servers: int
    interval_s: int
    door: Literal["url", "api"] = "url"
    watched_h: float = 1.0


@lru_cache(maxsize=1)
def measured() -> Mapping[str, Unit]:
    """What was measured, by what it was measured of: `push_60`, `tick`, `tick_server`, …"""
    data = json.loads(Path(__file__).with_name("measured.json").read_text())
    return {name: Unit(**unit) for name, unit in data.items()}


def estimate(plan: Plan, prices: PriceList, units: Mapping[str, Unit] | None = None) -> dict[str, Any]:
    """A month of the plan, as JSON values: amounts, USD with and without what is free, and USD a server."""
    used = amounts({name: round(amount) for name, amount in _counts(plan, units or measured()).items()})
    return {
        "servers": plan.servers,
        "push_every_s": plan.interval_s,
        "door": plan.door,
        "watched_hours_a_day": plan.watched_h,
        "currency": prices.currency,
        "prices": {"as_of": prices.as_of, "about": prices.about},
        **invoice(used, prices, plan.servers),
    }


def _counts(plan: Plan, units: Mapping[str, Unit]) -> dict[str, float]:
    shards = math.ceil(plan.servers / _SERVERS_A_SHARD)
    counts: dict[str, float] = defaultdict(float)

    def add(unit: Unit, times: float, memory: int = _MEMORY_MB) -> None:
        ms = unit.cpu_ms / min(1.0, memory / MB_A_CPU) + unit.commands * ROUND_TRIP_MS
        counts["requests"] += times
        counts["mb_ms"] += times * memory * math.ceil(ms)
        counts["redis_commands"] += times * unit.commands
        counts["redis_bytes"] += times * unit.redis_bytes
        counts["egress_bytes"] += times * unit.egress_bytes
        counts["log_bytes"] += times * unit.log_bytes

    def per(base: Unit, each: Unit, n: float) -> Unit:
        return Unit(**{f.name: getattr(base, f.name) + n * getattr(each, f.name) for f in fields(Unit)})

    pushes = plan.servers * MONTH_S / plan.interval_s
    add(_push(plan.interval_s, units), pushes)
    if plan.door == "api":
        counts["api_requests"] += pushes
    group = plan.servers / shards
    add(per(units["tick"], units["tick_server"], group), shards * MONTH_S / _TICK_S)
    add(per(units["archive"], units["archive_server"], plan.servers), MONTH_S / _ARCHIVE_S)
    if shards > 1:
        # Each tick asks for its rounds in batches of ten, and each message is taken and removed.
        counts["queue_requests"] += MONTH_S / _TICK_S * (math.ceil(shards / 10) + 2 * shards)
        counts["requests"] += MONTH_S / _TICK_S
    counts["queue_requests"] += _POLLS
    # What each process writes down once a minute of what it used: one that takes pushes, one that ticks.
    counts["redis_commands"] += 2 * MONTH_S / 60
    watched = plan.watched_h * 3600 * MONTH_S / 86_400
    counts["redis_commands"] += watched / _LOOK_S
    counts["mb_ms"] += watched * 1000 * _LIVE_MB
    counts["egress_bytes"] += watched * _WATCHED_BYTES_S * plan.servers / 100
    return counts


def _push(interval_s: int, units: Mapping[str, Unit]) -> Unit:
    """A push at the measured interval that is next to the one asked for: those of five minutes carry five samples."""
    near = min((15, 60, 300), key=lambda known: abs(math.log(known / interval_s)))
    return units[f"push_{near}"]
