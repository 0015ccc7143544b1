"""Export and back-fill against a scripted OpenManager, whose door is the real parser."""

import json
import threading
import urllib.parse
from collections.abc import Iterator
from http.server import BaseHTTPRequestHandler, HTTPServer
from pathlib import Path
from typing import Any

import pytest
from hypothesis import given
from hypothesis import strategies as st
from openmanager.catalog import PARTS
from openmanager.cli.exits import FAILED, NOT_ALLOWED
from openmanager.errors import InvalidInput
from openmanager.sources import native

from infra.transfer import __main__ as transfer
from infra.transfer import api, backfill
from infra.transfer.files import Table, milliseconds, moment, read, write

DAY_MS = 86_400_000
START_MS = 20_000 * DAY_MS  # a midnight
PAGE_ROWS = 7
Rows = dict[int, dict[str, float]]


class House:
    """An OpenManager of dictionaries: pages of `PAGE_ROWS` rows, and answers that a test may put before its own."""

    def __init__(self) -> None:
        self.servers: dict[str, Rows] = {}
        self.attributes: dict[str, dict[str, Any]] = {}
        self.faults: list[tuple[int, dict[str, str]]] = []
        self.fault_after: int | None = None
        self.asked: list[str] = []
        self.now_ms = START_MS + 3 * DAY_MS
        house = self

        class Handler(BaseHTTPRequestHandler):
            def do_GET(self) -> None:
                self.reply(house.get(self.path))

            def do_POST(self) -> None:
                body = self.rfile.read(int(self.headers["Content-Length"]))
                self.reply(lambda: house.take(body))

            def reply(self, answer: Any) -> None:
                house.asked.append(self.path)
                status, headers, content = 200, {}, None
                if house.fault_after is not None and len(house.asked) > house.fault_after:
                    house.faults.append((500, {}))
                if self.headers["Authorization"] != "Bearer key":
                    status, content = 401, {"detail": "unknown key"}
                elif house.faults:
                    status, headers = house.faults.pop(0)
                    content = {"detail": "scripted"}
                else:
                    try:
                        content = answer()
                    except InvalidInput as fault:
                        status, content = 400, {"detail": str(fault)}
                if status == 200 and content is None:
                    status, content = 404, {"detail": "no such thing"}
                text = json.dumps(content).encode()
                self.send_response(status)
                for name, value in {**headers, "Content-Length": str(len(text))}.items():
                    self.send_header(name, value)
                self.end_headers()
                self.wfile.write(text)

            def log_message(self, *_: Any) -> None:
                pass

        self.server = HTTPServer(("127.0.0.1", 0), Handler)
        self.url = f"http://127.0.0.1:{self.server.server_port}"
        self._thread = threading.Thread(target=self.server.serve_forever, kwargs={"poll_interval": 0.01})
        self._thread.start()

    def get(self, path: str) -> Any:
        address = urllib.parse.urlsplit(path)
        query = dict(urllib.parse.parse_qsl(address.query))
        if address.path == "/api/servers":
            return lambda: {"servers": [{"id": name} for name in self.servers]}
        return lambda: self.page(address.path.split("/")[3], query)

    def page(self, server: str, query: dict[str, str]) -> dict[str, Any] | None:
        if server not in self.servers:
            return None
        first = int(query.get("cursor") or milliseconds(query["from"]))
        rows = self.servers[server]
        times = sorted(t for t in rows if first <= t < milliseconds(query["to"]))
        shown, rest = times[:PAGE_ROWS], times[PAGE_ROWS:]
        series = sorted({name for t in shown for name in rows[t]})
        return {
            "server": server,
            "attributes": self.attributes.get(server, {}),
            "series": series,
            "times": shown,
            "values": [[rows[t].get(name) for name in series] for t in shown],
            "late": [],
            "next": str(rest[0]) if rest else None,
        }

    def take(self, body: bytes) -> dict[str, Any]:
        parsed = native.parse(body, self.now_ms)
        for push in parsed.pushes:
            rows = self.servers.setdefault(push.server, {})
            document = json.loads(body)
            self.attributes[push.server] = {k: v for k, v in document.items() if k not in ("server", "samples")}
            for time_ms, values in zip(push.samples.times.tolist(), push.samples.values.tolist(), strict=True):
                known = {n: v for n, v in zip(push.samples.series, values, strict=True) if v == v}
                rows.setdefault(time_ms, {}).update(known)
        return {
            "accepted": parsed.accepted,
            "rejected": [{"field": r.field, "reason": r.reason, "count": r.count} for r in parsed.rejected[:100]],
            "rejected_count": parsed.rejected_count,
        }

    def close(self) -> None:
        self.server.shutdown()
        self._thread.join()
        self.server.server_close()


@pytest.fixture
def house() -> Iterator[House]:
    one = House()
    yield one
    one.close()


@pytest.fixture
def other() -> Iterator[House]:
    one = House()
    yield one
    one.close()


@pytest.fixture(autouse=True)
def surroundings(monkeypatch: pytest.MonkeyPatch, tmp_path: Path) -> None:
    monkeypatch.setenv("OPENMANAGER_TOKEN", "key")
    monkeypatch.setenv("OPENMANAGER_DATA", str(tmp_path / "data"))
    monkeypatch.delenv("OPENMANAGER_URL", raising=False)
    monkeypatch.setattr(api.time, "sleep", lambda _: None)
    # The default argument was bound before:
    monkeypatch.setattr(api.Api.__init__, "__defaults__", (lambda _: None,))


def fill(house: House, rows: int = 30) -> None:
    """Two servers over three days; series come and go."""
    for name in ("web-01", "db:1"):
        house.servers[name] = {
            START_MS + i * (2 * DAY_MS // rows) + 1: {
                "cpu_utilization": i / 10,
                "network_receive_bytes_total/eth0": 98765432109876.0 + i,
                **({"disk_busy_total/sda": i + 0.1} if i % 3 else {}),
                **({"load_1m": 0.07 * i} if i > rows // 2 else {}),
            }
            for i in range(rows)
        }
    house.attributes = {
        "web-01": {"role": "web", "hostname": "web-01.example", "labels": {"rack": "b4", "team": "운영"}},
        "db:1": {},
    }


SPAN = ["--from", str(START_MS // 1000), "--to", moment(START_MS + 3 * DAY_MS)]


def export(house: House, folder: Path, *more: str) -> int:
    return transfer.main(["export", str(folder), "--url", house.url, *SPAN, *more])


def restore(house: House, source: Path, *more: str) -> int:
    return transfer.main(["import", str(source), "--url", house.url, *more])


def test_what_was_exported_and_imported_is_the_same(house: House, other: House, tmp_path: Path) -> None:
    fill(house)
    assert export(house, tmp_path / "out") == 0
    assert {str(p.relative_to(tmp_path / "out")) for p in (tmp_path / "out").rglob("*.csv")} == {
        f"{name}/{day}.csv" for name in ("web-01", "db:1") for day in ("2024-10-04", "2024-10-05")
    }
    assert restore(other, tmp_path / "out") == 0
    assert other.servers == house.servers
    assert other.attributes == house.attributes
    assert not (tmp_path / "out" / "import.json").exists()


def test_one_server_of_many(house: House, other: House, tmp_path: Path) -> None:
    fill(house)
    assert export(house, tmp_path / "one", "--server", "web-01") == 0
    assert export(house, tmp_path / "all") == 0
    assert not (tmp_path / "one" / "db:1").exists()
    assert restore(other, tmp_path / "all", "--server", "db:1") == 0
    assert other.servers == {"db:1": house.servers["db:1"]}


def test_an_export_goes_on_with_the_day_at_which_it_was_interrupted(house: House, tmp_path: Path) -> None:
    fill(house)
    assert export(house, tmp_path / "whole") == 0
    whole = len(house.asked)
    for reached in range(1, whole, 3):
        house.asked.clear()
        house.fault_after = reached
        folder = tmp_path / f"cut-{reached}"
        assert export(house, folder) == 1
        house.fault_after, house.faults = None, []
        house.asked.clear()
        assert export(house, folder) == 0
        assert len(house.asked) <= whole
        for file in (tmp_path / "whole").rglob("*.csv"):
            assert (folder / file.relative_to(tmp_path / "whole")).read_bytes() == file.read_bytes()
    house.asked.clear()
    assert export(house, folder) == 0
    assert house.asked == []  # all of it is there


def test_an_import_goes_on_after_the_last_batch_that_was_taken(
    house: House, other: House, tmp_path: Path, capsys: pytest.CaptureFixture[str]
) -> None:
    fill(house, 1000)
    assert export(house, tmp_path / "out") == 0
    other.fault_after = 12
    assert restore(other, tmp_path / "out") == 1
    other.fault_after, other.faults = None, []
    other.asked.clear()
    assert restore(other, tmp_path / "out") == 0
    assert len(other.asked) == 20 - 12
    assert other.servers == house.servers
    sent = sum(len(row) for rows in house.servers.values() for row in rows.values())
    assert f"{sent:,} samples sent, {sent:,} taken" in capsys.readouterr().out


def test_a_changed_file_and_another_address_are_sent_from_the_beginning(
    house: House, other: House, tmp_path: Path
) -> None:
    file = tmp_path / "x.csv"
    file.write_text("time,load_1m\n" + "".join(f"{START_MS // 1000 + i},1\n" for i in range(150)))
    house.fault_after = 1
    assert restore(house, file, "--server", "x") == 1
    assert restore(other, file, "--server", "x") == 0
    assert len(other.servers["x"]) == 150
    house.fault_after, house.faults = None, []
    assert restore(house, file, "--server", "x") == 0
    assert len(house.servers["x"]) == 150


def test_what_is_too_old_for_the_door_is_counted_and_said(
    house: House, other: House, tmp_path: Path, capsys: pytest.CaptureFixture[str]
) -> None:
    fill(house, 1000)
    assert export(house, tmp_path / "out", "--server", "web-01") == 0
    other.now_ms = START_MS + 8 * DAY_MS
    assert restore(other, tmp_path / "out") == transfer.SOME_LEFT_OUT
    lost = {t: row for t, row in house.servers["web-01"].items() if t < START_MS + DAY_MS}
    said = capsys.readouterr().out
    assert f"{sum(map(len, lost.values())):,} samples were left out" in said
    assert f"{len(lost)} × is older than 7 days" in said
    assert other.servers["web-01"] == {t: row for t, row in house.servers["web-01"].items() if t not in lost}


def test_a_door_that_is_away_is_waited_for(house: House, tmp_path: Path, capsys: pytest.CaptureFixture[str]) -> None:
    fill(house)
    house.faults = [(503, {"Retry-After": "7"}), (429, {}), (500, {})]
    assert export(house, tmp_path / "out") == 0
    assert "trying again in 7 s" in capsys.readouterr().out
    house.faults = [(503, {})] * api.ATTEMPTS
    assert restore(house, tmp_path / "out") == 1
    assert "the same command goes on where this one ended" in capsys.readouterr().out


@pytest.mark.parametrize(
    ("arguments", "complaint"),
    [
        (["export", "{tmp}/out", "--server", "nobody"], "knows no server 'nobody'"),
        (["export", "{tmp}/out", "--server", "../x"], "'../x' is no server"),
        (["export", "{tmp}/full"], "not empty and holds no export"),
        (["export", "{tmp}/out", "--from", "2", "--to", "1"], "--from must lie before --to"),
        (["import", "{tmp}/nowhere"], "there is no"),
        (["import", "{tmp}/full"], "holds no export"),
        (["import", "{tmp}/full/a.txt"], "must end in .csv or .parquet"),
        (["import", "{tmp}/full/odd.csv", "--server", "x"], "'cpu' is no series of the catalogue"),
        (["import", "{tmp}/full/timeless.csv", "--server", "x"], "has no column `time`"),
        (["import", "{tmp}/full/text.csv", "--server", "x"], "line 3, load_1m: 'high' is not a number"),
        (["import", "{tmp}/full/when.csv", "--server", "x"], "line 2: 'noon' is neither"),
        (["import", "{tmp}/full/when.csv", "--server", "x", "--token", "wrong"], "line 2"),
        (["export", "{tmp}/out", "--token", "wrong"], "does not accept the key"),
        (["import", "{tmp}/full/fine.csv"], "whose samples are these?"),
        (["import", "{tmp}/full/fine.csv", "--server", "a b"], "answered 400: server: must be"),
    ],
)
def test_mistakes_are_named(
    house: House, tmp_path: Path, arguments: list[str], complaint: str, capsys: pytest.CaptureFixture[str]
) -> None:
    full = tmp_path / "full"
    full.mkdir()
    (full / "a.txt").write_text("x")
    (full / "odd.csv").write_text("time,cpu\n1,2\n")
    (full / "timeless.csv").write_text("load_1m\n1\n")
    (full / "text.csv").write_text("time,load_1m\n1,1\n2,high\n")
    (full / "when.csv").write_text("time,load_1m\nnoon,1\n")
    (full / "fine.csv").write_text(f"time,load_1m\n{START_MS // 1000},1\n")
    refused = NOT_ALLOWED if complaint == "does not accept the key" else FAILED
    assert transfer.main([a.format(tmp=tmp_path) for a in arguments] + ["--url", house.url]) == refused
    assert complaint in capsys.readouterr().out


def test_another_export_in_the_same_folder_is_refused(
    house: House, tmp_path: Path, capsys: pytest.CaptureFixture[str]
) -> None:
    fill(house)
    assert export(house, tmp_path / "out") == 0
    assert export(house, tmp_path / "out", "--server", "web-01") == 1
    assert "name another folder" in capsys.readouterr().out


def test_a_file_of_ones_own_may_name_its_servers(house: House, tmp_path: Path) -> None:
    file = tmp_path / "own.csv"
    file.write_text(
        "\ufefftime,server,load_1m,disk_reads_total/sda\n"
        f"{START_MS / 1000},a,1.5,\n2024-10-04T00:00:01.250Z,b,,7\n2024-10-04 02:00:02+02:00,a,nan,8\n"
    )
    assert restore(house, file) == 0
    assert house.servers == {
        "a": {START_MS: {"load_1m": 1.5}, START_MS + 2000: {"disk_reads_total/sda": 8}},
        "b": {START_MS + 1250: {"disk_reads_total/sda": 7}},
    }


# Where it goes


def test_address_and_key_come_from_options_then_the_environment_then_what_runs_here(tmp_path: Path) -> None:
    (tmp_path / "credentials.json").write_text('{"url": "http://here", "token": "local"}')
    env = {"OPENMANAGER_DATA": str(tmp_path)}
    assert api.locate("", "", env, tmp_path) == ("http://here", "local")
    assert api.locate("http://here/", "", env, tmp_path) == ("http://here/", "local")
    both = env | {"OPENMANAGER_URL": "http://there", "OPENMANAGER_TOKEN": "theirs"}
    assert api.locate("", "", both, tmp_path) == ("http://there", "theirs")
    assert api.locate("http://x", "y", both, tmp_path) == ("http://x", "y")


def test_the_key_of_this_machine_goes_nowhere_else(tmp_path: Path) -> None:
    (tmp_path / "credentials.json").write_text('{"url": "http://here", "token": "local"}')
    with pytest.raises(api.Failed, match="no key for http://elsewhere"):
        api.locate("http://elsewhere", "", {"OPENMANAGER_DATA": str(tmp_path)}, tmp_path)
    with pytest.raises(api.Failed, match="which OpenManager"):
        api.locate("", "", {}, tmp_path / "nowhere")


# Files

SERIES = st.sampled_from(list(PARTS) + [f'{key}/a,"b' for key in PARTS])
VALUE = st.none() | st.floats(0, 1e15, allow_nan=False)
TABLES = st.lists(
    st.tuples(st.integers(0, 4_000_000_000_000), st.dictionaries(SERIES, VALUE, max_size=4)),
    min_size=1,
    max_size=8,
    unique_by=lambda row: row[0],
)


def table_of(rows: list[tuple[int, dict[str, float | None]]]) -> Table:
    table = Table()
    for time_ms, values in rows:
        table.extend([time_ms], list(values), [list(values.values())])
    return table


@given(TABLES)
def test_a_table_reads_back_from_csv_to_the_last_bit(
    tmp_path_factory: pytest.TempPathFactory, rows: list[tuple[int, dict[str, float | None]]]
) -> None:
    path = tmp_path_factory.mktemp("csv") / "t.csv"
    table = table_of(rows)
    write(path, table)
    assert read(path, "x") == {"x": table}


def test_a_table_reads_back_from_parquet(tmp_path: Path) -> None:
    pytest.importorskip("pyarrow", reason="needs the package pyarrow")
    table = table_of([(1, {"load_1m": 0.1}), (START_MS + 1, {"load_1m": None, "disk_reads_total/sda": 1e15})])
    write(tmp_path / "t.parquet", table)
    assert read(tmp_path / "t.parquet", "x") == {"x": table}


def test_parquet_without_pyarrow_says_what_to_do(
    house: House, tmp_path: Path, monkeypatch: pytest.MonkeyPatch, capsys: pytest.CaptureFixture[str]
) -> None:
    monkeypatch.setitem(__import__("sys").modules, "pyarrow", None)
    assert export(house, tmp_path / "out", "--format", "parquet") == 1
    assert "needs the package pyarrow" in capsys.readouterr().out
    assert not (tmp_path / "out").exists()


def test_a_row_goes_back_as_what_it_was() -> None:
    table = table_of([(1500, {"load_1m": 1.0, "disk_reads_total/sda": 7.0, "cpu_utilization": None})])
    assert backfill.sample(table, 0) == {
        "time": 1.5,
        "metrics": {"load_1m": 1.0},
        "counters": {"disk_reads_total/sda": 7.0},
    }
