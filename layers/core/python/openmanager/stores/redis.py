"""Redis by Upstash's REST protocol: https://upstash.com/docs/redis/features/restapi

Written on the standard library because of cold starts: upstash-redis and the HTTP client below it are a sixth of what a
route imports, by instructions. That client also waits for ever, sleeps three seconds and repeats any command after any
error, and hides a whole pipeline behind one failing command. Here there is a time limit, repetition of nothing that is
not safe to repeat, and one result for each command. Tests hold it against the vendor's client.
"""

import http.client
import json
import select
import socket
import threading
import time
from collections.abc import Sequence
from functools import lru_cache
from typing import Any
from urllib.parse import urlsplit

from openmanager import meter, tls
from openmanager.errors import InvalidSettings, StoreUnavailable
from openmanager.settings import settings

Command = Sequence[str | int | float]
# Refusals that say nothing of the command: the store can do it later, being full, read-only, still loading, or without
# a disk or a primary now. The first word of an error is its kind:
# https://redis.io/docs/latest/develop/reference/protocol-spec/#simple-errors
_AWAY = frozenset({"OOM", "READONLY", "LOADING", "MISCONF", "MASTERDOWN", "CLUSTERDOWN", "NOREPLICAS"})


class CommandFailed(Exception):
    """Redis answered this command with an error."""


class Redis:
    """A Redis behind the Upstash REST protocol."""

    def __init__(self, url: str, token: str, timeout_s: float) -> None:
        at = urlsplit(url)
        # Neither is repeated: what is pasted into the wrong one may be a secret.
        if at.scheme not in ("http", "https") or not at.hostname:
            raise InvalidSettings("UPSTASH_REDIS_REST_URL: is not an address such as https://name.upstash.io")
        if not (token.isascii() and token.isprintable()):
            raise InvalidSettings("UPSTASH_REDIS_REST_TOKEN: has signs that no header takes")
        self._host, self._port, self._path = at.hostname, at.port, at.path.rstrip("/")
        self._tls = tls.context() if at.scheme == "https" else None
        self._timeout_s = timeout_s
        self._headers = {"Authorization": f"Bearer {token}", "Content-Type": "application/json"}
        # What was last written is seen by the next read, whichever replica answers.
        self._sync_token = ""
        self._idle: list[http.client.HTTPConnection] = []
        self._lock = threading.Lock()

    def run(self, *commands: Command, atomic: bool = False, repeatable: bool = False) -> list[Any]:
        """One request with all commands; a result each, in order.

        `atomic` runs them as one transaction. `repeatable` says that a second execution does no harm, so that one
        lost answer may be asked for again within the time limit. Raises StoreUnavailable when there is no usable
        answer (then nobody knows whether it ran) or Redis takes nothing now, and CommandFailed when it refused a
        command for what it is.
        """
        path = "/multi-exec" if atomic else "/pipeline"
        deadline = time.monotonic() + self._timeout_s
        try:
            slots = self._post(path, commands)
        except StoreUnavailable:
            if not repeatable or time.monotonic() >= deadline:
                raise
            slots = self._post(path, commands)
        if not isinstance(slots, list) or len(slots) != len(commands):
            raise StoreUnavailable(f"Redis: {_message(slots)}")
        for slot, command in zip(slots, commands, strict=True):
            if "error" in slot:
                said = str(slot["error"])
                away = said.partition(" ")[0] in _AWAY
                raise StoreUnavailable(f"Redis: {said}") if away else CommandFailed(f"{command[0]}: {said}")
        return [slot["result"] for slot in slots]

    def call(self, *command: str | int | float, repeatable: bool = False) -> Any:
        """One command's result; raises as `run` does."""
        return self.run(command, repeatable=repeatable)[0]

    def ping(self) -> None:
        """Raises StoreUnavailable unless Redis answers."""
        self.call("PING", repeatable=True)

    def close(self) -> None:
        """Give the connections back."""
        with self._lock:
            idle, self._idle = self._idle, []
        for line in idle:
            line.close()

    def _post(self, path: str, commands: Sequence[Command]) -> Any:
        body = json.dumps([list(command) for command in commands], ensure_ascii=False).encode()
        meter.count("redis_commands", len(commands))
        line = self._line()
        try:
            line.request("POST", self._path + path, body, {**self._headers, "Upstash-Sync-Token": self._sync_token})
            reply = line.getresponse()
            text = reply.read()
            meter.count("redis_bytes", len(body) + len(text))
        except (OSError, http.client.HTTPException) as error:
            line.close()
            raise StoreUnavailable(f"Redis: {type(error).__name__}: {error}") from error
        self._sync_token = reply.headers.get("Upstash-Sync-Token", self._sync_token)
        if reply.will_close:
            line.close()
        else:
            with self._lock:
                self._idle.append(line)
        try:
            return json.loads(text)
        except ValueError as error:
            # A gateway's HTML page, or an answer cut short.
            raise StoreUnavailable(f"Redis: answered {reply.status} without JSON") from error

    def _line(self) -> http.client.HTTPConnection:
        """A connection that nobody else uses now: one from before, unless the other side has closed it."""
        while True:
            with self._lock:
                line = self._idle.pop() if self._idle else None
            if line is None:
                if self._tls is None:
                    return http.client.HTTPConnection(self._host, self._port, timeout=self._timeout_s)
                return http.client.HTTPSConnection(self._host, self._port, timeout=self._timeout_s, context=self._tls)
            # Between two answers there is nothing to read but the end.
            if line.sock is not None and not _readable(line.sock):
                return line
            line.close()


def _readable(sock: socket.socket) -> bool:
    # select.select cannot take a descriptor beyond 1023.
    poll = select.poll()
    poll.register(sock, select.POLLIN)
    return bool(poll.poll(0))


def _message(answer: Any) -> str:
    return str(answer["error"]) if isinstance(answer, dict) and "error" in answer else "answered out of form"


def pairs(flat: Sequence[str] | None) -> dict[str, str]:
    """A HGETALL reply (field, value, field, …) as a dictionary."""
    flat = flat or ()
    return dict(zip(flat[::2], flat[1::2], strict=True))


@lru_cache(maxsize=1)
def connect() -> Redis:
    """This process's Redis, made at the first call and kept while warm."""
    s = settings()
    if not s.redis_url or not s.redis_token:
        raise InvalidSettings("UPSTASH_REDIS_REST_URL and UPSTASH_REDIS_REST_TOKEN: needed and not set")
    return Redis(s.redis_url, s.redis_token, s.store_timeout_s)
