"""Bodies that nobody honest sends: whatever the octets, a parser answers with pushes or an error of ours, in bounds."""

import gzip
import json
import subprocess
import sys
from collections.abc import Callable
from pathlib import Path

import cramjam
import pytest
from hypothesis import given
from hypothesis import strategies as st
from openmanager.errors import InvalidInput, OpenManagerError, PayloadTooLarge
from openmanager.names import SERVER_ID
from openmanager.sources import native, otlp, prometheus
from openmanager.sources.limits import MAX_VALUE, Parsed
from openmanager.web.body import gunzip

ROOT = Path(__file__).parents[2]
CAPTURES = ROOT / "tests/captures"
NOW_MS = 1_795_429_100_000
LIMIT = 8 << 20

Parse = Callable[[bytes], Parsed]
PARSERS: dict[str, Parse] = {
    "native": lambda body: native.parse(body, NOW_MS),
    "remote write 1.0": lambda body: prometheus.parse(body, NOW_MS, 1),
    "remote write 2.0": lambda body: prometheus.parse(body, NOW_MS, 2),
    "remote write 1.0 unpacked": lambda body: prometheus.parse(bytes(cramjam.snappy.compress_raw(body)), NOW_MS, 1),
    "remote write 2.0 unpacked": lambda body: prometheus.parse(bytes(cramjam.snappy.compress_raw(body)), NOW_MS, 2),
    "otlp": lambda body: otlp.parse(body, "application/x-protobuf", NOW_MS),
    "otlp json": lambda body: otlp.parse(body, "application/json", NOW_MS),
}
every_parser = pytest.mark.parametrize("name", PARSERS)


def survives(parse: Parse, body: bytes) -> None:
    try:
        parsed = parse(body)
    except OpenManagerError:
        return
    for push in parsed.pushes:
        known = push.samples.values[push.samples.values == push.samples.values]
        assert ((known >= 0) & (known <= MAX_VALUE)).all()
        assert SERVER_ID.fullmatch(push.server)
        assert all(text.isprintable() for text in (*push.samples.series, *push.attributes.values()))


@every_parser
@given(body=st.binary(max_size=300))
def test_random_octets(name: str, body: bytes) -> None:
    survives(PARSERS[name], body)


def seed(name: str) -> bytes:
    """An honest body that the parser reads well."""
    if name.startswith("remote"):
        body = (CAPTURES / "remote_write/0001.body").read_bytes()
        return bytes(cramjam.snappy.decompress_raw(body)) if name.endswith("unpacked") else body
    if name.startswith("otlp"):
        return (CAPTURES / "otlp_http" / ("0007.body" if "json" in name else "0004.body")).read_bytes()
    sample = {"time": NOW_MS / 1000, "metrics": {"load_1m": 0.5}, "counters": {"disk_reads/sda": 7}}
    return json.dumps({"server": "web-01", "labels": {"rack": "b4"}, "samples": [sample] * 3}).encode()


@every_parser
@given(data=st.data())
def test_honest_bodies_with_some_octets_changed_lost_or_doubled(name: str, data: st.DataObject) -> None:
    body = bytearray(seed(name))
    for _ in range(data.draw(st.integers(1, 8))):
        at = data.draw(st.integers(0, len(body) - 1))
        length = data.draw(st.integers(1, 12))
        how = data.draw(st.sampled_from(("set", "cut", "double", "end")))
        if how == "set":
            body[at] = data.draw(st.sampled_from((0, 1, 0x7F, 0x80, 0xFF, *range(32, 127))))
        elif how == "cut":
            del body[at : at + length]
        elif how == "double":
            body[at:at] = body[at : at + length]
        else:
            del body[at:]
        body = body or bytearray(b"\0")
    survives(PARSERS[name], bytes(body))


JSONS = st.recursive(
    st.none() | st.booleans() | st.integers() | st.floats() | st.text(max_size=8) | st.sampled_from(("-" * 3, "1e9")),
    lambda inner: st.lists(inner, max_size=3)
    | st.dictionaries(
        st.sampled_from(
            ("resourceMetrics", "resource", "attributes", "key", "value", "stringValue", "intValue", "scopeMetrics",
             "metrics", "name", "gauge", "sum", "dataPoints", "asInt", "asDouble", "timeUnixNano", "flags", "server",
             "samples", "servers", "counters", "time", "labels", "load_1m", "disk_reads/sda")
        ),
        inner,
        max_size=4,
    ),
    max_leaves=20,
)  # fmt: skip


@pytest.mark.parametrize("name", ["native", "otlp json"])
@given(document=JSONS, where=st.sampled_from(("", "resource", "metric", "point", "sample")))
def test_json_of_any_shape(name: str, document: object, where: str) -> None:
    wrapped: object = {
        "": document,
        "resource": {"resourceMetrics": [document], "servers": [document]},
        "metric": {"resourceMetrics": [{"scopeMetrics": [{"metrics": [document]}]}]},
        "point": {
            "resourceMetrics": [
                {"scopeMetrics": [{"metrics": [{"name": "system.uptime", "gauge": {"dataPoints": [document]}}]}]}
            ]
        },
        "sample": {"server": "web-01", "samples": [document]},
    }[where]
    survives(PARSERS[name], json.dumps(wrapped).encode())


@pytest.mark.parametrize("name", ["native", "otlp json"])
@pytest.mark.parametrize(
    "body",
    [
        b"[" * 200_000,
        b'{"a":' * 200_000,
        b'{"server":"a","samples":[{"metrics":{"load_1m":-1' + b"0" * 4000 + b"}}]}",
        b'{"server":"a","samples":[{"metrics":{"load_1m":1' + b"0" * 4000 + b"}}]}",
        b'{"server":"a","samples":[{"time":1' + b"0" * 4000 + b',"metrics":{"load_1m":1}}]}',
        b'{"server":"a","samples":[{"metrics":{"load_1m":1' + b"0" * 5000 + b"}}]}",
        b'{"server":"a","samples":[{"time":NaN,"metrics":{"load_1m":-Infinity}}]}',
        b'{"server":"\\ud800","samples":[]}',
        b'{"server":"a\\u0000b","samples":[]}',
        b"\xef\xbb\xbf{}",
        b"\xc3\x28",
    ],
)
def test_json_that_has_broken_parsers_before(name: str, body: bytes) -> None:
    survives(PARSERS[name], body)


@pytest.mark.parametrize("value", [-(10**400), 10**400, float("inf"), float("-inf")])
def test_a_number_beyond_every_float_is_refused_by_its_name(value: float) -> None:
    body = json.dumps({"server": "a", "samples": [{"metrics": {"load_1m": value}}]}).encode()
    (rejection,) = native.parse(body, NOW_MS).rejected
    assert rejection.field == "samples[0].metrics.load_1m"
    assert "negative" in rejection.reason or "above" in rejection.reason


# Unpacking


def test_gzip_is_unpacked_up_to_the_limit_and_no_further() -> None:
    body = gzip.compress(bytes(1000))
    assert gunzip(body, 1000) == bytes(1000)
    with pytest.raises(PayloadTooLarge, match="999 bytes"):
        gunzip(body, 999)


@pytest.mark.parametrize(
    ("body", "reason"),
    [
        (b"", "cut off"),
        (b"{}", "not gzip"),
        (gzip.compress(b"{}", mtime=0)[:-3], "cut off"),
        (gzip.compress(b"{}", mtime=0)[:-5] + b"\0\0\0\0\0", "not gzip"),
        (gzip.compress(b"{}", mtime=0) * 2, "something after the end"),
    ],
)
def test_damaged_gzip_is_refused(body: bytes, reason: str) -> None:
    with pytest.raises(InvalidInput, match=reason):
        gunzip(body, 100)


# Memory: decoded outside Python's own heap, so a process of its own is measured.

BOMBS = {
    "gzip": ("gunzip(gzip.compress(bytes(1 << 28), 1), LIMIT)", PayloadTooLarge, 20),
    "snappy that says so": ("write(b'\\xff\\xff\\xff\\x7f' + bytes(100))", PayloadTooLarge, 20),
    "snappy that lies": ("write(b'\\x80\\x80\\x80\\x04' + b'\\xfe\\x01\\x00' * 100)", InvalidInput, 20),
    "a million series": ("write(pack(field(1, one) * 1_000_000))", PayloadTooLarge, 80),
    "four million empty series": ("write(pack(b'\\x0a\\x00' * (LIMIT // 2)))", PayloadTooLarge, 160),
    "a million series of 2.0": ("write(pack(field(5, one) * 1_000_000), 2)", PayloadTooLarge, 80),
    "four million empty symbols": ("write(pack(b'\\x22\\x00' * (LIMIT // 2)), 2)", PayloadTooLarge, 160),
    "four million empty samples": ("write(pack(field(1, b'\\x12\\x00' * (LIMIT // 2 - 9))))", PayloadTooLarge, 160),
    "four million empty resources": ("metrics(b'\\x0a\\x00' * (LIMIT // 2))", PayloadTooLarge, 160),
    "four million empty metrics": (
        "metrics(field(1, field(2, b'\\x12\\x00' * (LIMIT // 2 - 9))))",
        PayloadTooLarge,
        160,
    ),
    "four million empty points": ("metrics(uptime(b'\\x0a\\x00' * (LIMIT // 2 - 40)))", PayloadTooLarge, 220),
    "four million empty attributes": (
        "metrics(uptime(field(1, b'\\x3a\\x00' * (LIMIT // 2 - 40))))",
        PayloadTooLarge,
        160,
    ),
    "four million empty lists": ("text(b'[' + b'[],' * (LIMIT // 3 - 9) + b'[]]')", PayloadTooLarge, 20),
    "a quarter million empty servers": (
        "text(b'{\"servers\":[' + b'{},' * 250_000 + b'{}]}')",
        PayloadTooLarge,
        80,
    ),
    "four million samples that are none": (
        "text(b'{\"server\":\"a\",\"samples\":[' + b'1,' * (LIMIT // 2 - 50) + b'1]}')",
        PayloadTooLarge,
        160,
    ),
    "as many samples as are taken": ("write(pack(b''.join(map(load, (b'1', b'5', b'15')))))", None, 160),
    "half a million unknown metrics": ("text(unknown(500_000))", PayloadTooLarge, 200),
}
PROGRAM = """
import gzip, sys
sys.path[:0] = ["{core}", "{root}"]
import cramjam
from openmanager.errors import OpenManagerError
from openmanager.sources import native, otlp, prometheus
from openmanager.web.body import gunzip
from tests.unit.test_sources_remote_write import field, varint
LIMIT = 8 << 20
one = b"\\x12\\x02\\x10\\x01"
def pack(raw): return bytes(cramjam.snappy.compress_raw(raw))
def write(body, version=1): prometheus.parse(body, {now}, version)
def metrics(body): otlp.parse(body, "application/x-protobuf", {now})
def text(body): native.parse(body, {now})
def uptime(points): return field(1, field(2, field(2, field(1, b"system.uptime") + field(5, points))))
def unknown(n):
    return b'{{"server":"a","samples":[{{"metrics":{{' + b",".join(b'"x%d":1' % i for i in range(n)) + b"}}}}]}}"
def load(minutes):
    labels = ((b"__name__", b"node_load" + minutes), (b"instance", b"a"))
    samples = b"".join(field(2, b"\x10" + varint({now} - i)) for i in range(66_000))
    return field(1, b"".join(field(1, field(1, k) + field(2, v)) for k, v in labels) + samples)
def peak():
    return next(int(l.split()[1]) for l in open("/proc/self/status") if l.startswith("VmHWM")) >> 10
write(pack(b"")), metrics(b""), gunzip(gzip.compress(b""), 1)
body = {body}
open("/proc/self/clear_refs", "w").write("5")
before, said = peak(), "nothing"
try:
    {call}
except OpenManagerError as error:
    said = type(error).__name__
print(said, peak() - before)
"""


@pytest.mark.skipif(not Path("/proc/self/clear_refs").exists(), reason="measures with Linux' /proc")
@pytest.mark.parametrize("name", BOMBS)
def test_a_small_body_cannot_ask_for_much_memory(name: str) -> None:
    call, error, megabytes = BOMBS[name]
    function, _, argument = call.partition("(")
    body, more = argument[:-1], ""
    for tail in (", LIMIT", ", 2"):
        if body.endswith(tail):
            body, more = body.removesuffix(tail), tail
    program = PROGRAM.format(
        core=ROOT / "layers/core/python", root=ROOT, now=NOW_MS, body=body, call=f"{function}(body{more})"
    )
    done = subprocess.run([sys.executable, "-c", program], capture_output=True, text=True, check=True)
    said, used = done.stdout.split()
    assert said == (error.__name__ if error else "nothing")
    assert int(used) <= megabytes, f"{used} MB"
