"""run.py, the first thing a newcomer calls: it says what it does, and what is missing."""

import importlib.util
import os
import subprocess
import sys
from pathlib import Path
from types import ModuleType

import pytest

from infra.command.table import COMMANDS

RUN = Path(__file__).parents[2] / "run.py"


@pytest.fixture
def run() -> ModuleType:
    spec = importlib.util.spec_from_file_location("run_py", RUN)
    assert spec is not None
    assert spec.loader is not None
    module = importlib.util.module_from_spec(spec)
    spec.loader.exec_module(module)
    return module


@pytest.fixture
def checkout(run: ModuleType, tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> Path:
    """run.py as if it stood in an empty folder with a lock file."""
    monkeypatch.setattr(run, "HERE", tmp_path)
    monkeypatch.setattr(run, "LOCK", tmp_path / "requirements.lock")
    (tmp_path / "requirements.lock").write_text("one==1 \\\n    --hash=sha256:00\n")
    return tmp_path


class Machine:
    """Stands for the programs that run.py calls."""

    def __init__(self, checkout: Path, failing: str = "") -> None:
        self.checkout, self.failing, self.called = checkout, failing, list[str]()

    def __call__(self, *argv: str) -> str:
        line = " ".join(argv)
        if self.failing and self.failing in line:
            return "no such thing"
        if argv[1] == "-c":
            return "" if Path(argv[0]).exists() else "not there"
        self.called.append(line)
        if "-m venv" in line:
            python = self.checkout / ".venv" / "bin" / "python"
            python.parent.mkdir(parents=True)
            python.touch()
        return ""


@pytest.mark.parametrize("program", [RUN, RUN.with_name("openmanager")])
def test_help_and_a_mistake_need_nothing_installed(program: Path, tmp_path: Path) -> None:
    link = tmp_path / "linked"
    link.symlink_to(program)

    def said(*argv: str) -> subprocess.CompletedProcess[str]:
        argv = (sys.executable, str(link), "--venv", str(tmp_path / "none"), *argv)
        return subprocess.run(argv, capture_output=True, text=True, check=False, cwd=tmp_path, env={"PATH": "/usr/bin"})

    helped = said("--help")
    assert helped.returncode == 0, helped.stderr
    for command in (*COMMANDS, "test", "install"):
        assert f"\n  {command} " in helped.stdout
    unknown = said("fly")
    assert unknown.returncode == 2
    assert "'fly' is not a command" in unknown.stderr
    assert not (tmp_path / "none").exists()


def test_what_install_puts_on_the_path_is_the_command(
    run: ModuleType, checkout: Path, monkeypatch: pytest.MonkeyPatch, tmp_path: Path
) -> None:
    monkeypatch.setattr(run, "run", Machine(checkout))
    assert run.main("install") == 0
    launcher = checkout / ".venv" / "bin" / "openmanager"
    python = checkout / ".venv" / "bin" / "python"
    python.unlink()
    python.symlink_to(sys.executable)
    said = subprocess.run([launcher, "--version"], capture_output=True, text=True, check=False, cwd=tmp_path)
    assert (said.returncode, said.stderr) == (0, "")
    assert said.stdout.startswith("openmanager ")


def test_the_environment_is_made_once_and_again_only_for_another_lock(
    run: ModuleType, checkout: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    machine = Machine(checkout)
    monkeypatch.setattr(run, "run", machine)
    run.Venv(checkout / ".venv").ready()
    made, *installed = machine.called
    assert "-m venv" in made
    assert any("uv pip install" in line and "--require-hashes" in line for line in installed)
    machine.called.clear()
    run.Venv(checkout / ".venv").ready()
    assert machine.called == []
    (checkout / "requirements.lock").write_text("one==2 \\\n    --hash=sha256:11\n")
    run.Venv(checkout / ".venv").ready()
    assert not any("-m venv" in line for line in machine.called)
    assert any("uv pip install" in line for line in machine.called)


@pytest.mark.parametrize("failing", ["install -q uv", "-m uv"])
def test_pip_does_the_work_where_uv_cannot(
    run: ModuleType, checkout: Path, monkeypatch: pytest.MonkeyPatch, failing: str
) -> None:
    machine = Machine(checkout, failing)
    monkeypatch.setattr(run, "run", machine)
    run.Venv(checkout / ".venv").ready()
    assert "-m pip install -q --require-hashes" in machine.called[-1]


def test_a_failed_installation_is_said_and_tried_again_next_time(
    run: ModuleType, checkout: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setattr(run, "run", Machine(checkout, "--require-hashes"))
    with pytest.raises(SystemExit, match="no such thing"):
        run.Venv(checkout / ".venv").ready()
    machine = Machine(checkout)
    monkeypatch.setattr(run, "run", machine)
    run.Venv(checkout / ".venv").ready()
    assert machine.called


def test_an_old_interpreter_hands_over_to_a_newer_one(run: ModuleType, monkeypatch: pytest.MonkeyPatch) -> None:
    started: list[list[str]] = []
    monkeypatch.setattr(run, "NEEDED", (99, 0))
    monkeypatch.setattr(run.shutil, "which", lambda name: f"/bin/{name}" if name == "python3.12" else None)
    monkeypatch.setattr(run, "run", lambda *_: "")

    def execv(_program: str, argv: list[str]) -> None:
        started.append(argv)
        raise SystemExit

    monkeypatch.setattr(os, "execv", execv)
    monkeypatch.setattr(sys, "argv", ["run.py", "up", "--no-agent"])
    with pytest.raises(SystemExit):
        run.with_new_enough_python()
    assert started == [["/bin/python3.12", str(RUN), "up", "--no-agent"]]


def test_without_a_newer_interpreter_it_says_what_is_needed(run: ModuleType, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr(run, "NEEDED", (99, 0))
    monkeypatch.setattr(run.shutil, "which", lambda _: None)
    with pytest.raises(SystemExit, match=r"needs Python 3\.11 or newer"):
        run.with_new_enough_python()


def test_where_a_client_reads_a_protocol_nothing_is_said_to_it(
    run: ModuleType, checkout: Path, monkeypatch: pytest.MonkeyPatch, capfd: pytest.CaptureFixture[str]
) -> None:
    became: list[tuple[str, ...]] = []
    monkeypatch.setattr(run, "run", Machine(checkout))
    monkeypatch.setattr(run.Venv, "become", lambda _, *argv: became.append(argv))
    monkeypatch.setattr(sys, "stdout", sys.stdout)
    run.main("mcp")
    said = capfd.readouterr()
    assert said.out == ""
    assert "installing" in said.err
    assert became[0] == ("-m", "infra.command", "mcp")
