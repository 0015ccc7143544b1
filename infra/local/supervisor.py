"""Starts every part of the stack in order, keeps it running, and stops it without leaving anything.

Each part is a process of its own, so that one can be killed and come back without the others:
Postgres, Valkey, the REST front, the gateway, the scheduler, the agent.
"""

import contextlib
import os
import signal
import socket
import sys
import time
import urllib.error
import urllib.request
from collections.abc import Callable, Iterator, Sequence
from dataclasses import dataclass, field
from pathlib import Path
from types import FrameType
from typing import Protocol

from infra.local.folder import DataFolder
from infra.local.postgres import Postgres
from infra.local.process import Child, StartFailed, free_port, listen, say
from infra.local.valkey import Valkey
from infra.migrations.apply import apply
from infra.serverless import Service

CHECKOUT = Path(__file__).resolve().parents[2]
AGENT = CHECKOUT / "infra" / "agents" / "openmanager_agent.py"

PORTS_TRIED = 50
HEALTH = "/api/health"
READY_TIMEOUT_S = 60
FIRST_PAUSE_S, LONGEST_PAUSE_S = 0.5, 30.0
SETTLED_S = 60  # what ran this long starts again with the shortest pause

# A fleet at hand is watched more closely than one that is paid for by the command.
PACE = {
    "OPENMANAGER_GRACE_S": "15",
    "OPENMANAGER_PUSH_INTERVAL_S": "10",
    "OPENMANAGER_WATCHED_INTERVAL_S": "5",
    "OPENMANAGER_STREAM_WINDOW_S": "300",
    "OPENMANAGER_STREAM_POLL_S": "1",
}
# For glibc: one heap for all threads, and what is large goes back to the system as it is freed. Else every job's thread
# leaves a heap as large as its largest run.
ALLOCATOR = {"MALLOC_ARENA_MAX": "1", "MALLOC_MMAP_THRESHOLD_": "131072"}


class Stopped(BaseException):
    """Somebody asked the whole stack to stop."""


class Part(Protocol):
    """What the supervisor keeps running."""

    @property
    def child(self) -> Child: ...
    def start(self) -> None: ...


@dataclass
class Program:
    """A part that is a Python program."""

    child: Child
    arguments: Sequence[str | Path]
    env: dict[str, str]
    listener: socket.socket | None = None

    def start(self) -> None:
        inherited = [self.listener.fileno()] if self.listener else []
        self.child.start([sys.executable, *self.arguments, *map(str, inherited)], env=self.env, pass_fds=inherited)


@dataclass
class Watched:
    """A part and when to start it again, should it end."""

    part: Part
    pause_s: float = FIRST_PAUSE_S
    started: float = field(default_factory=time.monotonic)
    again_at: float | None = None

    def look(self, now: float) -> None:
        """Start the part again once it has ended and its pause is over."""
        child = self.part.child
        if child.pid is not None:
            return
        if self.again_at is None:
            if now - self.started > SETTLED_S:
                self.pause_s = FIRST_PAUSE_S
            say(f"{child.name} ended with {child.exit_code}; starting it again (log: {child.log})")
            self.again_at = now + self.pause_s
            self.pause_s = min(2 * self.pause_s, LONGEST_PAUSE_S)
        if now >= self.again_at:
            self.again_at, self.started = None, now
            try:
                self.part.start()
            except StartFailed as failure:
                say(str(failure))


class Supervisor:
    """The stack on a data folder that has been taken."""

    def __init__(self, folder: DataFolder, service: Service, service_file: Path, host: str, port: int) -> None:
        self._folder = folder
        self._listener = first_free(host, port)
        self.port = int(self._listener.getsockname()[1])
        self.url = f"http://{'127.0.0.1' if host == '0.0.0.0' else host}:{self.port}"
        self._front_listener = listen("127.0.0.1", 0)
        self.api_key = os.environ.get("OPENMANAGER_API_KEY") or folder.secret("OPENMANAGER_API_KEY")
        self._postgres = Postgres(folder.path, folder.secret("postgres_password"), free_port())
        self._valkey = Valkey(folder.path, folder.secret("valkey_password"), free_port())
        self._front_url = f"http://127.0.0.1:{self._front_listener.getsockname()[1]}"
        self._front_token = folder.secret("UPSTASH_REDIS_REST_TOKEN")
        self._base = base_environment()
        self._functions = {
            **service.environment,
            **PACE,
            **self._base,
            "OPENMANAGER_STAGE": "local",
            "OPENMANAGER_SERVICE": str(service_file.resolve()),
            "OPENMANAGER_API_KEY": self.api_key,
            "OPENMANAGER_JWT_KEYS": f"local:{folder.secret('OPENMANAGER_JWT_KEY')}",
            "UPSTASH_REDIS_REST_URL": self._front_url,
            "UPSTASH_REDIS_REST_TOKEN": self._front_token,
            "DATABASE_URL": self._postgres.url,
        }
        self._watched: list[Watched] = []  # in the order of their start
        self._replay: Program | None = None

    def start(self, *, agent: bool = True) -> None:
        """Start everything and return once the API answers. Raises StartFailed."""
        names = ["agent", "replay", "schedule", "gateway", "front", "valkey", "postgres"]
        left = [name for name in names if Child(name, self._folder.path).stop_leftover()]
        if left:
            say(f"  stopped what an earlier run had left: {', '.join(left)}")
        self._folder.announce(self.url)
        self._step("postgres", self._postgres)
        with timed("migrations"):
            apply(self._postgres.url)
        self._step("valkey", self._valkey)
        ping = f"{self._front_url}/ping?_token={self._front_token}"
        self._step("front", self._front(), lambda: answers(ping))
        gateway = self._server("gateway", "infra.gateway:app", self._functions, self._listener)
        self._step("gateway", gateway, lambda: answers(self.url + HEALTH))
        self._step("schedule", self._module("schedule", ["infra.local.schedule"], self._functions))
        # For whoever examines the stores beside us (infra.doctor).
        told = ("OPENMANAGER_", "UPSTASH_REDIS_REST_", "DATABASE_URL")
        self._folder.write("environment.json", {k: v for k, v in self._functions.items() if k.startswith(told)})
        if agent:
            self._start_agent()

    def replay(self, arguments: Sequence[str]) -> None:
        """Replay recorded servers beside all else. The credentials must have been written."""
        # They are read from the data folder, because a command line can be read by everybody.
        env = {**self._base, "OPENMANAGER_DATA": str(self._folder.path)}
        self._replay = self._module("replay", ["infra.local", "demo", *map(absolute, arguments)], env)
        self._replay.start()

    def watch(self) -> None:
        """Start again what ends, until Stopped is raised."""
        while True:
            for watched in self._watched:
                watched.look(time.monotonic())
            if self._replay and self._replay.child.pid is None:
                say(f"the replay ended with {self._replay.child.exit_code} (log: {self._replay.child.log})")
                self._replay = None
            time.sleep(0.2)

    def stop(self) -> None:
        """Stop everything: those that write before the stores they write to."""
        stores = ("front", "valkey", "postgres")
        children = [watched.part.child for watched in self._watched]
        children += [self._replay.child] if self._replay else []
        for group in (
            [child for child in children if child.name not in stores],
            [child for child in children if child.name in stores],
        ):
            for child in group:
                child.ask_to_stop()
            for child in group:
                child.stop(timeout_s=5)
        self._listener.close()
        self._front_listener.close()
        self._folder.remove("credentials.json")
        self._folder.remove("environment.json")

    def _step(self, name: str, part: Part, ready: Callable[[], bool] = lambda: True) -> None:
        with timed(name):
            # Listed before it has started, so that one that fails half-way is stopped too:
            self._watched.append(Watched(part))
            part.start()
            part.child.wait_ready(ready, READY_TIMEOUT_S)

    def _module(self, name: str, arguments: Sequence[str], env: dict[str, str]) -> Program:
        return Program(Child(name, self._folder.path), ["-m", *arguments], env)

    def _server(self, name: str, target: str, env: dict[str, str], listener: socket.socket) -> Program:
        program = self._module(name, ["infra.local.serve", target], env)
        program.listener = listener
        return program

    def _front(self) -> Program:
        env = {
            **self._base,
            "VALKEY_PORT": str(self._valkey.port),
            "VALKEY_PASSWORD": self._valkey.password,
            "UPSTASH_REDIS_REST_TOKEN": self._front_token,
        }
        return self._server("front", "infra.local.upstash:create_front", env, self._front_listener)

    def _start_agent(self) -> None:
        if not AGENT.is_file():
            say(f"  no agent: {AGENT} is not there")
            return
        env = {
            **self._base,
            "OPENMANAGER_URL": self.url,
            "OPENMANAGER_TOKEN": self.api_key,
            "OPENMANAGER_AGENT_SPOOL": str(self._folder.path),
        }
        child = Child("agent", self._folder.path)
        self._step("agent", Program(child, [AGENT, "--interval", "5"], env))


def absolute(argument: str) -> str:
    """A file's full name, since children start elsewhere; other arguments as they are."""
    return str(Path(argument).absolute()) if Path(argument).exists() else argument


def first_free(host: str, port: int) -> socket.socket:
    """A socket on the wanted port, or on the next that is free."""
    for candidate in range(port, min(port + PORTS_TRIED, 65536)):
        try:
            listener = listen(host, candidate)
        except PermissionError:
            raise StartFailed(f"port {candidate} may not be used by this account: set PORT") from None
        except OSError:
            continue
        if candidate != port:
            say(f"  port {port} is taken; using {candidate}")
        return listener
    raise StartFailed(f"no free port from {port} to {port + PORTS_TRIED - 1} on {host}: set PORT")


def base_environment() -> dict[str, str]:
    """The caller's environment, made safe for children that talk to this machine and run for months."""
    env = {**ALLOCATOR, **{k: v for k, v in os.environ.items() if not k.startswith("PG")}}
    paths = [str(CHECKOUT), str(CHECKOUT / "layers" / "core" / "python"), env.get("PYTHONPATH", "")]
    env["PYTHONPATH"] = os.pathsep.join(path for path in paths if path)
    for name in ("NO_PROXY", "no_proxy"):
        env[name] = ",".join(filter(None, [env.get(name), "127.0.0.1,localhost"]))
    return env


def answers(url: str) -> bool:
    """Whether a GET is answered with 2xx."""
    direct = urllib.request.build_opener(urllib.request.ProxyHandler({}))
    try:
        with direct.open(url, timeout=5) as response:
            return bool(200 <= response.status < 300)
    except (OSError, ValueError):  # URLError and HTTPError are OSErrors
        return False


@contextlib.contextmanager
def timed(name: str) -> Iterator[None]:
    """Say how long a step took."""
    began = time.monotonic()
    yield
    say(f"  {name:<12}{time.monotonic() - began:5.1f} s")


def listen_for_stop() -> None:
    """Raise Stopped at Ctrl-C and SIGTERM, once; what comes during the stop is not heard."""

    def stop(_number: int, _frame: FrameType | None) -> None:
        for number in (signal.SIGINT, signal.SIGTERM, signal.SIGHUP):
            signal.signal(number, signal.SIG_IGN)
        raise Stopped

    # Set even where the caller ignores SIGINT, as a shell does for what it starts in the background.
    for number in (signal.SIGINT, signal.SIGTERM, signal.SIGHUP):
        signal.signal(number, stop)
