"""Two hours of nothing going wrong: what grows, what is said in the logs, how long everything takes.

`python -m tests.bench soak`. The stack is that of `run.py up` on real clocks, its servers are a recorded host under
many names.
"""

import argparse
import contextlib
import http.client
import json
import re
import tempfile
import threading
import time
from collections import Counter, defaultdict
from collections.abc import Iterable, Iterator, Mapping, Sequence
from pathlib import Path
from typing import Any
from urllib.parse import urlsplit

import numpy as np
import psutil
import psycopg

from infra.clients.follow import follow
from infra.local.folder import DataFolder
from infra.local.process import free_port
from infra.local.supervisor import CHECKOUT, Program, Supervisor
from infra.serverless import read_service
from tests.bench.output import say
from tests.recorded import minutes

EVERY_S = 60.0
WARM_UP_MIN = 10.0
PUSHERS, READERS = 8, 5
ROWS = 300
MB = 1 << 20
_TIMEOUT_S = 30.0
# What begins like this is a line of the logs that somebody should look at; what matches the other is as it should be.
_BAD = re.compile(
    r'\b(WARNING|ERROR|CRITICAL|FATAL|PANIC)\b|Traceback|"level":"(WARNING|ERROR|CRITICAL)"|^\d+:M .* # ', re.MULTILINE
)
# Valkey's advice on the machine's settings; the supervisor's question whether Postgres is there, while it starts.
_EXPECTED = re.compile(r"overcommit|Transparent Huge Pages|TCP backlog|the database system is starting up")
_TOOK = re.compile(r'"message":"(\w+): ([0-9.]+) s,')
_NUMBERS = re.compile(r"\d+")


class Soaked(Supervisor):
    """The stack, its rounds telling how long they took."""

    def __init__(self, folder: DataFolder) -> None:
        service = CHECKOUT / "serverless.yml"
        super().__init__(folder, read_service(service), service, "127.0.0.1", free_port())
        self._functions |= {"OPENMANAGER_SHARDS": "2", "OPENMANAGER_PUSH_INTERVAL_S": "60"}
        self.restarts = 0

    @property
    def database_url(self) -> str:
        """Postgres."""
        return self._postgres.url

    def _module(self, name: str, arguments: Sequence[str], env: dict[str, str]) -> Program:
        if name == "schedule":
            arguments = ["tests.endurance.schedule"]
        return super()._module(name, arguments, env)

    def look(self) -> None:
        """Start again what ended, and count it."""
        for watched in self._watched:
            self.restarts += watched.part.child.pid is None and watched.again_at is None
            watched.look(time.monotonic())

    def memory(self) -> dict[str, float]:
        """Resident MB by part; of Postgres' processes together, what they share counted once."""
        found = {}
        for watched in self._watched:
            child = watched.part.child
            with contextlib.suppress(psutil.NoSuchProcess, TypeError):
                process = psutil.Process(child.pid)
                found[child.name] = process.memory_info().rss / MB
                if child.name == "postgres":
                    family = [process, *process.children()]
                    found[child.name] = sum(_proportional(one) for one in family) / MB
        return found


def _proportional(process: psutil.Process) -> int:
    try:
        # Linux alone counts what is shared by shares.
        info = process.memory_full_info()
        return int(getattr(info, "pss", info.rss))
    except psutil.NoSuchProcess:
        return 0


class Latencies:
    """Seconds by what took them, and how many did not go well."""

    def __init__(self) -> None:
        self.seconds: dict[str, list[float]] = defaultdict(list)
        self.failures: Counter[str] = Counter()

    def add(self, what: str, seconds: float) -> None:
        self.seconds[what].append(seconds)

    def table(self) -> Iterator[str]:
        """A line for each."""
        yield f"  {'seconds':36}{'count':>10}{'p50':>10}{'p95':>10}{'p99':>10}{'failed':>10}"
        for what in sorted({*self.seconds, *self.failures}):
            values = np.array(self.seconds[what] or [np.nan])
            p50, p95, p99 = np.percentile(values, (50, 95, 99))
            count = len(self.seconds[what])
            yield f"  {what:36}{count:10,}{p50:10.3f}{p95:10.3f}{p99:10.3f}{self.failures[what]:10,}"


class Caller:
    """One connection that is kept, as senders and browsers do."""

    def __init__(self, stack: Soaked, latencies: Latencies) -> None:
        self.stack, self.latencies = stack, latencies
        self._line: http.client.HTTPConnection | None = None

    def ask(self, what: str, method: str, path: str, body: bytes | None = None) -> Any:
        """What was answered, None where it was not well; how long it took is kept under `what`."""
        began = time.monotonic()
        try:
            if self._line is None:
                address = urlsplit(self.stack.url)
                self._line = http.client.HTTPConnection(str(address.hostname), address.port or 80, timeout=_TIMEOUT_S)
            self._line.request(method, path, body, {"Authorization": f"Bearer {self.stack.api_key}"})
            answer = self._line.getresponse()
            text = answer.read()
        except (OSError, http.client.HTTPException):
            self.latencies.failures[what] += 1
            if self._line is not None:
                self._line.close()
            self._line = None
            return None
        if not 200 <= answer.status < 300:
            self.latencies.failures[what] += 1
            return None
        self.latencies.add(what, time.monotonic() - began)
        return json.loads(text) if text else None


def push(stack: Soaked, latencies: Latencies, share: Sequence[int], servers: int, stop: threading.Event) -> None:
    """Push a share of the servers, each once a minute at its own second."""
    caller = Caller(stack, latencies)
    began = time.monotonic()
    number = 0
    while True:
        for i in share:
            due = began + number * EVERY_S + i * EVERY_S / servers
            if stop.wait(max(0.0, due - time.monotonic())):
                return
            caller.ask("push", "POST", "/api/ingest", _body(i, number))
        number += 1


def _body(i: int, number: int) -> bytes:
    (one,) = minutes(f"soak-{i:04}", 0, 1, skip=(7 * i + number) % ROWS)
    metrics: dict[str, float] = {}
    counters: dict[str, float] = {}
    for name, value in zip(one.samples.series, one.samples.values[0].tolist(), strict=True):
        part, slash, instance = name.partition("/")
        if part.endswith("_total"):
            counters[part.removesuffix("_total") + slash + instance] = value
        else:
            metrics[name] = value
    sample = {"time": round(time.time(), 3), "metrics": metrics, "counters": counters}
    role = ("web", "api", "database", "cache")[i % 4]
    return json.dumps({"server": one.server, "role": role, "samples": [sample]}).encode()


def read(stack: Soaked, latencies: Latencies, servers: int, stop: threading.Event) -> None:
    """Read as a dashboard and a curious person do, something every second."""
    caller = Caller(stack, latencies)
    began = time.monotonic()
    number = 0
    while not stop.wait(1.0):
        # Of those that have surely pushed by now.
        known = max(1, min(servers, int((time.monotonic() - began) * servers / EVERY_S) - PUSHERS))
        server = f"soak-{number * 37 % known:04}"
        whole = {"GET /api/servers": "/api/servers", "GET /api/alerts": "/api/alerts", "GET /api/health": "/api/health"}
        paths = {
            **whole,
            "GET /api/servers/{id}": f"/api/servers/{server}",
            "GET /api/servers/{id}/metrics": f"/api/servers/{server}/metrics",
            "GET /api/stream/snapshot": "/api/stream/snapshot",
        }
        name = sorted(paths)[number % len(paths)]
        answer = caller.ask(name, "GET", paths[name])
        if name == "GET /api/servers/{id}" and answer and (answer.get("verdict") or {}).get("minute"):
            latencies.add("age of a verdict at the API", time.time() - answer["verdict"]["minute"] - 60)
        number += 1


def listen(stack: Soaked, latencies: Latencies) -> None:
    """Follow the feed for ever."""
    for name, _, data in follow(stack.url, stack.api_key, "?topics=metrics,alerts,predictions"):
        if name == "prediction":
            latencies.add("age of a verdict at a reader", time.time() - float(str(data["minute"])) - 60)


def slope(at_min: Sequence[float], values: Sequence[float], since_min: float) -> float:
    """MB an hour by least squares, of what was measured from a time on; NaN of fewer than three."""
    x, y = np.array(at_min), np.array(values)
    after = x >= since_min
    if after.sum() < 3:
        return float("nan")
    return float(np.polyfit(x[after] / 60, y[after], 1)[0])


def memory_table(measured: Sequence[tuple[float, Mapping[str, float]]], warm_up_min: float) -> Iterator[str]:
    """A line for each part: MB at the start, after the warm-up, at half time and at the end, and how fast it grew in
    the second half: until windows of an hour are full there is more to hold with every minute."""
    half_min = measured[-1][0] / 2
    yield (
        f"  {'resident MB':20}{'start':>10}{f'{warm_up_min:g} min':>10}{f'{half_min:.0f} min':>10}{'end':>10}"
        f"{'MB/hour in the 2nd half':>26}"
    )
    for name in measured[0][1]:
        found = [(at, values[name]) for at, values in measured if name in values]
        at_min, values = [at for at, _ in found], [value for _, value in found]
        warm, half = (next((v for at, v in found if at >= since), values[-1]) for since in (warm_up_min, half_min))
        grown = slope(at_min, values, half_min)
        yield f"  {name:20}{values[0]:10.1f}{warm:10.1f}{half:10.1f}{values[-1]:10.1f}{grown:26.2f}"


def complaints(folder: Path) -> Counter[str]:
    """Lines of the logs that are no good news, numbers taken out, with how often each came."""
    found: Counter[str] = Counter()
    for log in sorted(folder.glob("*.log")):
        for line in log.read_text(errors="replace").splitlines():
            if _BAD.search(line) and not _EXPECTED.search(line):
                found[f"{log.stem}: {_NUMBERS.sub('#', line)[:200]}"] += 1
    return found


def rounds(latencies: Latencies, log: Path) -> None:
    """What the scheduler told of its runs."""
    for name, seconds in _TOOK.findall(log.read_text(errors="replace")):
        latencies.add(f"run of {name}", float(seconds))


def _archived(stack: Soaked, latencies: Latencies) -> None:
    with psycopg.connect(stack.database_url) as connection:
        row = connection.execute("SELECT extract(epoch FROM now() - max(minute)) - 60 FROM predictions").fetchone()
    if row and row[0] is not None:
        latencies.add("age of the newest archived verdict", float(row[0]))


def soak(
    stack: Soaked, folder: Path, servers: int, run_min: float, latencies: Latencies
) -> list[tuple[float, dict[str, float]]]:
    """Keep everybody busy for so long; (minutes since the start, resident MB by part) every minute, in a file, too."""
    stop = threading.Event()
    shares = [range(k, servers, PUSHERS) for k in range(PUSHERS)]
    threads = [threading.Thread(target=push, args=[stack, latencies, share, servers, stop]) for share in shares]
    threads.append(threading.Thread(target=read, args=[stack, latencies, servers, stop]))
    for _ in range(READERS):
        threading.Thread(target=listen, args=[stack, latencies], daemon=True).start()
    for thread in threads:
        thread.start()
    began = time.monotonic()
    measured: list[tuple[float, dict[str, float]]] = []
    while (at_min := (time.monotonic() - began) / 60) < run_min:
        if at_min >= len(measured):
            measured.append((at_min, stack.memory()))
            with (folder / "memory.jsonl").open("a") as file:
                file.write(json.dumps({"minute": round(at_min, 1), "mb": measured[-1][1]}) + "\n")
            _archived(stack, latencies)
        stack.look()
        time.sleep(0.5)
    measured.append(((time.monotonic() - began) / 60, stack.memory()))
    stop.set()
    for thread in threads:
        thread.join()
    return measured


def report(
    stack: Soaked, folder: Path, measured: Sequence[tuple[float, Mapping[str, float]]], latencies: Latencies
) -> Iterable[str]:
    """The tables, and the exit code's reason as their last line."""
    logs = folder / "logs"
    rounds(latencies, logs / "schedule.log")
    warm_up_min = min(WARM_UP_MIN, measured[-1][0] / 3)
    yield from memory_table(measured, round(warm_up_min, 1))
    yield ""
    yield from latencies.table()
    yield ""
    yield f"  parts that ended and were started again: {stack.restarts}"


def main(argv: Sequence[str] | None = None) -> int:
    """The exit code: 1 if a part ended, a request failed, or a log has a line that is not expected."""
    parser = argparse.ArgumentParser(prog="python -m tests.bench soak", description=__doc__)
    parser.add_argument("--servers", type=int, default=500, help="(%(default)s)")
    parser.add_argument("--minutes", type=float, default=120, help="(%(default)g)")
    parser.add_argument("--keep", type=Path, metavar="FOLDER", help="leave logs, memory.jsonl and data there")
    chosen = parser.parse_args(argv)
    with tempfile.TemporaryDirectory(prefix="soak-") as temporary:
        path = chosen.keep or Path(temporary)
        folder = DataFolder(path)
        stack = Soaked(folder)
        latencies = Latencies()
        say(f"Soak: {chosen.servers} servers push every {EVERY_S:g} s for {chosen.minutes:g} minutes")
        try:
            stack.start(agent=False)
            measured = soak(stack, path, chosen.servers, chosen.minutes, latencies)
            for line in report(stack, path, measured, latencies):
                say(line)
            found = complaints(path / "logs")
        finally:
            stack.stop()
            folder.close()
    say(f"  lines of logs that are not expected: {found.total()}")
    for line, count in found.most_common(30):
        say(f"  {count:6} x {line}")
    return 1 if found or stack.restarts or latencies.failures.total() else 0
