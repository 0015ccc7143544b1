"""OpenTelemetry: recorded bodies of its Python SDK, checked against OpenTelemetry's own decoder; and made ones."""

import gzip
import json
import math
from pathlib import Path
from typing import Any

import pytest
from google.protobuf import json_format
from openmanager.catalog import METRIC_KEYS, PARTS
from openmanager.errors import InvalidInput, PayloadTooLarge, UnsupportedMediaType
from openmanager.sources import otlp, otlp_wire
from openmanager.sources.limits import MAX_FUTURE_MS, Parsed
from openmanager.sources.otlp_wire import Encoding
from openmanager.suppliers import OTEL_ATTRIBUTES
from openmanager.telemetry import windows
from opentelemetry.proto.collector.metrics.v1 import metrics_service_pb2 as official

from tests.otlp import HOST, JSON, PROTOBUF, counter, document, encoded, gauge, point

CAPTURES = sorted((Path(__file__).parents[1] / "captures/otlp_http").glob("*.body"))
NOW_MS = 1_795_429_100_000
MINUTE_MS = 60_000
BOTH = pytest.mark.parametrize("encoding", [PROTOBUF, JSON])

# What the recorded SDK sends, spelled out once more: (metric, state or direction) → (series, factor, summand).
RECORDED: dict[tuple[str, str], tuple[str, float, float]] = {
    ("system.cpu.time", "idle"): ("cpu_idle_total/{cpu}", 1, 0),
    ("system.memory.utilization", "free"): ("memory_used", -100, 100),
    ("system.memory.utilization", "used"): ("memory_used_effective", 100, 0),
    ("system.swap.utilization", "used"): ("swap_utilization", 100, 0),
    ("system.disk.io", "read"): ("disk_read_bytes_total/{device}", 1, 0),
    ("system.disk.io", "write"): ("disk_write_bytes_total/{device}", 1, 0),
    ("system.disk.operations", "read"): ("disk_reads_total/{device}", 1, 0),
    ("system.disk.operations", "write"): ("disk_writes_total/{device}", 1, 0),
    ("system.disk.time", "read"): ("disk_read_time_total/{device}", 1000, 0),
    ("system.disk.time", "write"): ("disk_write_time_total/{device}", 1000, 0),
    ("system.network.io", "receive"): ("network_receive_bytes_total/{device}", 1, 0),
    ("system.network.io", "transmit"): ("network_transmit_bytes_total/{device}", 1, 0),
    ("system.network.packets", "receive"): ("network_receive_packets_total/{device}", 1, 0),
    ("system.network.packets", "transmit"): ("network_transmit_packets_total/{device}", 1, 0),
    ("system.network.errors", "receive"): ("network_receive_errors_total/{device}", 1, 0),
    ("system.network.errors", "transmit"): ("network_transmit_errors_total/{device}", 1, 0),
    ("system.network.connections", "ESTABLISHED"): ("tcp_established/{family}", 1, 0),
    ("system.network.connections", "TIME_WAIT"): ("tcp_time_wait/{family}", 1, 0),
}
REAL_DEVICES = {None, "vda", "eth0"}


def recorded(path: Path) -> tuple[bytes, Encoding]:
    body = path.read_bytes()
    if body[:2] == b"\x1f\x8b":
        body = gzip.decompress(body)
    return body, JSON if body[:1] == b"{" else PROTOBUF


def document_of(body: bytes, encoding: Encoding) -> dict[str, Any]:
    if encoding == JSON:
        found: dict[str, Any] = json.loads(body)
        return found
    return json_format.MessageToDict(official.ExportMetricsServiceRequest.FromString(body))


def expected_cells(whole: dict[str, Any]) -> dict[tuple[str, str, int], float]:
    found = {}
    for resource in whole["resourceMetrics"]:
        host = {a["key"]: a["value"] for a in resource["resource"]["attributes"]}["host.name"]["stringValue"]
        for metric in (m for scope in resource["scopeMetrics"] for m in scope["metrics"]):
            for data in (metric.get("sum") or metric.get("gauge") or {}).get("dataPoints", ()):
                labels = {a["key"]: next(iter(a["value"].values())) for a in data.get("attributes", ())}
                key = metric["name"], labels.get("state") or labels.get("direction") or ""
                if key in RECORDED and labels.get("device") in REAL_DEVICES:
                    series, factor, summand = RECORDED[key]
                    value = float(data.get("asInt", data.get("asDouble", 0))) * factor + summand
                    found[host, series.format(**labels), int(data["timeUnixNano"]) // 1_000_000] = value
    return found


def cells(parsed: Parsed) -> dict[tuple[str, str, int], float]:
    return {
        (push.server, series, int(time)): float(value)
        for push in parsed.pushes
        for time, row in zip(push.samples.times, push.samples.values, strict=True)
        for series, value in zip(push.samples.series, row, strict=True)
        if not math.isnan(value)
    }


def parse(*metrics: dict[str, Any], encoding: Encoding = JSON, resource: dict[str, Any] = HOST) -> Parsed:
    return otlp.parse(encoded(document(*metrics, resource=resource), encoding), encoding, NOW_MS)


def values(parsed: Parsed) -> dict[str, float]:
    return {series: value for (_, series, _), value in cells(parsed).items()}


def shown(parsed: Parsed) -> dict[str, float]:
    """The metrics of the minute before now, as they would be read."""
    (push,) = parsed.pushes
    row = windows.metrics(push.samples, NOW_MS - MINUTE_MS, NOW_MS, MINUTE_MS)[0]
    return {key: round(float(value), 6) for key, value in zip(METRIC_KEYS, row, strict=True) if value == value}


@pytest.mark.parametrize("path", CAPTURES, ids=lambda p: p.stem)
def test_recorded_body_gives_the_values_an_independent_decoder_finds(path: Path) -> None:
    body, encoding = recorded(path)
    parsed = otlp.parse(body, encoding, NOW_MS)
    expected = expected_cells(document_of(body, encoding))
    assert len(expected) == 19
    assert cells(parsed) == pytest.approx(expected, rel=1e-12)
    assert (parsed.accepted, parsed.rejected) == (19, [])
    assert parsed.ignored > 0
    (push,) = parsed.pushes
    assert push.attributes == {"hostname": "lab-host", "stage": "dev", "labels.service": "lab-app"}


@BOTH
def test_a_collectors_host_metrics_become_the_catalogue(encoding: Encoding) -> None:
    at = NOW_MS - 1
    parsed = parse(
        gauge("system.cpu.load_average.1m", point(0.5, at)),
        gauge("system.cpu.load_average.5m", point(0.25, at)),
        gauge("system.cpu.load_average.15m", point(0.125, at)),
        gauge(
            "system.cpu.utilization",
            *(
                point(value, at, attrs={"cpu": f"cpu{cpu}", "state": state})
                for cpu in (0, 1)
                for state, value in (("idle", 0.5), ("wait", 0.25), ("user", 0.25))
            ),
        ),
        counter(
            "system.memory.usage",
            *(
                point(value, at, attrs={"state": state})
                for state, value in (
                    ("used", 40),
                    ("free", 20),
                    ("cached", 30),
                    ("buffered", 10),
                    ("slab_reclaimable", 7),
                )
            ),
            monotonic=False,
        ),
        counter(
            "system.paging.usage",
            point(30, at, attrs={"device": "/swap", "state": "used"}),
            point(70, at, attrs={"device": "/swap", "state": "free"}),
            monotonic=False,
        ),
        counter(
            "system.filesystem.usage",
            *(
                point(value, at, attrs={"device": "/dev/sda1", "type": kind, "mountpoint": mount, "state": state})
                for mount, kind, used in (("/", "ext4", 60), ("/run", "tmpfs", 98))
                for state, value in (("used", used), ("free", 100 - used - 1), ("reserved", 1))
            ),
            monotonic=False,
        ),
        counter(
            "system.network.connections",
            point(7, at, attrs={"protocol": "tcp", "state": "ESTABLISHED", "family": 2}),
            point(5, at, attrs={"protocol": "tcp", "state": "ESTABLISHED", "family": 10}),
            point(3, at, attrs={"protocol": "tcp", "state": "TIME_WAIT"}),
            point(9, at, attrs={"protocol": "udp", "state": "ESTABLISHED"}),
            monotonic=False,
        ),
        counter(
            "system.processes.count",
            point(3, at, attrs={"status": "running"}),
            point(200, at, attrs={"status": "sleeping"}),
            monotonic=False,
        ),
        gauge("system.uptime", point(86400.0, at)),
        encoding=encoding,
    )
    assert parsed.rejected == []
    assert shown(parsed) == {
        "load_1m": 0.5,
        "load_5m": 0.25,
        "load_15m": 0.125,
        "cpu_utilization": 25.0,
        "memory_used": 80.0,
        "memory_used_effective": 40.0,
        "swap_utilization": 30.0,
        "filesystem_utilization": pytest.approx(100 * 60 / 99, abs=1e-6),
        "tcp_established": 12.0,
        "tcp_time_wait": 3.0,
        "processes": 203.0,
        "uptime": 86400.0,
    }


RATES = [
    ("system.disk.io", {"device": "sda", "direction": "read"}, 600, {"disk_read_bytes": 10}),
    ("system.disk.io", {"system.device": "sda", "disk.io.direction": "write"}, 600, {"disk_write_bytes": 10}),
    ("system.disk.operations", {"device": "sda", "direction": "read"}, 600, {"disk_reads": 10}),
    ("system.disk.operations", {"device": "sda", "direction": "write"}, 600, {"disk_writes": 10}),
    ("system.disk.io_time", {"device": "sda"}, 30.0, {"disk_busy": 50}),
    ("system.disk.weighted_io_time", {"device": "sda"}, 90.0, {"disk_queue": 1.5}),
    ("system.network.io", {"device": "eth0", "direction": "receive"}, 600, {"network_receive_bytes": 10}),
    ("system.network.io", {"network.interface.name": "eth0", "network.io.direction": "transmit"}, 600,
     {"network_transmit_bytes": 10}),
    ("system.network.packets", {"device": "eth0", "direction": "receive"}, 600, {"network_receive_packets": 10}),
    ("system.network.packet.count", {"device": "eth0", "direction": "transmit"}, 600,
     {"network_transmit_packets": 10}),
    ("system.network.errors", {"device": "eth0", "direction": "transmit"}, 30, {"network_errors": 0.5}),
    ("system.cpu.time", {"cpu": "cpu0", "state": "idle"}, 45.0, {"cpu_utilization": 25}),
    ("system.cpu.time", {"cpu.logical_number": 1, "cpu.mode": "idle"}, 45.0, {"cpu_utilization": 25}),
]  # fmt: skip


@BOTH
@pytest.mark.parametrize(("name", "attrs", "more", "metrics"), RATES, ids=lambda v: v if isinstance(v, str) else "")
def test_cumulative_and_differences_over_a_minute_read_the_same(
    name: str, attrs: dict[str, Any], more: float, metrics: dict[str, float], encoding: Encoding
) -> None:
    start, end = NOW_MS - MINUTE_MS, NOW_MS - 1
    kind = type(more)
    between = MINUTE_MS - 1
    cumulative = parse(
        counter(name, point(kind(1000), end - MINUTE_MS, attrs=attrs), point(kind(1000) + more, end, attrs=attrs)),
        encoding=encoding,
    )
    difference = parse(counter(name, point(more, end, start, attrs=attrs), delta=True), encoding=encoding)
    assert shown(cumulative) == pytest.approx(metrics, rel=1e-9)
    # This one's interval is a millisecond shorter, so that it ends inside the minute.
    (key,) = metrics
    found = shown(difference)[key]
    slack = 100 if key == "cpu_utilization" else metrics[key]
    assert found == pytest.approx(metrics[key], abs=slack * 2 * (MINUTE_MS - between) / between)


def test_differences_of_all_a_disk_does_give_its_wait_and_service_times() -> None:
    start, end = NOW_MS - MINUTE_MS, NOW_MS - 1

    def sent(name: str, value: float, **attrs: str) -> dict[str, Any]:
        return counter(name, point(value, end, start, attrs={"device": "sda", **attrs}), delta=True)

    found = shown(
        parse(
            sent("system.disk.operations", 300, direction="read"),
            sent("system.disk.operations", 100, direction="write"),
            sent("system.disk.operation_time", 6.0, direction="read"),
            sent("system.disk.operation_time", 2.0, direction="write"),
            sent("system.disk.io_time", 4.0),
        )
    )
    assert (found["disk_wait"], found["disk_service_time"]) == pytest.approx((20, 10), rel=1e-4)


def test_a_difference_without_its_interval_is_rejected_and_so_is_a_level_sent_as_differences() -> None:
    attrs = {"device": "sda", "direction": "read"}
    parsed = parse(
        counter("system.disk.io", point(5, NOW_MS, attrs=attrs), point(5, NOW_MS, NOW_MS, attrs=attrs), delta=True),
        counter("system.memory.usage", point(5, NOW_MS, NOW_MS - 1, attrs={"state": "used"}), delta=True),
        gauge("system.network.io", point(5, NOW_MS, attrs={"device": "eth0", "direction": "receive"})),
        gauge("system.uptime", point(5, NOW_MS)),
    )
    assert {r.field: (r.reason.split(",")[0], r.count) for r in parsed.rejected} == {
        "web-01 system.disk.io": ("is a difference without the interval over which it arose", 2),
        "web-01 system.memory.usage": ("is a level sent as differences", 1),
        "web-01 system.network.io": ("is a gauge", 1),
    }
    assert values(parsed) == {"uptime": 5}


def test_a_difference_over_a_moment_is_too_short_for_a_rate() -> None:
    disk = {"device": "sda", "direction": "read"}
    points = [point(100, NOW_MS, NOW_MS - ms, attrs=disk) for ms in (1, 499, 500)]
    parsed = parse(counter("system.disk.operations", *points, delta=True))
    assert values(parsed) == {"disk_reads/sda": 200}
    assert [(r.count, "too short" in r.reason) for r in parsed.rejected] == [(2, True)]


@BOTH
def test_what_says_the_same_twice_is_kept_once(encoding: Encoding) -> None:
    parsed = parse(
        counter("system.cpu.time", point(9.5, NOW_MS, attrs={"cpu": 1, "state": "idle"})),
        gauge("system.cpu.utilization", point(0.5, NOW_MS, attrs={"cpu": 1, "state": "idle"})),
        gauge("system.memory.usage", point(5, NOW_MS, attrs={"state": "free"})),
        gauge("system.memory.utilization", point(0.25, NOW_MS, attrs={"state": "free"})),
        encoding=encoding,
    )
    assert values(parsed) == {"cpu_idle_total/1": 9.5, "memory_used": 75.0}
    assert parsed.ignored == 2


def test_a_processor_share_that_has_not_been_measured_yet_is_absent() -> None:
    # What the Python SDK sends first, for psutil has nothing yet to compare with.
    states = [point(0.0, NOW_MS, attrs={"cpu": 1, "state": state}) for state in ("idle", "user", "system")]
    assert values(parse(gauge("system.cpu.utilization", *states))) == {}
    states[1] = point(1.0, NOW_MS, attrs={"cpu": 1, "state": "user"})
    assert values(parse(gauge("system.cpu.utilization", *states))) == {"cpu_idle/1": 0.0}


@pytest.mark.parametrize(
    "metric",
    [
        counter("system.disk.io", point(1, NOW_MS, attrs={"device": "loop3", "direction": "read"})),
        counter("system.disk.io", point(1, NOW_MS, attrs={"device": "sda1", "direction": "read"})),
        counter("system.disk.io", point(1, NOW_MS, attrs={"device": "nvme0n1p2", "direction": "read"})),
        counter("system.disk.io", point(1, NOW_MS, attrs={"direction": "read"})),
        counter("system.disk.io", point(1, NOW_MS, attrs={"device": "sda"})),
        counter("system.network.io", point(1, NOW_MS, attrs={"device": "lo", "direction": "receive"})),
        counter("system.cpu.time", point(1, NOW_MS, attrs={"state": "idle"})),
        counter("system.cpu.time", point(1, NOW_MS, attrs={"cpu": 0, "state": "user"})),
        gauge("system.filesystem.utilization", point(0.5, NOW_MS, attrs={"mountpoint": "/x", "type": "tmpfs"})),
        gauge("app.temperature", point(1, NOW_MS)),
        {"name": "system.uptime", "histogram": {"dataPoints": [], "aggregationTemporality": 2}},
        {"name": "system.uptime"},
        counter("system.uptime", point(1, NOW_MS)) | {"sum": {"dataPoints": [point(1, NOW_MS)]}},
    ],
    ids=lambda m: m["name"],
)
@BOTH
def test_what_is_none_of_ours_is_counted_and_left_out(metric: dict[str, Any], encoding: Encoding) -> None:
    parsed = parse(metric, encoding=encoding)
    assert (parsed.pushes, parsed.accepted, parsed.rejected, parsed.ignored) == ([], 0, [], 1)


@BOTH
def test_a_point_without_a_value_is_no_sample(encoding: Encoding) -> None:
    parsed = parse(
        gauge("system.uptime", point(math.nan, NOW_MS), point(5, NOW_MS - 1, flags=1)),
        gauge("system.cpu.load_average.1m", {"timeUnixNano": str(NOW_MS * 1_000_000)}),
        gauge("system.cpu.load_average.5m", point(1.5, NOW_MS)),
        encoding=encoding,
    )
    assert (values(parsed), parsed.rejected) == ({"load_5m": 1.5}, [])


@pytest.mark.parametrize(
    ("bad", "reason"),
    [
        (point(1, NOW_MS + MAX_FUTURE_MS + 1), "future"),
        (point(1, NOW_MS - 8 * 86_400_000), "older"),
        (point(1, 0), "older"),
        (point(math.inf, NOW_MS), "above"),
        (point(-1.0, NOW_MS), "negative"),
        (point(-(2**63), NOW_MS), "negative"),
        (point(2**63 - 1, NOW_MS), "above"),
    ],
)
@BOTH
def test_points_out_of_bounds_are_rejected_with_the_reason(bad: Any, reason: str, encoding: Encoding) -> None:
    parsed = parse(gauge("system.uptime", bad, point(5, NOW_MS)), encoding=encoding)
    assert values(parsed) == {"uptime": 5}
    (rejection,) = parsed.rejected
    assert rejection.field == "web-01 system.uptime"
    assert reason in rejection.reason


@pytest.mark.parametrize(
    ("resource", "server"),
    [
        ({"host.name": "web-01", "host.id": "x", "service.instance.id": "y"}, "web-01"),
        ({"host.id": "i-0123", "service.instance.id": "y"}, "i-0123"),
        ({"service.instance.id": "627cc493-f310-47de-96bd-71410b7dec09"}, "627cc493-f310-47de-96bd-71410b7dec09"),
        ({"host.name": "my host\n\x00"}, "my-host--"),
        ({"host.id": 17}, "17"),
    ],
)
@BOTH
def test_server_is_host_name_or_id_or_instance_made_fit(
    resource: dict[str, Any], server: str, encoding: Encoding
) -> None:
    parsed = parse(gauge("system.uptime", point(5, NOW_MS)), resource=resource, encoding=encoding)
    assert [p.server for p in parsed.pushes] == [server]


def test_points_of_a_resource_without_a_name_are_rejected_but_only_those_of_ours() -> None:
    parsed = parse(gauge("system.uptime", point(5, NOW_MS)), gauge("app", point(1, NOW_MS)), resource={})
    (rejection,) = parsed.rejected
    assert (rejection.field, rejection.count, "host.name" in rejection.reason) == ("system.uptime", 1, True)


def test_resource_attributes_become_the_servers() -> None:
    told = {
        **HOST,
        "role": "database",
        "cloud.provider": "aws",
        "cloud.region": "eu-central-1",
        "deployment.environment.name": "prod",
        "service.name": "shop",
        "os.type": "linux",
    }
    (push,) = parse(gauge("system.uptime", point(5, NOW_MS)), resource=told).pushes
    assert push.attributes == {
        "hostname": "web-01",
        "role": "database",
        "environment": "aws",
        "stage": "prod",
        "labels.region": "eu-central-1",
        "labels.service": "shop",
    }
    (push,) = parse(gauge("system.uptime", point(5, NOW_MS)), resource=HOST | {"cloud.provider": "elsewhere"}).pushes
    assert "environment" not in push.attributes


def test_json_is_read_by_otlps_own_mapping() -> None:
    # Numbers and text are both integers, ids are hexadecimal, what we do not know is skipped, null is absent.
    body = document(
        gauge("system.uptime", point(1, NOW_MS) | {"asInt": 12, "timeUnixNano": NOW_MS * 1_000_000}),
        gauge("system.cpu.load_average.1m", point(1.0, NOW_MS) | {"asDouble": "1.5", "flags": None}),
        gauge("system.cpu.load_average.5m", point(1.0, NOW_MS) | {"asDouble": 2}),
        gauge(
            "system.cpu.load_average.15m",
            point(1.0, NOW_MS) | {"exemplars": [{"traceId": "5b8efff798038103d269b633813fc60c", "new": {}}]},
        ),
    )
    body["resourceMetrics"][0]["later"] = [1, {}]
    parsed = otlp.parse(json.dumps(body).encode(), JSON, NOW_MS)
    assert values(parsed) == {"uptime": 12, "load_1m": 1.5, "load_5m": 2, "load_15m": 1}


def at(*keys: Any, value: Any) -> bytes:
    whole: Any = document(gauge("system.uptime", point(1, NOW_MS)))
    place = whole
    for key in keys[:-1]:
        place = place[key]
    place[keys[-1]] = value
    return json.dumps(whole).encode()


POINT = ("resourceMetrics", 0, "scopeMetrics", 0, "metrics", 0, "gauge", "dataPoints")


@pytest.mark.parametrize(
    ("body", "field"),
    [
        (b"", "body"),
        (b"[]", "body"),
        (b"\xff\xfe{}", "body"),
        (b"[" * 100_000, "body"),
        (at("resourceMetrics", value={}), "resourceMetrics"),
        (at("resourceMetrics", value=[None]), "resourceMetrics[0]"),
        (at("resourceMetrics", 0, "resource", value=3), "resourceMetrics[0].resource"),
        (at(*POINT, value=7), "resourceMetrics[0].scopeMetrics[0].metrics[0].gauge.dataPoints"),
        (at(*POINT, 0, "asInt", value="x"), "resourceMetrics[0].scopeMetrics[0].metrics[0].gauge.dataPoints[0].asInt"),
        (at(*POINT, 0, "asInt", value=True), "resourceMetrics[0].scopeMetrics[0].metrics[0].gauge.dataPoints[0].asInt"),
        (at(*POINT, 0, "asInt", value=10**400), ".asInt"),
        (at(*POINT, 0, "timeUnixNano", value=1.5), ".timeUnixNano"),
        (at(*POINT, 0, "timeUnixNano", value="9" * 5000), ".timeUnixNano"),
        (at(*POINT, 0, "timeUnixNano", value=2**64), ".timeUnixNano"),
        (at(*POINT, 0, "attributes", value=[{"key": 1}]), ".attributes[0].key"),
    ],
)
def test_json_of_another_shape_is_refused_by_the_name_of_the_place(body: bytes, field: str) -> None:
    with pytest.raises(InvalidInput) as fault:
        otlp.parse(body, JSON, NOW_MS)
    assert fault.value.field.endswith(field)


@pytest.mark.parametrize("body", [b"\xff", b"{}", b"\x0a\x05abc", b"\x0a\x04\x12\x02\x12\x7f"])
def test_damaged_protobuf_is_refused(body: bytes) -> None:
    with pytest.raises(InvalidInput, match="protobuf"):
        otlp.parse(body, PROTOBUF, NOW_MS)


def test_text_that_is_not_utf_8_is_refused_by_the_name_of_the_place() -> None:
    body = encoded(document(gauge("system.uptime", point(1, NOW_MS, attrs={"a": "bcde"}))), PROTOBUF)
    with pytest.raises(InvalidInput, match=r"metrics\[0\]\.dataPoints\[0\]"):
        otlp.parse(body.replace(b"bcde", b"\xff\xfe\xff\xfe"), PROTOBUF, NOW_MS)


def test_a_body_of_too_many_metrics_is_refused(monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr(otlp_wire, "MAX_METRICS", 2)
    sent = [gauge("system.uptime", point(1, NOW_MS))] * 3
    for encoding in (PROTOBUF, JSON):
        with pytest.raises(PayloadTooLarge, match="metrics"):
            parse(*sent, encoding=encoding)


def test_the_answer_says_what_was_rejected_in_the_encoding_of_the_request() -> None:
    fine = parse(gauge("system.uptime", point(5, NOW_MS)))
    assert otlp.answer(fine, JSON) == b"{}"
    assert otlp.answer(fine, PROTOBUF) == b""
    bad = parse(gauge("system.uptime", *(point(-i, NOW_MS) for i in range(1, 9))))
    message = json.loads(otlp.answer(bad, JSON))["partialSuccess"]
    assert message["rejectedDataPoints"] == "8"
    assert message["errorMessage"].startswith("web-01 system.uptime: -1 is negative")
    assert message["errorMessage"].endswith("and 3 more")
    response = official.ExportMetricsServiceResponse.FromString(otlp.answer(bad, PROTOBUF))
    assert response.partial_success.rejected_data_points == 8
    assert response.partial_success.error_message == message["errorMessage"]


@pytest.mark.parametrize("kind", ["application/json; charset=utf-8", "Application/JSON"])
def test_content_type_may_have_parameters(kind: str) -> None:
    assert otlp_wire.encoding_of(kind) == JSON


@pytest.mark.parametrize("kind", ["", "text/plain", "application/x-ndjson", "application/grpc"])
def test_other_content_types_are_refused(kind: str) -> None:
    with pytest.raises(UnsupportedMediaType):
        otlp_wire.encoding_of(kind)


def test_the_catalogues_suppliers_can_all_be_met() -> None:
    known = set(OTEL_ATTRIBUTES.values())
    names = {s.name for part in PARTS.values() for s in part.otel}
    for part in PARTS.values():
        for supplier in part.otel:
            assert {*supplier.where, *filter(None, [supplier.instance])} <= known
            assert all(value == value.lower() for allowed in supplier.where.values() for value in allowed)
            assert not supplier.unless or supplier.unless in names
            if part.kind == "counter":
                assert part.key.removesuffix("_total") in PARTS  # what its differences become
