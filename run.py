#!/usr/bin/env python3
"""OpenManager from a checkout, with nothing preinstalled: `python3 run.py COMMAND`, or `./openmanager COMMAND`.

    up [--no-agent] [--replay [FILE...]] [--host ADDRESS]   start everything, until Ctrl-C
    test [PYTEST ARGUMENTS]                                 run the tests, several at a time unless told which
    install                                                 only make .venv and install into it
    status, servers, alerts, ask, export, deploy, ...       all commands of `openmanager --help`, which this is, too

Python 3.11 or newer is needed and nothing else. The first call makes .venv in this folder, installs requirements.lock
into it; later calls do so only when that file has changed. `install` also writes .venv/bin/openmanager, the same
command for the PATH. `--venv FOLDER` before the command takes another folder, for another Python.
PORT (8000) and OPENMANAGER_DATA (.openmanager in this folder) may be set.
"""
# This file alone must be readable by older interpreters, which it tells what is missing.

import hashlib
import os
import shlex
import shutil
import subprocess
import sys
import time
from contextlib import contextmanager
from pathlib import Path

NEEDED = (3, 11)
NEWER = ("python3.13", "python3.12", "python3.11", "python3.14")
NEW_ENOUGH = f"import sys; sys.exit(sys.version_info < {NEEDED!r})"

HERE = Path(__file__).resolve().parent
LOCK = HERE / "requirements.lock"
# What this file does itself; everything else is infra/command's.
OWN = ("test", "install")
PATHS = (HERE, HERE / "layers" / "core" / "python")
# One that can be put on the PATH, and need not be called in this folder.
LAUNCHER = """#!/bin/sh
# Made by `run.py install`.
PYTHONPATH={paths}${{PYTHONPATH:+:$PYTHONPATH}} exec {python} -m infra.command "$@"
"""


def say(text):
    sys.stdout.write(text + "\n")
    sys.stdout.flush()


@contextmanager
def step(text):
    """A line about what is done, and the seconds it took."""
    began = time.time()
    sys.stdout.write(text + " ... ")
    sys.stdout.flush()
    try:
        yield
    except BaseException:
        say("failed")
        raise
    say(f"{time.time() - began:.1f} s")


def run(*argv):
    """Run a program without showing its output. Returns "" if it went well, else what it said."""
    env = dict(os.environ, UV_PYTHON_DOWNLOADS="never", PIP_DISABLE_PIP_VERSION_CHECK="1")
    try:
        done = subprocess.run(argv, env=env, stdout=subprocess.PIPE, stderr=subprocess.STDOUT)
    except OSError as error:
        return str(error)
    return (done.stdout.decode(errors="replace").strip() or "it failed") if done.returncode else ""


def with_new_enough_python():
    """Go on under a newer interpreter if this one is too old and another is there."""
    if sys.platform == "win32":
        sys.exit("OpenManager runs on Linux and macOS; on Windows use WSL.")
    if sys.version_info >= NEEDED:
        return
    for name in NEWER:
        program = shutil.which(name)
        # A version manager's shim may be there without the version behind it, so try it:
        if program and not run(program, "-c", NEW_ENOUGH):
            os.execv(program, [program, str(HERE / "run.py"), *sys.argv[1:]])
    have = ".".join(map(str, sys.version_info[:2]))
    sys.exit(f"OpenManager needs Python 3.11 or newer; this is {have}, and on the PATH is none of {', '.join(NEWER)}.")


class Venv:
    """A virtual environment with requirements.lock in it, every file of which was checked against its hash."""

    def __init__(self, folder):
        self.folder = folder
        self.python = str(folder / "bin" / "python")
        self.stamp = folder / "installed-lock.sha256"

    def ready(self):
        """Make or renew it, unless it was made from the lock file of this moment."""
        if self.made_from() == self.wanted():
            return
        import fcntl  # not on Windows, which was turned away before

        # Two calls at once, say `make run` and `make test`, take turns:
        turn = os.open(str(HERE), os.O_RDONLY)
        try:
            fcntl.flock(turn, fcntl.LOCK_EX)
            target = self.wanted()
            if self.made_from() != target:
                self.make()
                self.fill()
                self.stamp.write_text(target + "\n")
        finally:
            os.close(turn)

    def wanted(self):
        return hashlib.sha256(LOCK.read_bytes()).hexdigest()

    def made_from(self):
        try:
            return self.stamp.read_text().strip() if Path(self.python).exists() else None
        except OSError:
            return None

    def make(self):
        """The environment itself, unless there is one with pip and an interpreter that is new enough."""
        if not run(self.python, "-c", f"import pip; {NEW_ENOUGH}"):
            return
        with step(f"making {self.folder.name} with Python {'.'.join(map(str, sys.version_info[:3]))}"):
            said = run(sys.executable, "-m", "venv", "--clear", str(self.folder))
            if said:
                hint = "On Debian and Ubuntu this is a package of its own: apt install python3-venv"
                sys.exit(f"{said}\n\npython3 -m venv failed. {hint}")

    def fill(self):
        count = sum("==" in line for line in LOCK.read_text().splitlines() if line[:1].isalnum())
        with step(f"installing up to {count} packages into {self.folder.name}"):
            what = ["install", "-q", "--require-hashes", "--only-binary", ":all:", "-r", str(LOCK)]
            # uv is ten times faster; pip is there where uv, or its way to a mirror, is not.
            said = run(self.python, "-m", "pip", "install", "-q", "uv")
            said = said or run(self.python, "-m", "uv", "pip", *what, "--python", self.python)
            said = said and run(self.python, "-m", "pip", *what)
            if said:
                sys.exit(f"{said}\n\nrequirements.lock could not be installed")

    def put_launcher(self):
        """bin/openmanager."""
        file = self.folder / "bin" / "openmanager"
        paths = shlex.quote(os.pathsep.join(map(str, PATHS)))
        file.write_text(LAUNCHER.format(paths=paths, python=shlex.quote(self.python)))
        file.chmod(0o755)

    def become(self, *argv):
        """Go on as one of its programs, in this process, so that signals reach that directly."""
        become(self.python, *argv)


def become(python, *argv):
    """Go on as a program of an interpreter, with our own packages on its path."""
    os.environ["PYTHONPATH"] = os.pathsep.join(filter(None, [*map(str, PATHS), os.environ.get("PYTHONPATH", "")]))
    os.execv(python, [python, *argv])


def known(command):
    """Whether infra/command has it; its table needs the standard library alone."""
    sys.path[:0] = map(str, PATHS)
    from infra.command.table import COMMANDS

    return command in COMMANDS


def in_parallel():
    """Of pytest, for the whole suite: a process for each processor, up to four; a file's tests stay in one of them."""
    processes = min(os.cpu_count() or 1, 4)
    return ("-n", str(processes), "--dist", "loadfile") if processes > 1 else ()


def main(*arguments):
    folder = HERE / ".venv"
    if arguments[:1] == ("--venv",) and len(arguments) > 1:
        folder, arguments = Path(arguments[1]).absolute(), arguments[2:]
    command = arguments[0] if arguments else ""
    with_new_enough_python()
    if command not in OWN and not known(command):
        # Help, or a mistake: nothing needs be installed to say so.
        become(sys.executable, "-m", "infra.command", *arguments)
    if command not in (*OWN, "up"):
        # What these print is for people and programs, such as those that speak MCP.
        sys.stdout = sys.stderr
    venv = Venv(folder)
    venv.ready()
    if command == "install":
        venv.put_launcher()
        return 0
    if command == "test":
        os.chdir(str(HERE))
        venv.become("-m", "pytest", *(arguments[1:] or in_parallel()))
    venv.become("-m", "infra.command", *arguments)
    return 0


if __name__ == "__main__":
    try:
        sys.exit(main(*sys.argv[1:]))
    except KeyboardInterrupt:
        sys.exit(130)
