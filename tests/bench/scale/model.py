"""Arithmetic beyond what one machine can hold: what a fleet needs of each limit, and which gives way first.

Everything is a rate or a size that was measured, times how often or how many; a duration on Lambda is the processor's
time over the share of one that the memory buys, and the way to Redis there and back, as the bill has it
(openmanager.bill.estimate). That Lambda's processor is as fast as the one measured on is an assumption, and that
pushes are spread evenly over their interval another. Pure.
"""

import json
import math
from collections.abc import Mapping
from dataclasses import dataclass, field
from functools import lru_cache
from pathlib import Path

from openmanager.bill.estimate import MB_A_CPU, ROUND_TRIP_MS

_QUARTER_S, _MINUTE_S = 900, 60
# No fleet is larger than this to us.
_MOST = 100_000_000


@dataclass(frozen=True)
class Units:
    """What was measured: of a push, and of everything else for each server. CPU in ms of a whole processor, sizes in
    octets; `held` is what Redis keeps of a server, `round` the mean minute, `closing` the one that closes a step.
    """

    push_cpu_ms: float
    push_commands: float
    round_cpu_ms: float
    closing_cpu_ms: float
    round_commands: float
    round_bytes: float
    archive_cpu_ms: float
    archive_commands: float
    held_bytes: float
    list_cpu_ms: float
    list_bytes: float
    list_zipped_bytes: float
    snapshot_cpu_ms: float
    snapshot_zipped_bytes: float
    metrics_cpu_ms: float
    metrics_zipped_bytes: float
    list_kb: float
    idle_mb: float


@dataclass(frozen=True)
class Limit:
    """`most` of `unit` that `what` allows, as `source` says; what to `turn` when it is reached."""

    most: float
    unit: str
    what: str
    source: str
    turn: str


@dataclass(frozen=True)
class Setup:
    """How it is deployed; the defaults are serverless.yml's, with shards of 250 servers."""

    interval_s: int = 60
    servers_a_shard: int = 250
    messages: int = 4
    memory_mb: Mapping[str, int] = field(default_factory=dict)

    def shards(self, servers: int) -> int:
        return math.ceil(servers / self.servers_a_shard)

    def seconds(self, function: str, cpu_ms: float, commands: float) -> float:
        """How long so much work takes the function."""
        share = min(1.0, self.memory_mb.get(function, 512) / MB_A_CPU)
        return (cpu_ms / share + commands * ROUND_TRIP_MS) / 1000


@lru_cache(maxsize=1)
def limits() -> Mapping[str, Limit]:
    """The limits of limits.json, by name."""
    data = json.loads(Path(__file__).with_name("limits.json").read_text())
    return {name: Limit(**limit) for name, limit in data["limits"].items()}


def needs(servers: int, units: Units, setup: Setup) -> Mapping[str, float]:
    """What a fleet needs of each limit, by its name and in its unit; never less of a larger fleet."""
    u, n, shards = units, servers, setup.shards(servers)
    group = min(n, setup.servers_a_shard)
    pushes_s = n / setup.interval_s
    closing_s = setup.seconds("predict", u.closing_cpu_ms * group, u.round_commands)
    mean_cpu_ms = (4 * u.round_cpu_ms + u.closing_cpu_ms) / 5
    return {
        "redis_commands_s": pushes_s * u.push_commands
        + shards * (u.round_commands / _MINUTE_S + u.archive_commands / (5 * _MINUTE_S)),
        # What it reads is an answer, and all of it stands for what it asks; so this is on the safe side.
        "redis_request_bytes": u.round_bytes * group,
        "redis_data_bytes": u.held_bytes * n,
        "shards": shards,
        "push_instances": pushes_s * setup.seconds("ingest", u.push_cpu_ms, u.push_commands),
        "push_requests_s": pushes_s,
        "pushes_of_a_key": pushes_s * _QUARTER_S,
        "round_s": min(setup.messages, shards) * closing_s,
        "rounds_s_a_minute": setup.seconds("predict", mean_cpu_ms * n, u.round_commands * shards),
        "rounds_in_flight": shards,
        "archive_s": setup.seconds("archive", u.archive_cpu_ms * n, u.archive_commands * shards),
        "list_s": setup.seconds("servers", u.list_cpu_ms * n, 4 * shards),
        "list_bytes": u.list_bytes * n,
        "list_zipped_bytes": u.list_zipped_bytes * n,
        "snapshot_s": setup.seconds("stream", u.snapshot_cpu_ms * n, shards),
        "snapshot_zipped_bytes": u.snapshot_zipped_bytes * n,
        "metrics_s": setup.seconds("metrics", u.metrics_cpu_ms * n, 4 * shards),
        "metrics_zipped_bytes": u.metrics_zipped_bytes * n,
        "list_mb": u.idle_mb + u.list_kb * n / 1000,
    }


def breaks_at(name: str, units: Units, setup: Setup) -> int | None:
    """The largest fleet that is within a limit; None if its size does not matter to it, 0 if none is within."""
    most = limits()[name].most

    def within(servers: int) -> bool:
        return needs(servers, units, setup)[name] <= most

    if within(_MOST):
        return None
    low, high = 0, _MOST
    while high - low > 1:
        middle = (low + high) // 2
        low, high = (middle, high) if within(middle) else (low, middle)
    return low


def first(units: Units, setup: Setup) -> list[tuple[int, str]]:
    """(the largest fleet within, limit), of all limits that a fleet can reach, the narrowest first."""
    found = ((breaks_at(name, units, setup), name) for name in limits())
    return sorted((at, name) for at, name in found if at is not None)
