"""The built function as Vercel runs it: its own bootstrap, which tells over a socket at which port it answers."""

import contextlib
import json
import shutil
import signal
import socket
import subprocess
import tempfile
import threading
import warnings
from base64 import b64decode
from collections.abc import Mapping
from pathlib import Path
from types import TracebackType
from typing import Any, Self

from infra.local.process import _die_with_parent
from tests.live import PATIENCE_S
from tests.vercel.build import Output

CRON_SECRET = "what-vercel-sends-to-its-crons-01234"
# The edge writes it over whatever the caller sent.
CALLER = {"X-Vercel-Forwarded-For": "192.0.2.1"}


class VercelApp:
    """One warm instance: `url`, `pid`, and how long its start took as it tells the platform."""

    def __init__(self, output: Output, env: Mapping[str, str]) -> None:
        # A socket's name is short, and a test's folder is not.
        self._folder = Path(tempfile.mkdtemp(prefix="vc"))
        self.logged: list[str] = []
        self.started: dict[str, Any] = {}
        self._told = threading.Event()
        self._log = (self._folder / "log").open("w+b")
        with socket.socket(socket.AF_UNIX) as listener, warnings.catch_warnings():
            listener.bind(str(self._folder / "ipc"))
            listener.listen()
            listener.settimeout(PATIENCE_S)
            # As infra.local.process: a run of the tests that is killed leaves nothing behind.
            warnings.simplefilter("ignore", DeprecationWarning)
            self._process = subprocess.Popen(
                [output.python, "vc__handler__python.py"],
                cwd=output.folder,
                env={
                    "PATH": "/usr/bin:/bin",
                    **output.config["environment"],
                    # What the platform sets: https://vercel.com/docs/environment-variables/system-environment-variables
                    "VERCEL": "1",
                    "VERCEL_ENV": "production",
                    "VERCEL_IPC_PATH": str(self._folder / "ipc"),
                    "CRON_SECRET": CRON_SECRET,
                    **env,
                },
                stdout=self._log,
                stderr=self._log,
                preexec_fn=_die_with_parent(signal.SIGKILL),
            )
            try:
                self._ipc, _ = listener.accept()
                # Read to the end, or the function would wait to say more.
                threading.Thread(target=self._listen, daemon=True).start()
                assert self._told.wait(PATIENCE_S), self.said()
                assert self.started, self.said()
            except BaseException:
                self.close()
                raise
        self.url = f"http://127.0.0.1:{self.started['httpPort']}"
        self.pid = self._process.pid

    def _listen(self) -> None:
        kept = b""
        with contextlib.suppress(OSError):
            while octets := self._ipc.recv(65_536):
                *whole, kept = (kept + octets).split(b"\0")
                for message in map(json.loads, whole):
                    if message["type"] == "log":
                        self.logged.append(b64decode(message["payload"]["message"]).decode())
                    elif message["type"] == "server-started":
                        self.started = message["payload"]
                        self._told.set()
        self._told.set()

    def said(self) -> str:
        """Everything that it wrote or logged."""
        self._log.seek(0)
        return self._log.read().decode() + "\n".join(self.logged)

    def close(self) -> None:
        self._process.kill()
        self._process.wait()
        if hasattr(self, "_ipc"):
            self._ipc.close()
        self._log.close()
        shutil.rmtree(self._folder)

    def __enter__(self) -> Self:
        return self

    def __exit__(self, *_: type[BaseException] | BaseException | TracebackType | None) -> None:
        self.close()
