"""What each door answers to a body that is too much, of another kind, or partly wrong; through the handlers."""

import gzip
import json
import math
import time
from typing import Any

import cramjam
import pytest
from opentelemetry.proto.collector.metrics.v1.metrics_service_pb2 import ExportMetricsServiceResponse

from functions.ingest.handler import handler as ingest
from functions.servers.handler import handler as servers
from tests.conftest import API_KEY
from tests.events import Reply, invoke
from tests.otlp import JSON, PROTOBUF, document, encoded, gauge, point
from tests.unit.test_sources_remote_write import field, one, packed, request

WRITE, METRICS, NATIVE = "/api/v1/write", "/v1/metrics", "/api/ingest"
V1 = "application/x-protobuf"
V2 = "application/x-protobuf;proto=io.prometheus.write.v2.Request"
MIB = 1 << 20


def now_ms() -> int:
    return int(time.time() * 1000)


def send(path: str, body: bytes, kind: str = "application/json", encoding: str | None = None) -> Reply:
    headers = {"content-type": kind} | ({"content-encoding": encoding} if encoding else {})
    return invoke(ingest, "POST", path, key=API_KEY, headers=headers, body=body)


def shown(server: str) -> dict[str, Any]:
    entries = invoke(servers, "GET", "/api/servers", key=API_KEY).json()["servers"]
    found: dict[str, Any] = next((e["metrics"] for e in entries if e["id"] == server), {})
    return found


def written(reply: Reply) -> tuple[str | None, ...]:
    prefix = "x-prometheus-remote-write"
    return tuple(reply.headers.get(f"{prefix}-{kind}-written") for kind in ("samples", "histograms", "exemplars"))


def ours(**more: Any) -> bytes:
    return json.dumps({"server": "web-01", "samples": [{"metrics": {"load_1m": 0.5}, **more}]}).encode()


def otlp(value: float = 0.5, kind: Any = PROTOBUF, **more: Any) -> bytes:
    return encoded(document(gauge("system.cpu.load_average.1m", point(value, now_ms())), **more), kind)


def test_gzip_is_taken_where_senders_use_it(stores_env: dict[str, str]) -> None:
    assert send(NATIVE, gzip.compress(ours()), encoding="gzip").json()["accepted"] == 1
    for kind in (PROTOBUF, JSON):
        reply = send(METRICS, gzip.compress(otlp(kind=kind)), kind, "gzip")
        assert (reply.status, reply.headers["content-type"]) == (200, kind)
    assert shown("web-01") == {"load_1m": 0.5}


def test_remote_write_2_says_what_it_wrote(stores_env: dict[str, str]) -> None:
    body = request(one("node_load1", 1.5, now_ms()), one("node_load5", 2.5, now_ms()), one("up", 1, now_ms()))
    for _ in range(2):
        reply = send(WRITE, body, V2, "snappy")
        assert (reply.status, reply.body, written(reply)) == (204, b"", ("2", "0", "0"))
    assert shown("web-01") == {"load_1m": 1.5, "load_5m": 2.5}


def test_remote_write_2_stores_the_good_part_and_tells_of_the_rest(stores_env: dict[str, str]) -> None:
    body = request(one("node_load1", 1.5, now_ms()), one("node_load5", -1, now_ms()))
    reply = send(WRITE, body, V2, "snappy")
    assert (reply.status, written(reply)) == (400, ("1", "0", "0"))
    assert reply.json()["field"] == "web-01 load_5m"
    assert shown("web-01") == {"load_1m": 1.5}


def test_remote_write_2_with_a_bad_reference_stores_nothing(stores_env: dict[str, str]) -> None:
    reply = send(WRITE, packed(["", "__name__"], field(1, b"\x01\x09")), V2, "snappy")
    assert (reply.status, reply.json()["field"]) == (400, "timeseries[0].labels_refs[1]")


def test_remote_write_1_promises_no_counts(stores_env: dict[str, str]) -> None:
    reply = send(WRITE, bytes(cramjam.snappy.compress_raw(b"")), V1, "snappy")
    assert (reply.status, written(reply)) == (204, (None, None, None))


@pytest.mark.parametrize("kind", [PROTOBUF, JSON])
def test_otlp_answers_in_the_encoding_it_was_asked_in(stores_env: dict[str, str], kind: Any) -> None:
    fine = send(METRICS, otlp(kind=kind), kind)
    partly = send(METRICS, otlp(-1.0, kind=kind), kind)
    assert [r.status for r in (fine, partly)] == [200, 200]
    if kind == JSON:
        assert fine.json() == {}
        told = partly.json()["partialSuccess"]
        assert (told["rejectedDataPoints"], "-1 is negative" in told["errorMessage"]) == ("1", True)
    else:
        assert fine.body == b""
        partial = ExportMetricsServiceResponse.FromString(partly.body).partial_success
        assert (partial.rejected_data_points, "-1 is negative" in partial.error_message) == (1, True)
    assert shown("web-01") == {"load_1m": 0.5}


BOMB = gzip.compress(bytes(64 * MIB))


@pytest.mark.parametrize(
    ("path", "body", "kind", "encoding", "said"),
    [
        (NATIVE, b" " * (10 * MIB), JSON, None, "the body is over 8388608 bytes"),
        (WRITE, b" " * (10 * MIB), V1, "snappy", "the body is over 8388608 bytes"),
        (METRICS, b" " * (10 * MIB), PROTOBUF, None, "the body is over 8388608 bytes"),
        (NATIVE, BOMB, JSON, "gzip", "unpacks to more than 8388608 bytes"),
        (METRICS, BOMB, PROTOBUF, "gzip", "unpacks to more than 8388608 bytes"),
        (WRITE, bytes(cramjam.snappy.compress_raw(bytes(64 * MIB))), V1, "snappy", "unpacks to 67108864 bytes"),
        (WRITE, bytes(cramjam.snappy.compress_raw(b"\x0a\x02\x12\x00" * 10**6)), V1, "snappy", "1000000 series"),
        (WRITE, bytes(cramjam.snappy.compress_raw(b"\x2a\x02\x12\x00" * 10**6)), V2, "snappy", "1000000 series"),
        (METRICS, b"\x0a\x02\x12\x00" * 10**6, PROTOBUF, None, "more than 100000 resources"),
        (NATIVE, b'{"servers":[' + b"{}," * 20_000 + b"{}]}", JSON, None, "more than 10000 servers"),
        (NATIVE, b"[" * MIB, JSON, None, "objects and lists"),
        (METRICS, b"[" * MIB, JSON, None, "objects and lists"),
    ],
    ids=lambda v: v[:24] if isinstance(v, str) else "",
)
def test_too_much_is_413_and_says_what(
    stores_env: dict[str, str], path: str, body: bytes, kind: str, encoding: str | None, said: str
) -> None:
    reply = send(path, body, kind, encoding)
    assert reply.status == 413
    assert said in reply.json()["detail"]


@pytest.mark.parametrize(
    ("path", "kind", "encoding"),
    [
        (NATIVE, JSON, "br"),
        (NATIVE, JSON, "snappy"),
        (WRITE, V1, None),
        (WRITE, V1, "gzip"),
        (WRITE, V2, "zstd"),
        (WRITE, JSON, "snappy"),
        (WRITE, "application/x-protobuf;proto=io.prometheus.write.v3.Request", "snappy"),
        (METRICS, "text/plain", None),
        (METRICS, PROTOBUF, "snappy"),
    ],
)
def test_another_type_or_encoding_is_415(
    stores_env: dict[str, str], path: str, kind: str, encoding: str | None
) -> None:
    body = bytes(cramjam.snappy.compress_raw(b""))
    assert send(path, body, kind, encoding).status == 415


@pytest.mark.parametrize(
    ("path", "body", "kind", "encoding"),
    [
        (NATIVE, b"[" * 100_000, JSON, None),
        (NATIVE, b'{"server": "\xff"}', JSON, None),
        (NATIVE, b'{"server": "a", "samples": [' + b"9" * 5000 + b"]}", JSON, None),
        (NATIVE, b'{"server": "a\\u0000b", "samples": []}', JSON, None),
        (NATIVE, gzip.compress(b"{}", mtime=0)[:-1], JSON, "gzip"),
        (WRITE, b"\x05abc", V2, "snappy"),
        (METRICS, b"[" * 100_000, JSON, None),
        (METRICS, b"{", JSON, None),
        (METRICS, b"\xff", PROTOBUF, None),
        (METRICS, b"not gzip", PROTOBUF, "gzip"),
    ],
)
def test_what_cannot_be_read_is_400(
    stores_env: dict[str, str], path: str, body: bytes, kind: str, encoding: str | None
) -> None:
    assert send(path, body, kind, encoding).status == 400


@pytest.mark.parametrize(
    ("value", "shift_s", "reason"),
    [
        (math.inf, 0, "above"),
        (-math.inf, 0, "negative"),
        (-1.0, 0, "negative"),
        (1.0, 3600, "future"),
        (1.0, -8 * 86_400, "older"),
    ],
)
def test_every_door_refuses_the_same_samples_for_the_same_reasons(
    stores_env: dict[str, str], value: float, shift_s: int, reason: str
) -> None:
    at = now_ms() + shift_s * 1000
    native = send(NATIVE, ours(time=at / 1000, metrics={"load_1m": value}))
    write = send(WRITE, request(one("node_load1", value, at)), V2, "snappy")
    metrics = send(METRICS, encoded(document(gauge("system.cpu.load_average.1m", point(value, at))), JSON), JSON)
    assert (native.status, native.json()["accepted"], native.json()["rejected_count"]) == (200, 0, 1)
    assert reason in native.json()["rejected"][0]["reason"]
    assert (write.status, written(write)) == (400, ("0", "0", "0"))
    assert reason in write.json()["detail"]
    assert reason in metrics.json()["partialSuccess"]["errorMessage"]
    assert shown("web-01") == {}


def test_what_is_not_a_number_is_no_sample_to_anybody(stores_env: dict[str, str]) -> None:
    assert send(WRITE, request(one("node_load1", math.nan, now_ms())), V2, "snappy").status == 204
    assert send(METRICS, otlp(math.nan, kind=JSON), JSON).json() == {}
    # Whoever writes it by hand is told.
    assert "not a number" in send(NATIVE, ours(metrics={"load_1m": math.nan})).json()["rejected"][0]["reason"]


@pytest.mark.parametrize("name", ["web\n01", "web\x0001", "\x1b[31mweb", "wéb", "../web"])
def test_names_with_characters_of_another_sort_never_reach_the_store(stores_env: dict[str, str], name: str) -> None:
    assert send(NATIVE, json.dumps({"server": name, "samples": []}).encode()).status == 400
    send(WRITE, request(one("node_load1", 1, now_ms(), instance=name)), V2, "snappy")
    send(METRICS, otlp(kind=JSON, resource={"host.name": name}), JSON)
    for entry in invoke(servers, "GET", "/api/servers", key=API_KEY).json()["servers"]:
        assert entry["id"].isascii()
        assert entry["id"].isprintable()
        assert "/" not in entry["id"]
