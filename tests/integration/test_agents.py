"""The agents as programs: under every shell that is here, against a scripted server and against the real one."""

import contextlib
import json
import os
import re
import shutil
import signal
import subprocess
import sys
import time
from collections.abc import Callable, Iterator, Mapping
from pathlib import Path
from typing import Any

import psutil
import pytest
from openmanager.sources import native
from openmanager.suppliers import IGNORED_DEVICES

from tests.live import PATIENCE_S, LiveStack
from tests.sink import OK, Sink

AGENTS = Path(__file__).parents[2] / "infra" / "agents"
SHELL_AGENT = AGENTS / "openmanager-agent.sh"
PYTHON_AGENT = AGENTS / "openmanager_agent.py"
# The same shell under two names is tried once.
CANDIDATES = (("sh",), ("dash",), ("busybox", "sh"), ("bash", "--posix"))
SHELLS = {
    str(Path(program).resolve()) + " ".join(rest): (program, *rest)
    for name, *rest in CANDIDATES
    if (program := shutil.which(name))
}

linux_with_curl = pytest.mark.skipif(
    sys.platform != "linux" or not shutil.which("curl"), reason="the shell agent needs Linux and curl"
)


@pytest.fixture
def sink() -> Iterator[Sink]:
    server = Sink(OK)
    yield server
    server.close()


@pytest.fixture(params=SHELLS.values(), ids=" ".join)
def shell(request: pytest.FixtureRequest) -> tuple[str, ...]:
    found: tuple[str, ...] = request.param
    return found


def environment(url: str, folder: Path, **more: str) -> dict[str, str]:
    clean = {k: v for k, v in os.environ.items() if not k.startswith("OPENMANAGER")}
    (folder / "tmp").mkdir(exist_ok=True)
    return {
        **clean,
        "TMPDIR": str(folder / "tmp"),
        "OPENMANAGER_URL": url,
        "OPENMANAGER_TOKEN": "t0p-s3cret",
        "OPENMANAGER_SERVER": "me",
        **more,
    }


def once(shell: tuple[str, ...], env: Mapping[str, str], *arguments: str) -> subprocess.CompletedProcess[str]:
    argv = [*shell, str(SHELL_AGENT), "--once", *arguments]
    here = Path(env["TMPDIR"]).parent / "here"
    here.mkdir(exist_ok=True)
    done = subprocess.run(argv, env=env, cwd=here, capture_output=True, text=True, timeout=PATIENCE_S)
    assert [*Path(env["TMPDIR"]).iterdir(), *here.iterdir()] == [], "it left something behind"
    return done


def wait_for(condition: Callable[[], object], what: str) -> None:
    give_up = time.monotonic() + PATIENCE_S
    while not condition():
        assert time.monotonic() < give_up, what
        time.sleep(0.02)


def shadow(folder: Path, name: str, script: str) -> str:
    """A PATH on which a program is another one."""
    folder.mkdir(exist_ok=True)
    (folder / name).write_text(f"#!/bin/sh\n{script}\n")
    (folder / name).chmod(0o755)
    return f"{folder}{os.pathsep}{os.environ['PATH']}"


@linux_with_curl
class TestShell:
    def test_one_sample_is_what_the_catalogue_takes_and_the_kernel_says(
        self, shell: tuple[str, ...], sink: Sink, tmp_path: Path
    ) -> None:
        assert once(shell, environment(sink.url, tmp_path)).returncode == 0
        body = sink.bodies[0]
        parsed = native.parse(json.dumps(body).encode(), int(time.time() * 1000))
        assert parsed.rejected == []
        sample = body["samples"][0]
        memory, network = psutil.virtual_memory(), psutil.net_io_counters(pernic=True, nowrap=False)
        assert sample["metrics"]["memory_used_effective"] == pytest.approx(memory.percent, abs=5)
        assert sample["metrics"]["memory_used"] == pytest.approx(100 - 100 * memory.free / memory.total, abs=5)
        assert sample["metrics"]["swap_utilization"] == pytest.approx(psutil.swap_memory().percent, abs=2)
        assert sample["metrics"]["filesystem_utilization"] >= psutil.disk_usage("/").percent - 1
        assert abs(sample["time"] - time.time()) < PATIENCE_S
        idle = psutil.cpu_times().idle / psutil.cpu_count()
        assert sample["counters"]["cpu_idle"] == pytest.approx(idle, abs=PATIENCE_S)
        for name, now in network.items():
            if not name.startswith(IGNORED_DEVICES["network"]):
                assert 0 <= sample["counters"][f"network_receive_bytes/{name}"] <= now.bytes_recv
        for name, disk in psutil.disk_io_counters(perdisk=True, nowrap=False).items():
            if f"disk_reads/{name}" in sample["counters"]:
                assert sample["counters"][f"disk_read_bytes/{name}"] <= disk.read_bytes
                assert sample["counters"][f"disk_busy/{name}"] <= disk.busy_time / 10

    def test_it_reads_an_old_kernel_and_leaves_out_what_is_not_there(
        self, shell: tuple[str, ...], sink: Sink, tmp_path: Path
    ) -> None:
        proc, blocks = tmp_path / "proc", tmp_path / "block"
        (proc / "net").mkdir(parents=True)
        (proc / "1").mkdir()
        (blocks / "sda").mkdir(parents=True)
        (proc / "stat").write_text("cpu  9 9 9 40000 800 9\ncpu0 1 1 1 20000 400\ncpu1 1 1 1 20000 400\nintr 5\n")
        (proc / "meminfo").write_text(
            "MemTotal: 1000 kB\nMemFree: 200 kB\nBuffers: 50 kB\nCached: 150 kB\nSwapTotal: 400 kB\nSwapFree: 100 kB\n"
        )
        # Byte counts beyond 32 bits, no blank after the colon, and names that are not to be read:
        (proc / "net" / "dev").write_text(
            "Inter-| Receive | Transmit\n face |bytes packets errs\n"
            "    lo: 1 1 1 0 0 0 0 0 1 1 1 0 0 0 0 0\n"
            "  eth0:98765432109876 7 1 0 0 0 0 0 12345678901234 8 2 0 0 0 0 0\n"
            'ev"il: 1 1 1 0 0 0 0 0 1 1 1 0 0 0 0 0\n'
        )
        (proc / "diskstats").write_text(
            "8 0 sda 10 0 99999999999 30 40 0 6 70 0 88 999\n"
            "8 1 sda1 1 0 2 3 4 0 6 7 0 8 9\n"
            "7 0 loop0 1 0 2 3 4 0 6 7 0 8 9\n"
        )
        env = environment(sink.url, tmp_path, OPENMANAGER_PROC=str(proc), OPENMANAGER_SYS_BLOCK=str(blocks))
        assert once(shell, env).returncode == 0
        sample = sink.bodies[0]["samples"][0]
        assert {k: v for k, v in sample["metrics"].items() if k != "filesystem_utilization"} == {
            "memory_used": 80.0,
            "memory_used_effective": 60.0,
            "swap_utilization": 75.0,
            "processes": 1,
        }
        assert sample["counters"] == {
            "cpu_idle": 200.0,
            "cpu_iowait": 4.0,
            "network_receive_bytes/eth0": 98765432109876,
            "network_receive_packets/eth0": 7,
            "network_receive_errors/eth0": 1,
            "network_transmit_bytes/eth0": 12345678901234,
            "network_transmit_packets/eth0": 8,
            "network_transmit_errors/eth0": 2,
            "disk_reads/sda": 10,
            "disk_read_bytes/sda": 99999999999 * 512,
            "disk_read_time/sda": 30,
            "disk_writes/sda": 40,
            "disk_write_bytes/sda": 6 * 512,
            "disk_write_time/sda": 70,
            "disk_busy/sda": 8.8,
            "disk_queue/sda": 0.999,
        }

    def test_odd_names_come_through_as_correct_json(self, shell: tuple[str, ...], sink: Sink, tmp_path: Path) -> None:
        path = shadow(tmp_path / "bin", "uname", """printf '%s\\n' '-we"ird\\h$(id)ost `id`'""")
        env = environment(sink.url, tmp_path, PATH=path, OPENMANAGER_LABELS="a=b,c=d=e", OPENMANAGER_SERVER="")
        done = once(shell, env, "--role", 'we"b\\', "--environment", "aws", "--label", "team=운영 'x' \"y\"\t$HOME")
        assert done.returncode == 0, done.stderr
        about = {k: v for k, v in sink.bodies[0].items() if k != "samples"}
        assert about == {
            "server": "we-ird-h--id-ost--id-",
            "hostname": '-we"ird\\h$(id)ost `id`',
            "role": 'we"b\\',
            "environment": "aws",
            "labels": {"a": "b", "c": "d=e", "team": "운영 'x' \"y\" $HOME"},
        }

    def test_the_key_is_on_no_command_line(self, sink: Sink, tmp_path: Path) -> None:
        seen = tmp_path / "seen"
        path = shadow(tmp_path / "bin", "curl", f'echo "$@" >>{seen}\nexec {shutil.which("curl")} "$@"')
        assert once(("sh",), environment(sink.url, tmp_path, PATH=path)).returncode == 0
        assert "t0p-s3cret" not in seen.read_text()
        assert sink.headers[0]["Authorization"] == "Bearer t0p-s3cret"

    @pytest.mark.parametrize(
        ("status", "headers", "kept"),
        [
            (400, {}, 0),
            (404, {}, 0),
            (401, {}, 1),
            (403, {}, 1),
            (429, {}, 1),
            (500, {}, 1),
            (503, {"Retry-After": "30"}, 1),
            (302, {"Location": "/elsewhere"}, 1),
        ],
    )
    def test_what_an_answer_means(
        self, shell: tuple[str, ...], sink: Sink, tmp_path: Path, status: int, headers: dict[str, str], kept: int
    ) -> None:
        sink.script = [(status, headers, {"title": "t", "detail": "samples[0].time: is not a time"})]
        env = environment(sink.url, tmp_path, OPENMANAGER_AGENT_SPOOL=str(tmp_path / "spool"))
        done = once(shell, env)
        assert (done.returncode, len(sink.bodies)) == (1 if kept else 0, 1)
        assert len((tmp_path / "spool" / "me.jsonl").read_text().splitlines()) == kept
        assert f"HTTP {status} samples[0].time: is not a time" in done.stderr

    def test_what_was_kept_goes_at_the_next_start_and_a_line_cut_short_does_no_harm(
        self, shell: tuple[str, ...], sink: Sink, tmp_path: Path
    ) -> None:
        env = environment(sink.url, tmp_path, OPENMANAGER_AGENT_SPOOL=str(tmp_path / "spool"))
        away = Sink(OK)
        away.close()
        assert once(shell, {**env, "OPENMANAGER_URL": away.url}).returncode == 1
        with (tmp_path / "spool" / "me.jsonl").open("a") as spool:
            spool.write('{"time":3,"metr')
        assert once(shell, env).returncode == 0
        assert [len(body["samples"]) for body in sink.bodies] == [2]
        assert (tmp_path / "spool" / "me.jsonl").read_text() == ""

    def test_a_full_spool_lets_the_oldest_go(self, shell: tuple[str, ...], sink: Sink, tmp_path: Path) -> None:
        spool = tmp_path / "spool" / "me.jsonl"
        spool.parent.mkdir()
        spool.write_text("".join(f'{{"time":{i},"metrics":{{"load_1m":1}}}}\n' for i in range(1, 1000)))
        env = environment(
            sink.url, tmp_path, OPENMANAGER_AGENT_SPOOL=str(spool.parent), OPENMANAGER_AGENT_SPOOL_BYTES="8000"
        )
        done = once(shell, env)
        assert done.returncode == 0
        times = [t for body in sink.times for t in body]
        assert times == sorted(times)
        assert times[-1] > 1_000_000  # the newest, read just now, is among them
        lost = 1000 - len(times)
        assert lost > 700
        assert f"{lost} samples did not fit in the spool" in done.stderr

    def test_a_backlog_goes_in_batches_that_are_halved_where_they_are_too_large(
        self, shell: tuple[str, ...], sink: Sink, tmp_path: Path
    ) -> None:
        sink.script = [(413, {}, b""), (413, {}, b""), OK]
        spool = tmp_path / "spool" / "me.jsonl"
        spool.parent.mkdir()
        spool.write_text("".join(f'{{"time":{i},"metrics":{{"load_1m":1}}}}\n' for i in range(1, 100)))
        assert once(shell, environment(sink.url, tmp_path, OPENMANAGER_AGENT_SPOOL=str(spool.parent))).returncode == 0
        assert [len(times) for times in sink.times] == [100, 50, 25, 25, 25, 25]

    @pytest.mark.parametrize("told", [os.kill, os.killpg], ids=["alone", "with all it started"])
    def test_it_pushes_at_the_servers_pace_and_ends_at_once_when_told_to(
        self, shell: tuple[str, ...], told: Callable[[int, int], None], sink: Sink, tmp_path: Path
    ) -> None:
        sink.script = [(200, {}, {"next_push_s": 3600})]
        argv = [*shell, str(SHELL_AGENT), "--interval", "1"]
        spool = tmp_path / "spool" / "me.jsonl"
        env = environment(sink.url, tmp_path, OPENMANAGER_AGENT_SPOOL=str(spool.parent))
        process = subprocess.Popen(argv, env=env, stderr=subprocess.PIPE, text=True, start_new_session=True)
        try:
            assert sink.arrived.wait(PATIENCE_S)
            wait_for(lambda: len(spool.read_text().splitlines()) >= 2, "it does not go on sampling")
            children = psutil.Process(process.pid).children(recursive=True)
            told(process.pid, signal.SIGTERM)
            assert process.wait(PATIENCE_S) == 0
        finally:
            process.kill()
            _, said = process.communicate()
        # Some shells write down that a program of theirs, which was told too, ended.
        assert all(" INFO " in line or "Terminated" in line for line in said.splitlines()), said
        # One push for the first sample, one at the end for all that had been gathered.
        assert [len(times) for times in sink.times[:1]] == [1]
        assert len(sink.times) == 2, said
        assert spool.read_text() == ""
        wait_for(lambda: not any(map(alive, children)), "it left children behind")
        assert list((tmp_path / "tmp").iterdir()) == []

    def test_it_stays_away_for_as_long_as_it_is_asked_to(
        self, shell: tuple[str, ...], sink: Sink, tmp_path: Path
    ) -> None:
        sink.script = [(503, {"Retry-After": "3600"}, b"")]
        spool = tmp_path / "spool" / "me.jsonl"
        env = environment(sink.url, tmp_path, OPENMANAGER_AGENT_SPOOL=str(spool.parent))
        argv = [*shell, str(SHELL_AGENT), "--interval", "1"]
        process = subprocess.Popen(argv, env=env, cwd=tmp_path, stderr=subprocess.PIPE)
        try:
            # Unasked, the second attempt would come after two seconds at most.
            wait_for(lambda: spool.exists() and len(spool.read_text().splitlines()) >= 5, "it does not go on sampling")
            process.send_signal(signal.SIGTERM)
            assert process.wait(PATIENCE_S) == 0
        finally:
            process.kill()
            process.communicate()
        assert len(sink.bodies) == 1
        assert len(spool.read_text().splitlines()) >= 5
        assert {path.name for path in tmp_path.iterdir()} == {"spool", "tmp"}

    def test_a_hanging_server_does_not_keep_it_from_ending(
        self, shell: tuple[str, ...], sink: Sink, tmp_path: Path
    ) -> None:
        sink.hold.clear()
        env = environment(sink.url, tmp_path, OPENMANAGER_AGENT_SPOOL=str(tmp_path / "spool"))
        process = subprocess.Popen([*shell, str(SHELL_AGENT)], env=env, stderr=subprocess.PIPE)
        try:
            assert sink.arrived.wait(PATIENCE_S)
            process.send_signal(signal.SIGTERM)
            assert process.wait(PATIENCE_S) == 0
        finally:
            process.kill()
            process.communicate()
        assert len((tmp_path / "spool" / "me.jsonl").read_text().splitlines()) == 1

    @pytest.mark.parametrize(
        ("arguments", "more", "complaint"),
        [
            (["--url", "om.example.com"], {}, "--url"),
            ([], {"OPENMANAGER_TOKEN": ""}, "OPENMANAGER_TOKEN"),
            ([], {"OPENMANAGER_TOKEN": 'a"b'}, "OPENMANAGER_TOKEN"),
            (["--interval", "0"], {}, "--interval"),
            (["--interval", "often"], {}, "--interval"),
            (["--interval"], {}, "--interval: needs a value"),
            (["--label", "rack"], {}, "--label"),
            (["--server", "a b"], {}, "--server"),
            (["--server", "a" * 129], {}, "--server"),
            (["--spool", "/proc/nowhere"], {}, "--spool"),
            (["--token", "x"], {}, "no such option"),
        ],
    )
    def test_mistakes_are_named_before_anything_runs(
        self, shell: tuple[str, ...], tmp_path: Path, arguments: list[str], more: dict[str, str], complaint: str
    ) -> None:
        done = once(shell, environment("http://127.0.0.1:9", tmp_path, **more), *arguments)
        assert done.returncode == 2
        assert complaint in done.stderr

    def test_help_names_every_option_and_needs_nothing(self, shell: tuple[str, ...], tmp_path: Path) -> None:
        done = once(shell, environment("", tmp_path), "--help")
        assert done.returncode == 0
        for option in ("url", "interval", "server", "role", "environment", "label", "spool", "once"):
            assert f"--{option}" in done.stdout

    def test_its_lists_are_the_catalogues(self) -> None:
        source = SHELL_AGENT.read_text()
        for kind, variable in (("disk", "IGNORED_DISKS"), ("network", "IGNORED_NETWORKS")):
            found = re.search(f"^{variable}='(.*)'$", source, re.MULTILINE)
            assert found
            assert tuple(found[1].split()) == IGNORED_DEVICES[kind]

    @pytest.mark.skipif(not shutil.which("shellcheck"), reason="needs the program shellcheck")
    def test_shellcheck_finds_nothing(self) -> None:
        done = subprocess.run(["shellcheck", "-s", "sh", str(SHELL_AGENT)], capture_output=True, text=True)
        assert done.stdout == ""


def alive(process: psutil.Process) -> bool:
    with contextlib.suppress(psutil.NoSuchProcess):
        return bool(process.is_running() and process.status() != psutil.STATUS_ZOMBIE)
    return False


@pytest.mark.skipif(not shutil.which("systemd-analyze"), reason="needs systemd-analyze")
def test_the_systemd_unit_is_one(tmp_path: Path) -> None:
    # The agent lies elsewhere here than the recipe puts it.
    unit = (AGENTS / "openmanager-agent.service").read_text()
    (tmp_path / "openmanager-agent.service").write_text(
        unit.replace("/usr/local/lib/openmanager/openmanager_agent.py", str(PYTHON_AGENT))
    )
    argv = ["systemd-analyze", "verify", "--man=no", str(tmp_path / "openmanager-agent.service")]
    done = subprocess.run(argv, capture_output=True, text=True)
    said = [line for line in done.stderr.splitlines() if "openmanager-agent" in line]
    assert (done.returncode, said) == (0, [])


AGENT_COMMANDS = {
    "python": [sys.executable, str(PYTHON_AGENT)],
    "shell": ["sh", str(SHELL_AGENT)],
}


@linux_with_curl
@pytest.mark.parametrize("kind", AGENT_COMMANDS)
def test_an_agent_shows_this_machine_as_it_is(live_gateway: LiveStack, tmp_path: Path, kind: str) -> None:
    name = f"{kind}-agent"
    env = environment(live_gateway.url, tmp_path, OPENMANAGER_TOKEN=live_gateway.token, OPENMANAGER_SERVER=name)
    process = subprocess.Popen(
        [*AGENT_COMMANDS[kind], "--interval", "1", "--role", "web"], env=env, stderr=subprocess.PIPE, text=True
    )
    wrong: dict[str, str] = {"server": "has not appeared"}
    try:
        give_up = time.monotonic() + PATIENCE_S
        while wrong and time.monotonic() < give_up:
            time.sleep(0.2)
            found = json.loads(live_gateway.ask("/api/servers")[1])["servers"]
            wrong = next((differences(s["metrics"]) for s in found if s["id"] == name), wrong)
    finally:
        process.terminate()
        _, said = process.communicate(timeout=PATIENCE_S)
    assert wrong == {}, said
    assert process.returncode == 0
    assert "left out" not in said


def differences(found: dict[str, Any]) -> dict[str, str]:
    """Where what we show is not what this machine says of itself in the same moment."""
    memory = psutil.virtual_memory()
    load = os.getloadavg()
    expected = {
        "memory_used": (100 * (memory.total - memory.free) / memory.total, 5.0),
        "memory_used_effective": (memory.percent, 5.0),
        "load_1m": (load[0], 0.3 + 0.2 * load[0]),
        "load_15m": (load[2], 0.1 + 0.1 * load[2]),
        "uptime": (time.time() - psutil.boot_time(), 30.0),
        "swap_utilization": (psutil.swap_memory().percent, 2.0),
        "cpu_utilization": (50.0, 50.0),
        "processes": (len(psutil.pids()), 40.0),
    }
    wrong = {
        key: f"{found.get(key)} is not {value:.2f} ± {tolerance:.2f}"
        for key, (value, tolerance) in expected.items()
        if not abs(found.get(key, float("nan")) - value) <= tolerance
    }
    has_disk = any(
        not disk.startswith(IGNORED_DEVICES["disk"]) and Path("/sys/block", disk).exists()
        for disk in psutil.disk_io_counters(perdisk=True) or {}
    )
    rates = ["tcp_established", "tcp_time_wait", "network_receive_bytes", "network_errors"]
    rates += ["disk_reads", "disk_write_bytes", "disk_busy", "disk_queue", "disk_wait", "disk_service_time"] * has_disk
    return wrong | {key: "is missing" for key in rates if not found.get(key, -1.0) >= 0}
