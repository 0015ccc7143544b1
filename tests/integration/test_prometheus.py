"""An unmodified Prometheus with an unmodified node_exporter, told nothing but our address and a key."""

import contextlib
import json
import os
import shutil
import subprocess
import time
import urllib.request
from collections.abc import Iterator
from pathlib import Path
from typing import Any, Protocol

import psutil
import pytest

from infra.local.process import free_port

PROGRAMS = {"prometheus": shutil.which("prometheus"), "exporter": shutil.which("prometheus-node-exporter")}
DEADLINE_S = 90.0

pytestmark = [
    pytest.mark.interop,
    pytest.mark.skipif(
        not all(PROGRAMS.values()),
        reason="needs the programs prometheus and prometheus-node-exporter (Debian packages of that name)",
    ),
]

CONFIG = """
global: {{scrape_interval: 2s}}
scrape_configs:
  - job_name: node
    static_configs: [{{targets: ["127.0.0.1:{exporter}"], labels: {{role: database, environment: on-premise}}}}]
remote_write:
  - url: {url}/api/v1/write
    authorization: {{credentials: {token}}}
"""


class Gateway(Protocol):
    """What the fixture `live_gateway` gives: our own HTTP address and a key for it."""

    url: str
    token: str


@contextlib.contextmanager
def running(log: Path, *command: str) -> Iterator[subprocess.Popen[bytes]]:
    """A program that is gone when the test is over, however it ends."""
    with log.open("wb") as output:
        process = subprocess.Popen(command, stdout=output, stderr=subprocess.STDOUT)
    try:
        yield process
    finally:
        process.terminate()
        try:
            process.wait(10)
        except subprocess.TimeoutExpired:
            process.kill()
            process.wait()


@pytest.fixture
def scraped(live_gateway: Gateway, tmp_path: Path) -> Iterator[str]:
    """The id of a server that Prometheus scrapes and writes to us."""
    exporter, port = free_port(), free_port()
    config = tmp_path / "prometheus.yml"
    config.write_text(CONFIG.format(exporter=exporter, url=live_gateway.url, token=live_gateway.token))
    with (
        running(
            tmp_path / "exporter.log", str(PROGRAMS["exporter"]), f"--web.listen-address=127.0.0.1:{exporter}"
        ) as first,
        running(
            tmp_path / "prometheus.log",
            str(PROGRAMS["prometheus"]),
            f"--config.file={config}",
            f"--storage.tsdb.path={tmp_path / 'tsdb'}",
            f"--web.listen-address=127.0.0.1:{port}",
        ) as second,
    ):
        yield f"127.0.0.1:{exporter}"
        logs = "".join((tmp_path / name).read_text() for name in ("exporter.log", "prometheus.log"))
        assert (first.poll(), second.poll()) == (None, None), logs
        # What Prometheus could not deliver it would have dropped or be retrying:
        assert "non-recoverable error" not in logs
        assert "Failed to send batch" not in logs


def server(gateway: Gateway, name: str) -> dict[str, Any] | None:
    request = urllib.request.Request(f"{gateway.url}/api/servers", headers={"Authorization": f"Bearer {gateway.token}"})
    with urllib.request.urlopen(request, timeout=10) as reply:
        servers: list[dict[str, Any]] = json.load(reply)["servers"]
    return next((s for s in servers if s["id"] == name), None)


def differences(found: dict[str, float]) -> dict[str, str]:
    """Where what we show is not what this machine says of itself in the same moment."""
    memory = psutil.virtual_memory()
    root = psutil.disk_usage("/").percent
    load = os.getloadavg()
    # (expected, tolerance): Prometheus looked some seconds ago, on a machine that is at work.
    expected = {
        "memory_used": (100 * (memory.total - memory.free) / memory.total, 5.0),
        "memory_used_effective": (memory.percent, 5.0),
        "load_1m": (load[0], 0.3 + 0.2 * load[0]),
        "load_5m": (load[1], 0.2 + 0.1 * load[1]),
        "load_15m": (load[2], 0.1 + 0.1 * load[2]),
        "uptime": (time.time() - psutil.boot_time(), 15.0),
        "swap_utilization": (psutil.swap_memory().percent, 2.0),
        "cpu_utilization": (50.0, 50.0),
        "disk_busy": (50.0, 50.0),
    }
    wrong = {
        key: f"{found.get(key)} is not {value:.2f} ± {tolerance:.2f}"
        for key, (value, tolerance) in expected.items()
        if not abs(found.get(key, float("nan")) - value) <= tolerance
    }
    # The fullest filesystem may be another one, which is then fuller than the root:
    if not root - 1 <= found.get("filesystem_utilization", float("nan")) <= 100:
        wrong["filesystem_utilization"] = f"{found.get('filesystem_utilization')} is below {root} of /"
    for key in ("disk_reads", "disk_write_bytes", "network_receive_bytes", "network_errors", "tcp_established"):
        if not found.get(key, -1.0) >= 0:
            wrong[key] = "is missing"
    return wrong


def test_an_unmodified_prometheus_shows_this_machine_as_it_is(live_gateway: Gateway, scraped: str) -> None:
    deadline = time.monotonic() + DEADLINE_S
    seen: dict[str, Any] | None = None
    wrong: dict[str, str] = {"server": "has not appeared"}
    while wrong and time.monotonic() < deadline:
        seen = server(live_gateway, scraped)
        if seen:
            wrong = differences(seen["metrics"])
        time.sleep(0.5)
    assert wrong == {}
    assert seen is not None
    assert (seen["role"], seen["environment"], seen["hostname"]) == ("database", "on-premise", os.uname().nodename)
    assert abs(time.time() - seen["seen"]) < 30
