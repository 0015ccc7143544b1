"""The catalogue of attacks: what one is, the world it meets, and what must be as it was before."""

import json
import re
from collections.abc import Mapping
from dataclasses import dataclass, field
from typing import Any

import psycopg

from functions.ingest.handler import handler as ingest
from infra.local.stack import Upstash
from tests.conftest import API_KEY, TABLES
from tests.credentials import api_key
from tests.events import Reply, invoke

# What is counted or noted of callers may change with any request; nothing else may.
_KEPT = re.compile(r"om:(\d+:.*|config|feed|demo|targets|outbox.*|keys|carried)")
_UNCOUNTED_TABLES = {"audit_log"}


@dataclass(frozen=True)
class Attack:
    """One request of somebody in a role ("nobody" has no credential), and the answer it must get.

    `said` is part of the problem's detail, `named` what the field that it names begins with.
    """

    door: Any
    method: str
    path: str
    role: str = "viewer"
    status: int = 400
    body: bytes | None = None
    query: str = ""
    headers: Mapping[str, str] = field(default_factory=dict)
    said: str = ""
    named: str = ""

    def bearer(self) -> str | None:
        """A credential of the role, made for this."""
        if self.role == "nobody":
            return None
        return API_KEY if self.role == "admin" else api_key(self.role)

    def send(self, bearer: str | None) -> Reply:
        """The request, through the function's handler."""
        more = {"query": self.query, "headers": dict(self.headers), "body": self.body}
        return invoke(self.door, self.method, self.path, key=bearer, **more)


def as_json(document: Any) -> bytes:
    return json.dumps(document).encode()


def push(server: str = "web-01", key: str = API_KEY, **more: Any) -> Reply:
    """One sample through the ordinary door."""
    body = as_json({"server": server, "samples": [{"metrics": {"load_1m": 1.0}}], **more})
    return invoke(ingest, "POST", "/api/ingest", key=key, body=body)


def holdings(redis: Upstash, database: str) -> dict[str, Any]:
    """What both stores hold, but for what is counted and noted of callers."""
    found: dict[str, Any] = {}
    read = {"hash": ("HGETALL",), "string": ("GET",), "stream": ("XRANGE", "-", "+")}
    for key in redis.command("KEYS", "om:*"):
        if _KEPT.fullmatch(key):
            name, *rest = read[redis.command("TYPE", key)]
            answer = redis.command(name, key, *rest)
            found[key] = sorted(zip(answer[::2], answer[1::2], strict=True)) if name == "HGETALL" else answer
    with psycopg.connect(database) as c:
        for (table,) in c.execute(TABLES).fetchall():
            if table not in _UNCOUNTED_TABLES:
                found[table] = sorted(map(repr, c.execute(f"SELECT * FROM {table}").fetchall()))
    return found
