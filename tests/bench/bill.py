"""What a push, a round and an archive use, counted by the real functions over real stores: what `bill` estimates from.

The clock is set: some forty minutes of a fleet go by as fast as they can. A duration on Lambda is the processor's time
over its share of one, and the way to Redis there and back; what is measured here is the processor's time.
`python -m tests.bench bill --write` keeps the figures in openmanager/bill/measured.json.
"""

import io
import json
import os
import time
from collections import Counter
from contextlib import redirect_stdout
from pathlib import Path
from typing import Any, cast

import numpy as np
from openmanager import bill, meter, metering
from openmanager.bill.estimate import Plan, Unit, estimate
from openmanager.bill.prices import price_list
from openmanager.catalog import METRIC, MODEL_METRICS
from openmanager.settings import settings
from openmanager.stores.pushes import forget_baselines

from infra.local.stack import Upstash
from tests.bench.clock import clock
from tests.bench.commands import stores
from tests.bench.output import say
from tests.events import Context, http_event

SIZES = (10, 100, 1000)
INTERVALS = (15, 60, 300)
# Enough for the archive to have something to move; at other paces than a minute only pushes are looked at.
MINUTES, OTHER_MINUTES = 30, 5
KEY = "bench-settings-key-0123456789abcdef"
TARGET = Path(bill.__file__).with_name("measured.json")
# Public list prices a host and month, as found in November 2026.
PEERS = (
    ("Datadog Infrastructure Pro, by the year", 15.0, "https://www.datadoghq.com/pricing/"),
    ("Grafana Cloud, 10 series a host at $8 a 1,000", 0.08, "https://grafana.com/pricing/"),
    ("CloudWatch, 10 custom metrics and 4 alarms", 4.6, "https://aws.amazon.com/cloudwatch/pricing/"),
)


def main(write: bool = False) -> None:
    """The tables; `write` keeps the figures."""
    with stores() as redis:
        os.environ.update(OPENMANAGER_API_KEY=KEY)
        settings.cache_clear()
        metering._write_next = float("inf")
        measured: dict[str, dict[str, dict[str, float]]] = {}
        for interval in INTERVALS:
            for n in SIZES:
                measured.setdefault(str(interval), {})[str(n)] = _run(redis, n, interval)
                say(f"  {n} servers, a push every {interval} s: counted")
    units = _fit(measured)
    if write:
        TARGET.write_text(json.dumps(units, indent=2) + "\n")
        say(f"written to {TARGET.name}")
    say("A server and month in USD, by counters of these runs and the list prices of " + price_list().as_of)
    say("  servers   every    through a function URL    through the HTTP API    of that Redis")
    for n in SIZES:
        for interval in INTERVALS:
            told = [
                estimate(Plan(n, interval, door=door), price_list(), {k: Unit(**v) for k, v in units.items()})
                for door in ("url", "api")
            ]
            redis_usd = next(line["usd"] for line in told[0]["lines"] if line["what"] == "redis_commands") / n
            say(
                f"  {n:7} {interval:5} s   {told[0]['usd_per_server']:22.3f} {told[1]['usd_per_server']:23.3f}"
                f" {redis_usd:16.3f}"
            )
    for name, usd, source in PEERS:
        say(f"  {name}: {usd:.2f} ({source})")


def _run(redis: Upstash, n: int, interval: int) -> dict[str, float]:
    """What each kind of invocation used on the average of a run, by (what|quantity)."""
    from functions.archive.handler import handler as archive
    from functions.ingest.handler import handler as ingest
    from functions.tick.handler import handler as tick

    redis.command("FLUSHALL")
    forget_baselines()
    walk = np.random.default_rng(7)
    level = walk.uniform(20, 60, (n, len(MODEL_METRICS)))
    decimals = [METRIC[key].decimals for key in MODEL_METRICS]
    start = int(time.time()) // 3600 * 3600
    context = cast(Any, Context())
    meter.take()
    used: Counter[str] = Counter()

    def call(what: str, handler: Any, event: Any) -> Any:
        began = time.process_time()
        # Lines of logs are counted, and nobody here reads them.
        with redirect_stdout(io.StringIO()):
            answer = handler(event, context)
        used[f"{what}|cpu_us"] += round((time.process_time() - began) * 1e6)
        used[f"{what}|times"] += 1
        for (_, quantity), amount in meter.take().items():
            used[f"{what}|{quantity}"] += amount
        return answer

    headers = {"authorization": f"Bearer {KEY}", "content-type": "application/json"}
    each = max(1, interval // 60)
    minutes = MINUTES if interval == 60 else max(OTHER_MINUTES, interval // 60 * 2)
    with clock(start) as at:
        for second in range(interval, minutes * 60 + 1, interval):
            level[:] = np.clip(level + walk.normal(0, 1, level.shape), 0, 100)
            rows = np.column_stack([np.round(level[:, i], d) for i, d in enumerate(decimals)])
            for i in range(n):
                now = start + second - interval + interval * (i + 1) / (n + 1)
                at(now)
                metrics = dict(zip(MODEL_METRICS, (float(v) for v in rows[i]), strict=True))
                samples = [{"time": now - 60 * k, "metrics": metrics} for k in range(each)]
                body = json.dumps({"server": f"server-{i:04}", "samples": samples}).encode()
                answer = call("push", ingest, http_event("POST", "/api/ingest", headers=headers, body=body))
                assert answer["statusCode"] == 200, answer
            if second % 60 == 0:
                for minute in range(second // 60 - each, second // 60):
                    at(start + minute * 60 + 60 + settings().grace_s)
                    call("tick", tick, {})
                if second % 300 == 0:
                    call("archive", archive, {})
    return dict(used)


def _fit(measured: dict[str, dict[str, dict[str, float]]]) -> dict[str, dict[str, float]]:
    """What a push uses at each interval, and a tick and an archive: a fixed part and one a server."""

    def mean(run: dict[str, float], what: str, quantity: str) -> float:
        return run.get(f"{what}|{quantity}", 0) / run[f"{what}|times"]

    fitted: dict[str, dict[str, float]] = {}
    for interval, runs in measured.items():
        run = runs["100"]
        fitted[f"push_{interval}"] = {
            "commands": round(mean(run, "push", "redis_commands"), 3),
            "cpu_ms": round(mean(run, "push", "cpu_us") / 1000, 3),
            "redis_bytes": round(mean(run, "push", "redis_bytes")),
            "egress_bytes": round(mean(run, "push", "egress_bytes")),
            "log_bytes": round(mean(run, "push", "log_bytes")),
        }
    few, many = measured["60"]["10"], measured["60"]["1000"]
    for what in ("tick", "archive"):
        for name, quantity, scale in (
            ("commands", "redis_commands", 1),
            ("cpu_ms", "cpu_us", 1000),
            ("redis_bytes", "redis_bytes", 1),
            ("log_bytes", "log_bytes", 1),
        ):
            slope = (mean(many, what, quantity) - mean(few, what, quantity)) / 990 / scale
            fitted.setdefault(what, {})[name] = round(mean(few, what, quantity) / scale - 10 * slope, 3)
            fitted.setdefault(f"{what}_server", {})[name] = round(max(0.0, slope), 5)
    return fitted
