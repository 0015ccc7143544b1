"""The Upstash REST protocol in front of a Redis-compatible server.

Functions speak to Upstash over HTTPS, so locally and in tests the same client speaks to this.

Where Upstash and a plain server differ, this follows Upstash: a script may carry its flag
`allow-key-locking` (others refuse it, so it is taken out, and EVALSHA is led to what was stored), and
commands that block or belong to a connection are refused, since one connection serves everybody.

It also counts, because commands are the bill: GET /stats, POST /stats/reset, with the same token.
"""

import hmac
import json
import os
import re
from base64 import b64encode
from collections import Counter
from collections.abc import Callable
from hashlib import sha1
from typing import Any
from urllib.parse import parse_qsl, unquote_to_bytes

from starlette.requests import Request
from starlette.responses import Response
from starlette.types import Receive, Scope, Send

from infra.local.resp import Client, Failure, Reply, Status, StoreAway

# Upstash refuses these over REST too, or their effect would leak into other callers' requests.
REFUSED = frozenset(
    b"AUTH BLMOVE BLMPOP BLPOP BRPOP BRPOPLPUSH BZMPOP BZPOPMAX BZPOPMIN CLIENT DISCARD EXEC HELLO MONITOR"
    b" MULTI PSUBSCRIBE QUIT RESET SELECT SHUTDOWN SSUBSCRIBE SUBSCRIBE UNWATCH WAIT WAITAOF WATCH".split()
)


class BadRequest(Exception):
    """A request that is not of the protocol."""


class Front:
    """The ASGI application."""

    def __init__(self, client: Client, token: str) -> None:
        self._client = client
        self._token = token.encode()
        self._stored_as: dict[bytes, bytes] = {}  # SHA-1 of a script as sent → as stored
        self._requests = 0
        self._by_name: Counter[str] = Counter()

    async def __call__(self, scope: Scope, receive: Receive, send: Send) -> None:
        if scope["type"] != "http":
            return
        request = Request(scope, receive)
        try:
            status, body = await self._answer(request)
        except BadRequest as error:
            status, body = 400, {"error": f"ERR {error}"}
        except StoreAway as error:
            status, body = 503, {"error": f"ERR {error}"}
        text = json.dumps(body, separators=(",", ":"))
        await Response(text, status, media_type="application/json")(scope, receive, send)

    async def _answer(self, request: Request) -> tuple[int, Any]:
        if not self._allowed(request):
            return 401, {"error": "Unauthorized"}
        if request.method not in ("GET", "POST", "PUT"):
            return 405, {"error": "ERR method not allowed"}
        path = request.url.path
        if path == "/stats":
            return 200, self.stats()
        if path == "/stats/reset":
            self.reset_stats()
            return 200, {"result": "OK"}
        self._requests += 1
        encoded = request.headers.get("upstash-encoding") == "base64"
        shape = _shaper(encoded)
        if path in ("/pipeline", "/multi-exec"):
            commands = [self._prepare(_arguments(item)) for item in _json_list(await request.body())]
            run = self._transaction if path == "/multi-exec" else self._pipeline
            return await run(commands, shape)
        if path == "/":
            command = _arguments(_json_list(await request.body()))
        else:
            command = await _from_path(request)
        (reply,) = await self._client.run([self._prepare(command)])
        return (400 if isinstance(reply, Failure) else 200), _slot(reply, shape)

    async def _pipeline(self, commands: list[list[bytes]], shape: Callable[[Reply], Any]) -> tuple[int, Any]:
        return 200, [_slot(reply, shape) for reply in await self._client.run(commands)]

    async def _transaction(self, commands: list[list[bytes]], shape: Callable[[Reply], Any]) -> tuple[int, Any]:
        *queued, done = await self._client.run([[b"MULTI"], *commands, [b"EXEC"]])
        if not isinstance(done, list):
            reason = next((reply for reply in queued if isinstance(reply, Failure)), done)
            return 400, {"error": reason.decode() if isinstance(reason, bytes) else "EXECABORT"}
        return 200, [_slot(reply, shape) for reply in done]

    def stats(self) -> dict[str, Any]:
        """What was asked since the start or the last reset."""
        return {
            "requests": self._requests,
            "commands": self._by_name.total(),
            "by_name": dict(sorted(self._by_name.items())),
        }

    def reset_stats(self) -> None:
        self._requests = 0
        self._by_name.clear()

    def _allowed(self, request: Request) -> bool:
        scheme, _, given = request.headers.get("authorization", "").partition(" ")
        if scheme.lower() != "bearer":
            given = request.query_params.get("_token", "")
        return hmac.compare_digest(given.strip().encode(), self._token)

    def _prepare(self, command: list[bytes]) -> list[bytes]:
        """Count a command and say it as the server behind understands it."""
        name, *rest = command
        name = name.upper()
        self._by_name[name.decode(errors="replace")] += 1
        if name in REFUSED or (name in (b"XREAD", b"XREADGROUP") and b"BLOCK" in map(bytes.upper, rest)):
            raise BadRequest(f"Command is not available: '{name.decode()}'")
        if name in (b"EVAL", b"EVAL_RO") and rest:
            return [name, self._storable(rest[0]), *rest[1:]]
        if name == b"SCRIPT" and len(rest) == 2 and rest[0].upper() == b"LOAD":
            return [name, rest[0], self._storable(rest[1])]
        if name in (b"EVALSHA", b"EVALSHA_RO") and rest:
            return [name, self._stored_as.get(rest[0].lower(), rest[0]), *rest[1:]]
        return command

    def _storable(self, script: bytes) -> bytes:
        """The script without the flag that only Upstash knows."""
        head, newline, body = script.partition(b"\n")
        flags = re.search(rb"\bflags=([\w,-]+)", head) if head.startswith(b"#!lua") else None
        if flags is None or b"allow-key-locking" not in flags[1]:
            return script
        keep = [flag for flag in flags[1].split(b",") if flag != b"allow-key-locking"]
        plain = b"#!lua" + (b" flags=" + b",".join(keep) if keep else b"") + newline + body
        self._stored_as[_sha1(script)] = _sha1(plain)
        return plain


def _sha1(script: bytes) -> bytes:
    return sha1(script, usedforsecurity=False).hexdigest().encode()


def _json_list(body: bytes) -> list[Any]:
    try:
        # Numbers stay as they were written: the server sees text anyway.
        parsed = json.loads(body, parse_int=str, parse_float=str)
    except ValueError:
        raise BadRequest("failed to parse the request body: not JSON") from None
    if not isinstance(parsed, list) or not parsed:
        raise BadRequest("failed to parse the request body: a list that is not empty is expected")
    return parsed


def _arguments(command: Any) -> list[bytes]:
    if not isinstance(command, list) or not command:
        raise BadRequest("a command is a list that is not empty")
    try:
        return [
            (part if isinstance(part, str) else json.dumps(part, separators=(",", ":"))).encode() for part in command
        ]
    except UnicodeEncodeError:
        raise BadRequest("an argument is not valid Unicode") from None


async def _from_path(request: Request) -> list[bytes]:
    """/set/key/value?EX=10, with a body as one more argument before the options."""
    command = [unquote_to_bytes(part) for part in request.scope["raw_path"].split(b"/")[1:]]
    if body := await request.body():
        command.append(body)
    options = parse_qsl(request.url.query, keep_blank_values=True)
    command += [word.encode() for name, value in options if name != "_token" for word in (name, value) if word]
    return command


def _shaper(encoded: bool) -> Callable[[Reply], Any]:
    """How a reply becomes JSON: in base64 mode all text but the status OK is encoded."""

    def shape(reply: Reply) -> Any:
        if isinstance(reply, list):
            return [shape(item) for item in reply]
        if not isinstance(reply, bytes):
            return reply
        if encoded and not (isinstance(reply, Status) and reply == b"OK"):
            return b64encode(reply).decode()
        return reply.decode(errors="replace")

    return shape


def _slot(reply: Reply, shape: Callable[[Reply], Any]) -> dict[str, Any]:
    return {"error": reply.decode()} if isinstance(reply, Failure) else {"result": shape(reply)}


def create_front() -> Front:
    """The front as the local stack starts it, configured by its environment."""
    port, password = int(os.environ["VALKEY_PORT"]), os.environ["VALKEY_PASSWORD"]
    return Front(Client("127.0.0.1", port, password), os.environ["UPSTASH_REDIS_REST_TOKEN"])
