"""Attacks on who one is: forged and replayed credentials, other agents' servers, counted addresses, the logs."""

import ast
import base64
import hmac
import inspect
import json
import logging
import threading
import time
from types import ModuleType
from typing import Any

import jwt
import pytest
from openmanager.audit import Broken, row_hash, verify
from openmanager.security import attempts, keys, login, passwords, tokens
from openmanager.settings import settings
from openmanager.stores import tickets
from openmanager.stores.segments import read_server_frames, segments_between
from openmanager.web import auth as doors

from functions.access.handler import handler as access
from functions.audit.handler import handler as audit
from functions.auth.handler import handler as auth
from functions.cron.handler import handler as cron
from functions.ingest.handler import handler as ingest
from functions.rules.handler import handler as rules
from functions.servers.handler import handler as servers
from functions.stream.handler import handler as stream
from infra.local.stack import Upstash
from tests.attacks import as_json, push
from tests.conftest import API_KEY
from tests.credentials import JWT_KEYS, api_key, claims, signed, token
from tests.events import invoke

PASSWORD = "correct horse battery"


@pytest.fixture(autouse=True)
def stage(stores_env: dict[str, str], monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setenv("OPENMANAGER_JWT_KEYS", JWT_KEYS)
    monkeypatch.setattr(passwords, "_LOG_N", 10)
    settings.cache_clear()


def limited(monkeypatch: pytest.MonkeyPatch, calls: int) -> None:
    monkeypatch.setenv("OPENMANAGER_REQUEST_LIMIT", str(calls))
    settings.cache_clear()


def reads(bearer: str | None, **more: Any) -> int:
    return invoke(servers, "GET", "/api/servers", key=bearer, **more).status


def octets(part: bytes) -> str:
    return base64.urlsafe_b64encode(part).rstrip(b"=").decode()


def nested(depth: int, before: bytes) -> bytes:
    return before + b"[" * depth + b"]" * depth + b"}"


HEADERS: dict[str, dict[str, Any]] = {
    "a kid that is a path to nothing": {"kid": "../../../../dev/null"},
    "a kid that is SQL": {"kid": "x' UNION SELECT 'secret"},
    "a kid that is a command": {"kid": "one|cat /etc/passwd"},
    "a kid that is empty": {"kid": ""},
    "a kid that is what nothing is called": {"kid": "None"},
    "a kid like a good one": {"kid": "ONE"},
    "a key of one's own in the header": {"kid": "mine", "jwk": {"kty": "oct", "k": octets(b"k" * 32)}},
    "an address of keys in the header": {"kid": "mine", "jku": "https://evil.example/jwks.json"},
    "a certificate in the header": {"kid": "mine", "x5u": "https://evil.example/c.pem", "x5c": ["MIIB"]},
    "an extension that must be understood": {"kid": "one", "crit": ["exp"]},
}


@pytest.mark.parametrize("name", HEADERS)
@pytest.mark.parametrize("secret", ["k" * 32, "\0" * 32], ids=["one's own secret", "noughts"])
def test_no_header_of_a_token_brings_its_own_key(name: str, secret: str) -> None:
    assert reads(signed()) == 200
    assert reads(jwt.encode(claims(), secret, "HS256", headers=HEADERS[name])) == 401


@pytest.mark.parametrize(
    "forged",
    [
        octets(nested(40_000, b'{"alg":"HS256","kid":')) + ".e30.eHh4",
        octets(b'{"alg":"HS256","kid":"one"}') + "." + octets(nested(40_000, b'{"iss":')) + ".eHh4",
        octets(b'{"alg":"HS256","kid":["one"]}') + ".e30.eHh4",
        octets(b'{"alg":"HS256","kid":"one","kid":"two"}') + ".e30.eHh4",
        octets(b'{"alg":["HS256","none"],"kid":"one"}') + ".e30.",
        octets(b'{"alg":"nOnE","kid":"one"}') + "." + octets(as_json({"sub": "a-admin", "role": "admin"})) + ".",
        octets(b"\xff\xfe") + ".e30.eHh4",
        "..",
        "." * 20_000,
        "om_@published_" + "x" * 43,
        "om__",
        "om_" + "0" * 12 + "_\xe9\xe9",
        "\xe9" * 100,
    ],
    ids=lambda text: text[:24],
)
def test_no_credential_out_of_form_is_more_than_unknown(forged: str) -> None:
    reply = invoke(servers, "GET", "/api/servers", key=forged)
    assert (reply.status, reply.headers["www-authenticate"]) == (401, "Bearer")


@pytest.mark.parametrize(
    "changed",
    [
        {"exp": float("inf")},
        {"exp": "9" * 400},
        {"iat": -1e308},
        {"auth_time": float("nan")},
        pytest.param({"auth_time": time.time() + 8 * 86_400}, id="logged in next week"),
        {"role": ["admin"]},
        {"role": "admin\0"},
        {"role": "Admin"},
        {"aud": ["openmanager:prod", "*"]},
        {"iss": "openmanager "},
        {"sub": {"name": "a-admin"}},
    ],
    ids=repr,
)
def test_whoever_shares_a_signing_key_still_cannot_sign_just_anything(changed: dict[str, Any]) -> None:
    assert reads(signed(**changed)) == 401


def test_every_secret_is_compared_in_constant_time(monkeypatch: pytest.MonkeyPatch) -> None:
    compared: list[tuple[Any, Any]] = []
    real = hmac.compare_digest

    def spy(a: Any, b: Any) -> bool:
        compared.append((a, b))
        return real(a, b)

    monkeypatch.setenv("OPENMANAGER_CRON_SECRET", "c" * 24)
    settings.cache_clear()
    monkeypatch.setattr(hmac, "compare_digest", spy)
    near = API_KEY[:-1] + "!"
    assert reads(near) == 401
    assert (near.encode(), API_KEY.encode()) in compared
    key = api_key("viewer")
    assert reads(key[:-1] + "!") == 401
    # Where the first difference lies in two digests tells nothing of the key.
    assert (keys.digest(key[:-1] + "!"), keys.digest(key)) in compared
    # And an id that nobody has is compared, too.
    assert reads("om_" + "0" * 12 + "_x") == 401
    assert (keys.digest("om_" + "0" * 12 + "_x"), keys.digest("")) in compared
    assert invoke(cron, "POST", "/api/tick", key="d" * 24).status == 401
    assert (b"d" * 24, b"c" * 24) in compared
    compared.clear()
    stored = passwords.hash_password(PASSWORD)
    assert not passwords.verify_password(PASSWORD + "!", stored)
    assert len(compared) == 1


@pytest.mark.parametrize("module", [doors, keys, passwords, login, tokens, tickets], ids=lambda m: m.__name__)
def test_no_secret_is_compared_in_any_other_way(module: ModuleType) -> None:
    secret = {"key", "secret", "digest", "password", "credential", "credentials", "derived", "api_key", "cron_secret"}
    found = []
    for node in ast.walk(ast.parse(inspect.getsource(module))):
        if isinstance(node, ast.Compare) and any(isinstance(op, ast.Eq | ast.NotEq) for op in node.ops):
            sides = [node.left, *node.comparators]
            names = {getattr(side, "id", getattr(side, "attr", "")) for side in sides}
            found += [ast.unparse(node)] if names & secret else []
    assert found == []


def test_a_ticket_that_many_use_at_once_opens_one_stream() -> None:
    ticket = tickets.issue("kim")
    start, opened = threading.Barrier(12), []

    def use() -> None:
        start.wait()
        opened.append(tickets.redeem(ticket))

    threads = [threading.Thread(target=use) for _ in range(12)]
    for thread in threads:
        thread.start()
    for thread in threads:
        thread.join()
    assert sorted(map(str, opened)) == ["None"] * 11 + ["kim"]


def test_a_ticket_is_no_key_to_redis_and_opens_nothing_but_streams(empty_redis: Upstash) -> None:
    ticket = invoke(stream, "POST", "/api/stream/ticket", key=token("viewer")).json()["ticket"]
    for wrong in (f"{ticket}%00", f"*{ticket[1:]}", f"../{ticket}", "om:ticket|x"):
        assert invoke(stream, "GET", "/api/stream", query=f"ticket={wrong}").status in (400, 401)
    assert invoke(stream, "POST", "/api/stream/ticket", query=f"ticket={ticket}").status == 401
    # The spent ones above took nothing from it, and it is not more than its holder: who gave it is not in its name.
    assert len(empty_redis.command("KEYS", "om:ticket|*")) == 1


def test_guessing_tickets_ends_before_it_costs(monkeypatch: pytest.MonkeyPatch, empty_redis: Upstash) -> None:
    limited(monkeypatch, 1)
    empty_redis.reset_stats()
    answers = [invoke(stream, "GET", "/api/stream", query=f"ticket={i:043}").status for i in range(80)]
    assert answers == [401] * 60 + [429] * 20
    assert empty_redis.stats()["by_name"]["GETDEL"] == 60


SPOOFS = ("x-forwarded-for", "forwarded", "x-real-ip", "x-client-ip", "cf-connecting-ip", "x-vercel-forwarded-for")


def test_no_header_gives_an_address_a_budget_of_its_own(monkeypatch: pytest.MonkeyPatch) -> None:
    bearers = [api_key("viewer", name=f"key {i}") for i in range(6)]
    limited(monkeypatch, 1)
    # One call each for every caller, five for their address:
    spoofed = [dict.fromkeys(SPOOFS, f"198.51.100.{i}") for i in range(6)]
    assert [reads(b, headers=h) for b, h in zip(bearers, spoofed, strict=True)] == [200] * 5 + [429]


def test_no_header_gives_more_guesses_at_a_password() -> None:
    body = as_json({"role": "operator", "password": PASSWORD})
    assert invoke(access, "PUT", "/api/users/ann", key=API_KEY, body=body).status == 200

    def enter(password: str, i: int) -> int:
        said = dict.fromkeys(SPOOFS, f"198.51.100.{i}")
        body = as_json({"user": "ann", "password": password})
        return invoke(auth, "POST", "/api/auth/token", headers=said, body=body).status

    assert [enter("wrong", i) for i in range(attempts.USER_FAILURES)] == [401] * attempts.USER_FAILURES
    assert enter(PASSWORD, 99) == 429


@pytest.mark.parametrize("name", ["ａnn", "аnn", "ann\u200b", "ann%00", "ann\u0301", "../ann"])
def test_a_look_alike_of_a_user_is_nobody(name: str) -> None:
    body = as_json({"role": "operator", "password": PASSWORD})
    assert invoke(access, "PUT", "/api/users/ann", key=API_KEY, body=body).status == 200
    asked = as_json({"user": name, "password": PASSWORD})
    assert invoke(auth, "POST", "/api/auth/token", body=asked).status == 401


def test_a_role_asked_for_at_the_door_is_not_given() -> None:
    body = as_json({"role": "viewer", "password": PASSWORD})
    assert invoke(access, "PUT", "/api/users/ann", key=API_KEY, body=body).status == 200
    asked = as_json({"user": "ann", "password": PASSWORD, "role": "admin", "scope": "*", "expires_in": 10**9})
    reply = invoke(auth, "POST", "/api/auth/token", body=asked)
    assert reply.status in (200, 400)
    if reply.status == 200:
        assert (reply.json()["role"], reply.json()["expires_in"] <= 3600) == ("viewer", True)


FOREIGN = [
    "db-01", "WEB-01", "Web-01", "web", "web_01", "xweb-01", "wеb-01", "web\u201001", "web-01|verdict", "web-*",
    "@round", "../web-01", "web-01\n", " web-01", "web-01\0", "web-01\u200b", "web-" + "0" * 125,
]  # fmt: skip


@pytest.mark.parametrize("server", FOREIGN)
def test_an_agents_key_for_web_writes_nothing_that_only_looks_like_it(server: str, empty_redis: Upstash) -> None:
    key = api_key("agent")
    reply = push(server, key=key)
    assert reply.status in (200, 400)
    if reply.status == 200:
        answer = reply.json()
        assert (answer["accepted"], answer["rejected_count"]) == (0, 1)
        assert answer["rejected"][0]["reason"].startswith("is none of the servers")
    assert empty_redis.command("KEYS", "om:0:*") == []


def test_another_agents_server_beside_ones_own_is_left_out_under_every_name() -> None:
    key = api_key("agent")
    sample = {"samples": [{"metrics": {"load_1m": 1.0}}]}
    body = as_json({"server": "db-01", "servers": [{"server": s, **sample} for s in ("web-01", "db-01", "DB-01")]})
    answer = invoke(ingest, "POST", "/api/ingest", key=key, body=body).json()
    assert (answer["accepted"], answer["rejected_count"]) == (1, 2)
    now_ms = int(time.time() * 1000)
    held = {s: len(read_server_frames(s, segments_between(now_ms, now_ms))) for s in ("web-01", "db-01", "DB-01")}
    assert held == {"web-01": 1, "db-01": 0, "DB-01": 0}


def test_a_name_that_is_mended_is_judged_as_it_is_kept(empty_redis: Upstash) -> None:
    # OTLP may name a machine as it likes, which becomes an id of ours: what counts is the id.
    point = {"asDouble": 0.5, "timeUnixNano": str(time.time_ns())}
    metric = {"name": "system.cpu.load_average.1m", "gauge": {"dataPoints": [point]}}

    def told(host: str) -> Any:
        resource = {"attributes": [{"key": "host.name", "value": {"stringValue": host}}]}
        body = as_json({"resourceMetrics": [{"resource": resource, "scopeMetrics": [{"metrics": [metric]}]}]})
        headers = {"content-type": "application/json"}
        return invoke(ingest, "POST", "/v1/metrics", key=api_key("agent"), headers=headers, body=body).json()

    for host in ("db|web-01", "[db-01", "wéb-01", "db-01\nweb-01", "@web.db"):
        assert told(host)["partialSuccess"]["rejectedDataPoints"] in (1, "1")
    assert empty_redis.command("KEYS", "om:0:*") == []
    assert not told("@web-01").get("partialSuccess")
    (segment,) = empty_redis.command("KEYS", "om:0:*")
    assert {field.partition("|")[0] for field in empty_redis.command("HKEYS", segment)} == {"web-01"}


@pytest.mark.parametrize(
    ("method", "path", "body"),
    [
        ("PUT", "/api/rules/cpu", b'{"x\\n2026-01-01 00:00:00 ERROR openmanager: the administrator logged in": 1}'),
        ("PUT", "/api/rules/cpu", b'{"\\u001b[2J\\u001b[31mroot\\u2028\\u0085\\u202e": 1}'),
        ("DELETE", "/api/rules/a%0d%0a2026-01-01 ERROR forged%1b[2J", None),
        ("DELETE", "/api/rules/a\r\n2026-01-01 ERROR forged\u2028\x1b[2J", None),
    ],
)
def test_no_caller_writes_a_line_into_the_log(
    method: str, path: str, body: bytes | None, caplog: pytest.LogCaptureFixture
) -> None:
    with caplog.at_level(logging.INFO):
        assert invoke(rules, method, path, key=api_key("operator"), body=body).status in (400, 404)
    written = [record.getMessage() for record in caplog.records if record.name.startswith("openmanager.")]
    assert len(written) >= 1
    assert all(line.isprintable() for line in written), written


def test_a_row_that_was_rewritten_with_its_own_hash_is_found() -> None:
    for level in (70, 71, 72):
        body = as_json({"warning": level})
        assert invoke(rules, "PUT", "/api/rules/cpu", key=api_key("operator"), body=body).status == 200
    rows = invoke(audit, "GET", "/api/audit", key=api_key("auditor")).json()["rows"]
    at = next(i for i, row in enumerate(rows) if row["action"] == "rule.put")
    assert rows[at]["actor"].startswith("operator (")
    forged = rows[at] | {"actor": "somebody else"}
    forged["hash"] = row_hash(forged)
    with pytest.raises(Broken) as found:
        verify(json.dumps(row) for row in [*rows[:at], forged, *rows[at + 1 :]])
    assert found.value.line == at + 2


def test_nobody_acts_in_another_s_name_by_the_name_of_a_key() -> None:
    # A key may be called as a user or as the administrator; what is recorded carries its id.
    key = api_key("operator", name="api key")
    assert invoke(rules, "PUT", "/api/rules/cpu", key=key, body=as_json({"warning": 70})).status == 200
    rows = invoke(audit, "GET", "/api/audit", key=API_KEY).json()["rows"]
    (actor,) = {row["actor"] for row in rows if row["action"] == "rule.put"}
    assert actor == f"api key ({key.split('_')[1]})"
    for name in ("api key\n", "kim (0123456789ab)", "ａpi key", ""):
        body = as_json({"name": name, "role": "viewer"})
        assert invoke(access, "POST", "/api/keys", key=API_KEY, body=body).json()["field"] == "name"
