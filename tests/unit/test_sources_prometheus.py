"""Remote write: recorded bodies of a real Prometheus, checked against a decoder that shares no code with ours."""

import math
import struct
from collections.abc import Iterator
from pathlib import Path

import cramjam
import pytest
from openmanager.catalog import PARTS, part_of
from openmanager.errors import InvalidInput, PayloadTooLarge
from openmanager.sources import prometheus, remote_write
from openmanager.sources.limits import MAX_FUTURE_MS, Parsed

from tests.remote_write import Series, encode_varint, field, request

CAPTURES = Path(__file__).parents[1] / "captures"
SCRAPES = sorted((CAPTURES / "remote_write").glob("000[1-4].body"))
BACKLOG = CAPTURES / "remote_write_after_outage" / "0003.body"
METADATA = CAPTURES / "remote_write" / "0005.body"
NOW_MS = 1_795_429_300_000

# An independent reading of the wire: snappy's block format and protobuf by hand.


def varint(data: bytes, at: int) -> tuple[int, int]:
    value = shift = 0
    while True:
        byte = data[at]
        value |= (byte & 127) << shift
        at, shift = at + 1, shift + 7
        if byte < 128:
            return value, at


def unsnappy(data: bytes) -> bytes:
    length, at = varint(data, 0)
    out = bytearray()
    while at < len(data):
        tag = data[at]
        at += 1
        if tag & 3 == 0:
            size = tag >> 2
            if size >= 60:
                width = size - 59
                size, at = int.from_bytes(data[at : at + width], "little"), at + width
            out += data[at : at + size + 1]
            at += size + 1
            continue
        if tag & 3 == 1:
            size, back, at = (tag >> 2 & 7) + 4, (tag >> 5 << 8) | data[at], at + 1
        else:
            width = 2 if tag & 3 == 2 else 4
            size, back, at = (tag >> 2) + 1, int.from_bytes(data[at : at + width], "little"), at + width
        for _ in range(size):
            out.append(out[-back])
    assert len(out) == length
    return bytes(out)


def fields(data: bytes) -> Iterator[tuple[int, bytes]]:
    at = 0
    while at < len(data):
        key, at = varint(data, at)
        if key & 7 == 2:
            size, at = varint(data, at)
        else:
            start = at
            size = 8 if key & 7 == 1 else varint(data, at)[1] - start
        yield key >> 3, data[at : at + size]
        at += size


def series_of(body: bytes) -> list[Series]:
    found: list[Series] = []
    for number, content in fields(unsnappy(body)):
        if number != 1:
            continue
        labels: dict[str, str] = {}
        samples: list[tuple[float, int]] = []
        for inner, part in fields(content):
            got = dict(fields(part))
            if inner == 1:
                labels[got[1].decode()] = got.get(2, b"").decode()
            else:
                samples.append((struct.unpack("<d", got.get(1, bytes(8)))[0], varint(got[2], 0)[0]))
        found.append((labels, samples))
    return found


def one(name: str, value: float = 1.0, time_ms: int = NOW_MS, **labels: str) -> Series:
    return {"__name__": name, "instance": "web-01:9100", **labels}, [(value, time_ms)]


def cells(parsed: Parsed) -> dict[tuple[str, str, int], float]:
    return {
        (push.server, series, int(time)): value
        for push in parsed.pushes
        for time, row in zip(push.samples.times, push.samples.values, strict=True)
        for series, value in zip(push.samples.series, row, strict=True)
        if not math.isnan(value)
    }


def expected_cells(body: bytes) -> dict[tuple[str, str, int], float]:
    """What the catalogue says is in a recorded body, computed the slow way."""
    found = {}
    for labels, samples in series_of(body):
        for part in PARTS.values():
            node = part.node
            if not node or labels["__name__"] != node.name or labels.get("device", "").startswith(("zram", "ifb")):
                continue
            if any(labels[k] != v for k, v in node.where.items()):
                continue
            name = f"{part.key}/{labels[node.instance]}" if node.instance else part.key
            for value, time_ms in samples:
                found[labels["instance"], name, time_ms] = value * node.scale
    return found


@pytest.mark.parametrize("path", [*SCRAPES, BACKLOG], ids=lambda p: f"{p.parent.name}-{p.stem}")
def test_recorded_body_gives_the_values_an_independent_decoder_finds(path: Path) -> None:
    body = path.read_bytes()
    parsed = prometheus.parse(body, NOW_MS)
    expected = expected_cells(body)
    assert cells(parsed) == expected
    assert parsed.accepted == len(expected)
    assert parsed.rejected == []
    names = {name for _, name, _ in expected}
    assert {
        "load_1m",
        "cpu_idle_total/0",
        "cpu_iowait_total/1",
        "memory_free_bytes",
        "disk_busy_total/vda",
        "network_receive_bytes_total/eth0",
        "filesystem_size_bytes//",
        "boot_time",
    } <= names


def test_backlog_after_an_outage_is_four_scrapes_in_order() -> None:
    (push,) = prometheus.parse(BACKLOG.read_bytes(), NOW_MS).pushes
    assert [int(t) - int(push.samples.times[0]) for t in push.samples.times] == [0, 5000, 10000, 15000]
    idle = push.samples.values[:, push.samples.series.index("cpu_idle_total/0")]
    assert (idle[1:] >= idle[:-1]).all()


def test_server_and_attributes_come_from_the_labels() -> None:
    (push,) = prometheus.parse(SCRAPES[0].read_bytes(), NOW_MS).pushes
    assert push.server == "127.0.0.1:9110"
    assert push.attributes == {"hostname": "vm", "labels.job": "node", "labels.cluster": "lab"}


def test_metadata_only_is_taken_and_holds_nothing() -> None:
    parsed = prometheus.parse(METADATA.read_bytes(), NOW_MS)
    assert (parsed.pushes, parsed.accepted, parsed.rejected) == ([], 0, [])


@pytest.mark.parametrize(
    ("labels", "server"),
    [
        ({"instance": "web-01:9100"}, "web-01"),
        ({"instance": "web-01:9110"}, "web-01:9110"),
        ({"instance": "10.0.0.7:9100", "host": "db-1"}, "db-1"),
        ({"instance": "[2001:db8::7]:9100"}, "2001:db8::7"),
        ({"instance": "a b*c|d"}, "a-b-c-d"),
        ({"instance": "_gateway"}, "gateway"),
        ({"instance": "x" * 200}, "x" * 128),
    ],
)
def test_server_id_is_host_or_instance_made_fit(labels: dict[str, str], server: str) -> None:
    parsed = prometheus.parse(request(({"__name__": "node_load1", **labels}, [(1.0, NOW_MS)])), NOW_MS)
    assert [p.server for p in parsed.pushes] == [server]


def test_one_request_may_speak_of_many_servers() -> None:
    body = request(one("node_load1", 1, instance="a"), one("node_load1", 2, instance="b"))
    assert cells(prometheus.parse(body, NOW_MS)) == {("a", "load_1m", NOW_MS): 1, ("b", "load_1m", NOW_MS): 2}


def test_series_without_a_server_are_rejected_and_the_rest_is_kept() -> None:
    body = request(({"__name__": "node_load1"}, [(1.0, NOW_MS)]), one("node_load5", 2))
    parsed = prometheus.parse(body, NOW_MS)
    assert parsed.accepted == 1
    assert [(r.field, r.count) for r in parsed.rejected] == [("node_load1", 1)]


def test_target_labels_become_attributes() -> None:
    body = request(one("node_load1", role="database", env="aws", stage="prod", team="core", other="x"))
    (push,) = prometheus.parse(body, NOW_MS).pushes
    assert push.attributes == {
        "role": "database",
        "environment": "aws",
        "stage": "prod",
        "labels.team": "core",
    }


@pytest.mark.parametrize(
    "series",
    [
        one("node_disk_reads_completed_total", device="loop3"),
        one("node_disk_reads_completed_total", device="dm-0"),
        one("node_network_receive_bytes_total", device="lo"),
        one("node_network_receive_bytes_total", device="bond0"),
        one("node_filesystem_size_bytes", mountpoint="/run", fstype="tmpfs"),
        one("node_filesystem_size_bytes", mountpoint="", fstype="ext4"),
        one("node_cpu_seconds_total", cpu="0", mode="user"),
        one("go_goroutines"),
        one("openmanager_nonsense"),
    ],
    ids=lambda s: "-".join(v for k, v in s[0].items() if k != "instance"),
)
def test_series_that_are_none_of_ours_are_counted_and_left_out(series: Series) -> None:
    parsed = prometheus.parse(request(series), NOW_MS)
    assert (parsed.pushes, parsed.accepted, parsed.rejected, parsed.ignored) == ([], 0, [], 1)


def test_recording_rules_may_send_finished_metrics() -> None:
    parsed = prometheus.parse(request(one("openmanager_disk_busy", 41.5)), NOW_MS)
    assert cells(parsed) == {("web-01", "disk_busy", NOW_MS): 41.5}


def test_counters_are_scaled_to_the_catalogues_units() -> None:
    body = request(
        one("node_disk_io_time_seconds_total", 2.5, device="sda"),
        one("node_disk_read_time_seconds_total", 2.5, device="sda"),
    )
    assert cells(prometheus.parse(body, NOW_MS)) == {
        ("web-01", "disk_busy_total/sda", NOW_MS): 250.0,
        ("web-01", "disk_read_time_total/sda", NOW_MS): 2500.0,
    }
    assert part_of("disk_busy_total/sda").kind == "counter"


def test_the_mark_of_a_series_end_is_no_sample() -> None:
    stale = struct.unpack("<d", struct.pack("<Q", 0x7FF0000000000002))[0]
    body = request(one("node_load1", stale), one("node_load5", math.nan), one("node_load15", 3))
    parsed = prometheus.parse(body, NOW_MS)
    assert (parsed.accepted, parsed.rejected) == (1, [])


@pytest.mark.parametrize(
    ("series", "reason"),
    [
        (one("node_load1", time_ms=NOW_MS + MAX_FUTURE_MS + 1), "future"),
        (one("node_load1", time_ms=NOW_MS - 8 * 86_400_000), "older"),
        (one("node_load1", math.inf), "above"),
        (one("node_load1", -1), "negative"),
        (one("node_memory_MemFree_bytes", 1e16), "above"),
        (one("openmanager_cpu_utilization", 140), "above 100 %"),
    ],
)
def test_samples_out_of_bounds_are_rejected_with_the_reason(series: Series, reason: str) -> None:
    parsed = prometheus.parse(request(series, one("node_load5", 1)), NOW_MS)
    assert parsed.accepted == 1
    (rejection,) = parsed.rejected
    assert reason in rejection.reason
    assert rejection.field.startswith("web-01")


@pytest.mark.parametrize(
    "body",
    [b"", b"\xff" * 9, b"\x05abc", b"not snappy at all", SCRAPES[0].read_bytes()[:-100]],
    ids=["empty", "endless length", "short", "text", "cut off"],
)
def test_damaged_snappy_is_invalid(body: bytes) -> None:
    with pytest.raises(InvalidInput, match="snappy"):
        prometheus.parse(body, NOW_MS)


@pytest.mark.parametrize("raw", [b"\x0a\xff", b"{}", field(1, field(1, field(1, b"\xff\xfe")))])
def test_damaged_protobuf_is_invalid(raw: bytes) -> None:
    with pytest.raises(InvalidInput, match="protobuf"):
        prometheus.parse(bytes(cramjam.snappy.compress_raw(raw)), NOW_MS)


def test_a_body_that_unpacks_too_far_is_refused_before_unpacking() -> None:
    body = encode_varint(remote_write.MAX_DECOMPRESSED_BYTES + 1) + b"\x00"
    with pytest.raises(PayloadTooLarge, match="unpacks"):
        prometheus.parse(body, NOW_MS)


def test_a_table_that_would_be_mostly_holes_is_refused() -> None:
    series = [one("node_filesystem_size_bytes", 1, NOW_MS - i, mountpoint=f"/{i}", fstype="ext4") for i in range(1500)]
    with pytest.raises(InvalidInput, match="instants"):
        prometheus.parse(request(*series), NOW_MS)
