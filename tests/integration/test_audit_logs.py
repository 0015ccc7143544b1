"""No log holds a secret: a whole stack is used at its most talkative, and what it wrote is searched."""

import json
import logging
import urllib.error
import urllib.parse
import urllib.request
from collections.abc import Iterator
from pathlib import Path
from typing import Any

import pytest
from openmanager.errors import StoreUnavailable
from openmanager.settings import settings
from openmanager.stores import reset

from functions.archive.handler import handler as archive_door
from functions.notifications.handler import handler as notifications_door
from functions.servers.handler import handler as servers_door
from functions.tick.handler import handler as tick_door
from infra.local.process import free_port
from tests.events import Context, invoke
from tests.live import LiveStack

SECRETS = {
    "slack": "https://hooks.slack.com/services/T000/B000/slack-0123456789abcdef",
    "webhook": "webhook-signing-secret-0123456789",
    "telegram": "123456789:telegram-token-0123456789abcdefghij",
    "email": "mail-password-0123456789",
    "pagerduty": "0123456789abcdef0123456789abcdef",
    "ntfy": "ntfy-token-0123456789",
}
WRONG = "a-key-that-somebody-mistyped-0123456789"
TARGETS = {
    "slack": {"channel": "slack", "settings": {"url": SECRETS["slack"]}},
    "hook": {"channel": "webhook", "settings": {"url": "https://example.com/x", "secret": SECRETS["webhook"]}},
    "chat": {"channel": "telegram", "settings": {"token": SECRETS["telegram"], "chat_id": "42"}},
    "page": {"channel": "pagerduty", "settings": {"routing_key": SECRETS["pagerduty"]}},
    "push": {"channel": "ntfy", "settings": {"topic": "alerts", "token": SECRETS["ntfy"]}},
    "mail": {
        "channel": "email",
        "settings": {
            "host": "mail.example.com",
            "sender": "om@example.com",
            "to": ["ops@example.com"],
            "user": "om",
            "password": SECRETS["email"],
        },
    },
}


@pytest.fixture
def talkative(tmp_path: Path) -> Iterator[LiveStack]:
    stack = LiveStack(tmp_path, free_port())
    stack.env["OPENMANAGER_LOG_LEVEL"] = "DEBUG"
    stack.start()
    try:
        yield stack
    finally:
        stack.stop()


def test_a_used_stack_wrote_no_secret_into_its_logs(talkative: LiveStack) -> None:
    known = talkative.credentials
    for name, target in TARGETS.items():
        assert talkative.ask(f"/api/notifications/targets/{name}", "PUT", json.dumps(target).encode())[0] == 200
        talkative.ask(f"/api/notifications/targets/{name}/test", "POST")
    pushed = {"server": "web-01", "samples": [{"metrics": {"cpu_utilization": 99.0}}]}
    assert talkative.ask("/api/ingest", "POST", json.dumps(pushed).encode())[0] == 200
    broken = json.dumps({"channel": "slack", "settings": {"url": SECRETS["slack"], "more": SECRETS["ntfy"]}})
    assert talkative.ask("/api/notifications/targets/bad", "PUT", broken.encode())[0] == 400
    for path in ("/api/servers", "/api/alerts", "/api/audit", "/api/nowhere", "/api/system/demo"):
        talkative.ask(path)
    query = urllib.parse.urlencode({"token": known["token"]})
    talkative.ask(f"/api/servers?{query}")
    assert talkative.ask("/api/tick", "POST")[0] == 200
    assert send(talkative, "GET", "/api/servers", bearer=WRONG)[0] == 401
    # All that the stack made for itself: keys, passwords of stores, what signs tokens.
    made = json.loads((talkative.data / "secrets.json").read_text())
    assert {"OPENMANAGER_API_KEY", "OPENMANAGER_JWT_KEY", "postgres_password"} <= set(made)
    secrets = {**SECRETS, **made, **log_in_and_out(talkative), "wrong key": WRONG}
    written = "\n".join(path.read_text(errors="replace") for path in (talkative.data / "logs").iterdir())
    assert "GET /api/servers: 401" in written
    told = lines_of(talkative)
    assert {tuple(line) for line in told} <= {LINE, (*LINE, "traceId")}
    # Each in the name of its function, though they share a process.
    assert {"ingest", "servers", "notifications"} <= {line["component"] for line in told}
    assert {name for name, value in secrets.items() if value in written} == set()


LINE = ("timestamp", "level", "service", "component", "message", "metadata")


def lines_of(stack: LiveStack) -> list[dict[str, Any]]:
    """What the functions' processes logged: whole, and nothing but JSON."""
    written = [(stack.data / "logs" / f"{name}.log").read_text().splitlines() for name in ("gateway", "schedule")]
    # What the interpreter's C++ says of itself passes Python by.
    ours = [line for lines in written for line in lines if not line.startswith("INFO: Created TensorFlow Lite")]
    return [json.loads(line) for line in ours]


def log_in_and_out(stack: LiveStack) -> dict[str, str]:
    """What people and programs are given and send: a token, a renewed one, passwords right and wrong, an API key."""
    user = {"user": stack.credentials["user"], "password": stack.credentials["password"]}
    assert send(stack, "POST", "/api/auth/token", {**user, "password": WRONG})[0] == 401
    _, answer = send(stack, "POST", "/api/auth/token", user)
    _, renewed = send(stack, "POST", "/api/auth/refresh", bearer=answer["access_token"])
    assert send(stack, "GET", "/api/servers", bearer=renewed["access_token"] + "x")[0] == 401
    _, ticket = send(stack, "POST", "/api/stream/ticket", bearer=renewed["access_token"])
    assert send(stack, "GET", f"/api/stream?ticket={ticket['ticket'][:-1]}", bearer="")[0] == 401
    key = {"name": "agents", "role": "agent", "servers": ["web-*"]}
    _, made = send(stack, "POST", "/api/keys", key, renewed["access_token"])
    assert send(stack, "GET", "/api/servers", bearer=made["key"])[0] == 403
    assert send(stack, "POST", "/api/auth/logout", bearer=renewed["access_token"])[0] == 204
    tokens = {"token": answer["access_token"], "renewed": renewed["access_token"], "ticket": ticket["ticket"][:-1]}
    return {**tokens, "API key": made["key"], "password": user["password"]}


def send(stack: LiveStack, method: str, path: str, document: Any = None, bearer: str | None = None) -> tuple[int, Any]:
    """(status, body), with the administrator's key unless another bearer is given."""
    headers = {"Authorization": f"Bearer {stack.token if bearer is None else bearer}"}
    octets = None if document is None else json.dumps(document).encode()
    request = urllib.request.Request(stack.url + path, octets, headers, method=method)
    try:
        with urllib.request.urlopen(request, timeout=10) as answer:
            return answer.status, json.loads(answer.read() or b"null")
    except urllib.error.HTTPError as refused:
        with refused:
            return refused.code, json.loads(refused.read() or b"null")


def test_functions_without_their_stores_say_so_and_no_password(
    stores_env: dict[str, str], monkeypatch: pytest.MonkeyPatch, capsys: pytest.CaptureFixture[str]
) -> None:
    secrets = {
        "DATABASE_URL": "database-password-0123456789",
        "UPSTASH_REDIS_REST_TOKEN": "redis-token-0123456789",
        "OPENMANAGER_CRON_SECRET": "cron-secret-0123456789-abcdef",
        "OPENMANAGER_JWT_KEYS": "jwt-signing-secret-0123456789-abcdefgh",
        "OPENMANAGER_API_KEY": stores_env["OPENMANAGER_API_KEY"],
    }
    monkeypatch.setenv("DATABASE_URL", f"postgresql://om:{secrets['DATABASE_URL']}@127.0.0.1:1/none")
    monkeypatch.setenv("UPSTASH_REDIS_REST_URL", "http://127.0.0.1:1")
    monkeypatch.setenv("UPSTASH_REDIS_REST_TOKEN", secrets["UPSTASH_REDIS_REST_TOKEN"])
    monkeypatch.setenv("OPENMANAGER_CRON_SECRET", secrets["OPENMANAGER_CRON_SECRET"])
    monkeypatch.setenv("OPENMANAGER_JWT_KEYS", f"first:{secrets['OPENMANAGER_JWT_KEYS']}")
    settings.cache_clear()
    reset()
    lines: list[str] = []

    class Keep(logging.Handler):
        def emit(self, record: logging.LogRecord) -> None:
            lines.append(self.format(record) + repr(record.__dict__))

    keep, root = Keep(), logging.getLogger()
    before = root.level
    root.addHandler(keep)
    root.setLevel(logging.DEBUG)
    try:
        key = secrets["OPENMANAGER_API_KEY"]
        target = json.dumps(TARGETS["mail"]).encode()
        assert invoke(servers_door, "GET", "/api/servers", key=key).status == 503
        path = "/api/notifications/targets/mail"
        assert invoke(notifications_door, "PUT", path, key=key, body=target).status == 503
        for scheduled in (tick_door, archive_door):
            with pytest.raises(StoreUnavailable):
                scheduled({}, Context())
    finally:
        root.removeHandler(keep)
        root.setLevel(before)
    written = "\n".join(lines) + "".join(capsys.readouterr())
    assert "127.0.0.1" in written
    assert {name for name, value in {**SECRETS, **secrets}.items() if value in written} == set()
