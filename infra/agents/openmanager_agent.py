#!/usr/bin/env python3
"""OpenManager agent: reads this machine's metrics with psutil and pushes them. One file; copy it anywhere.

    pip install psutil
    OPENMANAGER_URL=https://... OPENMANAGER_TOKEN=... python3 openmanager_agent.py

What cannot be delivered waits in memory and, where a spool folder is named, on disk; it is sent oldest first
when the server is back. How often to push is the server's wish (`next_push_s` in its answer), and where this
machine's clock is wrong, the server's clock (the `Date` of its answers) is what samples are stamped by.
Linux and macOS, Python 3.9 and later.
"""

from __future__ import annotations

import argparse
import email.utils
import functools
import http.client
import json
import logging
import math
import os
import random
import re
import signal
import socket
import sys
import threading
import time
import urllib.error
import urllib.parse
import urllib.request
from collections import deque
from collections.abc import Callable
from pathlib import Path
from typing import Any

import psutil

VERSION = "1.1"
# fmt: off
# Metrics read as they stand, and the decimals at which OpenManager keeps them.
GAUGES = {
    "cpu_utilization": 1, "load_1m": 2, "load_5m": 2, "load_15m": 2, "memory_used": 1, "memory_used_effective": 1,
    "swap_utilization": 1, "filesystem_utilization": 1, "tcp_time_wait": 0, "tcp_established": 0, "processes": 0,
    "uptime": 0,
}
# Cumulative counters, sent as `name/device`; the server makes rates of them.
DISK_COUNTERS = {
    "disk_reads": 0, "disk_writes": 0, "disk_read_bytes": 0, "disk_write_bytes": 0, "disk_read_time": 0,
    "disk_write_time": 0, "disk_busy": 1, "disk_queue": 3,
}
NETWORK_COUNTERS = {
    "network_receive_bytes": "bytes_recv", "network_transmit_bytes": "bytes_sent",
    "network_receive_packets": "packets_recv", "network_transmit_packets": "packets_sent",
    "network_receive_errors": "errin", "network_transmit_errors": "errout",
}
# Devices that would count the same bytes twice or measure nothing real, by the beginning of their name.
IGNORED_DISKS = ("loop", "ram", "zram", "dm-", "md", "sr")
IGNORED_NETWORKS = (
    "lo", "veth", "docker", "br-", "virbr", "cni", "cali", "flannel", "tun", "tap", "utun", "wg", "ifb",
    "dummy", "bond", "team",
)
# fmt: on
# Images that are full by nature.
IGNORED_FILESYSTEMS = ("squashfs", "erofs", "iso9660", "tmpfs", "devtmpfs")

BATCH_SAMPLES = 100
SPOOL_BYTES = 8 * 2**20
TIMEOUT_S = 10.0
BACKOFF_CAP_S = 60.0
RETRY_AFTER_CAP_S = 900.0
# A clock may be this far off before it counts as wrong: `Date` has whole seconds, and no chart shows less.
CLOCK_TOLERANCE_S = 3.0

log = logging.getLogger("openmanager-agent")


def read_sample() -> dict[str, Any]:
    """One sample as the server takes it, but for its time. What this system cannot tell is left out."""
    gauges: dict[str, float] = {}
    counters: dict[str, float] = {}
    for found, reader in (
        (gauges, read_processor),
        (gauges, read_memory),
        (gauges, read_filesystems),
        (gauges, read_tcp),
        (gauges, read_system),
        (counters, read_disks),
        (counters, read_networks),
    ):
        try:
            found.update(reader())
        # One unreadable corner of a system (a container, an odd kernel) must not cost the rest:
        except (OSError, ValueError, LookupError, AttributeError, RuntimeError, psutil.Error) as fault:
            log_once(f"{reader.__name__}: {fault!r}")
    rounded = {key: round(value, GAUGES[key] or None) for key, value in gauges.items()}
    return {"metrics": rounded, "counters": counters}


@functools.lru_cache(maxsize=64)
def log_once(message: str) -> None:
    """Log a message the first time it occurs."""
    log.warning("cannot read everything: %s", message)


def read_processor() -> dict[str, float]:
    """Share of time the processors were busy since the last call, and the load averages."""
    load = os.getloadavg()
    return {
        "cpu_utilization": psutil.cpu_percent(None),
        "load_1m": load[0],
        "load_5m": load[1],
        "load_15m": load[2],
    }


def read_memory() -> dict[str, float]:
    """Used shares of memory (with and without buffers and cache) and swap."""
    memory = psutil.virtual_memory()
    return {
        "memory_used": 100 * (memory.total - memory.free) / memory.total,
        "memory_used_effective": 100 * (memory.total - memory.available) / memory.total,
        "swap_utilization": psutil.swap_memory().percent,
    }


def read_system() -> dict[str, float]:
    """Number of processes, and seconds since boot."""
    return {"processes": len(psutil.pids()), "uptime": time.time() - psutil.boot_time()}


def read_filesystems() -> dict[str, float]:
    """Percent used of the fullest filesystem, as `df` counts it."""
    mounts = {p.mountpoint for p in psutil.disk_partitions(all=False) if p.fstype not in IGNORED_FILESYSTEMS}
    shares = []
    for mount in mounts | {"/"}:
        try:
            shares.append(psutil.disk_usage(mount).percent)
        except OSError:  # unmounted meanwhile, or not ours to see
            continue
    return {"filesystem_utilization": max(shares)} if shares else {}


def read_tcp(proc_net: Path = Path("/proc/net")) -> dict[str, float]:
    """Established connections and sockets in TIME_WAIT, from the kernel's own counts (Linux only)."""
    if not proc_net.exists():
        return {}
    names, values = (line.split() for line in (proc_net / "snmp").read_text().splitlines() if line.startswith("Tcp:"))
    found = {"tcp_established": float(values[names.index("CurrEstab")])}
    if waiting := re.search(r"^TCP:.* tw (\d+)", (proc_net / "sockstat").read_text(), re.MULTILINE):
        found["tcp_time_wait"] = float(waiting[1])
    return found


def read_disks() -> dict[str, float]:
    """Counters of each physical disk: requests, bytes, ms, percent-seconds busy, request-seconds queued."""
    counters: dict[str, float] = {}
    weighted = read_weighted_time()
    blocks = Path("/sys/block")  # whole disks; without it (macOS) psutil names nothing else
    # Wraps are left to the server, which sees every sample in order of time.
    for disk, now in (psutil.disk_io_counters(perdisk=True, nowrap=False) or {}).items():
        if disk.startswith(IGNORED_DISKS) or (blocks.is_dir() and not (blocks / disk).exists()):
            continue
        values: dict[str, float] = {
            "disk_reads": now.read_count,
            "disk_writes": now.write_count,
            "disk_read_bytes": now.read_bytes,
            "disk_write_bytes": now.write_bytes,
            "disk_read_time": now.read_time,
            "disk_write_time": now.write_time,
        }
        if (busy_ms := getattr(now, "busy_time", None)) is not None:
            values["disk_busy"] = busy_ms / 10
        if disk in weighted:
            values["disk_queue"] = weighted[disk] / 1000
        for key, value in values.items():
            counters[f"{key}/{disk}"] = round(value, DISK_COUNTERS[key] or None)
    return counters


def read_weighted_time(diskstats: Path = Path("/proc/diskstats")) -> dict[str, int]:
    """Of each disk the time of all its requests in ms, which psutil leaves out (Linux only)."""
    if not diskstats.exists():
        return {}
    lines = [line.split() for line in diskstats.read_text().splitlines()]
    return {line[2]: int(line[13]) for line in lines if len(line) > 13}


def read_networks() -> dict[str, float]:
    """Counters of each network interface that is a real one."""
    return {
        f"{key}/{name}": getattr(now, attribute)
        for name, now in psutil.net_io_counters(pernic=True, nowrap=False).items()
        if not name.startswith(IGNORED_NETWORKS)
        for key, attribute in NETWORK_COUNTERS.items()
    }


def seconds_of(date: str | None) -> float | None:
    """Seconds since 1970 of a date as HTTP headers write it."""
    moment = email.utils.parsedate_tz(date or "")
    try:
        return None if moment is None else email.utils.mktime_tz(moment)
    except (ValueError, OverflowError):
        return None


def steady() -> float:
    """Seconds that nobody sets and that go on while the machine is suspended."""
    return time.clock_gettime(getattr(time, "CLOCK_BOOTTIME", time.CLOCK_MONOTONIC))


class Clock:
    """What time it is, by this machine's clock at the start and from then on by the server's if that differs.

    Time is counted in steady seconds, which no setting of the clock disturbs, from an origin that `calibrate`
    moves. A sample keeps its steady time until it is written down, so that the first answer also sets right
    what was read before it.
    """

    def __init__(self, wall: Callable[[], float] = time.time, ticks: Callable[[], float] = steady) -> None:
        self.ticks = ticks
        self._origin = wall() - ticks()
        self._said = False

    def at(self, tick: float) -> float:
        """Seconds since 1970 at a steady time."""
        return self._origin + tick

    def calibrate(self, date: str | None, sent: float, received: float) -> bool:
        """Compare with the `Date` of an answer to what was sent and received at these ticks; whether time moved."""
        servers_s = seconds_of(date)
        if servers_s is None:
            return False
        # The server looked at its clock half-way, and what it says was cut to whole seconds.
        ahead_s = self.at((sent + received) / 2) - (servers_s + 0.5)
        if abs(ahead_s) <= CLOCK_TOLERANCE_S + (received - sent) / 2:
            return False
        self._origin -= ahead_s
        if not self._said:
            self._said = True
            way = "ahead of" if ahead_s > 0 else "behind"
            log.warning("this clock is %.0f s %s the server's; samples get the server's time", abs(ahead_s), way)
        return True


class Spool:
    """Samples not yet delivered, oldest first, as JSON lines; beyond `limit` bytes the oldest go, counted.

    With a path it also keeps a copy on disk for the next start. Delivering a sample twice does no harm, so
    the file is added to, and emptied once all is delivered.
    """

    def __init__(self, limit: int = SPOOL_BYTES, path: Path | None = None, clock: Clock | None = None) -> None:
        self.limit, self.path, self.clock = limit, path, clock or Clock()
        self.dropped = 0
        self._lock = threading.Lock()
        # (number, steady time of the reading or None where the line has its time already, line)
        self._lines: deque[tuple[int, float | None, bytes]] = deque()
        self._next = self._size = self._saved = self._file_size = 0
        if path:
            self._load(path)

    def __len__(self) -> int:
        return len(self._lines)

    def add(self, sample: dict[str, Any]) -> None:
        """Keep one more sample, as of now unless it has its time."""
        tick = None if "time" in sample else self.clock.ticks()
        with self._lock:
            self._append(tick, json.dumps(sample, separators=(",", ":")).encode() + b"\n")

    def oldest(self, count: int) -> tuple[int, list[bytes]]:
        """Up to `count` samples, and the mark to forget them by."""
        with self._lock:
            rows = [self._lines[i] for i in range(min(count, len(self._lines)))]
        return (rows[-1][0] if rows else -1), [self._stamped(tick, line) for _, tick, line in rows]

    def forget(self, mark: int) -> None:
        """Let go of all samples up to a mark."""
        with self._lock:
            while self._lines and self._lines[0][0] <= mark:
                self._size -= _length(self._lines.popleft())
            if not self._lines and self._file_size and self.path:
                self._write(self.path, "wb", [])

    def save(self) -> None:
        """Bring the file up to date, so that a stop loses nothing."""
        with self._lock:
            if not self.path:
                return
            new = [self._stamped(tick, line) for number, tick, line in self._lines if number >= self._saved]
            if self._file_size + sum(map(len, new)) > self.limit:
                self._rewrite(self.path)
            elif new:
                self._write(self.path, "ab", new)

    def restamp(self) -> None:
        """Set right the times that the file has already, after the clock was."""
        with self._lock:
            if self.path and self._file_size:
                self._rewrite(self.path)

    def _stamped(self, tick: float | None, line: bytes) -> bytes:
        if tick is None:
            return line
        time_s = b"%.3f" % self.clock.at(tick)
        return b'{"time":' + time_s + (b"}\n" if line == b"{}\n" else b"," + line[1:])

    def _append(self, tick: float | None, line: bytes) -> None:
        self._lines.append((self._next, tick, line))
        self._next += 1
        self._size += _length(self._lines[-1])
        while self._size > self.limit and len(self._lines) > 1:
            self._size -= _length(self._lines.popleft())
            self.dropped += 1

    def _rewrite(self, path: Path) -> None:
        self._write(path, "wb", [self._stamped(tick, line) for _, tick, line in self._lines])

    def _load(self, path: Path) -> None:
        try:
            lines = path.read_bytes().splitlines(keepends=True) if path.exists() else []
        except OSError as fault:
            log.warning("cannot read the spool %s: %s", path, fault)
            return
        for line in lines:
            try:
                self._append(None, json.dumps(json.loads(line), separators=(",", ":")).encode() + b"\n")
            except ValueError:  # a stop in mid-write leaves a broken line, to which nothing may be added
                continue
        if lines:
            self._rewrite(path)

    def _write(self, path: Path, mode: str, lines: list[bytes]) -> None:
        try:
            path.parent.mkdir(parents=True, exist_ok=True)
            with path.open(mode) as file:
                file.writelines(lines)
                self._file_size = file.tell()
        except OSError as fault:
            log.warning("cannot write the spool %s: %s", path, fault)
        self._saved = self._next


def _length(entry: tuple[int, float | None, bytes]) -> int:
    """Bytes that a line takes once it has its time."""
    _, tick, line = entry
    return len(line) + (0 if tick is None else len('"time":1700000000.000,'))


class Undelivered(Exception):
    """A batch did not arrive and is to be sent again, after `wait_s` if the server said so."""

    def __init__(self, why: str, wait_s: float | None = None) -> None:
        super().__init__(why)
        self.wait_s = wait_s


class Refused(Exception):
    """The server will never take this batch."""

    def __init__(self, why: str, too_large: bool = False) -> None:
        super().__init__(why)
        self.too_large = too_large


class _NoRedirect(urllib.request.HTTPRedirectHandler):
    """A redirect would turn the POST into a GET and may carry the token elsewhere."""

    def redirect_request(self, *_: Any) -> None:
        return None


class Door:
    """The server's ingest door, and who we are to it. Every answer calibrates the clock."""

    def __init__(self, url: str, token: str, identity: dict[str, Any], clock: Clock | None = None) -> None:
        self.clock = clock or Clock()
        self.answered = False
        self.moved = False  # whether the last answer moved the clock
        self.url = url.rstrip("/").removesuffix("/api/ingest") + "/api/ingest"
        self.identity = identity
        self._opener = urllib.request.build_opener(_NoRedirect)
        self._headers = {
            "Authorization": f"Bearer {token}",
            "Content-Type": "application/json",
            "User-Agent": f"openmanager-agent/{VERSION}",
        }

    def push(self, lines: list[bytes]) -> dict[str, Any]:
        """Deliver samples; what the server answers. Raises Undelivered or Refused."""
        head = json.dumps(self.identity).encode()[:-1]
        body = head + b',"samples":[' + b",".join(line.rstrip() for line in lines) + b"]}"
        request = urllib.request.Request(self.url, body, self._headers, method="POST")
        sent = self.clock.ticks()
        try:
            with self._opener.open(request, timeout=TIMEOUT_S) as reply:
                self._heard(reply.headers.get("Date"), sent)
                text = reply.read(65_536)
        except urllib.error.HTTPError as fault:
            with fault:
                self._heard(fault.headers.get("Date"), sent)
                raise self._judged(fault, self.clock.at(self.clock.ticks())) from None
        except (OSError, http.client.HTTPException) as fault:
            raise Undelivered(str(getattr(fault, "reason", fault)) or type(fault).__name__) from None
        try:
            answer = json.loads(text or b"{}")
        except ValueError:  # it was taken all the same
            return {}
        return answer if isinstance(answer, dict) else {}

    def _heard(self, date: str | None, sent: float) -> None:
        self.answered = True
        self.moved = self.clock.calibrate(date, sent, self.clock.ticks())

    @staticmethod
    def _judged(fault: urllib.error.HTTPError, now_s: float) -> Undelivered | Refused:
        why = f"HTTP {fault.code} {explanation(fault)}".strip()
        if fault.code in (401, 403):
            return Undelivered(f"the token is not accepted ({why})")
        if 400 <= fault.code < 500 and fault.code not in (408, 429):
            return Refused(why, too_large=fault.code == 413)
        return Undelivered(why, retry_after(fault.headers.get("Retry-After"), now_s))


def explanation(fault: urllib.error.HTTPError) -> str:
    """The human part of an error answer (RFC 9457 problem details), shortened."""
    try:
        problem = json.loads(fault.read(65_536))
        return str(problem.get("detail") or problem.get("title") or "")[:300]
    except (OSError, ValueError, AttributeError, http.client.HTTPException):
        return ""


def retry_after(header: str | None, now_s: float) -> float | None:
    """Seconds that a Retry-After header asks for: a number, or a date by the server's clock."""
    if not header:
        return None
    try:
        wait_s = float(header)
    except ValueError:
        moment_s = seconds_of(header)
        if moment_s is None:
            return None
        wait_s = moment_s - now_s
    return min(max(wait_s, 0.0), RETRY_AFTER_CAP_S)


def patience(failures: int, asked_s: float) -> float:
    """Seconds to wait after so many failures in a row: doubling, and at least what the server asked for."""
    # Jitter, so that a fleet does not come back all at once.
    return max(min(BACKOFF_CAP_S, 2.0 ** min(failures, 10)) * random.uniform(0.5, 1), asked_s)


class Sender(threading.Thread):
    """Empties the spool whenever it is woken, patiently.

    A thread of its own, so that a slow server delays neither the next sample nor the end of the program.
    """

    def __init__(self, door: Door, spool: Spool, stop: threading.Event) -> None:
        super().__init__(daemon=True)
        self.door, self.spool, self.stop = door, spool, stop
        self.wake = threading.Event()
        self.next_push_s = 0.0
        self._state = ""
        self._batch = BATCH_SAMPLES

    def run(self) -> None:
        while not self.stop.is_set():
            self.wake.wait()
            self.wake.clear()
            failures = 0
            while self.spool:
                wait_s = self.step()
                if wait_s is None:
                    failures = 0
                    continue
                if self.stop.is_set():
                    return
                failures += 1
                self.stop.wait(patience(failures, wait_s))

    def step(self) -> float | None:
        """Try one batch. None when it is dealt with, else the least time to wait before the next try."""
        mark, lines = -1, list[bytes]()
        try:
            if not self.door.answered:
                # An empty push brings the first `Date`, before a wrong clock has spoilt a sample.
                self._deliver([])
            mark, lines = self.spool.oldest(self._batch)
            answer = self._deliver(lines)
        except Undelivered as fault:
            self.spool.save()
            self._report("waiting", logging.WARNING, f"cannot deliver, keeping samples: {fault}")
            return fault.wait_s or 0.0
        except Refused as fault:
            if not lines:  # nothing is lost, and the next push will say what is wrong
                return None
            if fault.too_large and len(lines) > 1:
                self._batch = max(1, len(lines) // 2)
                return None
            self.spool.forget(mark)
            self._report(f"refused {fault}", logging.ERROR, f"dropped {len(lines)} samples: {fault}")
            return None
        self.spool.forget(mark)
        self._obey(answer)
        return None

    def _deliver(self, lines: list[bytes]) -> dict[str, Any]:
        try:
            return self.door.push(lines)
        finally:
            if self.door.moved:
                self.spool.restamp()

    def _obey(self, answer: dict[str, Any]) -> None:
        cadence = answer.get("next_push_s")
        self.next_push_s = min(max(float(cadence), 0.0), 3600.0) if isinstance(cadence, (int, float)) else 0.0
        rejected = answer.get("rejected")
        if isinstance(rejected, list) and rejected:
            why = str(rejected[0])[:300]
            self._report("rejected", logging.WARNING, f"the server left out some values: {why}")
            return
        lost = f"; {self.spool.dropped} samples did not fit in the spool" if self.spool.dropped else ""
        self._report("delivering", logging.INFO, f"delivering to {self.door.url}{lost}")

    def _report(self, state: str, level: int, message: str) -> None:
        """Log a change of state, once."""
        if state != self._state:
            self._state = state
            log.log(level, "%s", message)


def run(sender: Sender, spool: Spool, stop: threading.Event, interval_s: float) -> int:
    """Sample at the interval and wake the sender right after a sample when a push is due; the exit code."""
    sender.start()
    due = time.monotonic()
    pushed = -math.inf
    while not stop.wait(max(0.0, due - time.monotonic())):
        if not sender.is_alive():  # a fault of ours: whoever supervises this program starts it afresh
            spool.save()
            return 1
        spool.add(read_sample())
        now = time.monotonic()
        # Half an interval early is nearer to the wished time than the next sample would be.
        if now - pushed >= sender.next_push_s - interval_s / 2:
            pushed = now
            sender.wake.set()
        # After a suspension, go on from now instead of catching up.
        due = max(due + interval_s, now)
    spool.save()
    sender.wake.set()
    sender.join(0.7)
    return 0


def run_once(sender: Sender, spool: Spool, stop: threading.Event) -> int:
    """One sample and one attempt to deliver everything; the exit code."""
    stop.wait(1.0)  # the span that cpu_utilization covers
    spool.add(read_sample())
    while spool:
        if sender.step() is not None:
            return 1
    return 0


def options(arguments: list[str], env: dict[str, str]) -> argparse.Namespace:
    """The command line over the environment over the defaults. Ends the program on a mistake."""
    parser = argparse.ArgumentParser(
        description="Pushes this machine's metrics to OpenManager.",
        epilog="Each option may also be set as OPENMANAGER_<OPTION>, labels as OPENMANAGER_LABELS=a=b,c=d, "
        "the spool folder as OPENMANAGER_AGENT_SPOOL. Put the token there: everybody can see a command line.",
    )

    def add(name: str, text: str, default: str = "", **more: Any) -> None:
        variable = "OPENMANAGER_AGENT_SPOOL" if name == "spool" else f"OPENMANAGER_{name.upper()}"
        parser.add_argument(f"--{name}", help=text, default=env.get(variable, default), **more)

    add("url", "address of the server, such as https://om.example.com")
    add("token", "API key of an agent")
    add("interval", "seconds between samples (15)", "15", type=float)
    add("server", "id of this server (its hostname)")
    add("role", "web, api, database, cache, storage, ...")
    add("environment", "on-premise, aws, gcp, azure, kubernetes")
    add("spool", "folder that keeps what could not be delivered")
    labels = [pair for pair in env.get("OPENMANAGER_LABELS", "").split(",") if pair]
    parser.add_argument("--label", action="append", default=labels, metavar="K=V", help="a label; repeatable")
    parser.add_argument("--once", action="store_true", help="push one sample and end: 0 if delivered")
    chosen = parser.parse_args(arguments)
    if urllib.parse.urlsplit(chosen.url).scheme not in ("http", "https"):
        parser.error("--url or OPENMANAGER_URL: needs an http:// or https:// address")
    chosen.token = chosen.token.strip()
    if not re.fullmatch(r"[!-~]+", chosen.token):
        parser.error("--token or OPENMANAGER_TOKEN: missing, or not plain ASCII")
    if not 1 <= chosen.interval <= 3600:
        parser.error("--interval: must be 1 to 3600 seconds")
    if broken := [pair for pair in chosen.label if "=" not in pair]:
        parser.error(f"--label: {broken[0]!r} is not of the form key=value")
    chosen.server = chosen.server or re.sub(r"[^A-Za-z0-9._:-]", "-", socket.gethostname()).lstrip("._:-")
    if not re.fullmatch(r"[A-Za-z0-9][A-Za-z0-9._:-]{0,127}", chosen.server):
        parser.error("--server: 1 to 128 letters, digits and . _ : - beginning with a letter or digit")
    return chosen


def main(arguments: list[str] | None = None) -> int:
    """Run until told to stop."""
    logging.basicConfig(format="%(asctime)s %(levelname)s %(message)s", level=logging.INFO)
    chosen = options(sys.argv[1:] if arguments is None else arguments, dict(os.environ))
    identity: dict[str, Any] = {"server": chosen.server, "hostname": socket.gethostname()}
    if chosen.role:
        identity["role"] = chosen.role
    if chosen.environment:
        identity["environment"] = chosen.environment
    if chosen.label:
        identity["labels"] = dict(pair.split("=", 1) for pair in chosen.label)
    clock = Clock()
    spool = Spool(path=Path(chosen.spool, chosen.server + ".jsonl") if chosen.spool else None, clock=clock)
    stop = threading.Event()
    sender = Sender(Door(chosen.url, chosen.token, identity, clock), spool, stop)
    for number in (signal.SIGTERM, signal.SIGINT):
        signal.signal(number, lambda *_: stop.set())
    psutil.cpu_percent(None)  # the first call has no earlier reading to compare with
    if chosen.once:
        return run_once(sender, spool, stop)
    log.info("sampling %s every %g s", chosen.server, chosen.interval)
    return run(sender, spool, stop, chosen.interval)


if __name__ == "__main__":
    sys.exit(main())
