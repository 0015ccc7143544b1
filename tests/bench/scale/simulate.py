"""One size of the simulation: half an hour of a fleet through the real functions, each job in a process of its own.

Three segments of ten minutes are pushed, the rounds of the last minutes run in them, then the archive moves the first
segment and those verdicts, as every second of its runs does. Records and coarse grids are full from the start. Of a
fleet too large for the time there is, some shards are simulated; nothing in one shard knows another.
"""

import json
import os
import subprocess
import sys
from collections.abc import Mapping
from dataclasses import dataclass
from pathlib import Path
from typing import Any

import psycopg

from infra.local.stack import Upstash
from tests.bench.scale.fleet import Kinds
from tests.bench.scale.worker import KEY

SERVERS_A_SHARD = 250
# Pushes on their own that are measured.
_ALONE = 300
# A segment lies in Redis until no push can reach it any more and the archive has come by (archive.move).
HELD_MIN, VERDICTS_HELD_MIN = 45, 5
ASKED: Mapping[str, Mapping[str, Any]] = {
    "list": {"function": "servers", "path": "/api/servers"},
    "list, gzip": {"function": "servers", "path": "/api/servers", "gzip": True},
    "page of 1,000": {"function": "servers", "path": "/api/servers", "query": "limit=1000"},
    "snapshot, gzip": {"function": "stream", "path": "/api/stream/snapshot", "gzip": True},
    "metrics, gzip": {"function": "metrics", "path": "/api/metrics", "gzip": True},
    "alerts, gzip": {"function": "alerts", "path": "/api/alerts", "gzip": True},
    "fleet_overview": {"function": "mcp", "tool": "fleet_overview"},
    "find_servers": {"function": "mcp", "tool": "find_servers"},
}


@dataclass(frozen=True)
class Script:
    """What happens, in minutes after START: pushes `before` the `measured` one by one process that comes to know the
    servers, `after` it by such as do not; then `rounds`, the archive, and what is asked (names of ASKED).

    Without `records` servers are new, which is quicker and leaves out most of what a round does.
    """

    before: range = range(9)
    measured: int = 9
    after: range = range(10, 25)
    # Three ordinary minutes and one that closes a step of five.
    rounds: range = range(21, 25)
    archived: int = 45
    asked: tuple[str, ...] = tuple(ASKED)
    records: bool = True


WHOLE = Script()
SMALL = Script(range(0), 22, range(23, 24), range(22, 24), asked=("page of 1,000",), records=False)


class Simulation:
    """Stores, a folder and the kinds of servers, for one size after the other."""

    def __init__(self, redis: Upstash, folder: Path, script: Script = WHOLE) -> None:
        """`redis` and what the environment says of Postgres are real, and emptied."""
        self._redis, self._script = redis, script
        self._kinds = folder / "kinds.npz"
        Kinds.make().save(self._kinds)

    def run(self, servers: int, most: int) -> dict[str, Any]:
        """All figures of a fleet, by job; of one larger than `most` so many whole shards as hold those. Raises
        RuntimeError if a job fails.
        """
        script, shards = self._script, -(-servers // SERVERS_A_SHARD)
        some = shards if servers <= most else max(1, most // SERVERS_A_SHARD)
        self._redis.command("FLUSHALL")
        _empty()
        fleet = {"servers": servers, "shards": shards, "some": some, "kinds": str(self._kinds)}

        def do(name: str, **more: Any) -> Any:
            return _work({"do": name, **fleet, **more})

        told: dict[str, Any] = {"servers": servers, "shards": shards, "some": some}
        if script.records:
            do("remember", minute=script.rounds[0] - 1)
        told["record_bytes"] = self._bytes(some, "state", "coarse")
        if script.before:
            do("push", minutes=list(script.before), alone=0)
        told["push"] = do("push", minutes=[script.measured], alone=_ALONE)
        told["simulated"] = told["push"]["servers"]
        known = self._frames(some)
        do("push", minutes=list(script.after), alone=0, strangers=True)
        told["frame_bytes"] = known / (len(script.before) + 1)
        told["strange_frame_bytes"] = (self._frames(some) - known) / len(script.after)
        told["round"] = do("round", minutes=list(script.rounds))
        told["verdict_bytes"] = self._bytes(some, "verdicts") / len(script.rounds)
        told["latest_bytes"] = self._bytes(some, "latest", "alerts", "transitions")
        for name in ("record_bytes", "frame_bytes", "strange_frame_bytes", "verdict_bytes", "latest_bytes"):
            told[name] /= told["simulated"]
        told["asked"] = {name: do("ask", minute=script.rounds[-1] + 1, **ASKED[name]) for name in script.asked}
        before = _sizes()
        told["archive"] = do("archive", minute=script.archived)
        told["postgres"] = {name: size - before.get(name, 0) for name, size in _sizes().items()}
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
        env={
            **os.environ,
            "OPENMANAGER_API_KEY": KEY,
            "OPENMANAGER_SHARDS": str(job["shards"]),
            "POWERTOOLS_LOG_LEVEL": "ERROR",
            "OPENMANAGER_LOG_LEVEL": "ERROR",
        },
    )
    if done.returncode:
        raise RuntimeError(f"{job['do']} of {job['servers']} servers: {done.stderr[-4000:]}")
    return json.loads(done.stdout.splitlines()[-1])


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
