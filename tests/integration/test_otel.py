"""The OpenTelemetry Python SDK with its system metrics, told nothing but our address and a key."""

import importlib.util
import json
import time
import urllib.error
import urllib.request
from collections.abc import Iterator
from typing import Any

import psutil
import pytest
from openmanager.catalog import part_of
from openmanager.sources.naming import counts

from tests.live import LiveStack

MODULES = (
    "opentelemetry.sdk.metrics",
    "opentelemetry.exporter.otlp.proto.http.metric_exporter",
    "opentelemetry.instrumentation.system_metrics",
)


def _found(name: str) -> bool:
    try:
        return importlib.util.find_spec(name) is not None
    except ModuleNotFoundError:
        return False


pytestmark = [
    pytest.mark.interop,
    pytest.mark.skipif(
        not all(map(_found, MODULES)),
        reason="needs opentelemetry-sdk, its OTLP/HTTP exporter and opentelemetry-instrumentation-system-metrics",
    ),
]
DISK = {"device": "sda", "direction": "read"}


def provider(gateway: LiveStack, server: str, temporality: Any = None, **exporter: Any) -> Any:
    """A meter provider that exports when told to, and what tells it."""
    from opentelemetry.exporter.otlp.proto.http.metric_exporter import OTLPMetricExporter
    from opentelemetry.sdk.metrics import MeterProvider
    from opentelemetry.sdk.metrics.export import PeriodicExportingMetricReader
    from opentelemetry.sdk.resources import Resource

    export = OTLPMetricExporter(
        endpoint=f"{gateway.url}/v1/metrics",
        headers={"authorization": f"Bearer {gateway.token}"},
        preferred_temporality=temporality,
        **exporter,
    )
    reader = PeriodicExportingMetricReader(export, export_interval_millis=float("inf"))
    told = {"host.name": server, "role": "api", "cloud.provider": "gcp", "deployment.environment.name": "test"}
    return MeterProvider([reader], Resource.create(told), shutdown_on_exit=False)


@pytest.fixture
def instrumented(live_gateway: LiveStack) -> Iterator[Any]:
    """The SDK watching this machine under the name `otel-sdk`; `force_flush()` makes it send."""
    from opentelemetry.exporter.otlp.proto.http import Compression
    from opentelemetry.instrumentation.system_metrics import SystemMetricsInstrumentor

    meters = provider(live_gateway, "otel-sdk", compression=Compression.Gzip)
    instrumentor = SystemMetricsInstrumentor()
    instrumentor.instrument(meter_provider=meters)
    try:
        yield meters
    finally:
        instrumentor.uninstrument()
        meters.shutdown()


def stored(gateway: LiveStack, server: str) -> dict[str, list[float]]:
    """Every series of a server as it was sent, without the gaps."""
    status, text = gateway.ask(f"/api/servers/{server}/samples")
    page = json.loads(text)
    assert (status, page["next"]) == (200, None)
    columns = zip(*page["values"], strict=True)
    return {
        name: [value for value in column if value is not None]
        for name, column in zip(page["series"], columns, strict=True)
    }


def this_machine() -> dict[str, float]:
    """What psutil says, now, in the words of the catalogue."""
    found: dict[str, float] = {}
    for i, cpu in enumerate(psutil.cpu_times(percpu=True)):
        found[f"cpu_idle_total/{i + 1}"] = cpu.idle
    memory = psutil.virtual_memory()
    found["memory_used"] = 100 * (1 - memory.free / memory.total)
    found["memory_used_effective"] = 100 * memory.used / memory.total
    found["swap_utilization"] = psutil.swap_memory().percent
    for name, disk in psutil.disk_io_counters(perdisk=True).items():
        if counts("disk_reads_total", name):
            found[f"disk_reads_total/{name}"] = disk.read_count
            found[f"disk_writes_total/{name}"] = disk.write_count
            found[f"disk_read_bytes_total/{name}"] = disk.read_bytes
            found[f"disk_write_bytes_total/{name}"] = disk.write_bytes
            found[f"disk_read_time_total/{name}"] = disk.read_time
            found[f"disk_write_time_total/{name}"] = disk.write_time
    for name, nic in psutil.net_io_counters(pernic=True).items():
        if counts("network_receive_bytes_total", name):
            found[f"network_receive_bytes_total/{name}"] = nic.bytes_recv
            found[f"network_transmit_bytes_total/{name}"] = nic.bytes_sent
            found[f"network_receive_packets_total/{name}"] = nic.packets_recv
            found[f"network_transmit_packets_total/{name}"] = nic.packets_sent
            found[f"network_receive_errors_total/{name}"] = nic.errin
            found[f"network_transmit_errors_total/{name}"] = nic.errout
    return found


def test_the_sdk_shows_this_machine_as_psutil_does(live_gateway: LiveStack, instrumented: Any) -> None:
    """What is stored lies between what psutil said before the sending and after it."""
    looks = [this_machine()]
    for _ in range(3):
        assert instrumented.force_flush()
        looks.append(this_machine())
    sent = stored(live_gateway, "otel-sdk")
    assert looks[0].keys() <= sent.keys()
    wrong = {}
    for name in looks[0]:
        # Shares go both ways; counters only grow, and are rounded; idle time is known to a hundredth.
        part = part_of(name)
        slack = 5.0 if part.kind == "gauge" else 1.0 if name.startswith("cpu") else 0.5 * 10**-part.decimals
        for value, before, after in zip(sent[name], looks, looks[1:], strict=False):
            if not min(before[name], after[name]) - slack <= value <= max(before[name], after[name]) + slack:
                wrong[name] = f"{value} is not between {before[name]} and {after[name]}"
        assert len(sent[name]) == 3, name
    assert wrong == {}
    entry = json.loads(live_gateway.ask("/api/servers/otel-sdk")[1])
    assert (entry["role"], entry["environment"], entry["hostname"]) == ("api", "gcp", "otel-sdk")


def test_counters_arrive_exactly_and_in_either_temporality(live_gateway: LiveStack) -> None:
    """A made-up disk, sent by the real SDK as a total and as a difference."""
    from opentelemetry.sdk.metrics import Counter
    from opentelemetry.sdk.metrics.export import AggregationTemporality

    for name, temporality in (
        ("otel-total", AggregationTemporality.CUMULATIVE),
        ("otel-difference", AggregationTemporality.DELTA),
    ):
        meters = provider(live_gateway, name, {Counter: temporality})
        reads = meters.get_meter("made-up").create_counter("system.disk.operations")
        start = time.monotonic()
        reads.add(0, DISK)
        for _ in range(2):
            time.sleep(0.6)
            reads.add(100, DISK)
            assert meters.force_flush()
        seconds = time.monotonic() - start
        meters.shutdown()
        found = stored(live_gateway, name)
        if temporality is AggregationTemporality.CUMULATIVE:
            assert set(found["disk_reads_total/sda"]) == {100, 200}
        else:
            # Neither interval was longer than both together, nor shorter than the sleep in it.
            assert len(found["disk_reads/sda"]) == 2
            assert all(100 / seconds <= rate <= 100 / 0.5 for rate in found["disk_reads/sda"])


def test_whoever_has_no_key_is_told_so(live_gateway: LiveStack) -> None:
    request = urllib.request.Request(f"{live_gateway.url}/v1/metrics", method="POST", data=b"")
    with pytest.raises(urllib.error.HTTPError) as error:
        urllib.request.urlopen(request, timeout=10)
    error.value.close()
    assert error.value.code == 401
