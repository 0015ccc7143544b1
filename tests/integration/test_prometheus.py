"""A real Prometheus with a real node_exporter, set up by the files that infra/agents ships."""

import contextlib
import json
import os
import re
import shutil
import subprocess
import time
import urllib.parse
import urllib.request
from collections.abc import Iterator
from pathlib import Path
from typing import Any, Protocol

import psutil
import pytest
import yaml
from openmanager.catalog import METRIC_KEYS
from openmanager.suppliers import IGNORED_DEVICES, IGNORED_FILESYSTEMS

from infra.local.process import free_port

PROGRAMS = {
    "prometheus": shutil.which("prometheus"),
    "promtool": shutil.which("promtool"),
    "exporter": shutil.which("prometheus-node-exporter"),
}
DEADLINE_S = 90.0

pytestmark = [
    pytest.mark.interop,
    pytest.mark.skipif(
        not all(PROGRAMS.values()),
        reason="needs the programs prometheus and prometheus-node-exporter (Debian packages of that name)",
    ),
]

SHIPPED = Path(__file__).parents[2] / "infra" / "agents" / "prometheus"
SCRAPE = "2s"


def configuration(folder: Path, shipped: str, exporter: int, gateway: "Gateway") -> Path:
    """A prometheus.yml with a shipped file in it, changed only where a person changes it, and in its pace."""
    key = folder / "openmanager.key"
    key.write_text(gateway.token)
    rules = folder / "openmanager-rules.yml"
    rules.write_text((SHIPPED / "rules.yml").read_text().replace("interval: 15s", f"interval: {SCRAPE}"))
    document = yaml.safe_load((SHIPPED / shipped).read_text())
    (writer,) = document["remote_write"]
    writer["url"] = writer["url"].replace("https://om.example.com", gateway.url)
    writer["authorization"]["credentials_file"] = str(key)
    labels = {"role": "database", "environment": "on-premise"}
    document |= {
        "global": {"scrape_interval": SCRAPE},
        "scrape_configs": [
            {"job_name": "node", "static_configs": [{"targets": [f"127.0.0.1:{exporter}"], "labels": labels}]}
        ],
    }
    written = folder / "prometheus.yml"
    written.write_text(yaml.safe_dump(document))
    return written


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


@contextlib.contextmanager
def scraped(live_gateway: Gateway, tmp_path: Path, shipped: str) -> Iterator[str]:
    """The id of a server that Prometheus scrapes and writes to us."""
    exporter, port = free_port(), free_port()
    config = configuration(tmp_path, shipped, exporter, live_gateway)
    with (
        running(
            tmp_path / "exporter.log",
            str(PROGRAMS["exporter"]),
            f"--web.listen-address=127.0.0.1:{exporter}",
            "--collector.processes",
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


def ask(gateway: Gateway, path: str) -> dict[str, Any]:
    headers = {"Authorization": f"Bearer {gateway.token}"}
    with urllib.request.urlopen(urllib.request.Request(gateway.url + path, headers=headers), timeout=10) as reply:
        answer: dict[str, Any] = json.load(reply)
    return answer


def server(gateway: Gateway, name: str) -> dict[str, Any] | None:
    return next((s for s in ask(gateway, "/api/servers")["servers"] if s["id"] == name), None)


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
        "processes": (len(psutil.pids()), 40.0),
    }
    wrong = {
        key: f"{found.get(key)} is not {value:.2f} ± {tolerance:.2f}"
        for key, (value, tolerance) in expected.items()
        if not abs(found.get(key, float("nan")) - value) <= tolerance
    }
    # The fullest filesystem may be another one, which is then fuller than the root:
    if not root - 1 <= found.get("filesystem_utilization", float("nan")) <= 100:
        wrong["filesystem_utilization"] = f"{found.get('filesystem_utilization')} is below {root} of /"
    for key in METRIC_KEYS:
        if key != "response_time" and not found.get(key, -1.0) >= 0:
            wrong[key] = "is missing"
    return wrong


@pytest.mark.parametrize("shipped", ["remote-write.yml", "remote-write-catalogue.yml"])
def test_prometheus_shows_this_machine_as_it_is(live_gateway: Gateway, tmp_path: Path, shipped: str) -> None:
    with scraped(live_gateway, tmp_path, shipped) as name:
        deadline = time.monotonic() + DEADLINE_S
        seen: dict[str, Any] | None = None
        wrong: dict[str, str] = {"server": "has not appeared"}
        while wrong and time.monotonic() < deadline:
            seen = server(live_gateway, name)
            if seen:
                wrong = differences(seen["metrics"])
            time.sleep(0.5)
        assert wrong == {}
        assert seen is not None
        assert (seen["role"], seen["environment"], seen["hostname"]) == ("database", "on-premise", os.uname().nodename)
        assert abs(time.time() - seen["seen"]) < 30
        series = set(ask(live_gateway, f"/api/servers/{name}/samples")["series"])
        finished = set(METRIC_KEYS) - {"response_time"}
        assert (series == finished) == (shipped == "remote-write-catalogue.yml"), series ^ finished


def test_promtool_takes_what_is_shipped(tmp_path: Path) -> None:
    class Nowhere:
        url, token = "http://127.0.0.1:1", "key"

    for shipped in ("remote-write.yml", "remote-write-catalogue.yml"):
        config = configuration(tmp_path, shipped, 9100, Nowhere())
        done = subprocess.run(["promtool", "check", "config", str(config)], capture_output=True, text=True)
        assert done.returncode == 0, done.stderr
    done = subprocess.run(["promtool", "check", "rules", str(SHIPPED / "rules.yml")], capture_output=True, text=True)
    assert done.returncode == 0, done.stderr


def test_the_rules_make_the_whole_catalogue_and_pass_over_what_it_passes_over() -> None:
    text = (SHIPPED / "rules.yml").read_text()
    (group,) = yaml.safe_load(text)["groups"]
    made = {rule["record"].removeprefix("openmanager_") for rule in group["rules"]}
    assert made == set(METRIC_KEYS) - {"response_time"}
    lists = set(re.findall(r'device!~"\((.*?)\)[.][*]"', text))
    assert lists == {"|".join(names) for names in IGNORED_DEVICES.values()}
    (filesystems,) = re.findall(r'fstype!~"(.*?)"', text)
    assert filesystems.replace("[.]", ".").split("|") == sorted(IGNORED_FILESYSTEMS)


def test_prometheus_scrapes_us_by_the_file_that_is_shipped(live_gateway: Gateway, tmp_path: Path) -> None:
    """And what it says then is what our API says."""
    sample = {"server": "scraped-01", "role": "web", "samples": [{"metrics": {"cpu_utilization": 12.5}}]}
    push = urllib.request.Request(
        live_gateway.url + "/api/ingest",
        json.dumps(sample).encode(),
        {"Authorization": f"Bearer {live_gateway.token}", "Content-Type": "application/json"},
    )
    urllib.request.urlopen(push, timeout=10).close()
    key, port = tmp_path / "viewer.key", free_port()
    key.write_text(live_gateway.token)
    document = yaml.safe_load((SHIPPED / "scrape.yml").read_text())
    (job,) = document["scrape_configs"]
    job |= {"scheme": "http", "scrape_interval": SCRAPE, "authorization": {"credentials_file": str(key)}}
    job["static_configs"] = [{"targets": [live_gateway.url.removeprefix("http://")]}]
    config = tmp_path / "prometheus.yml"
    config.write_text(yaml.safe_dump(document))
    where = (
        f"--config.file={config}",
        f"--storage.tsdb.path={tmp_path / 'tsdb'}",
        f"--web.listen-address=127.0.0.1:{port}",
    )
    with running(tmp_path / "prometheus.log", str(PROGRAMS["prometheus"]), *where):

        def value(query: str) -> float | None:
            address = f"http://127.0.0.1:{port}/api/v1/query?query={urllib.parse.quote(query)}"
            try:
                with urllib.request.urlopen(address, timeout=10) as reply:
                    found = json.load(reply)["data"]["result"]
            except OSError:
                return None
            return float(found[0]["value"][1]) if found else None

        deadline = time.monotonic() + DEADLINE_S
        query = 'openmanager_host_cpu_utilization_ratio{server="scraped-01",role="web"}'
        while value(query) is None and time.monotonic() < deadline:
            time.sleep(0.5)
        log = (tmp_path / "prometheus.log").read_text()
        assert value(query) == 0.125, log
        assert value('up{job="openmanager"}') == 1
        assert value("sum(openmanager_servers)") == len(ask(live_gateway, "/api/servers")["servers"])
