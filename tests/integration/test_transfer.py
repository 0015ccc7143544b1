"""History from one whole stack into another that is empty, by the command a person types."""

import json
import subprocess
import sys
import time
from pathlib import Path

import pytest

import run
from infra.local.process import free_port
from tests.live import CHECKOUT, PATIENCE_S, LiveStack


def transfer(stack: LiveStack, *arguments: str) -> subprocess.CompletedProcess[str]:
    """Run it with the credentials that the stack has left in its data folder."""
    env = {**stack.env, "OPENMANAGER_DATA": str(stack.data)}
    argv = [sys.executable, "-m", "infra.transfer", *arguments]
    return subprocess.run(argv, env=env, cwd=CHECKOUT, capture_output=True, text=True, timeout=PATIENCE_S)


def samples(stack: LiveStack, server: str, span: str) -> list[tuple[int, dict[str, float]]]:
    found, cursor = [], ""
    while True:
        status, body = stack.ask(f"/api/servers/{server}/samples?{span}{cursor}")
        assert status == 200, body
        page = json.loads(body)
        for time_ms, row in zip(page["times"], page["values"], strict=True):
            found.append((time_ms, {n: v for n, v in zip(page["series"], row, strict=True) if v is not None}))
        if page["next"] is None:
            return found
        cursor = f"&cursor={page['next']}"


def test_history_from_one_system_into_an_empty_one_is_identical(live_gateway: LiveStack, tmp_path: Path) -> None:
    now = time.time()
    sent = [
        {
            "time": round(now - 26 * 3600 + i * 240 + 0.125, 3),
            "metrics": {"cpu_utilization": i % 101 + 0.1, "load_1m": 0.07 * i, "filesystem_utilization/var": 50.5}
            if i % 3
            else {"cpu_utilization": 5},
            "counters": {"network_receive_bytes/eth0": 98765432109876 + 1000 * i, "disk_queue/sda": i / 8},
        }
        for i in range(390)
    ]
    about = {"server": "moved", "role": "web", "hostname": "moved.example", "labels": {"rack": "b4"}}
    status, body = live_gateway.ask("/api/ingest", "POST", json.dumps({**about, "samples": sent}).encode())
    assert (status, json.loads(body)["rejected"]) == (200, [])
    out = transfer(live_gateway, "export", str(tmp_path / "out"), "--server", "moved")
    assert out.returncode == 0, out.stdout + out.stderr
    other = LiveStack(tmp_path / "other", free_port())
    (tmp_path / "other").mkdir()
    other.start()
    try:
        back = transfer(other, "import", str(tmp_path / "out"))
        assert back.returncode == 0, back.stdout + back.stderr
        span = f"from={now - 30 * 3600:.0f}&to={now + 60:.0f}"
        there = samples(other, "moved", span)
        assert len(there) == len(sent)
        assert there == samples(live_gateway, "moved", span)
        attributes = [
            json.loads(stack.ask(f"/api/servers/moved/samples?{span}")[1])["attributes"]
            for stack in (live_gateway, other)
        ]
        assert attributes[0] == attributes[1]
    finally:
        other.stop()


@pytest.mark.parametrize("command", ["export", "import"])
def test_run_py_passes_the_command_on(command: str, monkeypatch: pytest.MonkeyPatch) -> None:
    became: list[tuple[str, ...]] = []
    monkeypatch.setattr(run.Venv, "ready", lambda _: None)
    monkeypatch.setattr(run.Venv, "become", lambda _, *argv: became.append(argv))
    run.main(command, "folder", "--server", "web-01")
    assert became[0] == ("-m", "infra.command", command, "folder", "--server", "web-01")
