"""The whole local stack as a person starts it, for tests that need it alive."""

import contextlib
import http.client
import json
import os
import signal
import subprocess
import sys
import time
import urllib.error
import urllib.request
import warnings
from collections.abc import Callable
from pathlib import Path

import psutil
import pytest

from infra.local.process import _die_with_parent

CHECKOUT = Path(__file__).parents[1]
PATIENCE_S = 60  # how long a test waits before it gives up; nothing is judged by it


class LiveStack:
    """One run of `python -m infra.local up`, its data folder, and what it said."""

    def __init__(self, folder: Path, port: int, *options: str) -> None:
        self.data = folder / "data"
        self.argv = [sys.executable, "-m", "infra.local", "up", "--no-agent", *options]
        self.env = {
            **{k: v for k, v in os.environ.items() if not k.startswith("OPENMANAGER")},
            "PORT": str(port),
            "OPENMANAGER_DATA": str(self.data),
            "PYTHONPATH": os.pathsep.join((str(CHECKOUT), str(CHECKOUT / "layers/core/python"))),
        }
        self.said = folder / "said"
        self.process: subprocess.Popen[bytes] | None = None

    def start(self) -> None:
        with self.said.open("wb") as said, warnings.catch_warnings():
            # As infra.local.process: a run of the tests that is killed leaves no stack behind.
            warnings.simplefilter("ignore", DeprecationWarning)
            self.process = subprocess.Popen(
                self.argv,
                env=self.env,
                stdout=said,
                stderr=said,
                start_new_session=True,
                preexec_fn=_die_with_parent(signal.SIGTERM),
            )
        self.wait_for(lambda: "stop      Ctrl-C" in self.said.read_text())

    def wait_for(self, condition: Callable[[], object], patience_s: float = PATIENCE_S, every_s: float = 0.05) -> None:
        give_up = time.monotonic() + patience_s
        while not condition():
            ended = self.process is None or self.process.poll() is not None
            if ended or time.monotonic() > give_up:
                pytest.fail(f"waited in vain; it said:\n{self.said.read_text()}")
            time.sleep(every_s)

    @property
    def credentials(self) -> dict[str, str]:
        known: dict[str, str] = json.loads((self.data / "credentials.json").read_text())
        return known

    @property
    def url(self) -> str:
        return self.credentials["url"]

    @property
    def token(self) -> str:
        return self.credentials["token"]

    def ask(self, path: str, method: str = "GET", body: bytes | None = None) -> tuple[int, str]:
        """(status, body), with the key; status 0 and the reason where nobody answered."""
        headers = {"Authorization": f"Bearer {self.token}"}
        request = urllib.request.Request(self.url + path, method=method, data=body, headers=headers)
        try:
            with urllib.request.urlopen(request, timeout=10) as answer:
                return answer.status, answer.read().decode()
        except urllib.error.HTTPError as error:
            with error:
                return error.code, error.read().decode()
        except (OSError, http.client.HTTPException) as error:
            return 0, str(error)

    def children(self) -> dict[str, psutil.Process]:
        found: dict[str, psutil.Process] = {}
        for path in (self.data / "run").glob("*.pid"):
            # One that ends takes its mark along.
            with contextlib.suppress(psutil.NoSuchProcess, FileNotFoundError):
                found[path.stem] = psutil.Process(json.loads(path.read_text())["pid"])
        return found

    def kill(self) -> None:
        """kill -9 of every process of the stack at once."""
        assert self.process is not None
        whole = [self.process.pid, *(child.pid for child in self.children().values())]
        for pid in whole:
            with contextlib.suppress(ProcessLookupError):
                os.kill(pid, signal.SIGKILL)
        self.process.wait()

    def stop(self) -> int:
        assert self.process is not None
        self.process.send_signal(signal.SIGINT)
        return self.process.wait(PATIENCE_S)
