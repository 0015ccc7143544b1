"""Attacks on memory and time: bombs, patterns that go astray, lists without end, tables with room for everything."""

import ast
import csv
import gzip
import importlib
import re
from pathlib import Path
from re import _constants, _parser  # type: ignore[attr-defined]
from typing import Any

import cramjam
import pytest
from openmanager.settings import settings
from openmanager.sources import table

from functions.ingest.handler import handler as ingest
from functions.replay.handler import handler as replay
from functions.rules.handler import handler as rules
from functions.servers.handler import handler as servers
from functions.silences.handler import handler as silences
from infra.local.stack import Upstash
from infra.transfer.files import Table, write
from tests.attacks import as_json, push
from tests.conftest import API_KEY
from tests.events import Reply, invoke

CORE = Path(__file__).resolve().parents[2] / "layers/core/python"
MIB = 1 << 20


@pytest.fixture(autouse=True)
def stage(stores_env: dict[str, str]) -> dict[str, str]:
    settings.cache_clear()
    return stores_env


def upload(text: bytes) -> Reply:
    return invoke(replay, "POST", "/api/replay", key=API_KEY, headers={"content-type": "text/csv"}, body=text)


def nested_protobuf(depth: int) -> bytes:
    """An attribute's value that is a list that holds a list that …: OTLP's AnyValue in ArrayValue."""
    inner = b""
    for _ in range(depth):
        array = b"\x0a" + varint(len(inner)) + inner
        inner = b"\x2a" + varint(len(array)) + array
    attribute = b"\x0a\x04host\x12" + varint(len(inner)) + inner
    resource = b"\x0a" + varint(len(attribute)) + attribute
    whole = b"\x0a" + varint(len(resource)) + resource
    return b"\x0a" + varint(len(whole)) + whole


def varint(number: int) -> bytes:
    octets = b""
    while number > 0x7F:
        octets, number = octets + bytes([number & 0x7F | 0x80]), number >> 7
    return octets + bytes([number])


JSON_IN_GZIP = {"content-encoding": "gzip", "content-type": "application/json"}
SNAPPY = {"content-encoding": "snappy", "content-type": "application/x-protobuf"}
PROTOBUF = {"content-type": "application/x-protobuf"}
BOMBS: dict[str, tuple[str, dict[str, str], bytes, int]] = {
    "gzip of nothing but blanks": ("/api/ingest", JSON_IN_GZIP, gzip.compress(b" " * (256 * MIB)), 413),
    "gzip in gzip": ("/api/ingest", JSON_IN_GZIP, gzip.compress(gzip.compress(b"{}" * MIB)), 400),
    "gzip behind gzip": ("/api/ingest", JSON_IN_GZIP, gzip.compress(b"{}") * 1000, 400),
    "two encodings": ("/api/ingest", {"content-encoding": "gzip, gzip"}, gzip.compress(gzip.compress(b"{}")), 415),
    "gzip where snappy is meant": ("/api/v1/write", SNAPPY, gzip.compress(b"{}"), 400),
    "snappy that says it is huge": ("/api/v1/write", SNAPPY, b"\xff\xff\xff\xff\x0f\x00", 413),
    "snappy whose length never ends": ("/api/v1/write", SNAPPY, b"\xff" * 100, 400),
    "snappy that copies from before its beginning": ("/api/v1/write", SNAPPY, b"\x08\x05\xff\xff", 400),
    "protobuf of a length beyond its body": (
        "/api/v1/write", SNAPPY, bytes(cramjam.snappy.compress_raw(b"\x0a\xff\xff\xff\xff\x07")), 400,
    ),
    # Nothing below what is read of an attribute is looked at, however deep it goes.
    "protobuf in protobuf": ("/v1/metrics", PROTOBUF, nested_protobuf(5000), 200),
    "numbers of a million digits": (
        "/api/ingest", {}, b'{"server":"web-01","samples":[{"metrics":{"load_1m":' + b"9" * MIB + b"}}]}", 400,
    ),
    "brackets in an attribute": (
        "/v1/metrics", {"content-type": "application/json"}, b'{"resourceMetrics":' + b"[" * 200_000, 400,
    ),
}  # fmt: skip


@pytest.mark.parametrize("name", BOMBS)
def test_a_bomb_is_refused_and_leaves_nothing(name: str, empty_redis: Upstash) -> None:
    path, headers, body, status = BOMBS[name]
    reply = invoke(ingest, "POST", path, key=API_KEY, headers=headers, body=body)
    assert reply.status == status
    assert status == 200 or reply.headers["content-type"] == "application/problem+json"
    assert empty_redis.command("KEYS", "om:0:*") == []


def test_no_pattern_of_a_caller_reaches_redis(empty_redis: Upstash) -> None:
    push()
    for pattern in ("*a" * 60 + "b", "[" * 100, "web-0[1-9]", "web-0?", "\\*", "*"):
        empty_redis.reset_stats()
        assert invoke(servers, "GET", f"/api/servers/{pattern}", key=API_KEY).status == 404
        assert invoke(servers, "GET", f"/api/servers/{pattern}/samples", key=API_KEY).status == 404
        assert {"HSCAN", "SCAN", "KEYS"} & empty_redis.stats()["by_name"].keys() == set()


def patterns() -> dict[str, str]:
    """Every pattern in the domain, by where it stands."""
    found = {}
    for path in sorted((CORE / "openmanager").rglob("*.py")):
        tree = ast.parse(path.read_text())
        calls = [n for n in ast.walk(tree) if isinstance(n, ast.Call) and n.args]
        for call in calls:
            name = ast.unparse(call.func)
            if name not in ("re.compile", "re.fullmatch", "re.match", "re.search", "re.sub", "re.split", "_text"):
                continue
            module = importlib.import_module(".".join(path.relative_to(CORE).with_suffix("").parts))
            try:
                value: Any = eval(ast.unparse(call.args[0]), vars(module))
            except NameError:
                continue  # the parameter of a function, whose callers are found themselves
            found[f"{path.name}:{call.lineno}"] = value
    return found


def repeats(parsed: Any, inside: bool = False) -> tuple[int, bool]:
    """(how many repeats on one way through have no upper bound, whether one that varies stands in another such)."""
    endless, nested = 0, False
    for operation, argument in parsed:
        parts: list[Any] = []
        varies = False
        if operation in (_constants.MAX_REPEAT, _constants.MIN_REPEAT):
            low, high, part = argument
            varies = high > max(low, 1)
            endless += high == _constants.MAXREPEAT
            nested |= varies and inside
            parts = [part]
        elif operation is _constants.SUBPATTERN:
            parts = [argument[3]]
        elif operation is _constants.BRANCH:
            parts = list(argument[1])
        below = [repeats(part, inside or varies) for part in parts]
        endless += max((more for more, _ in below), default=0)
        nested = nested or any(deeper for _, deeper in below)
    return endless, nested


# Several repeats without bound, between which a sign must stand that the one before cannot take: no text has two
# readings. The first meets names of disks, the second a setting, the third what a model says, the
# others the file of outside MCP servers.
APART = {
    r"(?:fd|[hsv]d[a-z]+|xvd[a-z]+|nvme\d+n\d+p|mmcblk\d+p)\d+",
    r"https?://[^\s/?#@]+(/[^\s?#]*)?",
    r"(?:(?<![\w.])[-−])?\d[\d,]*(?:\.\d+)?",
    r"((?:@[a-z0-9._~-]+/)?[a-z0-9._~-]+)(?:@(.+))?",
    r"\$\{([A-Za-z_][A-Za-z0-9_]*)(?::-([^}]*))?\}",
}


def test_a_pattern_that_goes_astray_would_be_seen() -> None:
    assert repeats(_parser.parse("(a+)+$"))[1]
    assert repeats(_parser.parse("(a|b*)*"))[1]
    assert repeats(_parser.parse("a*a*$")) == (2, False)
    assert repeats(_parser.parse("(ab)?[a-z]{0,63}")) == (0, False)


def test_every_pattern_takes_time_in_proportion_to_its_text() -> None:
    found = patterns()
    assert len(found) >= 12
    for where, pattern in found.items():
        endless, nested = repeats(_parser.parse(pattern))
        # With one repeat without bound and none within another, no text is gone over more than a fixed number of times.
        assert not nested, f"{where}: {pattern}"
        assert endless <= 1 or pattern in APART, f"{where}: {pattern}"
    assert set(found.values()) >= APART


def test_two_rows_that_lie_years_apart_are_no_table_of_gigabytes() -> None:
    reply = upload(b"time,cpu_utilization\n0,1\n100000000,1\n")
    assert (reply.status, "more than 2,880 steps" in reply.json()["detail"]) == (400, True)


def test_a_row_of_every_column_there_can_be_is_no_table_either() -> None:
    names = ",".join(f"disk_reads/{i}" for i in range(table.MOST_SERIES + 1))
    reply = upload(f"time,{names}\n0{',1' * (table.MOST_SERIES + 1)}\n172000,1\n".encode())
    assert (reply.status, f"more than {table.MOST_SERIES}" in reply.json()["detail"]) == (400, True)


def test_a_header_of_half_a_million_columns_is_read_once(monkeypatch: pytest.MonkeyPatch) -> None:
    looked_up = 0
    real = table._known

    def known(name: str) -> bool:
        nonlocal looked_up
        looked_up += 1
        return real(name)

    monkeypatch.setattr(table, "_known", known)
    names = ",".join(f"c{i}" for i in range(500_000))
    reply = upload(f"time,{names}\n".encode())
    assert (reply.status, looked_up) == (400, 500_000)
    twice = upload(f"time,{names},c1\n".encode()).json()
    assert "the column 'c1' is there twice" in twice["detail"]


def test_a_cell_longer_than_any_number_is_refused() -> None:
    for cell in (b"9" * 200_000, b'"' + b"\n" * 200_000, b'"' * 100_001):
        reply = upload(b"time,cpu_utilization\n60," + cell + b"\n")
        assert reply.status == 400
        assert len(reply.body) < 2000


@pytest.mark.parametrize(
    ("door", "method", "path", "body", "named"),
    [
        (rules, "PUT", "/api/rules/cpu", {"servers": ["a"] * 501}, "servers"),
        (rules, "PUT", "/api/rules/cpu", {"roles": ["a" * 129]}, "roles"),
        (silences, "POST", "/api/silences", {"minutes": 5, "rules": ["a"] * 501}, "rules"),
        (silences, "POST", "/api/silences", {"minutes": 5, "reason": "a" * 201}, "reason"),
        (rules, "PUT", "/api/dependencies", {f"role-{i}": [] for i in range(201)}, "dependencies"),
        (replay, "POST", "/api/replay", {"server": "web-01", "rules": [{}] * 201}, "rules"),
    ],
)
def test_a_list_that_every_round_would_read_has_an_end(
    door: Any, method: str, path: str, body: Any, named: str
) -> None:
    push()
    reply = invoke(door, method, path, key=API_KEY, body=as_json(body))
    assert reply.status in (400, 404)
    if reply.status == 400:
        assert reply.json()["field"].startswith(named)


def test_many_long_silences_are_not_more_than_a_round_can_read(empty_redis: Upstash) -> None:
    long = as_json({"minutes": 5, "reason": "x", "servers": [f"{i:0>110}" for i in range(500)]})
    answers = [invoke(silences, "POST", "/api/silences", key=API_KEY, body=long).status for _ in range(20)]
    assert answers.count(201) == 18
    assert answers[-1] == 409
    assert len(empty_redis.command("HGET", "om:config", "silences")) < MIB
    # Whoever ends one makes room again.
    first = invoke(silences, "GET", "/api/silences", key=API_KEY).json()["silences"][0]["id"]
    assert invoke(silences, "DELETE", f"/api/silences/{first}", key=API_KEY).status == 204
    assert invoke(silences, "POST", "/api/silences", key=API_KEY, body=long).status == 201


def test_an_exported_table_has_no_cell_that_a_spreadsheet_would_run(tmp_path: Path) -> None:
    disk = 'disk_reads_total/=HYPERLINK("http://evil.example";A1)'
    sample = {"metrics": {}, "counters": {disk: 1.0, "disk_reads_total/+1": 2.0, "disk_reads_total/@x,\t=1": 3.0}}
    body = as_json({"server": "web-01", "samples": [sample]})
    assert invoke(ingest, "POST", "/api/ingest", key=API_KEY, body=body).json()["accepted"] >= 2
    page = invoke(servers, "GET", "/api/servers/web-01/samples", key=API_KEY).json()
    exported = Table()
    exported.extend(page["times"], page["series"], page["values"])
    write(tmp_path / "a.csv", exported)
    with (tmp_path / "a.csv").open(newline="") as file:
        cells = [cell for row in csv.reader(file) for cell in row]
    assert disk in cells
    assert [cell for cell in cells if re.match(r"[=+\-@\t\r]", cell)] == []
