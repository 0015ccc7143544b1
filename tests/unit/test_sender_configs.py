"""The Collector's configuration, which no program here can try: its shape, and that its names are the catalogue's."""

import re
from pathlib import Path
from typing import Any

import pytest
import yaml
from openmanager.catalog import PARTS
from openmanager.suppliers import IGNORED_DEVICES, IGNORED_FILESYSTEMS

TEXT = (Path(__file__).parents[2] / "infra" / "agents" / "otel-collector.yaml").read_text()
# What each scraper of the hostmetrics receiver emits by default, from its documentation.
EMITTED = {
    "cpu": {"system.cpu.time"},
    "load": {f"system.cpu.load_average.{span}" for span in ("1m", "5m", "15m")},
    "memory": {"system.memory.usage"},
    "paging": {"system.paging.faults", "system.paging.operations", "system.paging.usage"},
    "disk": {
        f"system.disk.{name}"
        for name in (
            *("io", "io_time", "merged", "operation_time"),
            *("operations", "pending_operations", "weighted_io_time"),
        )
    },
    "filesystem": {"system.filesystem.inodes.usage", "system.filesystem.usage"},
    "network": {f"system.network.{name}" for name in ("connections", "dropped", "errors", "io", "packets")},
    "processes": {"system.processes.count", "system.processes.created"},
    "system": {"system.uptime"},
}
KNOWN = {supplier.name for part in PARTS.values() for supplier in part.otel}


@pytest.fixture
def config() -> dict[str, Any]:
    document: dict[str, Any] = yaml.safe_load(TEXT)
    return document


def test_what_the_pipeline_names_is_there_and_nothing_else(config: dict[str, Any]) -> None:
    (pipeline,) = config["service"]["pipelines"].values()
    for kind in ("receivers", "processors", "exporters"):
        assert set(pipeline[kind]) == set(config[kind])


def test_it_sends_what_the_catalogue_knows_and_nothing_else(config: dict[str, Any]) -> None:
    scrapers = config["receivers"]["hostmetrics"]["scrapers"]
    assert set(scrapers) == set(EMITTED)
    for name, scraper in scrapers.items():
        off = {metric for metric, how in (scraper or {}).get("metrics", {}).items() if not how["enabled"]}
        assert off <= EMITTED[name]
        assert EMITTED[name] - off == EMITTED[name] & KNOWN


def test_its_lists_are_the_catalogues(config: dict[str, Any]) -> None:
    scrapers = config["receivers"]["hostmetrics"]["scrapers"]
    assert scrapers["filesystem"]["exclude_fs_types"]["fs_types"] == sorted(IGNORED_FILESYSTEMS)
    assert scrapers["network"]["exclude"]["interfaces"] == [f"^({'|'.join(IGNORED_DEVICES['network'])}).*$"]
    disks = scrapers["disk"]["exclude"]["devices"]
    assert disks[0] == f"^({'|'.join(IGNORED_DEVICES['disk'])}).*$"
    for name, ignored in {"sda": False, "sda1": True, "nvme0n1": False, "nvme0n1p2": True, "mmcblk0p1": True}.items():
        assert any(re.search(pattern, name) for pattern in disks) == ignored


def test_address_and_key_come_from_the_environment(config: dict[str, Any]) -> None:
    exporter = config["exporters"]["otlphttp"]
    assert exporter["endpoint"] == "${env:OPENMANAGER_URL}"
    assert exporter["headers"] == {"Authorization": "Bearer ${env:OPENMANAGER_TOKEN}"}
