"""A process that does one job of a simulation through a function's real handler, as a fresh instance on Lambda would.

It reads the job as JSON from standard input and writes what it took, and its own peak of memory, to standard output.
Minutes count from the fleet's START; the clock is set, and other clocks measure.
"""

import base64
import gzip
import json
import os
import sys
import time
from collections.abc import Callable, Mapping
from importlib import import_module
from pathlib import Path
from typing import Any

os.environ.setdefault("OPENBLAS_NUM_THREADS", "1")
sys.path.insert(0, str(Path(__file__).resolve().parents[3] / "layers/core/python"))

import numpy as np
from openmanager import meter, metering
from openmanager.settings import settings
from openmanager.stores.pushes import forget_baselines

from tests.bench.clock import clock
from tests.bench.scale.fleet import SERIES, START_MS, Fleet, Kinds, in_shards
from tests.events import LOOP, Context, http_event

KEY = "bench-settings-key-0123456789abcdef"
START_S = START_MS // 1000
# Servers of a request where it does not matter how many; messages of an invocation, as serverless.yml has it.
_TOGETHER, _MESSAGES = 100, 4
_HEADERS = {"authorization": f"Bearer {KEY}", "content-type": "application/json"}

Job = Mapping[str, Any]


def main() -> None:
    """Do the job."""
    job = json.load(sys.stdin)
    metering._write_next = float("inf")
    meter.take()
    told = JOBS[job["do"]](job)
    told["peak_mb"] = _peak_mb()
    sys.stdout.write(json.dumps(told))
    LOOP.close()


def _peak_mb() -> float:
    """The most that this program has held. (getrusage says no less than what its parent held when it began.)"""
    status = Path("/proc/self/status").read_text()
    return int(next(line for line in status.splitlines() if line.startswith("VmHWM:")).split()[1]) / 1024


class Taken:
    """What calls took: wall and processor's time (ms), commands and octets of Redis, each the mean of a call."""

    def __init__(self) -> None:
        self.calls = 0
        self.sums = dict.fromkeys(("ms", "cpu_ms", "commands", "redis_bytes", "verdicts"), 0.0)

    def call(self, handler: Callable[..., Any], event: Any) -> Any:
        """The handler's answer."""
        meter.take()
        began, cpu = time.perf_counter(), time.process_time()
        answer = handler(event, Context())
        self.sums["ms"] += (time.perf_counter() - began) * 1000
        self.sums["cpu_ms"] += (time.process_time() - cpu) * 1000
        for (_, quantity), amount in meter.take().items():
            name = {"redis_commands": "commands"}.get(quantity, quantity)
            if name in self.sums:
                self.sums[name] += amount
        self.calls += 1
        return answer

    @property
    def mean(self) -> dict[str, float]:
        return {name: total / self.calls for name, total in self.sums.items()}


def _fleet(job: Job) -> Fleet:
    return Fleet(Kinds.load(Path(job["kinds"])), in_shards(job["servers"], settings().shards, job["some"]))


def push(job: Job) -> dict[str, Any]:
    """Push the fleet's `minutes`: the first `alone` servers one request each, which are measured, the rest together.

    With `strangers` no process has seen a server before, as where instances are many and each push meets another.
    """
    from functions.ingest.handler import handler

    fleet, taken, rest = _fleet(job), Taken(), Taken()
    for minute in job["minutes"]:
        if job.get("strangers"):
            forget_baselines()
        rows = fleet.rows(minute)
        at_s = [START_S + 60 * minute + 20 + i % 30 for i in range(len(fleet))]
        with clock(START_S + 60 * minute + 55):
            for i in range(min(job["alone"], len(fleet))):
                _push(handler, [fleet.entry(i, rows[i], at_s[i])], taken)
            for first in range(job["alone"], len(fleet), _TOGETHER):
                some = range(first, min(first + _TOGETHER, len(fleet)))
                _push(handler, [fleet.entry(i, rows[i], at_s[i]) for i in some], rest)
    return {"measured": (taken if taken.calls else rest).mean, "servers": len(fleet)}


def _push(handler: Callable[..., Any], entries: list[dict[str, object]], taken: Taken) -> None:
    body = json.dumps(entries[0] if len(entries) == 1 else {"servers": entries}).encode()
    event = http_event("POST", "/api/ingest", headers=_HEADERS, body=body)
    answer = taken.call(handler, event)
    told = json.loads(answer["body"])
    if answer["statusCode"] != 200 or told["rejected_count"]:
        raise RuntimeError(f"a push was not taken: {answer}")


def round(job: Job) -> dict[str, Any]:
    """The rounds of some `minutes`, messages of four shards at once: the mean of ordinary minutes, and of those that
    close a step of five, where the coarse grids are judged as well. The models are loaded before.
    """
    from openmanager.inference.runtime import overview
    from openmanager.watch.coarse import closes

    from functions.predict.handler import handler

    overview()
    shards, servers = list(range(job["some"])), len(in_shards(job["servers"], settings().shards, job["some"]))
    rows: dict[str, list[dict[str, float]]] = {"ordinary": [], "closing": []}
    slowest = 0.0
    for minute in job["minutes"]:
        taken = Taken()
        with clock(START_S + 60 * (minute + 1) + settings().grace_s + 1):
            for at in range(0, len(shards), _MESSAGES):
                bodies = [{"shard": s, "minute": START_S // 60 + minute} for s in shards[at : at + _MESSAGES]]
                records = [{"messageId": str(i), "body": json.dumps(body)} for i, body in enumerate(bodies)]
                before = taken.sums["ms"]
                answer = taken.call(handler, {"Records": records})
                if answer["batchItemFailures"]:
                    raise RuntimeError(f"rounds failed: {answer}")
                slowest = max(slowest, taken.sums["ms"] - before)
        if taken.sums["verdicts"] != servers:
            raise RuntimeError(f"{taken.sums['verdicts']:.0f} verdicts on {servers} servers")
        rows["closing" if closes(START_S // 60 + minute) else "ordinary"].append(taken.sums)
    means = {
        kind: {name: float(np.mean([row[name] for row in some])) for name in some[0]}
        for kind, some in rows.items()
        if some
    }
    return {**means, "slowest_ms": slowest, "invocations": -(-len(shards) // _MESSAGES), "servers": servers}


def archive(job: Job) -> dict[str, Any]:
    """One run of the archive at a `minute`."""
    from functions.archive.handler import handler

    taken = Taken()
    with clock(START_S + 60 * job["minute"]):
        report = taken.call(handler, {})
    return {"measured": taken.mean, "report": report}


def ask(job: Job) -> dict[str, Any]:
    """One GET through a `function`, or a `tool` by MCP, by a process that has answered nothing before.

    `body` are its octets as they are, `zipped` as gzip makes them, and `payload` what Lambda would have to hand over.
    """
    handler = import_module(f"functions.{job['function']}.handler").handler
    taken = Taken()
    with clock(START_S + 60 * job["minute"]):
        answer = taken.call(handler, _asked(job))
    body = _octets(answer)
    payload = len(json.dumps(answer).encode())
    told = {"status": answer["statusCode"], "body": len(body), "zipped": len(gzip.compress(body, 5))}
    return {"measured": taken.mean, "payload": payload, **told}


def _asked(job: Job) -> dict[str, Any]:
    headers = {**_HEADERS, **({"accept-encoding": "gzip"} if job.get("gzip") else {})}
    if "tool" not in job:
        return http_event("GET", job["path"], query=job.get("query", ""), headers=headers)
    # The older handshake's message, which needs no session with us.
    said = {"name": job["tool"], "arguments": {}}
    body = json.dumps({"jsonrpc": "2.0", "id": 1, "method": "tools/call", "params": said}).encode()
    return http_event("POST", "/mcp", headers={**headers, "accept": "application/json, text/event-stream"}, body=body)


def _octets(answer: Mapping[str, Any]) -> bytes:
    body = base64.b64decode(answer["body"]) if answer["isBase64Encoded"] else answer["body"].encode()
    return gzip.decompress(body) if answer["headers"].get("content-encoding") == "gzip" else body


def remember(job: Job) -> dict[str, Any]:
    """Give all servers full records up to the `minute`, and full coarse grids, made here of a few of each kind."""
    from openmanager.watch import coarse, state
    from openmanager.watch.rebuild import rebuild
    from openmanager.watch.state import BOUNDED

    from tests.bench.rounds import put_records

    kinds, chance = Kinds.load(Path(job["kinds"])), np.random.default_rng(3)
    ready = Path(job["kinds"]).with_suffix(".json")
    if not ready.exists():
        pasts = kinds.pasts(job["minute"] + 1)
        made = rebuild(pasts, np.full(len(pasts), START_S // 60 + job["minute"]))
        grids = coarse.new(len(pasts))
        now = np.stack([past.values[-1, [SERIES.index(key) for key in BOUNDED]] for past in pasts])[:, :, None]
        for grid in ("five", "hour"):
            steps = chance.normal(0, 0.1, grids[grid].shape)
            grids[grid] = np.clip(now - np.cumsum(steps[:, :, ::-1], axis=2)[:, :, ::-1], 0, 100)
        ready.write_text(json.dumps([state.pack(made), coarse.pack(grids)]))
    texts, coarser = json.loads(ready.read_text())
    fleet = _fleet(job)
    put_records(fleet.names, [texts[i] for i in fleet.records], [coarser[i] for i in fleet.records])
    return {"servers": len(fleet)}


JOBS: Mapping[str, Callable[[Job], dict[str, Any]]] = {
    "push": push,
    "round": round,
    "archive": archive,
    "ask": ask,
    "remember": remember,
}

if __name__ == "__main__":
    main()
