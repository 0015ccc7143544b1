"""A packaged function in a process of Lambda's runtime client, with its folders and limits and nothing else of ours."""

import contextlib
import os
import resource
import shutil
import signal
import subprocess
import time
from collections.abc import Mapping, Sequence
from functools import lru_cache
from pathlib import Path
from types import TracebackType
from typing import Any, Self

from tests.packaging.artifacts import Artifacts, Declared
from tests.packaging.runtime_api import Answer, Ended, RuntimeApi

# Run as root of a mount namespace of its own: $1 task, $2 opt, $3 runtime, the rest is the command.
_MOUNTS = """
set -e
task=$(readlink -f "$1") opt=$(readlink -f "$2") runtime=$(readlink -f "$3"); shift 3
hold=$(mktemp -d)
mount -t tmpfs none "$hold"
mkdir "$hold/task" "$hold/opt" "$hold/runtime"
mount --bind "$task" "$hold/task"; mount --bind "$opt" "$hold/opt"; mount --bind "$runtime" "$hold/runtime"
mount -t tmpfs none /var
mkdir /var/task /var/runtime
mount --move "$hold/task" /var/task; mount --move "$hold/runtime" /var/runtime
mount --move "$hold/opt" /opt
umount "$hold"
rmdir "$hold"
for at in / /var /var/task /var/runtime /opt; do mount -o remount,bind,ro "$at"; done
mount -t tmpfs none /tmp
cd /var/task
exec "$@"
"""


@lru_cache(maxsize=1)
def cannot_isolate() -> str | None:
    """Why processes cannot have a file system of their own here; None if they can."""
    if not shutil.which("unshare"):
        return "no unshare on this machine"
    done = subprocess.run([*_unshare(), "true"], capture_output=True, text=True)
    return done.stderr.strip() or None


def _unshare() -> list[str]:
    return ["unshare", "--mount", "--propagation", "private", *([] if os.geteuid() == 0 else ["-U", "-r"])]


class Inside:
    """`command` runs what follows it with Lambda's folders in their places, all of them read-only but /tmp."""

    def __init__(self, artifacts: Artifacts, function: str, layers: tuple[str, ...]) -> None:
        folders = (artifacts.task(function), artifacts.opt(layers), artifacts.runtime)
        self.command = [*_unshare(), "sh", "-c", _MOUNTS, "sh", *map(str, folders)]


class LambdaFunction:
    """Called with an event it answers as Lambda would. The process starts when entered, and stays warm.

    `isolated` gives it Lambda's own paths, all of them read-only but /tmp; else they are folders named by variables.
    """

    def __init__(
        self,
        artifacts: Artifacts,
        name: str,
        declared: Declared,
        env: Mapping[str, str],
        log: Path,
        *,
        isolated: bool = False,
        before: Sequence[str] = (),
    ) -> None:
        self.name, self.declared, self.log = name, declared, log
        self._before = list(before)
        task, opt = artifacts.task(name), artifacts.opt(declared.layers)
        where = ("/var/task", "/opt", "/var/runtime") if isolated else (task, opt, artifacts.runtime)
        self.env = {
            "PATH": "/usr/local/bin:/usr/bin:/bin",
            "LANG": "en_US.UTF-8",
            "TZ": ":UTC",
            "LAMBDA_TASK_ROOT": str(where[0]),
            "LAMBDA_RUNTIME_DIR": str(where[2]),
            "AWS_REGION": "eu-central-1",
            "AWS_DEFAULT_REGION": "eu-central-1",
            "AWS_EXECUTION_ENV": "AWS_Lambda_python3.13",
            "AWS_LAMBDA_FUNCTION_NAME": f"openmanager-test-{name}",
            "AWS_LAMBDA_FUNCTION_MEMORY_SIZE": str(declared.memory_mb),
            "AWS_LAMBDA_FUNCTION_VERSION": "$LATEST",
            "AWS_LAMBDA_INITIALIZATION_TYPE": "on-demand",
            "PYTHONPATH": ":".join(map(str, (where[0], f"{where[1]}/python", where[2]))),
            "_HANDLER": declared.handler,
            # As serverless.yml sets it for all.
            "OPENBLAS_NUM_THREADS": "1",
            **({} if isolated else {"OPENMANAGER_MODELS": f"{where[1]}/models"}),
            **declared.environment,
            **env,
        }
        # Without site: what else this machine's Python has installed is not on Lambda.
        self.command = [artifacts.python, "-S", "-m", "awslambdaric", declared.handler]
        self._cwd: Path | None = task
        if isolated:
            self.command = [*Inside(artifacts, name, declared.layers).command, *self.command]
            self._cwd = None
        self.peak_mb = 0.0
        self.started_at = 0.0
        self._asked = ""
        self._api: RuntimeApi
        self._process: subprocess.Popen[bytes] | None = None

    def __enter__(self) -> Self:
        self._api = RuntimeApi()
        self._api.__enter__()
        self.start()
        return self

    def start(self) -> None:
        """Begin a process, as Lambda does when there is none."""
        # Of what a process writes to; OpenBLAS reserves more than it uses.
        limit = self.declared.memory_mb << 20
        with self.log.open("ab") as log:
            self.started_at = time.perf_counter()
            self._process = subprocess.Popen(
                [*self._before, *self.command],
                env=self.env | {"AWS_LAMBDA_RUNTIME_API": self._api.address},
                cwd=self._cwd,
                stdin=subprocess.DEVNULL,
                stdout=log,
                stderr=log,
                start_new_session=True,
                preexec_fn=lambda: resource.setrlimit(resource.RLIMIT_DATA, (limit, limit)),
            )

    def __call__(self, event: Any, timeout_s: float | None = None) -> Answer:
        """The answer to an event.

        Raises Ended if the process is gone or cannot start, TimeoutError after the function's time; as on Lambda, the
        process is killed then.
        """
        self._asked = self._api.hand_out(event, timeout_s or self.declared.timeout_s)
        return self.answer()

    def answer(self) -> Answer:
        """The answer to the event that was handed out last. Raises as a call does."""
        # A machine under load is no fault of the function.
        deadline = time.monotonic() + 60 + self.declared.timeout_s
        while True:
            try:
                answer = self._api.answer_of(self._asked, 0.5)
            except TimeoutError:
                if self.ended:
                    raise Ended(self.log.read_text(errors="replace")[-4000:]) from None
                if time.monotonic() > deadline:
                    self.kill()
                    raise
                continue
            self._note_memory()
            return answer

    @property
    def ended(self) -> bool:
        """Whether the process is gone."""
        return self._process is None or self._process.poll() is not None

    @property
    def pid(self) -> int:
        """The process."""
        assert self._process
        return self._process.pid

    def _note_memory(self) -> None:
        with contextlib.suppress(OSError):
            status = Path(f"/proc/{self.pid}/status").read_text()
            kilobytes = next(int(line.split()[1]) for line in status.splitlines() if line.startswith("VmHWM:"))
            self.peak_mb = max(self.peak_mb, kilobytes / 1024)

    def kill(self) -> None:
        """End the process and what it started, as Lambda ends one."""
        if self._process is not None:
            with contextlib.suppress(ProcessLookupError):
                os.killpg(self._process.pid, signal.SIGKILL)
            self._process.wait(30)

    def __exit__(self, *_: type[BaseException] | BaseException | TracebackType | None) -> None:
        self.kill()
        self._api.__exit__()
