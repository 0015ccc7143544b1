"""Brings the faults of a plan about, each lane on a thread of its own, and counts those that really were."""

import json
import logging
import os
import random
import signal
import threading
import time
from collections import Counter, defaultdict
from collections.abc import Callable, Iterator, Sequence
from contextlib import contextmanager, suppress
from functools import partial
from typing import Any

import psutil

from tests.endurance.plan import LOSS, Fault
from tests.endurance.post import Post
from tests.endurance.senders import Sender
from tests.endurance.stack import World
from tests.faults import Asked
from tests.receivers import Answer, Received

log = logging.getLogger(__name__)

_STATEMENT = b"INSERT INTO "
# By what a request to Redis, or a statement to Postgres, is known, and whether who sent it dies before or after it.
_MARKS: dict[str, tuple[bytes, bool]] = {
    "ingest before its push is stored": (b"redis.call('HSET', KEYS[i], unpack", False),
    "ingest after its push was stored": (b"redis.call('HSET', KEYS[i], unpack", True),
    "tick after it took its minute": (b'"om:lease:tick', True),
    "round before it commits": (b"HSETNX", False),
    "round after it committed": (b"HSETNX", True),
    "delivery before it settles": (b"settled = settled + 1", False),
    "delivery after it settled": (b"settled = settled + 1", True),
    "while it writes to Postgres": (_STATEMENT, False),
    "before it deletes from Redis": (b'["HDEL", "om:', False),
    "after it deleted from Redis": (b'["HDEL", "om:', True),
}
_HOUR = 3600.0
# Notes what is safe, and lets what it is given lose the rest.
Losing = Callable[[Callable[[], None]], None]
_OOM = 1


class Receivers:
    """What receivers answer at present, and which notices have reached them."""

    def __init__(self) -> None:
        self.fault = ""
        self.taken: set[str] = set()
        self.came: Counter[str] = Counter()

    def answer(self, one: Received) -> Answer:
        """The receiver that goes wrong; `steady` never does."""
        fault = "" if one.path == "/steady" else self.fault
        self.came[one.key] += 1
        if fault == "answers 500":
            return Answer(500)
        if fault == "answers 429 with Retry-After":
            return Answer(429, {"Retry-After": "5"})
        if fault == "hangs":
            return Answer(drip=True)
        self.taken.add(one.key)
        return Answer(cut=fault == "takes and does not answer")


class Trouble:
    """A plan as it happens to a world. `injected` counts by fault."""

    def __init__(
        self, world: World, post: Post, senders: Sequence[Sender], receivers: Receivers, losing: Losing
    ) -> None:
        self.world, self.post, self.senders, self.receivers = world, post, senders, receivers
        self.injected: Counter[str] = Counter()
        self.stopping = threading.Event()
        self._losing = losing
        # Those that are set before and after a request to Redis and before a statement to Postgres, of all lanes.
        self._traps: dict[str, set[Asked]] = {"before": set(), "after": set(), "statement": set()}
        world.redis.before = partial(self._spring, "before")
        world.redis.after = partial(self._spring, "after")
        world.postgres.before = partial(self._spring, "statement")
        self._ways: dict[str, Callable[[Fault], Any]] = {
            "redis": self._redis,
            "postgres": self._postgres,
            "deaths": self._deaths,
            "deaths of the archive": self._deaths,
            "clocks of functions": self._clocks,
            "queue": self._queue,
            "receivers": self._receivers,
            "pushes": self._pushes,
            "senders": self._senders,
            "readers": self._readers,
        }

    def run(self, plan: Sequence[Fault]) -> list[threading.Thread]:
        """Begin; the threads end with their lanes."""
        began = time.monotonic()
        lanes: dict[str, list[Fault]] = defaultdict(list)
        for fault in plan:
            lanes[fault.lane].append(fault)
        threads = [
            threading.Thread(target=self._lane, args=[faults, began], name=lane, daemon=True)
            for lane, faults in lanes.items()
        ]
        for thread in threads:
            thread.start()
        return threads

    def _lane(self, faults: Sequence[Fault], began: float) -> None:
        for fault in faults:
            if self.stopping.wait(max(0.0, began + fault.at_s - time.monotonic())):
                return
            try:
                if self._ways[fault.lane](fault) is not False:
                    self.injected[fault.name] += 1
            except Exception:
                log.exception("%s could not be brought about", fault.name)

    def _redis(self, fault: Fault) -> None:
        if (fault.lane, fault.kind) == LOSS:
            self._losing(self.world.lose_redis)
        elif fault.kind == "is restarted":
            self.world.kill("valkey")
        elif fault.kind == "is full (maxmemory)":
            self.world.redis_command("CONFIG", "SET", "maxmemory", _OOM)
            self.stopping.wait(fault.for_s)
            self.world.redis_command("CONFIG", "SET", "maxmemory", 0)
        else:
            self.world.redis.healed.clear()
            self.world.redis.fault = fault.kind
            self.stopping.wait(fault.for_s)
            self.world.redis.fault = ""
            self.world.redis.healed.set()

    def _postgres(self, fault: Fault) -> bool | None:
        wire = self.world.postgres
        if fault.kind == "cuts its connections":
            wire.cut()
        elif fault.kind == "is restarted":
            self.world.kill("postgres")
        elif fault.kind == "has no disk left":
            if not self.world.disk.real:
                return False
            self.world.disk.fill()
            self.stopping.wait(fault.for_s)
            self.world.disk.clear()
        else:
            wire.fault = fault.kind
            if fault.kind == "refuses":
                wire.cut()
            self.stopping.wait(fault.for_s)
            wire.fault = ""
        return None

    def _deaths(self, fault: Fault) -> bool | None:
        who, _, when = fault.kind.partition(" ")
        if when == "at any moment":
            chance = random.Random(fault.chance)
            self.stopping.wait(chance.random() * fault.for_s)
            part = {"scheduler": "schedule", "worker": chance.choice(("predict-1", "predict-2"))}.get(who, who)
            self.world.kill(part)
            return None
        with self._trap(fault) as sprung:
            sprung.wait(fault.for_s)
        return sprung.is_set()

    @contextmanager
    def _trap(self, fault: Fault) -> Iterator[threading.Event]:
        """While this is open the next who makes a certain call dies of it."""
        sprung = threading.Event()
        mark, after = _MARKS[fault.kind]
        lock = threading.Lock()

        def strike(port: int, octets: bytes) -> None:
            if mark not in octets:
                return
            with lock:
                if not sprung.is_set() and self._kill_caller(port):
                    sprung.set()

        traps = self._traps["statement" if mark is _STATEMENT else "after" if after else "before"]
        traps.add(strike)
        try:
            yield sprung
        finally:
            traps.discard(strike)

    def _spring(self, place: str, port: int, octets: bytes) -> None:
        for trap in list(self._traps[place]):
            trap(port, octets)

    def _kill_caller(self, port: int) -> bool:
        """SIGKILL to the part of ours that speaks from a port."""
        for connection in psutil.net_connections("tcp4"):
            if connection.laddr and connection.laddr.port == port and connection.pid:
                if self.world.name_of(connection.pid) is None:
                    return False
                with suppress(ProcessLookupError):
                    os.kill(connection.pid, signal.SIGKILL)
                return True
        return False

    def _clocks(self, fault: Fault) -> None:
        who, _, way = fault.kind.partition(" is minutes ")
        chance = random.Random(fault.chance)
        part = {"scheduler": "schedule", "worker": chance.choice(("predict-1", "predict-2"))}.get(who, who)
        off_s = chance.uniform(60, 360) * (1 if way == "ahead" else -1)
        self.world.clocks[part].set_off(off_s)
        self.stopping.wait(fault.for_s)
        self.world.clocks[part].set_off(0)

    def _queue(self, fault: Fault) -> bool:
        before = self.post.troubled
        self.post.fault = fault.kind
        self.stopping.wait(fault.for_s)
        self.post.fault = ""
        return self.post.troubled > before

    def _receivers(self, fault: Fault) -> None:
        self.receivers.fault = fault.kind
        self.stopping.wait(fault.for_s)
        self.receivers.fault = ""

    def _pushes(self, fault: Fault) -> None:
        self.world.pushes.fault = fault.kind
        self.stopping.wait(fault.for_s)
        self.world.pushes.fault = ""

    def _senders(self, fault: Fault) -> None:
        chance = random.Random(fault.chance)
        sender = chance.choice(self.senders)
        if fault.kind == "is silent":
            sender.silent = True
        elif fault.kind == "sends everything again":
            sender.again()
        else:
            unit = 60.0 if "minutes" in fault.kind else _HOUR
            sign = 1 if fault.kind.endswith("ahead") else -1
            sender.off_s = sign * chance.uniform(1, 5) * unit
        self.stopping.wait(fault.for_s)
        sender.silent, sender.off_s = False, 0.0

    def _readers(self, fault: Fault) -> None:
        self.world.readers.fault = "refuses"
        self.world.readers.cut()
        self.stopping.wait(fault.for_s)
        self.world.readers.fault = ""


def told(plan: Sequence[Fault]) -> str:
    """The plan as JSON lines, for whoever looks for a moment of it."""
    return "\n".join(json.dumps({"at_s": f.at_s, "for_s": f.for_s, "fault": f.name}) for f in plan)
