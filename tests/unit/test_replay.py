"""Replay: recordings are read, stretched, cut and shifted so that the door takes them as if they happened now."""

import csv
import json
import time
from http.server import BaseHTTPRequestHandler, HTTPServer
from pathlib import Path
from threading import Thread
from typing import Any, ClassVar

import numpy as np
import pytest
from openmanager.catalog import METRICS
from openmanager.sources import native

from infra.local import replay
from infra.local.recordings import formats

ROOT = Path(__file__).parents[2]
HOST = ROOT / "infra" / "local" / "recordings" / "host.csv"
PSUTIL = ROOT / "tests" / "captures" / "host" / "psutil_1s.csv"


class Door(BaseHTTPRequestHandler):
    """An ingest door that really parses."""

    taken: ClassVar[list[dict[str, Any]]] = []

    def do_POST(self) -> None:
        body = self.rfile.read(int(self.headers["Content-Length"]))
        authorized = self.headers["Authorization"] == "Bearer key"
        parsed = native.parse(body, int(time.time() * 1000))
        if authorized:
            self.taken.append(json.loads(body))
        answer = {
            "accepted": parsed.accepted,
            "rejected": [{"field": r.field, "reason": r.reason} for r in parsed.rejected],
        }
        content = json.dumps(answer if authorized else {"title": "Unauthorized"}).encode()
        self.send_response(200 if authorized else 401)
        self.send_header("Content-Length", str(len(content)))
        self.end_headers()
        self.wfile.write(content)

    def log_message(self, *_: Any) -> None:
        pass


@pytest.fixture
def door() -> Any:
    Door.taken.clear()
    server = HTTPServer(("127.0.0.1", 0), Door)
    thread = Thread(target=server.serve_forever, kwargs={"poll_interval": 0.01})
    thread.start()
    yield f"http://127.0.0.1:{server.server_port}"
    server.shutdown()
    thread.join()
    server.server_close()


def run(door: str, *arguments: str | Path, token: str = "key") -> int:
    return replay.main(["--url", door, "--token", token, *map(str, arguments)])


def write(path: Path, text: str) -> Path:
    path.write_text(text)
    return path


def test_the_recording_that_ships_goes_through_the_door_whole(door: str, capsys: pytest.CaptureFixture[str]) -> None:
    assert run(door, HOST, "--last", "10000") == 0
    (body,) = Door.taken
    rows = list(csv.DictReader(HOST.read_text().splitlines()))
    assert len(rows) >= 300
    assert len(body["samples"]) == len(rows)
    assert abs(body["samples"][-1]["time"] - time.time()) < 5
    assert body["samples"][-1]["metrics"]["load_1m"] == float(rows[-1]["load_1m"])
    out = capsys.readouterr().out
    assert f"[1/1] host: {len(rows)} rows, {len(rows) * (len(rows[0]) - 1)} values taken\n" in out


def test_a_psutil_recording_stretched_to_minutes_keeps_its_rates(door: str) -> None:
    assert run(door, PSUTIL, "--interval", "60") == 0
    samples = Door.taken[0]["samples"]
    rows = list(csv.DictReader(PSUTIL.read_text().splitlines()))[-len(samples) :]
    assert np.diff([s["time"] for s in samples]) == pytest.approx(60, abs=0.002)
    for column, key, factor in (("disk_read_bytes", "disk_read_bytes", 1), ("disk_busy_ms", "disk_busy", 0.1)):
        real = np.diff([float(r[column]) for r in rows]) * factor / np.diff([float(r["ts"]) for r in rows])
        played = np.diff([s["counters"][key] for s in samples]) / 60
        assert played == pytest.approx(real, abs=1e-3)


def test_a_counter_that_began_afresh_or_paused_never_goes_back() -> None:
    values = np.array([5.0, np.nan, 9.0, 2.0, 4.0])
    stretched = formats.stretch(formats.Recording("a", np.arange(5.0), {}, {"disk_reads": values}), 10.0)
    assert list(np.isnan(stretched.counters["disk_reads"])) == [False, True, False, False, False]
    assert list(stretched.counters["disk_reads"][[0, 2, 3, 4]]) == [5, 45, 45, 65]


def test_smd_columns_become_our_metrics(tmp_path: Path, door: str) -> None:
    table = np.zeros((20, 38), np.float32)
    for name, value in (("cpu_r", 0.5), ("load_5", 0.25), ("eth1_fi", 0.125), ("curr_estab", 1.0)):
        table[:, formats.SMD_COLUMNS.index(name)] = value
    np.savez(tmp_path / "machine-9-9.npz", test=table)
    assert run(door, tmp_path / "machine-9-9.npz", "--last", "5") == 0
    (body,) = Door.taken
    assert body["server"] == "machine-9-9"
    assert len(body["samples"]) == 5
    got = body["samples"][0]["metrics"]
    assert got.keys() == {m.key for m in METRICS if m.smd}
    assert (got["cpu_utilization"], got["load_5m"], got["network_receive_bytes"], got["tcp_established"]) == (
        50, 2.5, 125, 1000,
    )  # fmt: skip


def test_a_csv_may_hold_several_servers_with_counters_and_gaps(tmp_path: Path, door: str) -> None:
    path = write(
        tmp_path / "fleet.csv",
        "server,role,time,load_1m,disk_reads_total/sda\n"
        "a,web,2026-01-01T00:01:00Z,,7\na,web,2026-01-01T00:00:00Z,1,5\nb,,2026-01-01T00:00:00Z,2,\n",
    )
    assert run(door, path) == 0
    a, b = Door.taken
    assert (a["server"], a["role"], a["labels"]) == ("a", "web", {"replayed": "fleet.csv"})
    assert [{k: v for k, v in s.items() if k != "time"} for s in a["samples"]] == [
        {"metrics": {"load_1m": 1}, "counters": {"disk_reads_total/sda": 5}},
        {"counters": {"disk_reads_total/sda": 7}},
    ]
    assert "role" not in b
    assert run(door, path, "--servers", "b") == 0
    assert [body["server"] for body in Door.taken] == ["a", "b", "b"]


def test_following_goes_on_where_the_past_ended() -> None:
    recording = formats.Recording("a", np.arange(10.0) * 60, {"load_1m": np.arange(10.0)}, {})
    past, rest = formats.cut(recording, None, 240, following=True)
    assert list(past.gauges["load_1m"]) == [0, 1, 2, 3]
    assert list(rest.gauges["load_1m"]) == [4, 5, 6, 7, 8, 9]
    past, rest = formats.cut(recording, None, 240, following=False)
    assert list(past.gauges["load_1m"]) == [6, 7, 8, 9]
    assert len(rest) == 0
    past, rest = formats.cut(recording, 120, 240, following=True)
    assert list(past.gauges["load_1m"]) == [2, 3, 4, 5]
    assert list(rest.gauges["load_1m"]) == [6, 7, 8, 9]


def test_following_pushes_the_rows_of_all_servers_together_and_keeps_what_fails(
    door: str, monkeypatch: pytest.MonkeyPatch, capsys: pytest.CaptureFixture[str]
) -> None:
    now = time.time()
    a = formats.Recording("a", np.array([now, now + 60]), {"load_1m": np.array([1.0, 2.0])}, {})
    b = formats.Recording("b", np.array([now]), {"load_1m": np.array([3.0])}, {})
    monkeypatch.setattr(time, "sleep", lambda _: None)
    replay.follow(door, "key", [a, b])
    assert [[s["server"] for s in body["servers"]] for body in Door.taken] == [["a", "b"], ["a"]]
    Door.taken.clear()
    answers = iter([formats.Unusable("away")])
    real = replay.post

    def first_fails(*arguments: Any) -> dict[str, Any]:
        for fault in answers:
            raise fault
        return real(*arguments)

    monkeypatch.setattr(replay, "post", first_fails)
    replay.follow(door, "key", [a, b])
    assert [[s["server"] for s in body["servers"]] for body in Door.taken] == [["a", "b", "a"]]
    assert "not delivered" in capsys.readouterr().out


@pytest.mark.parametrize(
    ("text", "complaint"),
    [
        ("", "no rows"),
        ("load_1m\n1\n", "no column `time`"),
        ("time,lood\n1,1\n", "'lood' is not a series"),
        ("time,load_1m\nyesterday,1\n", "yesterday"),
        ("time,load_1m\n1,high\n", "high"),
    ],
)
def test_an_unusable_file_is_named_with_the_reason(
    tmp_path: Path, text: str, complaint: str, capsys: pytest.CaptureFixture[str]
) -> None:
    path = write(tmp_path / "odd.csv", text)
    assert run("http://127.0.0.1:1", path) == 1
    out = capsys.readouterr().out
    assert str(path) in out
    assert complaint in out


def test_other_mistakes_are_named_too(door: str, tmp_path: Path, capsys: pytest.CaptureFixture[str]) -> None:
    np.savez(tmp_path / "odd.npz", test=np.zeros((3, 5)))
    for arguments, complaint in (
        ((tmp_path / "gone.csv",), "No such file"),
        ((tmp_path / "odd.npz",), "is not (n, 38)"),
        ((ROOT / "serverless.yml",), "neither .csv nor .npz"),
        ((HOST, HOST), "several files"),
        ((HOST, "--servers", "x"), "no server named x"),
        ((HOST, "--start", "9999"), "is over after"),
    ):
        assert run(door, *arguments) == 1
        assert complaint in capsys.readouterr().out
    assert run(door, HOST, token="other") == 1
    assert "401" in capsys.readouterr().out
    assert run("http://127.0.0.1:1", HOST) == 1
    assert "127.0.0.1:1" in capsys.readouterr().out
    assert Door.taken == []
