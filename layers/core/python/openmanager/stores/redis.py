"""The one place that touches the Upstash client.

upstash-redis 1.8 waits for ever, sleeps three seconds and repeats any command after any error, and hides a whole
pipeline behind one failing command. Its transport and headers are used here; the rest is done by `Redis.run`:
a time limit, repetition of nothing that is not safe to repeat, and one result for each command.
"""

import json
import time
from collections.abc import Sequence
from functools import lru_cache
from typing import Any

import httpx
import upstash_redis

from openmanager.errors import InvalidSettings, StoreUnavailable
from openmanager.settings import settings

Command = Sequence[str | int | float]


class CommandFailed(Exception):
    """Redis answered this command with an error."""


class Redis:
    """A Redis behind the Upstash REST protocol."""

    def __init__(self, url: str, token: str, timeout_s: float) -> None:
        self._url = url.rstrip("/")
        self._timeout_s = timeout_s
        client = upstash_redis.Redis(
            url, token, rest_encoding=None, rest_retries=0, allow_telemetry=False, read_your_writes=True
        )
        self._headers = dict(client._headers)
        self._http = client._http._client
        self._http.timeout = httpx.Timeout(timeout_s)
        self._sync_token = ""

    def run(self, *commands: Command, atomic: bool = False, repeatable: bool = False) -> list[Any]:
        """One request with all commands; a result each, in order.

        `atomic` runs them as one transaction. `repeatable` says that a second execution does no harm, so that one
        lost answer may be asked for again within the time limit. Raises StoreUnavailable when there is no usable
        answer (then nobody knows whether it ran) and CommandFailed when Redis refused a command.
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
                raise CommandFailed(f"{command[0]}: {slot['error']}")
        return [slot["result"] for slot in slots]

    def call(self, *command: str | int | float, repeatable: bool = False) -> Any:
        """One command's result; raises as `run` does."""
        return self.run(command, repeatable=repeatable)[0]

    def ping(self) -> None:
        """Raises StoreUnavailable unless Redis answers."""
        self.call("PING", repeatable=True)

    def close(self) -> None:
        """Give the connections back."""
        self._http.close()

    def _post(self, path: str, commands: Sequence[Command]) -> Any:
        headers = {**self._headers, "Upstash-Sync-Token": self._sync_token}
        try:
            reply = self._http.post(self._url + path, headers=headers, json=[list(c) for c in commands])
            self._sync_token = reply.headers.get("Upstash-Sync-Token", self._sync_token)
            return reply.json()
        except httpx.HTTPError as error:
            raise StoreUnavailable(f"Redis: {type(error).__name__}: {error}") from error
        except (json.JSONDecodeError, UnicodeDecodeError) as error:
            # A gateway's HTML page, or an answer cut short.
            raise StoreUnavailable(f"Redis: answered {reply.status_code} without JSON") from error


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
