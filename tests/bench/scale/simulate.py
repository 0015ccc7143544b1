"""One size of the simulation: half an hour of a fleet through the real functions, each job in a process of its own.

Three segments of ten minutes are pushed, the rounds of the last five minutes run in them, then the archive moves the
first segment and those verdicts, which is what every second of its runs does. Records and coarse grids are full from
the start. Of a fleet too large for the time there is, some shards are simulated; nothing in one shard knows another.
"""

import json
import os
import subprocess
import sys
from collections.abc import Mapping, Sequence
from pathlib import Path
from typing import Any

import psycopg
from openmanager.settings import settings

from infra.local.stack import Upstash
from tests.bench.scale.fleet import Kinds
from tests.bench.scale.worker import KEY

SEGMENT_MIN = 10
SERVERS_A_SHARD = 250
# Pushes on their own that are measured.
_ALONE = 300
_PUSHED, _ROUNDS, _ARCHIVED = 25, range(20, 25), 45
# A segment lies in Redis until no push can reach it any more and the archive has come by (archive.move).
HELD_MIN, VERDICTS_HELD_MIN = 45, 5
ASKED: Mapping[str, Mapping[str, Any]] = {
    "list": {"function": "servers", "path": "/api/servers"},
    "list, gzip": {"function": "servers", "path": "/api/servers", "gzip": True},
    "snapshot, gzip": {"function": "stream", "path": "/api/stream/snapshot", "gzip": True},
    "metrics, gzip": {"function": "metrics", "path": "/api/metrics", "gzip": True},
    "alerts, gzip": {"function": "alerts", "path": "/api/alerts", "gzip": True},
    "fleet_overview": {"function": "mcp", "tool": "fleet_overview"},
    "find_servers": {"function": "mcp", "tool": "find_servers"},
}


class Simulation:
    """Stores, a folder and the kinds of servers, for one size after the other."""

    def __init__(self, redis: Upstash, folder: Path) -> None:
        """`redis` and what the environment says of Postgres are real and empty."""
        self._redis = redis
        self._kinds = folder / "kinds.npz"
        Kinds.make().save(self._kinds)
        os.environ.update(OPENMANAGER_API_KEY=KEY, POWERTOOLS_LOG_LEVEL="ERROR", OPENMANAGER_LOG_LEVEL="ERROR")

    def run(self, servers: int, most: int, rounds: Sequence[int] = _ROUNDS, asked: Sequence[str] = tuple(ASKED)) -> Any:
        """All figures of a fleet, by job; of at most `most` servers of it. Raises RuntimeError if a job fails."""
        shards = -(-servers // SERVERS_A_SHARD)
        some = min(shards, max(1, most // SERVERS_A_SHARD)) if servers > most else shards
        os.environ["OPENMANAGER_SHARDS"] = str(shards)
        settings.cache_clear()
        self._redis.command("FLUSHALL")
        _empty()
        fleet = {"servers": servers, "some": some, "kinds": str(self._kinds)}

        def do(name: str, **more: Any) -> Any:
            return _work({"do": name, **fleet, **more})

        told: dict[str, Any] = {"servers": servers, "shards": shards, "some": some}
        told["simulated"] = do("remember", minute=rounds[0] - 1)["servers"]
        told["record_bytes"] = self._bytes(some, "state", "coarse") / told["simulated"]
        do("push", minutes=list(range(SEGMENT_MIN - 1)), alone=0)
        told["push"] = do("push", minutes=[SEGMENT_MIN - 1], alone=_ALONE)
        told["frame_bytes"] = self._frames(some) / SEGMENT_MIN / told["simulated"]
        before = self._frames(some)
        do("push", minutes=list(range(SEGMENT_MIN, _PUSHED)), alone=0, strangers=True)
        told["strange_frame_bytes"] = (self._frames(some) - before) / (_PUSHED - SEGMENT_MIN) / told["simulated"]
        told["round"] = do("round", minutes=list(rounds))
        told["verdict_bytes"] = self._bytes(some, "verdicts") / len(rounds) / told["simulated"]
        told["latest_bytes"] = self._bytes(some, "latest", "alerts", "transitions") / told["simulated"]
        told["asked"] = {name: do("ask", minute=_PUSHED, **ASKED[name]) for name in asked} if some == shards else {}
        told["archive"] = do("archive", minute=_ARCHIVED) if some == shards else None
        told["postgres"] = _sizes() if some == shards else None
        told["used_mb"] = int(_line(self._redis.command("INFO", "memory"), "used_memory")) / 1e6
        return told

    def _frames(self, shards: int) -> float:
        keys = [self._redis.command("KEYS", f"om:{shard}:frames:*") for shard in range(shards)]
        return sum(self._redis.command("MEMORY", "USAGE", key, "SAMPLES", 0) for found in keys for key in found)

    def _bytes(self, shards: int, *names: str) -> float:
        keys = [f"om:{shard}:{name}" for shard in range(shards) for name in names]
        return sum(self._redis.command("MEMORY", "USAGE", key, "SAMPLES", 0) or 0 for key in keys)


def _work(job: Mapping[str, Any]) -> Any:
    done = subprocess.run(
        [sys.executable, "-m", "tests.bench.scale.worker"],
        input=json.dumps(job),
        capture_output=True,
        text=True,
        check=False,
        cwd=Path(__file__).resolve().parents[3],
    )
    if done.returncode:
        raise RuntimeError(f"{job['do']} of {job['servers']} servers: {done.stderr[-4000:]}")
    return json.loads(done.stdout.splitlines()[-1])


def _line(text: str, name: str) -> str:
    return next(line.partition(":")[2] for line in text.splitlines() if line.startswith(f"{name}:"))


_TABLES = """
    SELECT coalesce(p.relname, c.relname), sum(pg_total_relation_size(c.oid))
    FROM pg_class c LEFT JOIN pg_inherits i ON i.inhrelid = c.oid LEFT JOIN pg_class p ON p.oid = i.inhparent
    WHERE c.relkind = 'r' AND c.relnamespace = 'public'::regnamespace GROUP BY 1
"""


def _sizes() -> dict[str, int]:
    """Octets of each table with its indexes, its partitions together."""
    with psycopg.connect(os.environ["DATABASE_URL"]) as connection:
        return {name: int(size) for name, size in connection.execute(_TABLES).fetchall()}


def _empty() -> None:
    with psycopg.connect(os.environ["DATABASE_URL"], autocommit=True) as connection:
        names = [name for name in _sizes() if name not in ("schema_migrations", "audit_log")]
        connection.execute("TRUNCATE " + ", ".join(f'"{name}"' for name in names))
