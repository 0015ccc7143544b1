"""The agent: its names are the catalogue's, it loses nothing while the server is away, and it stops when told to."""

import ast
import json
import logging
import os
import signal
import subprocess
import sys
import threading
import time
from collections.abc import Iterator
from email.utils import formatdate
from itertools import chain
from pathlib import Path
from typing import Any

import numpy as np
import psutil
import pytest
from openmanager.catalog import COLUMN, METRIC, PARTS, part_of
from openmanager.sources import native
from openmanager.suppliers import IGNORED_DEVICES
from openmanager.telemetry.fold import fold

from infra.agents import openmanager_agent as agent
from tests.sink import OK, Sink

SOURCE = Path(agent.__file__)


@pytest.fixture
def sink() -> Iterator[Sink]:
    server = Sink(OK)
    yield server
    server.close()


def sender_to(sink: Sink, samples: int = 1) -> agent.Sender:
    spool = agent.Spool()
    for i in range(samples):
        spool.add({"time": i})
    return agent.Sender(agent.Door(sink.url, "secret", {"server": "web-01"}), spool, threading.Event())


# What it reads


def test_it_imports_nothing_but_the_standard_library_and_psutil() -> None:
    tree = ast.parse(SOURCE.read_text())
    imported = {
        name.split(".")[0]
        for node in ast.walk(tree)
        for name in (
            [alias.name for alias in node.names]
            if isinstance(node, ast.Import)
            else [node.module or ""]
            if isinstance(node, ast.ImportFrom)
            else []
        )
    }
    assert imported - set(sys.stdlib_module_names) == {"psutil"}


def test_its_names_and_precisions_are_the_catalogues() -> None:
    assert {key: METRIC[key].decimals for key in agent.GAUGES} == agent.GAUGES
    assert {key: PARTS[f"{key}_total"].decimals for key in agent.DISK_COUNTERS} == agent.DISK_COUNTERS
    assert all(PARTS[f"{key}_total"].decimals <= 0 for key in agent.NETWORK_COUNTERS)
    assert IGNORED_DEVICES["disk"] == agent.IGNORED_DISKS
    assert IGNORED_DEVICES["network"] == agent.IGNORED_NETWORKS


@pytest.mark.skipif(sys.platform != "linux", reason="the complete set of metrics is read on Linux only")
def test_two_readings_make_every_metric_it_promises() -> None:
    samples = [{"time": 1_700_000_000 + 10 * i, **agent.read_sample()} for i in range(2)]
    body = json.dumps({"server": "here", "samples": samples}).encode()
    parsed = native.parse(body, 1_700_000_000_000)
    assert parsed.rejected == []
    table = parsed.pushes[0].samples
    series = {
        name: values[1:] if part_of(name).kind == "gauge" else np.diff(values) / 10
        for name, values in zip(table.series, table.values.T, strict=True)
    }
    out = fold(series, table.times[1:])[0]
    missing = {key for key, i in COLUMN.items() if np.isnan(out[i])} - {"response_time"}
    has_disk = any(name.startswith("disk_") for name in table.series)
    has_network = any(name.startswith("network_") for name in table.series)
    assert {key for key in missing if has_disk or not key.startswith("disk_")} <= (
        set() if has_network else {key for key in COLUMN if key.startswith("network_")}
    )
    assert abs(out[COLUMN["load_1m"]] - os.getloadavg()[0]) < 1


def test_tcp_counts_come_from_the_kernel(tmp_path: Path) -> None:
    (tmp_path / "snmp").write_text(
        "Ip: Forwarding\nIp: 1\nTcp: RtoMin CurrEstab InSegs\nTcp: 200 17 9\nUdp: InDatagrams\nUdp: 4\n"
    )
    (tmp_path / "sockstat").write_text("sockets: used 30\nTCP: inuse 3 orphan 0 tw 41 alloc 9 mem 1\nUDP: inuse 2\n")
    assert agent.read_tcp(tmp_path) == {"tcp_established": 17, "tcp_time_wait": 41}
    assert agent.read_tcp(tmp_path / "nowhere") == {}


def test_queued_time_is_read_for_each_disk(tmp_path: Path) -> None:
    stats = tmp_path / "diskstats"
    stats.write_text("   8   0 sda 1 2 3 4 5 6 7 8 0 70488 1017611 1 2 3\n   8   1 sda1 short\n")
    assert agent.read_weighted_time(stats) == {"sda": 1017611}


def test_a_reading_that_fails_costs_only_itself(
    monkeypatch: pytest.MonkeyPatch, caplog: pytest.LogCaptureFixture
) -> None:
    def broken(*_: Any, **__: Any) -> None:
        raise PermissionError("no /proc here")

    agent.log_once.cache_clear()
    monkeypatch.setattr(psutil, "virtual_memory", broken)
    for _ in range(2):
        sample = agent.read_sample()
    assert "memory_used" not in sample["metrics"]
    assert "load_1m" in sample["metrics"]
    assert [r.getMessage() for r in caplog.records] == [
        "cannot read everything: read_memory: PermissionError('no /proc here')"
    ]


# What it keeps


def test_the_spool_is_bounded_and_drops_the_oldest() -> None:
    spool = agent.Spool(limit=100)
    for i in range(20):
        spool.add({"time": i})
    _, lines = spool.oldest(100)
    assert sum(map(len, lines)) <= 100
    assert json.loads(lines[-1]) == {"time": 19}
    assert spool.dropped == 20 - len(lines) > 0


def test_the_spool_survives_a_restart_and_a_write_cut_short(tmp_path: Path) -> None:
    path = tmp_path / "new" / "web-01.jsonl"
    spool = agent.Spool(path=path)
    for i in range(3):
        spool.add({"time": i})
        spool.save()
    with path.open("ab") as file:
        file.write(b'{"time":3,"metr')
    again = agent.Spool(path=path)
    assert [json.loads(line)["time"] for line in again.oldest(9)[1]] == [0, 1, 2]
    again.add({"time": 4})
    again.save()
    assert [json.loads(line)["time"] for line in agent.Spool(path=path).oldest(9)[1]] == [0, 1, 2, 4]


def test_the_spool_file_is_bounded_and_empty_once_all_is_delivered(tmp_path: Path) -> None:
    path = tmp_path / "web-01.jsonl"
    spool = agent.Spool(limit=100, path=path)
    for i in range(50):
        spool.add({"time": i})
        spool.save()
        assert path.stat().st_size <= 100
    mark, lines = spool.oldest(2)
    spool.forget(mark)
    assert path.stat().st_size > 0
    spool.forget(spool.oldest(99)[0])
    assert path.stat().st_size == 0
    assert len(lines) == 2


def test_samples_dropped_while_a_batch_is_under_way_do_not_take_newer_ones_along() -> None:
    spool = agent.Spool(limit=100)
    for i in range(5):
        spool.add({"time": i})
    mark, _ = spool.oldest(2)
    for i in range(5, 12):
        spool.add({"time": i})
    spool.forget(mark)
    assert json.loads(spool.oldest(1)[1][0])["time"] > 1
    assert json.loads(spool.oldest(99)[1][-1])["time"] == 11


def test_an_unwritable_spool_folder_is_no_end(tmp_path: Path, caplog: pytest.LogCaptureFixture) -> None:
    (tmp_path / "file").write_text("")
    spool = agent.Spool(path=tmp_path / "file" / "web-01.jsonl")
    spool.add({"time": 1})
    spool.save()
    assert len(spool) == 1
    assert "cannot write the spool" in caplog.text


# What it sends


def test_a_push_carries_the_token_and_who_it_is(sink: Sink) -> None:
    sender = sender_to(sink, 2)
    assert sender.step() is None
    assert sink.bodies == [{"server": "web-01", "samples": [{"time": 0}, {"time": 1}]}]
    assert sink.headers[0]["path"] == "/api/ingest"
    assert sink.headers[0]["Authorization"] == "Bearer secret"
    assert not sender.spool
    assert sender.next_push_s == 60


def test_the_backlog_goes_oldest_first_in_bounded_batches(sink: Sink) -> None:
    sender = sender_to(sink, 250)
    while sender.spool:
        sender.step()
    assert [len(times) for times in sink.times] == [100, 100, 50]
    assert list(chain.from_iterable(sink.times)) == list(range(250))


@pytest.mark.parametrize(
    ("status", "headers", "kept", "wait_s"),
    [
        (400, {}, False, None),
        (404, {}, False, None),
        (415, {}, False, None),
        (401, {}, True, 0),
        (403, {}, True, 0),
        (408, {}, True, 0),
        (429, {"Retry-After": "7"}, True, 7),
        (503, {"Retry-After": "30"}, True, 30),
        (503, {"Retry-After": "999999"}, True, 900),
        (503, {"Retry-After": "soon"}, True, 0),
        (500, {}, True, 0),
        (302, {"Location": "/elsewhere"}, True, 0),
    ],
)
def test_what_an_answer_means(
    sink: Sink, status: int, headers: dict[str, str], kept: bool, wait_s: float | None
) -> None:
    sink.script = [(status, headers, {"title": "t", "detail": "samples[0].time: is not a time"})]
    sender = sender_to(sink)
    assert sender.step() == wait_s
    assert len(sender.spool) == kept
    assert len(sink.bodies) == 1


def test_retry_after_may_be_a_date() -> None:
    assert agent.retry_after(formatdate(1_700_000_060, usegmt=True), 1_700_000_000) == 60
    assert agent.retry_after("Mon, 01 Jan 2001 00:00:00 GMT", 1_700_000_000) == 0


def test_a_batch_that_is_too_large_is_halved_until_it_fits(sink: Sink) -> None:
    sink.script = [(413, {}, b""), (413, {}, b""), OK]
    sender = sender_to(sink, 8)
    while sender.spool:
        assert sender.step() is None
    assert [len(times) for times in sink.times] == [8, 4, 2, 2, 2, 2]


def test_a_single_sample_that_is_too_large_is_dropped(sink: Sink) -> None:
    sink.script = [(413, {}, b"")]
    sender = sender_to(sink, 1)
    assert sender.step() is None
    assert not sender.spool


@pytest.mark.parametrize("answer", [b"", b"<html>", b"[]", b'{"next_push_s": "soon"}', b'{"next_push_s": -5}'])
def test_an_odd_answer_to_a_delivered_batch_is_still_a_delivery(sink: Sink, answer: bytes) -> None:
    sink.script = [(200, {}, answer)]
    sender = sender_to(sink)
    assert sender.step() is None
    assert not sender.spool
    assert sender.next_push_s == 0


def test_each_change_of_state_is_logged_once(sink: Sink, caplog: pytest.LogCaptureFixture) -> None:
    caplog.set_level(logging.INFO)
    sink.script = [OK, OK, (503, {}, {"detail": "stores are away"}), (503, {}, b""), OK]
    sender = sender_to(sink, 500)
    for _ in range(6):
        sender.step()
    assert [r.getMessage() for r in caplog.records] == [
        f"delivering to {sink.url}/api/ingest",
        "cannot deliver, keeping samples: HTTP 503 stores are away",
        f"delivering to {sink.url}/api/ingest",
    ]


def test_a_server_that_is_not_there_costs_nothing(tmp_path: Path) -> None:
    sink = Sink(OK)
    sink.close()
    spool = agent.Spool(path=tmp_path / "web-01.jsonl")
    spool.add({"time": 1})
    sender = agent.Sender(agent.Door(sink.url, "secret", {"server": "web-01"}), spool, threading.Event())
    assert sender.step() == 0
    assert len(agent.Spool(path=tmp_path / "web-01.jsonl")) == 1


def test_patience_grows_to_a_minute_and_obeys_the_server() -> None:
    assert all(1 <= agent.patience(1, 0) <= 2 for _ in range(50))
    assert all(30 <= agent.patience(9999, 0) <= 60 for _ in range(50))
    assert agent.patience(1, 700) == 700


# What time it is


class Ticks:
    """Steady seconds that go on only when told to."""

    def __init__(self) -> None:
        self.now = 5000.0

    def __call__(self) -> float:
        return self.now


def clock_off_by(seconds: float, ticks: Ticks) -> agent.Clock:
    """The clock of a machine that is wrong by so much; the right time is 1700000000."""
    return agent.Clock(wall=lambda: 1_700_000_000 + seconds, ticks=ticks)


def right(clock: agent.Clock, ticks: Ticks) -> float:
    return clock.at(ticks.now) - 1_700_000_000


DATE = formatdate(1_700_000_000, usegmt=True)  # the answer was written at some moment of this second


@pytest.mark.parametrize("seconds", [-86_400, -3600, -10, 10, 3600, 86_400 * 365])
def test_a_wrong_clock_is_set_right_by_the_first_answer(seconds: float, caplog: pytest.LogCaptureFixture) -> None:
    ticks = Ticks()
    clock = clock_off_by(seconds, ticks)
    assert clock.calibrate(DATE, ticks.now - 0.2, ticks.now + 0.2)
    assert abs(right(clock, ticks)) <= 0.5
    # Said once, whatever comes after:
    assert clock.calibrate(formatdate(1_700_000_100, usegmt=True), ticks.now, ticks.now)
    assert len(caplog.records) == 1
    assert f"{abs(seconds) - (0.5 if seconds > 0 else -0.5):.0f} s" in caplog.text


@pytest.mark.parametrize("seconds", [-2.4, 0, 0.9, 3.4])
def test_a_clock_that_is_right_but_for_jitter_is_left_alone(seconds: float, caplog: pytest.LogCaptureFixture) -> None:
    ticks = Ticks()
    clock = clock_off_by(seconds, ticks)
    assert not clock.calibrate(DATE, ticks.now, ticks.now)
    assert right(clock, ticks) == pytest.approx(seconds)
    assert not caplog.records


def test_a_slow_answer_proves_no_more_than_its_round_trip_allows() -> None:
    ticks = Ticks()
    clock = clock_off_by(8, ticks)
    assert not clock.calibrate(DATE, ticks.now - 6, ticks.now + 6)
    assert clock.calibrate(DATE, ticks.now, ticks.now)


@pytest.mark.parametrize("date", [None, "", "yesterday", "Mon, 23 Nov 99999 00:00:00 GMT"])
def test_an_answer_without_a_usable_date_changes_nothing(date: str | None) -> None:
    ticks = Ticks()
    clock = clock_off_by(3600, ticks)
    assert not clock.calibrate(date, ticks.now, ticks.now)
    assert right(clock, ticks) == pytest.approx(3600)


def test_samples_read_before_the_first_answer_are_sent_with_the_right_time(sink: Sink) -> None:
    sink.now_s = lambda: 1_700_000_000.5
    ticks = Ticks()
    clock = clock_off_by(-7200, ticks)
    spool = agent.Spool(clock=clock)
    for _ in range(3):
        spool.add({"metrics": {"load_1m": 1}})
        ticks.now += 15
    sender = agent.Sender(agent.Door(sink.url, "secret", {"server": "web-01"}, clock), spool, threading.Event())
    assert sender.step() is None
    assert sink.times == [[1_699_999_955.5, 1_699_999_970.5, 1_699_999_985.5]]


def test_a_clock_that_is_set_while_the_agent_runs_moves_no_sample(sink: Sink) -> None:
    now = 1_700_000_000.0
    ticks = Ticks()
    clock = agent.Clock(wall=lambda: now, ticks=ticks)
    spool = agent.Spool(clock=clock)
    spool.add({})
    now += 3600
    ticks.now += 15
    spool.add({})
    assert [json.loads(line)["time"] for line in spool.oldest(9)[1]] == [1_700_000_000, 1_700_000_015]


def test_times_already_on_disk_are_set_right_too(sink: Sink, tmp_path: Path) -> None:
    sink.now_s = lambda: 1_700_000_000.5
    sink.script = [(503, {}, b"")]
    ticks = Ticks()
    clock = clock_off_by(-7200, ticks)
    path = tmp_path / "web-01.jsonl"
    spool = agent.Spool(path=path, clock=clock)
    spool.add({})
    spool.save()
    assert json.loads(path.read_text())["time"] == 1_699_992_800
    sender = agent.Sender(agent.Door(sink.url, "secret", {"server": "web-01"}, clock), spool, threading.Event())
    assert sender.step() == 0
    assert json.loads(path.read_text())["time"] == 1_700_000_000.5


def test_a_refused_token_is_known_before_the_first_sample_goes(sink: Sink) -> None:
    sink.script, sink.lenient = [(401, {}, b"")], False
    sender = sender_to(sink)
    assert sender.step() == 0
    assert sink.bodies == [{"server": "web-01", "samples": []}]
    assert len(sender.spool) == 1


def test_a_door_that_refuses_the_question_gets_the_samples_all_the_same(sink: Sink) -> None:
    sink.script, sink.lenient = [(400, {}, b""), OK], False
    sender = sender_to(sink)
    assert sender.step() is None
    assert len(sender.spool) == 1
    assert sender.step() is None
    assert sink.times == [[], [0]]


# How it runs


def test_it_pushes_at_the_pace_the_server_asks_for(sink: Sink, monkeypatch: pytest.MonkeyPatch) -> None:
    sink.script = [(200, {}, {"next_push_s": 3600})]
    stop, count = threading.Event(), 0
    sender = sender_to(sink, 0)
    sender.stop = stop

    def reading() -> dict[str, Any]:
        nonlocal count
        count += 1
        if count == 2:  # the first answer must be there before the pace can count
            assert sink.arrived.wait(10)
            while sender.next_push_s == 0:
                time.sleep(0.001)
        if count == 6:
            stop.set()
        return {"time": count}

    monkeypatch.setattr(agent, "read_sample", reading)
    assert agent.run(sender, sender.spool, stop, 0.01) == 0
    # One push for the first sample, one at the end for all that had been gathered.
    assert sink.times in ([[1], [2, 3, 4, 5, 6]], [[1]])


def test_it_ends_when_its_sender_has_died(sink: Sink, monkeypatch: pytest.MonkeyPatch) -> None:
    sender = sender_to(sink, 0)
    monkeypatch.setattr(sender, "start", lambda: None)
    assert agent.run(sender, sender.spool, threading.Event(), 0.01) == 1


def environment(sink: Sink, **more: str) -> dict[str, str]:
    return {**os.environ, "OPENMANAGER_URL": sink.url, "OPENMANAGER_TOKEN": "t", "OPENMANAGER_SERVER": "me", **more}


def test_sigterm_ends_it_at_once_even_while_a_push_hangs_and_loses_nothing(sink: Sink, tmp_path: Path) -> None:
    sink.hold.clear()
    process = subprocess.Popen(
        [sys.executable, str(SOURCE), "--interval", "3600"],
        env=environment(sink, OPENMANAGER_AGENT_SPOOL=str(tmp_path)),
        stderr=subprocess.PIPE,
    )
    try:
        assert sink.arrived.wait(20)
        process.send_signal(signal.SIGTERM)
        # It does not wait for the push, which would be given up after that time only.
        assert process.wait(agent.TIMEOUT_S) == 0
    finally:
        process.kill()
        process.communicate()
    assert len(agent.Spool(path=tmp_path / "me.jsonl")) == 1


def test_once_says_by_its_exit_code_whether_it_delivered(sink: Sink, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr(signal, "signal", lambda *_: None)  # the handlers of the test run stay as they are
    for key, value in environment(sink).items():
        monkeypatch.setenv(key, value)
    assert agent.main(["--once", "--role", "web", "--label", "rack=b4"]) == 0
    assert {k: v for k, v in sink.bodies[0].items() if k not in ("samples", "hostname")} == {
        "server": "me",
        "role": "web",
        "labels": {"rack": "b4"},
    }
    sink.script = [(503, {}, b"")]
    assert agent.main(["--once"]) == 1


@pytest.mark.parametrize(
    ("arguments", "complaint"),
    [
        (["--url", "om.example.com"], "--url"),
        (["--token", ""], "--token"),
        (["--token", "a\nb"], "--token"),
        (["--interval", "0"], "--interval"),
        (["--interval", "often"], "--interval"),
        (["--label", "rack"], "--label"),
        (["--server", "a b"], "--server"),
    ],
)
def test_mistakes_are_named_before_anything_runs(
    arguments: list[str], complaint: str, capsys: pytest.CaptureFixture[str]
) -> None:
    env = {"OPENMANAGER_URL": "http://127.0.0.1", "OPENMANAGER_TOKEN": "t"}
    with pytest.raises(SystemExit) as ended:
        agent.options(arguments, env)
    assert ended.value.code == 2
    assert complaint in capsys.readouterr().err


def test_options_come_from_the_environment_too() -> None:
    chosen = agent.options(
        [],
        {
            "OPENMANAGER_URL": "http://x",
            "OPENMANAGER_TOKEN": "t",
            "OPENMANAGER_INTERVAL": "5",
            "OPENMANAGER_ROLE": "web",
            "OPENMANAGER_LABELS": "a=b,c=d=e",
            "OPENMANAGER_AGENT_SPOOL": "/var/spool/om",
            "OPENMANAGER_SERVER": "s",
        },
    )
    assert (chosen.interval, chosen.role, chosen.label, chosen.spool) == (5, "web", ["a=b", "c=d=e"], "/var/spool/om")
