"""Commands and time of pushes, rounds and the archive, counted at real stores."""

import json
import os
import resource
import secrets
import tempfile
import time
import zlib
from collections.abc import Callable, Iterator
from contextlib import contextmanager
from pathlib import Path
from typing import Any

import numpy as np
from openmanager import archive
from openmanager.catalog import METRIC, MODEL_METRICS
from openmanager.settings import settings
from openmanager.stores import reset, segments
from openmanager.stores.pushes import forget_baselines, store_pushes
from openmanager.telemetry.samples import MINUTE_MS, Push, Samples
from openmanager.watch import rounds

from infra.local.postgres import Postgres
from infra.local.process import free_port
from infra.local.stack import Upstash
from infra.migrations.apply import apply
from tests.bench.output import say

START = 1_764_000_000_000 // segments.SEGMENT_MS * segments.SEGMENT_MS
MINUTES = 15
PUSH_COMMANDS, TICK_COMMANDS = 1.1, 8


@contextmanager
def stores() -> Iterator[Upstash]:
    """Real stores in a folder of their own, and the environment that leads to them."""
    with tempfile.TemporaryDirectory() as folder:
        database = Postgres(Path(folder) / "pg", secrets.token_urlsafe(24), free_port(), durable=False)
        redis = Upstash(Path(folder) / "redis")
        database.start()
        redis.start()
        try:
            apply(database.url)
            os.environ.update(
                OPENMANAGER_STAGE="local",
                DATABASE_URL=database.url,
                UPSTASH_REDIS_REST_URL=redis.url,
                UPSTASH_REDIS_REST_TOKEN=redis.token,
                OPENMANAGER_SHARDS="1",
                OPENMANAGER_STORE_TIMEOUT_S="30",
            )
            settings.cache_clear()
            reset()
            yield redis
        finally:
            reset()
            redis.stop()
            database.stop()


def fleet(n: int, seed: int = 1) -> Callable[[int], list[Push]]:
    """Pushes of n servers by minute: the 20 model metrics as slow random walks at the catalogue's precision.

    Their content does not matter to commands and time; bytes are measured in tests.bench.codec.
    """
    walk = np.random.default_rng(seed)
    level = walk.uniform(20, 60, (n, len(MODEL_METRICS)))
    decimals = [METRIC[key].decimals for key in MODEL_METRICS]

    def at(minute: int) -> list[Push]:
        level[:] = np.clip(level + walk.normal(0, 1, level.shape), 0, 100)
        times = np.array([START + minute * MINUTE_MS + 20_000], np.int64)
        rounded = np.column_stack([np.round(level[:, i], d) for i, d in enumerate(decimals)])
        return [
            Push(f"server-{i:05}", Samples(MODEL_METRICS, times, rounded[i][None, :], np.zeros(1, np.bool_)), {})
            for i in range(n)
        ]

    return at


def timed(work: Callable[..., Any], *arguments: Any) -> float:
    """Seconds that a call took."""
    began = time.perf_counter()
    work(*arguments)
    return time.perf_counter() - began


def push_each(pushes: list[Push]) -> None:
    """One request a server, as agents do it."""
    for push in pushes:
        store_pushes([push], int(push.samples.times[0]) + 500)


def reference(n: int) -> float:
    """Seconds to write and read n x 20 samples as zipped JSON: what the machine is worth today."""
    rows = [dict.fromkeys(MODEL_METRICS, 12.3) for _ in range(n)]

    def there_and_back() -> None:
        for row in rows:
            json.loads(zlib.decompress(zlib.compress(json.dumps(row).encode())))

    return min(timed(there_and_back) for _ in range(3))


def round_table(redis: Upstash, sizes: list[int]) -> None:
    say("Commands and time, 20 metrics a minute and server, local stores, one shard")
    say("  servers   cmds/push   cmds/tick   cmds/archive   push ms/server   tick s   tick/reference   peak MB")
    for n in sizes:
        redis.command("FLUSHALL")
        forget_baselines()
        pushes = fleet(n)
        spent: dict[str, float] = {"push": 0.0, "tick": 0.0}
        counted: dict[str, float] = {"push": 0.0, "tick": 0.0}
        for minute in range(MINUTES):
            batch = pushes(minute)
            redis.reset_stats()
            spent["push"] += timed(push_each, batch)
            counted["push"] += redis.stats()["commands"]
            redis.reset_stats()
            due = START + (minute + 1) * MINUTE_MS + settings().grace_s * 1000
            spent["tick"] += timed(rounds.tick, due)
            counted["tick"] = max(counted["tick"], redis.stats()["commands"])
        redis.reset_stats()
        archive.run(START + MINUTES * MINUTE_MS + 3_600_000)
        moved = redis.stats()["commands"]
        tick_s = spent["tick"] / MINUTES
        per_push = counted["push"] / (MINUTES * n)
        peak = resource.getrusage(resource.RUSAGE_SELF).ru_maxrss / 1024
        say(
            f"{n:9}{per_push:12.2f}{counted['tick']:12.0f}{moved:15}{1000 * spent['push'] / (MINUTES * n):17.2f}"
            f"{tick_s:9.3f}{tick_s / reference(n):17.1f}{peak:10.0f}"
        )
        verdict = "within" if per_push <= PUSH_COMMANDS and counted["tick"] <= TICK_COMMANDS else "OVER"
        say(f"          {verdict} the budget of {PUSH_COMMANDS} a push and {TICK_COMMANDS} a shard and tick")


def main(sizes: list[int]) -> None:
    """The table for fleets of these sizes."""
    with stores() as redis:
        round_table(redis, sizes)
