"""A child process that does not outlive its parent, with a log and a pid file to find it by."""

import contextlib
import ctypes
import json
import os
import secrets
import signal
import socket
import subprocess
import sys
import time
import warnings
from collections.abc import Callable, Mapping, Sequence
from dataclasses import dataclass, field
from pathlib import Path
from typing import Any

import psutil

PR_SET_PDEATHSIG = 1  # linux/prctl.h


class StartFailed(Exception):
    """A part of the stack did not come up. The message carries the end of its log."""


def say(text: str = "") -> None:
    """One line for the person at the terminal."""
    sys.stdout.write(text + "\n")
    sys.stdout.flush()


def free_port() -> int:
    """A TCP port of the loopback interface that nobody uses at this moment.

    It lies below those that systems give to outgoing connections (32768 and up on Linux, 49152 and up elsewhere): one
    of these could be gone before whoever asked listens on it. Where all of ours are taken, it is one of them anyhow.
    """
    for _ in range(64):
        with socket.socket() as probe, contextlib.suppress(OSError):
            probe.bind(("127.0.0.1", 20_000 + secrets.randbelow(12_000)))
            return int(probe.getsockname()[1])
    with socket.socket() as probe:
        probe.bind(("127.0.0.1", 0))
        return int(probe.getsockname()[1])


def listen(host: str, port: int) -> socket.socket:
    """A listening TCP socket; port 0 takes any that is free. Raises OSError where the port is taken.

    The protocol is named, because asyncio switches Nagle's delay off only where it reads "TCP".
    """
    listener = socket.socket(socket.AF_INET, socket.SOCK_STREAM, socket.IPPROTO_TCP)
    try:
        listener.setsockopt(socket.SOL_SOCKET, socket.SO_REUSEADDR, 1)
        listener.bind((host, port))
        listener.listen(1024)
    except OSError:
        listener.close()
        raise
    return listener


def tail(log: Path, lines: int = 8) -> str:
    """The last lines of a log, for an error message."""
    try:
        text = log.read_text(errors="replace")
    except OSError:
        return ""
    return "\n".join(text.splitlines()[-lines:])


@dataclass
class Child:
    """One process of ours: started in its own session, so that Ctrl-C reaches the parent alone."""

    name: str
    folder: Path  # holds logs/NAME.log and run/NAME.pid
    stop_signal: signal.Signals = signal.SIGTERM
    _process: subprocess.Popen[bytes] | None = field(default=None, init=False)

    @property
    def log(self) -> Path:
        return self.folder / "logs" / f"{self.name}.log"

    @property
    def pid_file(self) -> Path:
        return self.folder / "run" / f"{self.name}.pid"

    @property
    def pid(self) -> int | None:
        """Its process id while it runs."""
        return self._process.pid if self._process and self._process.poll() is None else None

    def start(
        self,
        argv: Sequence[str | Path],
        *,
        env: Mapping[str, str] | None = None,
        cwd: Path | str = "/",
        stdin: bytes = b"",
        **popen: Any,
    ) -> None:
        """Run a program. Its output goes to the log, which the first start empties."""
        for parent in (self.log.parent, self.pid_file.parent):
            parent.mkdir(mode=0o700, parents=True, exist_ok=True)
        with self.log.open("ab" if self._process else "wb") as log, warnings.catch_warnings():
            # Python 3.12 warns of any fork beside threads; the hook makes one call into libc, takes
            # no lock, and is the only way to die with the parent without a helper program.
            warnings.simplefilter("ignore", DeprecationWarning)
            self._process = subprocess.Popen(
                argv,
                env=env,
                cwd=cwd,
                stdin=subprocess.PIPE,
                stdout=log,
                stderr=log,
                start_new_session=True,
                preexec_fn=_die_with_parent(self.stop_signal),
                **popen,
            )
        assert self._process.stdin is not None
        with contextlib.suppress(BrokenPipeError), self._process.stdin as pipe:
            pipe.write(stdin)
        mark = {"pid": self._process.pid, "created": psutil.Process(self._process.pid).create_time()}
        # Whole or not at all, or a parent that died here would leave a process that nobody finds.
        partial = self.pid_file.with_suffix(".partial")
        partial.write_text(json.dumps(mark))
        partial.replace(self.pid_file)

    def wait_ready(self, probe: Callable[[], bool], timeout_s: float) -> None:
        """Return once `probe` says yes; raise StartFailed if the process ends or time runs out."""
        give_up = time.monotonic() + timeout_s
        while not probe():
            if self.pid is None:
                raise StartFailed(f"{self.name} ended while starting:\n{tail(self.log)}")
            if time.monotonic() > give_up:
                raise StartFailed(f"{self.name} did not answer in {timeout_s:g} s:\n{tail(self.log)}")
            time.sleep(0.02)

    @property
    def exit_code(self) -> int | None:
        """How it ended, as subprocess counts; None before that."""
        return self._process.poll() if self._process else None

    def ask_to_stop(self) -> None:
        """Send the stop signal and do not wait."""
        if self._process is not None:
            with contextlib.suppress(ProcessLookupError):
                self._process.send_signal(self.stop_signal)

    def stop(self, timeout_s: float = 10) -> None:
        """Ask it to end, then insist. Harmless when it is not running."""
        if self._process is None:
            return
        self.ask_to_stop()
        try:
            self._process.wait(timeout_s)
        except subprocess.TimeoutExpired:
            self.kill()
        self.pid_file.unlink(missing_ok=True)

    def kill(self) -> None:
        """End it as a power cut would, for tests of recovery and as the last resort."""
        if self._process is not None:
            with contextlib.suppress(ProcessLookupError):
                self._process.kill()
            self._process.wait()

    def stop_leftover(self, timeout_s: float = 10) -> bool:
        """Stop the process an earlier parent left behind, if the pid file still means it."""
        try:
            mark = json.loads(self.pid_file.read_text())
            process = psutil.Process(int(mark["pid"]))
            # A pid is reused; its start time is not. The tolerance covers a clock that was set since.
            same = abs(process.create_time() - float(mark["created"])) < 2
        except (OSError, ValueError, KeyError, psutil.NoSuchProcess):
            same = False
        if same:
            with contextlib.suppress(psutil.NoSuchProcess):
                process.send_signal(self.stop_signal)
                try:
                    process.wait(timeout_s)
                except psutil.TimeoutExpired:
                    process.kill()
                    process.wait(timeout_s)
        self.pid_file.unlink(missing_ok=True)
        return same


def _die_with_parent(stop_signal: signal.Signals) -> Callable[[], None] | None:
    """A hook for the new process: receive `stop_signal` when the parent is gone, however it went.

    Linux only. Elsewhere what a killed parent leaves behind is found by its pid file at the next start.
    """
    if sys.platform != "linux":
        return None
    prctl, parent = ctypes.CDLL(None).prctl, os.getpid()

    def bind() -> None:
        prctl(PR_SET_PDEATHSIG, int(stop_signal))
        if os.getppid() != parent:  # it died between fork and here
            os._exit(1)

    return bind
