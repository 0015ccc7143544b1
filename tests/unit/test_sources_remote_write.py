"""Remote write 2.0, by a sender made by hand after its specification; and the wire of both versions."""

import struct
from collections.abc import Sequence
from typing import Any

import cramjam
import numpy as np
import pytest
from openmanager.errors import InvalidInput, PayloadTooLarge, UnsupportedMediaType
from openmanager.sources import prometheus, remote_write, wire

NOW_MS = 1_795_429_300_000
Series = tuple[dict[str, str], list[tuple[float, int]]]


def varint(value: int) -> bytes:
    out = b""
    while value > 127:
        out, value = out + bytes([value & 127 | 128]), value >> 7
    return out + bytes([value])


def field(number: int, content: bytes) -> bytes:
    return varint(number << 3 | 2) + varint(len(content)) + content


def sample(value: float, time_ms: int) -> bytes:
    return b"\x09" + struct.pack("<d", value) + b"\x10" + varint(time_ms)


def raw_series(refs: Sequence[int], samples: Sequence[tuple[float, int]], extras: bool = True) -> bytes:
    content = field(1, b"".join(map(varint, refs)))
    content += b"".join(field(2, sample(*s)) for s in samples)
    if extras:
        content += field(3, b"\x10\x05")  # a histogram
        content += field(4, field(1, varint(0) * 2) + b"\x11" + bytes(8))  # an exemplar
        content += field(5, b"\x08\x01\x18\x01\x20\x01")  # metadata
        content += b"\x30" + varint(NOW_MS)  # created_timestamp
    return content


def request(*series: Series, symbols: Sequence[str] = ()) -> bytes:
    """A snappy block of an `io.prometheus.write.v2.Request`; every string stands once in its symbols."""
    table = dict.fromkeys(["", *symbols, *(text for labels, _ in series for pair in labels.items() for text in pair)])
    place = {text: i for i, text in enumerate(table)}
    raw = b"".join(field(4, text.encode()) for text in table)
    for labels, samples in series:
        raw += field(5, raw_series([place[text] for pair in sorted(labels.items()) for text in pair], samples))
    return bytes(cramjam.snappy.compress_raw(raw))


def packed(symbols: Sequence[str], *series: bytes) -> bytes:
    raw = b"".join(field(4, text.encode()) for text in symbols) + b"".join(field(5, one) for one in series)
    return bytes(cramjam.snappy.compress_raw(raw))


def one(name: str, value: float = 1.0, time_ms: int = NOW_MS, **labels: str) -> Series:
    return {"__name__": name, "instance": "web-01:9100", **labels}, [(value, time_ms)]


def read(body: bytes) -> Any:
    return prometheus.parse(body, NOW_MS, version=2)


def test_symbols_are_put_back_into_labels() -> None:
    parsed = read(
        request(
            ({"__name__": "node_load1", "instance": "web-01:9100", "role": "web"}, [(1.5, NOW_MS - 1000), (2, NOW_MS)]),
            one("node_cpu_seconds_total", 12.25, cpu="0", mode="idle"),
            one("node_cpu_seconds_total", 1, cpu="0", mode="user"),
            one("go_goroutines", 9),
            one("node_load1", 3, instance="db-01"),
        )
    )
    assert (parsed.accepted, parsed.rejected, parsed.ignored) == (4, [], 2)
    first, second = parsed.pushes
    assert (first.server, first.attributes, first.samples.series) == (
        "web-01",
        {"role": "web"},
        ("load_1m", "cpu_idle_total/0"),
    )
    np.testing.assert_array_equal(first.samples.values, [[1.5, np.nan], [2, 12.25]])
    assert (second.server, second.samples.values.tolist()) == ("db-01", [[3.0]])


def test_both_versions_read_alike() -> None:
    from tests.unit.test_sources_prometheus import BACKLOG, series_of

    body = BACKLOG.read_bytes()
    old = prometheus.parse(body, NOW_MS)
    new = read(request(*series_of(body)))
    assert (new.accepted, new.ignored) == (old.accepted, old.ignored)
    for a, b in zip(old.pushes, new.pushes, strict=True):
        assert (a.server, a.attributes, a.samples.series) == (b.server, b.attributes, b.samples.series)
        np.testing.assert_array_equal(a.samples.values, b.samples.values)


def test_the_mark_of_a_series_end_is_no_sample() -> None:
    stale = struct.unpack("<d", struct.pack("<Q", 0x7FF0000000000002))[0]
    parsed = read(request(one("node_load1", stale), one("node_load5", 1)))
    assert (parsed.accepted, parsed.rejected, prometheus.refusal(parsed)) == (1, [], {})


def test_what_is_good_is_kept_and_the_first_refusal_told() -> None:
    parsed = read(request(one("node_load1", -1), one("node_load5", 1), one("node_load15", -2), one("up", -1)))
    told = prometheus.refusal(parsed)
    assert parsed.accepted == 1
    assert told["field"] == "web-01 load_1m"
    assert "-1 is negative" in told["detail"]
    assert "2 samples rejected in all" in told["detail"]


NAMES = ("", "__name__", "node_load1", "instance", "web-01")


@pytest.mark.parametrize(
    ("symbols", "refs", "field_", "reason"),
    [
        (NAMES, [1, 2, 3], "timeseries[1].labels_refs", "3 references"),
        (NAMES, [1, 2, 3, 5], "timeseries[1].labels_refs[3]", "5 is not one of the 5 symbols"),
        (NAMES, [2**32 - 1, 0], "timeseries[1].labels_refs[0]", "4294967295 is not one"),
        ((), [0, 0], "timeseries[0].labels_refs[0]", "1 is not one of the 0 symbols"),
        (("x", *NAMES[1:]), [1, 2], "symbols[0]", "empty"),
    ],
)
def test_references_that_lead_nowhere_are_refused_by_the_name_of_the_place(
    symbols: Sequence[str], refs: list[int], field_: str, reason: str
) -> None:
    good = raw_series([1, 2, 3, 4], [(1, NOW_MS)])
    with pytest.raises(InvalidInput) as fault:
        read(packed(symbols, good, raw_series(refs, [(1, NOW_MS)])))
    assert fault.value.field == field_
    assert reason in fault.value.reason


def test_a_series_without_labels_is_none_of_ours() -> None:
    parsed = read(packed(NAMES, raw_series([], [(1, NOW_MS)]), b""))
    assert (parsed.accepted, parsed.rejected, parsed.ignored) == (0, [], 2)


def test_a_series_without_samples_or_server_is_nothing_to_complain_of() -> None:
    assert read(packed(NAMES, raw_series([1, 2], []))).rejected == []


def test_damaged_messages_are_refused_by_the_name_of_the_place() -> None:
    with pytest.raises(InvalidInput, match=r"timeseries\[1\]: is not a protobuf"):
        read(packed(NAMES, raw_series([1, 2, 3, 4], [(1, NOW_MS)]), b"\xff"))
    with pytest.raises(InvalidInput, match="is not a protobuf io"):
        read(bytes(cramjam.snappy.compress_raw(field(4, b"\xff\xfe"))))


@pytest.mark.parametrize(
    ("name", "limit", "reason"), [("MAX_SERIES", 1, "2 series"), ("MAX_SYMBOLS", 4, "more than 4 symbols")]
)
def test_more_than_anybody_sends_is_refused(
    monkeypatch: pytest.MonkeyPatch, name: str, limit: int, reason: str
) -> None:
    monkeypatch.setattr(remote_write, name, limit)
    with pytest.raises(PayloadTooLarge, match=reason):
        read(request(one("node_load1"), one("node_load5")))


def test_a_single_series_beyond_reason_is_refused() -> None:
    body = packed(NAMES, b"\x12\x00" * (wire.MAX_MESSAGE_BYTES // 2 + 1))
    with pytest.raises(PayloadTooLarge, match=r"timeseries\[0\]"):
        read(body)


def test_more_samples_than_anybody_sends_are_refused(monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr(prometheus, "MAX_SAMPLES", 1)
    with pytest.raises(PayloadTooLarge, match="more than 1 samples"):
        read(request(one("node_load1"), one("node_load5")))


@pytest.mark.parametrize(
    ("kind", "version"),
    [
        ("application/x-protobuf", 1),
        ("application/x-protobuf;proto=prometheus.WriteRequest", 1),
        ("application/x-protobuf;proto=io.prometheus.write.v2.Request", 2),
        ('Application/X-Protobuf; charset=x ; proto="io.prometheus.write.v2.Request"', 2),
    ],
)
def test_the_content_type_says_the_version(kind: str, version: int) -> None:
    assert remote_write.version_of(kind) == version


@pytest.mark.parametrize(
    "kind", ["", "application/json", "application/x-protobuf;proto=io.prometheus.write.v3.Request", "text/plain;proto"]
)
def test_other_content_types_are_refused(kind: str) -> None:
    with pytest.raises(UnsupportedMediaType, match="send application/x-protobuf"):
        remote_write.version_of(kind)


def test_what_was_written_is_told() -> None:
    assert remote_write.written(7) == {
        "X-Prometheus-Remote-Write-Samples-Written": "7",
        "X-Prometheus-Remote-Write-Histograms-Written": "0",
        "X-Prometheus-Remote-Write-Exemplars-Written": "0",
    }
