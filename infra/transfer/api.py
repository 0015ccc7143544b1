"""The HTTP side: where OpenManager is, its key, and requests that are repeated while it is away."""

import argparse
import http.client
import json
import random
import re
import time
import urllib.error
import urllib.parse
import urllib.request
from collections.abc import Callable, Container, Mapping
from pathlib import Path
from typing import Any

from openmanager.cli.exits import FAILED, NOT_ALLOWED, UNREACHABLE

TIMEOUT_S = 60.0
PAUSE_CAP_S = 60.0
# With the pauses below it gives up after about five minutes.
ATTEMPTS = 10
_ADDRESS = re.compile(r"https?://[!-~]+")
_PLAIN = re.compile(r"[!-~]+")

Say = Callable[[str], None]


def unsaid(_: str) -> None:
    """For whoever waits for no installation, or in silence."""


class Failed(Exception):
    """It cannot go on; the message says why and what to do."""

    exit_code = FAILED


class Unreachable(Failed):
    """Nothing that is an OpenManager answers at the address."""

    exit_code = UNREACHABLE


class NotAllowed(Failed):
    """The key is not accepted, or its role may not do this."""

    exit_code = NOT_ALLOWED


class Missing(Failed):
    """What was asked for is not there."""


class Busy(Failed):
    """It answers, and cannot do this now; `after_s` is when to ask again, 0 where it does not say."""

    def __init__(self, message: str, after_s: float = 0.0) -> None:
        super().__init__(message)
        self.after_s = after_s


class _NoRedirect(urllib.request.HTTPRedirectHandler):
    """A redirect would carry the key elsewhere."""

    def redirect_request(self, *_: Any) -> None:
        return None


class Api:
    """One OpenManager. `say` hears of pauses."""

    def __init__(
        self,
        url: str,
        token: str,
        say: Say,
        sleep: Callable[[float], None] = time.sleep,
        *,
        timeout_s: float = TIMEOUT_S,
    ) -> None:
        self.url = url.rstrip("/")
        self._token, self._timeout_s = token, timeout_s
        self._say, self._sleep = say, sleep
        self._opener = urllib.request.build_opener(_NoRedirect)

    def get(self, path: str, query: Mapping[str, str] | None = None) -> Any:
        """What a GET answers, None for 404; repeated while it is away. Raises Failed."""
        try:
            return self._patiently("GET", path, query=query)
        except Missing:
            return None

    def post(self, path: str, body: Mapping[str, Any]) -> Any:
        """What a POST of JSON answers; repeated while it is away. Raises Failed."""
        return self._patiently("POST", path, body)

    def ask(
        self,
        method: str,
        path: str,
        body: Mapping[str, Any] | None = None,
        query: Mapping[str, str] | None = None,
        accept: Container[int] = (),
    ) -> Any:
        """What one request answers in JSON, None where that is no content; so, too, the refusals that `accept` names.

        Raises Unreachable, NotAllowed, Missing, Busy, and Failed for what else is refused.
        """
        text = self.text(method, path, body, query, accept)
        try:
            return json.loads(text) if text else None
        except ValueError:
            raise Unreachable(f"{self.url} does not answer as OpenManager does (no JSON)") from None

    def text(
        self,
        method: str,
        path: str,
        body: Mapping[str, Any] | None = None,
        query: Mapping[str, str] | None = None,
        accept: Container[int] = (),
    ) -> str:
        """The same as it came."""
        headers = {"Authorization": f"Bearer {self._token}", "Accept": "application/json, text/*;q=0.9"}
        octets = None
        if body is not None:
            octets = json.dumps(body, separators=(",", ":")).encode()
            headers["Content-Type"] = "application/json"
        address = self.url + path + ("?" + urllib.parse.urlencode(query) if query else "")
        try:
            request = urllib.request.Request(address, octets, headers, method=method)
            with self._opened(request) as reply:
                if reply.status >= 300 and reply.status not in accept:
                    raise self._refusal(reply, path)
                return str(reply.read().decode())
        except (OSError, http.client.HTTPException, ValueError) as fault:
            why = str(getattr(fault, "reason", fault)) or type(fault).__name__
            raise Unreachable(f"{self.url} does not answer as OpenManager does ({why})") from None

    def _opened(self, request: urllib.request.Request) -> Any:
        try:
            return self._opener.open(request, timeout=self._timeout_s)
        except urllib.error.HTTPError as refused:
            return refused

    def _refusal(self, fault: urllib.error.HTTPError, path: str) -> Failed:
        detail = _detail(fault)
        if fault.code == 401:
            return NotAllowed(f"{self.url} does not accept the key: {detail}")
        if fault.code == 403:
            return NotAllowed(f"{self.url} does not allow this to the key: {detail}")
        if fault.code == 404:
            return Missing(detail)
        if fault.code >= 500 or fault.code in (408, 429):
            wish = fault.headers.get("Retry-After", "")
            return Busy(f"{self.url} answered {fault.code}: {detail}", float(wish) if wish.isdecimal() else 0.0)
        return Failed(f"{self.url}{path} answered {fault.code}: {detail}")

    def _patiently(
        self,
        method: str,
        path: str,
        body: Mapping[str, Any] | None = None,
        query: Mapping[str, str] | None = None,
    ) -> Any:
        for attempt in range(ATTEMPTS):
            try:
                return self.ask(method, path, body, query)
            except (Unreachable, Busy) as fault:
                away, asked_s = fault, getattr(fault, "after_s", 0.0)
            if attempt + 1 < ATTEMPTS:
                pause_s = max(min(PAUSE_CAP_S, 2.0**attempt) * random.uniform(0.5, 1), min(asked_s, 15 * 60))
                self._say(f"{away}; trying again in {pause_s:.0f} s")
                self._sleep(pause_s)
        raise type(away)(f"{away}, {ATTEMPTS} times; the same command goes on where this one ended")


def _detail(fault: urllib.error.HTTPError) -> str:
    """The human part of an error answer (RFC 9457 problem details), shortened."""
    try:
        problem = json.loads(fault.read(65_536))
        return str(problem.get("detail") or problem.get("title") or fault.reason)[:300]
    except (OSError, ValueError, AttributeError, http.client.HTTPException):
        return str(fault.reason)


def add_address(command: argparse.ArgumentParser) -> None:
    """The options that say which OpenManager is meant, read by `named`."""
    which = command.add_argument_group(
        "which OpenManager", "by these, else OPENMANAGER_URL and OPENMANAGER_TOKEN, else the one that runs here"
    )
    which.add_argument("--url", default="", help="its address")
    which.add_argument("--token-file", type=Path, metavar="FILE", help="a file that holds an API key or token")
    # Kept off the command line in every example: everybody can see it there.
    which.add_argument("--token", default="", help=argparse.SUPPRESS)


def named(chosen: argparse.Namespace, env: Mapping[str, str], checkout: Path) -> tuple[str, str]:
    """(address, key) of the OpenManager that the options of `add_address` mean. Raises Failed."""
    token = chosen.token
    if chosen.token_file:
        try:
            token = chosen.token_file.read_text().strip()
        except (OSError, ValueError) as fault:
            raise Failed(f"--token-file: {chosen.token_file} cannot be read ({fault})") from None
        if not token:
            raise Failed(f"--token-file: {chosen.token_file} is empty")
    url, token = locate(chosen.url, token, env, checkout)
    if not _PLAIN.fullmatch(token):
        raise Failed("the key holds characters that no header can carry")
    return url, token


def locate(url: str, token: str, env: Mapping[str, str], checkout: Path) -> tuple[str, str]:
    """(address, key) from the options, else the environment, else what runs on the data folder. Raises Failed."""
    url, token = url or env.get("OPENMANAGER_URL", ""), token or env.get("OPENMANAGER_TOKEN", "")
    if not (url and token):
        path = Path(env.get("OPENMANAGER_DATA") or checkout / ".openmanager") / "credentials.json"
        try:
            known = json.loads(path.read_text())
            # The key of this machine goes to this machine only:
            if not url or url.rstrip("/") == known["url"].rstrip("/"):
                url, token = url or known["url"], token or known["token"]
        except (OSError, ValueError, LookupError, TypeError):
            pass
    if not url:
        raise Unreachable("which OpenManager? Set OPENMANAGER_URL, or start one here with `make run`")
    if not _ADDRESS.fullmatch(url):
        raise Failed(f"{url!r} is not an http:// or https:// address")
    if not token:
        raise Failed(f"no key for {url}: set OPENMANAGER_TOKEN")
    return url, token
