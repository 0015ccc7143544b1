"""Who pushes meanwhile: threads that keep what was not taken, as the documentation asks, and the agent behind its door.

Each remembers what it sent and what was acknowledged, by (server, instant in ms, series).
"""

import gzip
import http.client
import json
import random
import threading
import time
from collections import deque
from collections.abc import Callable
from contextlib import suppress
from dataclasses import dataclass, field
from typing import Any
from urllib.parse import urlsplit

import numpy as np
from openmanager.errors import OpenManagerError
from openmanager.sources import native
from openmanager.telemetry.baselines import scales

from tests import otlp
from tests.endurance.stack import World
from tests.remote_write import request as remote_write

Key = tuple[str, int, str]
Body = tuple[str, dict[str, str], bytes]
# A push waits so long for its answer, and so long after a failure before the next try (real seconds).
_TIMEOUT_S, _PAUSE_S = 15.0, 0.7
_BATCH = 20


@dataclass
class Ledger:
    """What a server's sender sent, what was taken and what was refused; `first` is the first instant acknowledged."""

    sent: dict[Key, float] = field(default_factory=dict)
    acknowledged: dict[Key, float] = field(default_factory=dict)
    # When (real seconds) the push that was acknowledged began: what a store took before it lost its data is lost with
    # it, however late the answer came.
    at: dict[Key, float] = field(default_factory=dict)
    refused: int = 0
    tries: int = 0
    failures: int = 0

    def acknowledge(self, keys: dict[Key, float], began: float) -> None:
        for key in keys:
            self.at.setdefault(key, began)
        self.acknowledged |= keys


def as_json(server: str, role: str, rows: list[tuple[int, dict[str, float]]]) -> Body:
    """Our own format."""
    samples = [{"time": at / 1000, "metrics": values} for at, values in rows]
    body = {"server": server, "role": role, "samples": samples}
    return "/api/ingest", {"Content-Type": "application/json"}, json.dumps(body).encode()


def as_remote_write(server: str, role: str, rows: list[tuple[int, dict[str, float]]]) -> Body:
    """Prometheus' remote write 1.0, of the recording rules that we ship."""
    series = []
    for name in rows[0][1]:
        labels = {"__name__": f"openmanager_{name}", "instance": f"{server}:9100", "role": role}
        series.append((labels, [(values[name], at) for at, values in rows]))
    headers = {"Content-Type": "application/x-protobuf", "Content-Encoding": "snappy"}
    return "/api/v1/write", headers, remote_write(*series)


def as_otlp(server: str, role: str, rows: list[tuple[int, dict[str, float]]]) -> Body:
    """OpenTelemetry's protobuf, by the names of its semantic conventions; of our series those that it has alike."""
    metrics = [
        otlp.gauge(f"system.cpu.load_average.{name[5:]}", *(otlp.point(values[name], at) for at, values in rows))
        for name in rows[0][1]
    ]
    document = otlp.document(*metrics, resource={"host.name": server, "service.name": role})
    return "/v1/metrics", {"Content-Type": otlp.PROTOBUF}, otlp.encoded(document, otlp.PROTOBUF)


FORMS: dict[str, tuple[Callable[..., Body], tuple[str, ...]]] = {
    "json": (as_json, ("cpu_utilization", "memory_used_effective", "load_1m", "load_5m")),
    "prometheus": (as_remote_write, ("cpu_utilization", "memory_used_effective", "load_1m", "load_5m")),
    "otlp": (as_otlp, ("load_1m", "load_5m")),
}


class Sender(threading.Thread):
    """One server: a sample every `every_s` of its clock, its processor busy half of the time."""

    def __init__(self, world: World, server: str, form: str, every_s: float, wave_min: int, seed: int) -> None:
        super().__init__(name=server, daemon=True)
        self.world, self.server, self.every_s, self.wave_min = world, server, every_s, wave_min
        self.role = "web" if form == "json" else "batch"
        self.write, self.series = FORMS[form]
        self.chance = random.Random(f"{seed} {server}")
        self.ledger = Ledger()
        self.off_s = 0.0
        self.silent = False
        self.stopping = threading.Event()
        self.waiting: deque[tuple[int, dict[str, float]]] = deque()
        self._history: deque[Body] = deque(maxlen=10)
        self._phase = self.chance.randrange(2 * wave_min)

    def run(self) -> None:
        due = self.world.now() + self.chance.random() * self.every_s
        pause_until = 0.0
        while not (self.stopping.is_set() and not self.waiting):
            now = self.world.now()
            if now >= due and not self.stopping.is_set():
                due = max(due + self.every_s, now)
                if not self.silent:
                    self._sample(now)
            if self.waiting and not self.silent and time.monotonic() >= pause_until and not self._push():
                pause_until = time.monotonic() + _PAUSE_S
            time.sleep(0.05)

    def again(self) -> None:
        """Send what was sent last once more."""
        for body in list(self._history):
            self._post(body)

    def _sample(self, now: float) -> None:
        at = int((now + self.off_s) * 1000)
        if (self.server, at, self.series[0]) in self.ledger.sent:
            return
        busy = (int(now // 60) + self._phase) % (2 * self.wave_min) < self.wave_min
        level = 92.0 if busy and self.role == "web" else 20.0
        values = {name: round(level + self.chance.uniform(0, 5), 1) for name in self.series}
        self.ledger.sent |= {(self.server, at, name): value for name, value in values.items()}
        self.waiting.append((at, values))

    def _push(self) -> bool:
        """Send the oldest that waits; whether it was answered, with yes or no."""
        rows = [self.waiting[i] for i in range(min(_BATCH, len(self.waiting)))]
        body = self.write(self.server, self.role, rows)
        began = time.monotonic()
        status, text = self._post(body)
        keys = {(self.server, at, name): value for at, values in rows for name, value in values.items()}
        if status in (200, 204):
            refused = self._refused(text, rows)
            self.ledger.acknowledge({key: value for key, value in keys.items() if key[1] not in refused}, began)
            self.ledger.refused += len(refused) * len(self.series)
            self._history.append(body)
        elif status == 400:
            self.ledger.refused += len(keys)
        else:
            self.ledger.failures += 1
            return False
        for _ in rows:
            self.waiting.popleft()
        return True

    def _refused(self, text: bytes, rows: list[tuple[int, dict[str, float]]]) -> set[int]:
        """The instants that were named as refused, or those that must have been where only a number says so."""
        said: dict[str, Any] = json.loads(text) if text.startswith(b"{") else {}
        named = {rows[int(r["field"].partition("[")[2].partition("]")[0])][0] for r in said.get("rejected", ())}
        # OTLP in protobuf: an empty answer took all.
        return named or ({at for at, _ in rows} if text and not said else set())

    def _post(self, body: Body) -> tuple[int, bytes]:
        self.ledger.tries += 1
        path, headers, octets = body
        address = urlsplit(self.world.pushes.url)
        connection = http.client.HTTPConnection(str(address.hostname), address.port or 80, timeout=_TIMEOUT_S)
        try:
            connection.request("POST", path, octets, {**headers, "Authorization": f"Bearer {self.world.api_key}"})
            answer = connection.getresponse()
            return answer.status, answer.read()
        except (OSError, http.client.HTTPException):
            return 0, b""
        finally:
            connection.close()


class Overheard:
    """What the agent sent and was told, as its door hears it: of the requests of one server that pass."""

    def __init__(self, world: World, server: str) -> None:
        self.world, self.server = world, server
        self.ledger = Ledger()
        self._began: dict[bytes, float] = {}

    def begin(self, _port: int, body: bytes) -> None:
        """A push has come."""
        self._began[body] = time.monotonic()

    def hear(self, status: int, headers: dict[str, str], body: bytes) -> None:
        """Take in one push and its answer."""
        began = self._began.pop(body, time.monotonic())
        octets = gzip.decompress(body) if headers.get("Content-Encoding") == "gzip" else body
        if self.server.encode() not in octets[:400]:
            return
        with suppress(OpenManagerError):
            pushes = native.parse(octets, int(self.world.now() * 1000)).pushes
            keys = {
                # Counters of octets come finer than they are kept.
                (push.server, int(at), series): float(np.rint(value * scale) / scale)
                for push in pushes
                for at, row in zip(push.samples.times, push.samples.values, strict=True)
                for series, scale, value in zip(push.samples.series, scales(push.samples.series), row, strict=True)
                if value == value
            }
            self.ledger.tries += 1
            self.ledger.sent |= keys
            if status == 200:
                self.ledger.acknowledge(keys, began)
            else:
                self.ledger.failures += 1
