"""The local stack as `run.py up` starts it, with a door before each dependency and a clock that can be set.

Beside it, as on AWS: two shards, a queue of rounds (moto's SQS), two workers that are handed its messages.
"""

import contextlib
import shutil
import subprocess
import sys
import threading
import time
from collections.abc import Iterator, Sequence
from pathlib import Path
from types import TracebackType
from typing import Any, Self

import psycopg
from openmanager.stores.redis import Redis

from infra.local.folder import DataFolder
from infra.local.postgres import Postgres
from infra.local.process import Child, StartFailed, free_port, listen
from infra.local.supervisor import AGENT, CHECKOUT, FIRST_PAUSE_S, READY_TIMEOUT_S, Program, Supervisor, answers
from infra.serverless import read_service
from tests.endurance.clock import Clock
from tests.endurance.wire import Wire
from tests.faults import Door
from tests.sqs import REGION, Queue

SERVICE = CHECKOUT / "serverless.yml"
AGENT_NAME = "agent-01"
WORKERS = ("predict-1", "predict-2")
# Postgres' own disk, where this machine lets us make one.
DISK_MB = 512


class World(Supervisor):
    """Everything, from `__enter__` to `__exit__`. Clocks are set by the name of a part; `now` is the right time."""

    def __init__(self, folder: Path, rate: float, sqs: str) -> None:
        self.folder = DataFolder(folder)
        service = read_service(SERVICE)
        super().__init__(self.folder, service, SERVICE, "127.0.0.1", free_port())
        self._began, self._rate = time.time(), rate
        self.clocks: dict[str, Clock] = {}
        (folder / "clocks").mkdir(exist_ok=True)
        self.now = self.clock_of("everybody").now
        self.queue = Queue(sqs)
        self.disk = Disk(folder / "disk")
        self._postgres = Postgres(self.disk.path, self.folder.secret("postgres_password"), free_port(), durable=False)
        self.redis = Door(self._front_url)
        self.pushes = Door(self.url)
        self.postgres = Wire(self._postgres.port)
        self.readers = Wire(self.port)
        self._worker_listeners = {name: listen("127.0.0.1", 0) for name in WORKERS}
        self._functions |= {
            "UPSTASH_REDIS_REST_URL": self.redis.url,
            "DATABASE_URL": self._postgres.url.replace(f":{self._postgres.port}/", f":{self.postgres.port}/"),
            "OPENMANAGER_SHARDS": "2",
            "OPENMANAGER_QUEUE_URL": self.queue.url,
            "OPENMANAGER_PUSH_INTERVAL_S": "60",
            "OPENMANAGER_GRACE_S": "30",
            "OPENMANAGER_NOTIFY_ALLOW_PRIVATE": "1",
            "AWS_ENDPOINT_URL_SQS": sqs,
            "AWS_DEFAULT_REGION": REGION,
            "AWS_ACCESS_KEY_ID": "test",
            "AWS_SECRET_ACCESS_KEY": "test",
        }
        self._stopping = threading.Event()
        self._looking = threading.Lock()

    def __enter__(self) -> Self:
        for door in (self.redis, self.pushes):
            threading.Thread(target=door.serve_forever, args=(0.05,), name="door", daemon=True).start()
        self.disk.make()
        try:
            self.start(agent=False)
            for name, listener in self._worker_listeners.items():
                worker = self._server(name, "tests.endurance.worker:create", self._functions, listener)
                self._step(name, worker)
            self._start_agent()
        except BaseException:
            self.stop()
            raise
        # Children die with the thread that started them, so there is one for all that start later.
        threading.Thread(target=self._look, name="supervisor", daemon=True).start()
        return self

    def __exit__(
        self, kind: type[BaseException] | None, error: BaseException | None, trace: TracebackType | None
    ) -> None:
        self.stop()

    def stop(self) -> None:
        """Stop everything, doors and disk too."""
        self._stopping.set()
        with self._looking:
            super().stop()
        for door in (self.redis, self.pushes):
            door.healed.set()
            door.shutdown()
            door.server_close()
        self.postgres.close()
        self.readers.close()
        for listener in self._worker_listeners.values():
            listener.close()
        self.folder.close()
        self.disk.remove()

    def _look(self) -> None:
        """Start again what ended, soon each time: what is to be seen is what it finds, not patience."""
        while not self._stopping.wait(0.1):
            with self._looking:
                for watched in self._watched:
                    if self._stopping.is_set():
                        return
                    watched.pause_s = FIRST_PAUSE_S
                    watched.look(time.monotonic())

    def clock_of(self, name: str) -> Clock:
        """A part's clock."""
        if name not in self.clocks:
            path = self.folder.path / "clocks" / name
            self.clocks[name] = Clock.create(path, self._began, self._rate)
        return self.clocks[name]

    def _module(self, name: str, arguments: Sequence[str], env: dict[str, str]) -> Program:
        clock = str(self.clock_of(name).path)
        return super()._module(name, ["tests.endurance.clock", clock, *arguments], env)

    def _start_agent(self) -> None:
        env = {
            **self._base,
            "OPENMANAGER_URL": self.pushes.url,
            "OPENMANAGER_TOKEN": self.api_key,
            "OPENMANAGER_SERVER": AGENT_NAME,
        }
        self._step("agent", self._module("agent", [str(AGENT), "--interval", "1"], env))

    @property
    def children(self) -> dict[str, Child]:
        """The processes by name."""
        return {watched.part.child.name: watched.part.child for watched in self._watched}

    def kill(self, name: str) -> None:
        """SIGKILL; it is started again soon."""
        self.children[name].kill()

    def retire(self, *names: str) -> None:
        """End parts for good."""
        with self._looking:
            gone = [watched for watched in self._watched if watched.part.child.name in names]
            self._watched = [watched for watched in self._watched if watched not in gone]
        for watched in gone:
            watched.part.child.stop()

    def past_the_doors(self) -> dict[str, str]:
        """How a function would reach the stores if there were no doors."""
        told = ("OPENMANAGER_", "UPSTASH_REDIS_REST_", "DATABASE_URL")
        known = {name: value for name, value in self._functions.items() if name.startswith(told)}
        direct = {"UPSTASH_REDIS_REST_URL": self._front_url, "DATABASE_URL": self._postgres.url}
        return {**known, **direct, "OPENMANAGER_STORE_TIMEOUT_S": "20"}

    def name_of(self, pid: int) -> str | None:
        """Which part has a process id."""
        return next((name for name, child in self.children.items() if child.pid == pid), None)

    def worker_port(self, name: str) -> int:
        """Where a worker is handed messages."""
        return int(self._worker_listeners[name].getsockname()[1])

    def lose_redis(self) -> None:
        """Redis ends, and its disk with it."""
        shutil.rmtree(self.folder.path / "valkey" / "appendonlydir", ignore_errors=True)
        self.kill("valkey")

    def redis_command(self, *arguments: str | int) -> Any:
        """One command past the door."""
        return Redis(self._front_url, self._front_token, 10).call(*arguments)

    @contextlib.contextmanager
    def sql(self) -> Iterator[psycopg.Connection]:
        """A connection past the door."""
        with psycopg.connect(self._postgres.url, autocommit=True) as connection:
            yield connection

    def wait_until_up(self, patience_s: float = READY_TIMEOUT_S) -> None:
        """Return once the API answers and Postgres does. Raises StartFailed."""
        give_up = time.monotonic() + patience_s
        while True:
            with contextlib.suppress(psycopg.Error), self.sql() as connection:
                connection.execute("SELECT 1")
                if answers(self.url + "/api/health"):
                    return
            if time.monotonic() > give_up:
                raise StartFailed("the stack did not come back")
            time.sleep(0.2)


class Disk:
    """A small file system for Postgres, which can be filled: a tmpfs, where this account may mount one."""

    def __init__(self, path: Path) -> None:
        self.path = path
        self.real = False
        self._ballast = path / "ballast"

    def make(self) -> None:
        """Mount it; without the right to, it is a plain folder and cannot be filled."""
        self.path.mkdir(mode=0o755, exist_ok=True)
        if sys.platform == "linux":
            options = f"size={DISK_MB}m,mode=0755"
            argv = ["mount", "-t", "tmpfs", "-o", options, "openmanager-endurance", str(self.path)]
            self.real = subprocess.run(argv, capture_output=True, check=False).returncode == 0

    def fill(self) -> None:
        """Leave no octet."""
        with contextlib.suppress(OSError), self._ballast.open("wb", buffering=0) as file:
            while True:
                file.write(bytes(1 << 20))
        with contextlib.suppress(OSError), self._ballast.open("ab", buffering=0) as file:
            while True:
                file.write(bytes(4096))

    def clear(self) -> None:
        """There is room again."""
        self._ballast.unlink(missing_ok=True)

    def remove(self) -> None:
        """Unmount it."""
        if self.real:
            subprocess.run(["umount", "-l", str(self.path)], capture_output=True, check=False)
            self.real = False
