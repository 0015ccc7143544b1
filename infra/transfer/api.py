"""The HTTP side: where OpenManager is, its key, and requests that are repeated while it is away."""

import http.client
import json
import random
import time
import urllib.error
import urllib.parse
import urllib.request
from collections.abc import Callable, Mapping
from pathlib import Path
from typing import Any

TIMEOUT_S = 60.0
PAUSE_CAP_S = 60.0
# With the pauses below it gives up after about five minutes.
ATTEMPTS = 10

Say = Callable[[str], None]


class Failed(Exception):
    """It cannot go on; the message says why and what to do."""


class _NoRedirect(urllib.request.HTTPRedirectHandler):
    """A redirect would carry the key elsewhere."""

    def redirect_request(self, *_: Any) -> None:
        return None


class Api:
    """One OpenManager. `say` hears of pauses."""

    def __init__(self, url: str, token: str, say: Say, sleep: Callable[[float], None] = time.sleep) -> None:
        self.url = url.rstrip("/")
        self._token = token
        self._say, self._sleep = say, sleep
        self._opener = urllib.request.build_opener(_NoRedirect)

    def get(self, path: str, query: Mapping[str, str] | None = None) -> Any:
        """What a GET answers, None for 404. Raises Failed."""
        return self._ask(path + ("?" + urllib.parse.urlencode(query) if query else ""), None)

    def post(self, path: str, body: Mapping[str, Any]) -> Any:
        """What a POST of JSON answers. Raises Failed."""
        return self._ask(path, json.dumps(body, separators=(",", ":")).encode())

    def _ask(self, path: str, body: bytes | None) -> Any:
        headers = {"Authorization": f"Bearer {self._token}", "Content-Type": "application/json"}
        request = urllib.request.Request(self.url + path, body, headers)
        why = ""
        for attempt in range(ATTEMPTS):
            asked_s = 0.0
            try:
                with self._opener.open(request, timeout=TIMEOUT_S) as reply:
                    return json.load(reply)
            except urllib.error.HTTPError as fault:
                with fault:
                    detail = _detail(fault)
                if fault.code == 404 and body is None:
                    return None
                if fault.code in (401, 403):
                    raise Failed(f"{self.url} does not accept the key: {detail}") from None
                if fault.code < 500 and fault.code not in (408, 429):
                    raise Failed(f"{self.url}{path} answered {fault.code}: {detail}") from None
                why = f"{fault.code} {detail}"
                wish = fault.headers.get("Retry-After", "")
                asked_s = float(wish) if wish.isdecimal() else 0.0
            except (OSError, http.client.HTTPException, ValueError) as fault:
                why = str(getattr(fault, "reason", fault)) or type(fault).__name__
            if attempt + 1 < ATTEMPTS:
                pause_s = max(min(PAUSE_CAP_S, 2.0**attempt) * random.uniform(0.5, 1), min(asked_s, 15 * 60))
                self._say(f"{self.url} is away ({why}); trying again in {pause_s:.0f} s")
                self._sleep(pause_s)
        raise Failed(f"{self.url} stayed away ({why}); the same command goes on where this one ended")


def _detail(fault: urllib.error.HTTPError) -> str:
    """The human part of an error answer (RFC 9457 problem details), shortened."""
    try:
        problem = json.loads(fault.read(65_536))
        return str(problem.get("detail") or problem.get("title") or fault.reason)[:300]
    except (OSError, ValueError, AttributeError, http.client.HTTPException):
        return str(fault.reason)


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
        raise Failed("which OpenManager? Set OPENMANAGER_URL, or start one here with `make run`")
    if urllib.parse.urlsplit(url).scheme not in ("http", "https"):
        raise Failed(f"{url!r} is not an http:// or https:// address")
    if not token:
        raise Failed(f"no key for {url}: set OPENMANAGER_TOKEN")
    return url, token
