"""The server over standard input and output, for clients that start their servers themselves.

Each line is a message, and goes as it is to the /mcp of a running installation, with a credential: what it may do is
decided there, so roles, limits and the audit log hold. Whatever is no message goes to standard error.
"""

import base64
import json
import re
import sys
from collections.abc import Mapping
from concurrent.futures import ThreadPoolExecutor
from contextlib import closing
from pathlib import Path
from threading import Lock
from typing import IO, Any

import httpx

from openmanager.errors import Forbidden, InvalidSettings, StoreUnavailable, Unauthorized

# Of the newer protocol: what the headers repeat, by method.
_VERSION_IN_META = "io.modelcontextprotocol/protocolVersion"
_NAMED = {"tools/call": "name", "prompts/get": "name", "resources/read": "uri"}
_PLAIN = re.compile(r"[!-~]([ -~]*[!-~])?")
# Longer than any route may take.
_TIMEOUT = httpx.Timeout(60, connect=5)
_AT_ONCE = 8
_PARSE_ERROR, _FAILED = -32700, -32000

Message = dict[str, Any]


def find(env: Mapping[str, str], data: Path) -> tuple[str, str]:
    """(address, credential) of the installation that is meant. Raises InvalidSettings, which says what to set."""
    url, token = env.get("OPENMANAGER_URL", ""), env.get("OPENMANAGER_TOKEN", "")
    if url and not token:
        raise InvalidSettings("OPENMANAGER_TOKEN: is not set, and OPENMANAGER_URL is; it may be an API key or a token")
    if not url:
        try:
            known = json.loads((data / "credentials.json").read_text())
            url, token = known["url"], token or known["token"]
        except (OSError, ValueError, KeyError, TypeError):
            raise InvalidSettings(
                f"OPENMANAGER_URL: is not set, and nothing runs on {data}; "
                "start it with `make run`, or set OPENMANAGER_URL and OPENMANAGER_TOKEN"
            ) from None
    if not re.fullmatch(r"https?://[!-~]+", url):
        raise InvalidSettings(f"OPENMANAGER_URL: {url!r} is not an address such as https://ops.example.com")
    if not _PLAIN.fullmatch(token):
        raise InvalidSettings("OPENMANAGER_TOKEN: is none that a header can carry")
    return url.rstrip("/"), token


class Bridge:
    """One client's messages, each a request of its own; answers come in the order in which they are ready."""

    def __init__(self, url: str, token: str, output: IO[str]) -> None:
        self._url, self._output, self._writes = url, output, Lock()
        self._http = httpx.Client(timeout=_TIMEOUT, headers={"Authorization": f"Bearer {token}"})
        # Of the older protocol: what `initialize` settled.
        self._version = ""

    def check(self) -> None:
        """Raises StoreUnavailable, Unauthorized or Forbidden, in words for whoever set it up."""
        try:
            answer = self._post({"jsonrpc": "2.0", "id": 0, "method": "ping"})
        except httpx.HTTPError as error:
            raise StoreUnavailable(f"nothing answers at {self._url} ({type(error).__name__}); does it run?") from None
        if answer.status_code == 401:
            raise Unauthorized(f"{self._url} does not take this credential (OPENMANAGER_TOKEN)")
        if answer.status_code == 403:
            raise Forbidden(f"{self._url}: {_why(answer)}")
        if answer.status_code != 200:
            raise StoreUnavailable(f"{self._url}/mcp answers {answer.status_code}: {_why(answer)}")

    def serve(self, lines: IO[str]) -> None:
        """Forward until the input ends, then until everything is answered."""
        with closing(self._http), ThreadPoolExecutor(_AT_ONCE) as pool:
            for line in filter(str.strip, lines):
                try:
                    message = json.loads(line)
                except (ValueError, RecursionError):
                    self._refuse(None, _PARSE_ERROR, "this line is not JSON")
                    continue
                # The rest of the older protocol speaks the version that this one settles.
                if isinstance(message, dict) and message.get("method") == "initialize":
                    self._exchange(message)
                else:
                    pool.submit(self._exchange, message)

    def _exchange(self, message: Any) -> None:
        identity = message.get("id") if isinstance(message, dict) else None
        try:
            answer = self._post(message)
        except httpx.HTTPError as error:
            self._refuse(identity, _FAILED, f"nothing answers at {self._url} ({type(error).__name__})")
            return
        if answer.status_code == 202:
            return
        try:
            said = answer.json()
        except ValueError:
            said = {}
        if not isinstance(said, dict) or "jsonrpc" not in said:
            self._refuse(identity, _FAILED, f"HTTP {answer.status_code}: {_why(answer)}")
            return
        if isinstance(message, dict) and message.get("method") == "initialize" and "result" in said:
            self._version = str(said["result"].get("protocolVersion", ""))
        self._write(said)

    def _post(self, message: Any) -> httpx.Response:
        body = json.dumps(message, ensure_ascii=False, separators=(",", ":")).encode(errors="replace")
        return self._http.post(f"{self._url}/mcp", content=body, headers=headers(message, self._version))

    def _refuse(self, identity: Any, code: int, why: str) -> None:
        sys.stderr.write(f"mcp: {why}\n")
        self._write({"jsonrpc": "2.0", "id": identity, "error": {"code": code, "message": why}})

    def _write(self, message: Message) -> None:
        text = json.dumps(message, ensure_ascii=False, separators=(",", ":"))
        with self._writes:
            self._output.write(text + "\n")
            self._output.flush()


def headers(message: Any, version: str) -> dict[str, str]:
    """What HTTP wants beside a message, by the version that it names itself, else by the one that was settled."""
    said = {"Content-Type": "application/json", "Accept": "application/json, text/event-stream"}
    params = message.get("params") if isinstance(message, dict) else None
    params = params if isinstance(params, dict) else {}
    meta = params.get("_meta")
    named = meta.get(_VERSION_IN_META) if isinstance(meta, dict) else None
    if isinstance(named, str):
        said |= {"MCP-Protocol-Version": _plain(named), "Mcp-Method": _plain(str(message.get("method")))}
        name = params.get(_NAMED.get(str(message.get("method")), ""))
        return said | ({"Mcp-Name": _plain(name)} if isinstance(name, str) else {})
    return said | ({"MCP-Protocol-Version": version} if version else {})


def _plain(value: str) -> str:
    """A value as a header carries it; in base64 what it cannot carry: spec 2026-07-28, transports, custom headers."""
    if _PLAIN.fullmatch(value) and not value.startswith("=?base64?"):
        return value
    return f"=?base64?{base64.b64encode(value.encode(errors='replace')).decode()}?="


def _why(answer: httpx.Response) -> str:
    """What a problem answer says, else its status."""
    try:
        return str(answer.json()["detail"])
    except (ValueError, KeyError, TypeError):
        return answer.reason_phrase
