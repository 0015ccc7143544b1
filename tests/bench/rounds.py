"""What a round costs: seconds by part, commands and peak memory, for fleets of one to ten thousand servers.

Every server begins with a full record and full coarse grids, so that every model runs for every series. Rounds run in
processes of their own, as workers do, and share the cores with Valkey and its front.
"""

import multiprocessing
import os
import resource
import time
from collections import defaultdict
from collections.abc import Callable, Iterator, Sequence
from concurrent.futures import ProcessPoolExecutor
from contextlib import contextmanager
from typing import Any

import numpy as np
from openmanager.settings import settings
from openmanager.stores import hot, past, reset
from openmanager.stores.pushes import forget_baselines, store_pushes
from openmanager.stores.redis import connect
from openmanager.stores.segments import StoredFrame
from openmanager.stores.shards import shard_of
from openmanager.telemetry.samples import MINUTE_MS, merge
from openmanager.watch import coarse, round, state
from openmanager.watch.outcome import Outcome
from openmanager.watch.rebuild import rebuild

from infra.local.stack import Upstash
from tests.bench.commands import START, fleet, reference, stores, timed
from tests.bench.output import say

SIZES = (1, 100, 250, 1_000, 10_000)
A_SHARD = 250
PARTS = ("read", "unpack", "decode", "windows", "infer", "judge", "alerts", "coarse", "pack", "commit", "rest")
# Servers with a past of their own; the others share theirs, which costs the same.
_PASTS = 8
_PAST_MIN = 300
# START is a whole five minutes; the last of these closes a step of the coarse grids.
_WARM, _MEASURED = 2, 3


class Stopwatch:
    """Seconds by part; a part within a part counts for itself only."""

    def __init__(self) -> None:
        self.seconds: dict[str, float] = defaultdict(float)
        self._inner = [0.0]

    def on(self, owner: Any, name: str, part: str) -> None:
        """Time every call of `owner.name`."""
        work: Callable[..., Any] = getattr(owner, name)

        def call(*arguments: Any, **more: Any) -> Any:
            self._inner.append(0.0)
            began = time.perf_counter()
            try:
                return work(*arguments, **more)
            finally:
                took = time.perf_counter() - began
                self.seconds[part] += took - self._inner.pop()
                self._inner[-1] += took

        setattr(owner, name, call)

    def watch_everything(self) -> None:
        from openmanager.inference.runtime import Model

        self.on(hot, "read_round", "read")
        self.on(hot, "read_coarse", "read")
        self.on(round, "read_shard_frames", "read")
        self.on(round, "unpack", "unpack")
        self.on(StoredFrame, "read", "decode")
        self.on(round, "merge", "windows")
        self.on(round, "gridded", "windows")
        self.on(Model, "run", "infer")
        self.on(round, "judge_apart", "judge")
        self.on(Outcome, "minute", "alerts")
        self.on(Outcome, "writes", "alerts")
        self.on(coarse.Grids, "learn", "coarse")
        self.on(coarse.Grids, "changed", "pack")
        self.on(round, "pack", "pack")
        self.on(hot, "commit_round", "commit")
        self.on(round, "run_shard", "rest")


_watch: Stopwatch | None = None


def work(shards: list[int], minute: int) -> tuple[dict[str, float], int, float]:
    """In a worker: the rounds of some shards; (seconds by part, verdicts, peak MB)."""
    global _watch
    if _watch is None:
        _watch = Stopwatch()
        _watch.watch_everything()
    _watch.seconds.clear()
    report = round.Report(0)
    for shard in shards:
        round.run_shard(shard, minute, report, lambda: False)
    peak = resource.getrusage(resource.RUSAGE_SELF).ru_maxrss / 1024
    return dict(_watch.seconds), report.verdicts, peak


@contextmanager
def workers(count: int) -> Iterator[ProcessPoolExecutor]:
    with ProcessPoolExecutor(count, multiprocessing.get_context("spawn")) as pool:
        yield pool


def give_past(servers: list[str]) -> None:
    """Full records up to the minute before START, and full coarse grids."""
    pushes, chance = fleet(_PASTS, seed=2), np.random.default_rng(3)
    tables = [pushes(minute - _PAST_MIN) for minute in range(_PAST_MIN)]
    last = START // MINUTE_MS - 1
    made = rebuild([merge([t[i].samples for t in tables]) for i in range(_PASTS)], np.full(_PASTS, last))
    texts = state.pack(made)
    grids = coarse.new(_PASTS)
    for grid in ("five", "hour"):
        grids[grid] = np.clip(50 + np.cumsum(chance.normal(0, 0.5, grids[grid].shape), axis=2), 0, 100)
    coarse_texts = coarse.pack(grids)
    put_records(servers, texts * -(-len(servers) // _PASTS), coarse_texts * -(-len(servers) // _PASTS))


def put_records(servers: Sequence[str], texts: Sequence[str], coarse_texts: Sequence[str]) -> None:
    """Give servers the records and the coarse grids that have their place in the lists."""
    shards: dict[int, list[int]] = defaultdict(list)
    for i, server in enumerate(servers):
        shards[shard_of(server)].append(i)
    for shard, mine in shards.items():
        past.put_state(shard, {servers[i]: texts[i] for i in mine}, [])
        pairs = [part for i in mine for part in (servers[i], coarse_texts[i])]
        connect().call("HSET", f"om:{shard}:coarse", *pairs)


def measure(redis: Upstash, n: int) -> None:
    shards = -(-n // A_SHARD)
    count = 2 if n >= 10_000 else 1
    os.environ["OPENMANAGER_SHARDS"] = str(shards)
    settings.cache_clear()
    reset()
    redis.command("FLUSHALL")
    forget_baselines()
    pushes = fleet(n)
    give_past([push.server for push in pushes(0)])
    first = START // MINUTE_MS
    with workers(count) as pool:
        for i in range(_WARM + _MEASURED):
            batch = pushes(i)
            for at in range(0, n, 200):
                store_pushes(batch[at : at + 200], START + i * MINUTE_MS + 20_500)
            redis.reset_stats()
            began = time.perf_counter()
            # More tasks than workers, as messages are, so that neither waits for the other at the end.
            tasks = [pool.submit(work, [shard], first + i) for shard in range(shards)]
            done = [task.result() for task in tasks]
            took = time.perf_counter() - began
            if i < _WARM:
                continue
            assert sum(verdicts for _, verdicts, _ in done) == n
            parts = {part: sum(seconds.get(part, 0.0) for seconds, _, _ in done) for part in PARTS}
            commands = redis.stats()["commands"] / shards
            closing = "*" if coarse.closes(first + i) else " "
            say(
                f"{n:8}{closing}{shards:7}{count:8}{took:9.3f}"
                + "".join(f"{parts[part]:9.3f}" for part in PARTS)
                + f"{commands:7.1f}{max(peak for _, _, peak in done):7.0f}{took / n * 1000:9.3f}"
            )
    if n == A_SHARD:
        say(f"          budget: 250 servers within 2 s on one core; reference (JSON + zlib there and back): {_ref(n)}")
    if n == 10_000:
        say(f"          budget: 10,000 servers within 60 s on two cores, two workers; reference: {_ref(n)}")


def _ref(n: int) -> str:
    return f"{reference(n):.3f} s"


def main(sizes: tuple[int, ...] = SIZES) -> None:
    """The table. A line a round; * closes a step of five minutes, where the coarse grids are judged as well."""
    say("Rounds, 20 metrics a minute and server, local stores; seconds, by part summed over the workers")
    names = "".join(f"{part:>9}" for part in PARTS)
    say(f" servers  shards workers     wall{names}   cmds     MB  ms/server")
    with stores() as redis:
        took = timed(lambda: [measure(redis, n) for n in sizes])
    say(f"  the whole table took {took:.0f} s; cmds are those of one shard")


if __name__ == "__main__":
    main()
