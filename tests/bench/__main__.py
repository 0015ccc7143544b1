"""`python -m tests.bench [--servers 1,250,1000]`: commands, bytes and time of pushes, rounds and the archive."""

import argparse
import json
import os
import resource
import secrets
import sys
import tempfile
import time
import zlib
from collections.abc import Callable, Iterator, Mapping
from contextlib import contextmanager
from pathlib import Path
from typing import Any

ROOT = Path(__file__).resolve().parents[2]
sys.path.insert(0, str(ROOT / "layers/core/python"))
os.environ.setdefault("OPENBLAS_NUM_THREADS", "1")

import numpy as np  # noqa: E402
from openmanager import archive  # noqa: E402
from openmanager.catalog import METRIC, MODEL_METRICS  # noqa: E402
from openmanager.settings import settings  # noqa: E402
from openmanager.stores import reset, segments  # noqa: E402
from openmanager.stores.segments import store_pushes  # noqa: E402
from openmanager.telemetry import blocks, frames  # noqa: E402
from openmanager.telemetry.samples import MINUTE_MS, Push, Samples, merge  # noqa: E402
from openmanager.watch import round as rounds  # noqa: E402

from infra.local.postgres import Postgres  # noqa: E402
from infra.local.process import free_port  # noqa: E402
from infra.local.stack import Upstash  # noqa: E402
from infra.migrations.apply import apply  # noqa: E402
from tests.recorded import minutes  # noqa: E402

START = 1_764_000_000_000 // segments.SEGMENT_MS * segments.SEGMENT_MS
MINUTES = 15
PUSH_COMMANDS, TICK_COMMANDS = 1.1, 8


def say(text: str = "") -> None:
    sys.stdout.write(text + "\n")
    sys.stdout.flush()


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

    Their content does not matter to commands and time; bytes are measured on the recorded host below.
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
        segments.forget_baselines()
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


def bytes_table() -> None:
    """Bytes a sample on the recorded host, a row a minute, beside JSON and gzip."""
    pushes = minutes("host", START, 600)
    whole = [p.samples for p in pushes]
    count = sum(s.count for s in whole)
    hot = 0
    for first in range(0, len(whole), 10):
        baseline = frames.make_baseline(START + first * MINUTE_MS, whole[first], {}, "token")
        hot += sum(len(frames.encode_frame(s, baseline)[0]) * 3 // 4 for s in whole[first : first + 10])
    text = [json.dumps(_row(s)).encode() for s in whole]
    say("Bytes a sample, recorded host, 17 series a minute, timestamps included")
    say(f"  JSON rows                       {sum(map(len, text)) / count:6.2f}")
    say(f"  JSON rows, each deflated        {sum(len(zlib.compress(t, 9)) for t in text) / count:6.2f}")
    say(f"  frames (before text encoding)   {hot / count:6.2f}")
    for rows in (10, 120, 600):
        encoded = [blocks.encode_block(merge(whole[i : i + rows])) for i in range(0, len(whole), rows)]
        say(f"  blocks of {rows:4} rows              {sum(map(len, encoded)) / count:6.2f}")


def _row(s: Samples) -> Mapping[str, Any]:
    return {"time": int(s.times[0]), **{k: float(v) for k, v in zip(s.series, s.values[0], strict=True)}}


def main() -> None:
    parser = argparse.ArgumentParser(prog="python -m tests.bench", description=__doc__)
    parser.add_argument("--servers", default="1,250,1000", help="fleet sizes, comma-separated (%(default)s)")
    sizes = [int(part) for part in parser.parse_args().servers.split(",")]
    bytes_table()
    say()
    with stores() as redis:
        round_table(redis, sizes)


if __name__ == "__main__":
    main()
