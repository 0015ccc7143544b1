"""Redis behind Upstash's REST interface, asked so that a wrong setting can be told from an outage.

openmanager.stores.redis is the functions' way there: it hides from strangers what an operator wants to know.
"""

import json
import socket
import ssl
import time
from collections.abc import Sequence
from dataclasses import dataclass
from email.utils import parsedate_to_datetime
from typing import Any, Literal
from urllib.parse import urlsplit

import httpx

Trouble = Literal["name", "refused", "tls", "silent", "token", "read-only", "quota", "no-redis", "error"]


class Unusable(Exception):
    """Redis did not do what it was asked; `trouble` is what kind of fault that is."""

    def __init__(self, trouble: Trouble, message: str) -> None:
        super().__init__(message)
        self.trouble = trouble


@dataclass(frozen=True, slots=True)
class Answered:
    """Results of the commands, how long they took, and how far the clock there is ahead (None: it does not say).

    A Date has whole seconds, so the difference is good to a second.
    """

    results: list[Any]
    seconds: float
    ahead_s: float | None


class Rest:
    """One database; connections are kept, so that a second request costs one way there and back."""

    def __init__(self, url: str, token: str, timeout_s: float = 5) -> None:
        self.host = urlsplit(url).hostname or ""
        self._url = url.rstrip("/") + "/pipeline"
        self._http = httpx.Client(headers={"Authorization": f"Bearer {token}"}, timeout=timeout_s)

    def close(self) -> None:
        """Give the connection back."""
        self._http.close()

    def run(self, *commands: Sequence[str | int]) -> Answered:
        """One request with all commands. Raises Unusable."""
        began, wall = time.perf_counter(), time.time()
        try:
            reply = self._http.post(self._url, json=[list(command) for command in commands])
        except (httpx.HTTPError, httpx.InvalidURL) as error:
            raise _unreachable(error, self.host) from error
        seconds = time.perf_counter() - began
        results = _results(reply, len(commands))
        return Answered(results, seconds, _ahead_s(reply.headers.get("Date"), wall + seconds / 2))


def _results(reply: httpx.Response, expected: int) -> list[Any]:
    try:
        slots = reply.json()
    except (json.JSONDecodeError, UnicodeDecodeError):
        raise Unusable("no-redis", f"answered {reply.status_code} without JSON") from None
    if isinstance(slots, dict) and "error" in slots:
        raise _refusal(str(slots["error"]), reply.status_code)
    if not isinstance(slots, list) or len(slots) != expected or not all(isinstance(slot, dict) for slot in slots):
        raise Unusable("no-redis", f"answered {reply.status_code} out of form")
    for slot in slots:
        if "error" in slot:
            raise _refusal(str(slot["error"]), reply.status_code)
    return [slot.get("result") for slot in slots]


def _refusal(error: str, status: int) -> Unusable:
    if status in (401, 403) or "WRONGPASS" in error:
        return Unusable("token", error)
    if "NOPERM" in error:
        return Unusable("read-only", error)
    if "limit exceeded" in error:
        return Unusable("quota", error)
    return Unusable("error", error)


def _unreachable(error: Exception, host: str) -> Unusable:
    """Which way it failed: the reason lies below what httpx and httpcore make of it."""
    below: BaseException | None = error
    while below is not None:
        if isinstance(below, socket.gaierror):
            return Unusable("name", f"the name {host} is not known")
        if isinstance(below, ssl.SSLError):
            return Unusable("tls", str(below))
        if isinstance(below, ConnectionRefusedError):
            return Unusable("refused", f"{host} refuses connections")
        below = below.__cause__ or below.__context__
    if isinstance(error, httpx.TimeoutException):
        return Unusable("silent", f"{host} did not answer in time")
    if "refused" in str(error):
        return Unusable("refused", f"{host} refuses connections")
    return Unusable("silent", f"{type(error).__name__}: {error}")


def _ahead_s(date: str | None, here: float) -> float | None:
    try:
        # Written as the second that has begun:
        return parsedate_to_datetime(date).timestamp() + 0.5 - here if date else None
    except ValueError:
        return None
