"""Ingest from the event to the durable answer: JSON through the handler, REST front, Valkey, fsync at each write."""

import cProfile
import json
import os
import pstats
import tempfile
import time
from pathlib import Path

import numpy as np
from openmanager import intake
from openmanager.catalog import METRIC, MODEL_METRICS
from openmanager.settings import settings
from openmanager.sources import native
from openmanager.stores import reset

from functions.ingest.handler import handler
from infra.local.stack import Upstash
from tests.events import invoke

KEY = "bench-key-0123456789abcdefgh"
SIZES = ((1, 1), (1, 10), (10, 1), (100, 1), (100, 4), (1000, 1))
SECONDS = 2.0
GOAL = 50_000


def body(servers: int, rows: int, chance: np.random.Generator) -> bytes:
    """A request of so many servers and instants each, 20 metrics, at the catalogue's precision."""
    now = time.time()
    entries = [
        {
            "server": f"server-{i:05}",
            "samples": [
                {
                    "time": round(now - 15 * row, 3),
                    "metrics": {k: round(float(chance.uniform(0, 100)), METRIC[k].decimals) for k in MODEL_METRICS},
                }
                for row in range(rows)
            ],
        }
        for i in range(servers)
    ]
    return json.dumps({"servers": entries}).encode()


def send(payload: bytes) -> None:
    reply = invoke(handler, "POST", "/api/ingest", key=KEY, body=payload)
    assert reply.status == 200, reply.body


def take(payload: bytes) -> None:
    """What the route does, in this thread, so that its own processor time can be told."""
    now_ms = int(time.time() * 1000)
    intake.keep(native.parse(payload, now_ms).pushes, now_ms)


def report() -> list[str]:
    """The table and the profile, as lines."""
    chance = np.random.default_rng(1)
    lines = ["Ingest, event in to 200 out, one process, samples a second (functions, front and Valkey share the cores)"]
    lines.append("  servers/request   rows/server   ms/request   samples/s   a second of the function's own CPU")
    with tempfile.TemporaryDirectory() as folder:
        redis = Upstash(Path(folder))
        redis.start()
        try:
            os.environ.update(
                OPENMANAGER_STAGE="local",
                OPENMANAGER_API_KEY=KEY,
                UPSTASH_REDIS_REST_URL=redis.url,
                UPSTASH_REDIS_REST_TOKEN=redis.token,
                OPENMANAGER_STORE_TIMEOUT_S="30",
            )
            settings.cache_clear()
            reset()
            for servers, rows in SIZES:
                payloads = [body(servers, rows, chance) for _ in range(4)]
                send(payloads[0])
                done, began = 0, time.perf_counter()
                while time.perf_counter() - began < SECONDS:
                    send(payloads[done % 4])
                    done += 1
                took = time.perf_counter() - began
                began = time.thread_time()
                for i in range(done):
                    take(payloads[i % 4])
                busy = time.thread_time() - began
                samples = done * servers * rows * len(MODEL_METRICS)
                lines.append(
                    f"{servers:17}{rows:14}{1000 * took / done:13.2f}{samples / took:12,.0f}{samples / busy:12,.0f}"
                )
            profile = cProfile.Profile()
            payload = body(100, 1, chance)
            profile.enable()
            for _ in range(30):
                take(payload)
            profile.disable()
        finally:
            reset()
            redis.stop()
    lines.append(f"  goal {GOAL:,} a second and core; the profile's first lines at 100 servers a request:")
    stats = pstats.Stats(profile)
    total = sum(entry[2] for entry in stats.stats.values())  # type: ignore[attr-defined]
    top = sorted(stats.stats.items(), key=lambda item: -item[1][2])[:5]  # type: ignore[attr-defined]
    for (file, line, name), (_, calls, own, *_rest) in top:
        where = f"{Path(file).name}:{line} {name}" if line else name
        lines.append(f"    {100 * own / total:5.1f} %  {calls:8} calls  {where}")
    return lines
