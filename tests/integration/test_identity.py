"""People and programs come in, and are kept out, through the doors."""

import json
import threading
import time
from types import SimpleNamespace
from typing import Any
from urllib.parse import quote

import psycopg
import pytest
from openmanager.security import attempts, keys, login, passwords, programs, revocations
from openmanager.settings import settings
from openmanager.stores import admission, audit
from openmanager.stores.segments import read_server_frames, segments_between

from functions.access.handler import handler as access
from functions.auth.handler import handler as auth
from functions.ingest.handler import handler as ingest
from functions.servers.handler import handler as servers
from infra.administrator import first_administrator
from infra.local.stack import Upstash
from tests.conftest import API_KEY
from tests.credentials import JWT_KEYS, SECOND, SECRET
from tests.events import Reply, invoke
from tests.live import LiveStack

PASSWORD = "correct horse battery"
SAMPLES = [{"metrics": {"load_1m": 1.0}}]


@pytest.fixture(autouse=True)
def stage(stores_env: dict[str, str], monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setenv("OPENMANAGER_JWT_KEYS", JWT_KEYS)
    # A thirty-second of the work, so that tests are not mostly that.
    monkeypatch.setattr(passwords, "_LOG_N", 10)
    settings.cache_clear()


def ask(door: Any, method: str, path: str, body: Any = None, key: str | None = API_KEY) -> Reply:
    octets = None if body is None else json.dumps(body).encode()
    return invoke(door, method, path, key=key, body=octets)


def enter(user: str = "ann", password: str = PASSWORD) -> Reply:
    return ask(auth, "POST", "/api/auth/token", {"user": user, "password": password}, key=None)


def make_user(role: str = "operator", name: str = "ann") -> None:
    assert ask(access, "PUT", f"/api/users/{name}", {"role": role, "password": PASSWORD}).status == 200


def own_clock(module: Any, monkeypatch: pytest.MonkeyPatch) -> list[float]:
    """The seconds that this module goes by from now on; everybody else keeps the machine's."""
    clock = [time.monotonic()]
    monkeypatch.setattr(module, "time", SimpleNamespace(time=time.time, monotonic=lambda: clock[0]))
    return clock


def reads(token: str) -> int:
    return ask(servers, "GET", "/api/servers", key=token).status


def elsewhere() -> None:
    """As if asked of another process, which has kept nothing yet."""
    keys.forget()
    revocations.forget()


def test_whoever_knows_the_password_gets_a_token_of_their_role() -> None:
    make_user("viewer")
    answer = enter().json()
    assert (answer["token_type"], answer["user"], answer["role"]) == ("Bearer", "ann", "viewer")
    assert 3590 < answer["expires_in"] <= 3600
    assert reads(answer["access_token"]) == 200
    assert ask(access, "GET", "/api/users", key=answer["access_token"]).status == 403
    assert enter("ann", PASSWORD + "!").status == enter("nobody", PASSWORD).status == 401
    assert enter("ann", PASSWORD + "!").json()["detail"] == enter("nobody", PASSWORD).json()["detail"]


def test_a_user_made_without_a_password_gets_one_that_is_shown_once_and_stored_nowhere(
    stores_env: dict[str, str],
) -> None:
    made = ask(access, "PUT", "/api/users/bob", {"role": "auditor"}).json()
    assert enter("bob", made["password"]).status == 200
    listed = ask(access, "GET", "/api/users").json()["users"]
    assert [(user["name"], user["role"], user["changed_by"]) for user in listed] == [("bob", "auditor", "api key")]
    assert "password" not in listed[0]
    with psycopg.connect(stores_env["DATABASE_URL"]) as c:
        assert made["password"] not in str(c.execute("SELECT * FROM users").fetchall())


@pytest.mark.parametrize(
    ("name", "body", "field"),
    [
        ("bob", {}, "role"),
        ("bob", {"role": "agent"}, "role"),
        ("bob", {"role": "root"}, "role"),
        ("bob", {"role": ["admin"]}, "role"),
        ("bob", {"role": "admin", "enabled": "yes"}, "enabled"),
        ("bob", {"role": "admin", "password": "short"}, "password"),
        ("bob", {"role": "admin", "created_by": "me"}, "created_by"),
        ("Bob%20", {"role": "admin"}, "name"),
        ("openmanager", {"role": "admin"}, "name"),
    ],
)
def test_a_user_that_cannot_be_is_refused_by_field(name: str, body: Any, field: str) -> None:
    reply = ask(access, "PUT", f"/api/users/{name}", body)
    assert (reply.status, reply.json()["field"]) == (400, field)


@pytest.mark.parametrize("name", ["", "a\0b", "\ud800", "x" * 65, "ann|198.51.100.7", "' OR 1=1 --"])
def test_what_can_be_no_name_logs_nobody_in(name: str) -> None:
    assert enter(name).status == 401
    for path in (f"/api/users/{quote(name, errors='replace') or '%00'}", "/api/keys/%00"):
        assert ask(access, "DELETE", path).status == 404


@pytest.mark.parametrize("change", ["role", "disabled", "deleted", "password", "own password"])
def test_what_changes_of_a_user_ends_the_tokens_they_have(change: str) -> None:
    make_user()
    token = enter().json()["access_token"]
    assert reads(token) == 200
    path = "/api/users/ann"
    done = {
        "role": lambda: ask(access, "PUT", path, {"role": "viewer"}),
        "disabled": lambda: ask(access, "PUT", path, {"role": "operator", "enabled": False}),
        "deleted": lambda: ask(access, "DELETE", path),
        "password": lambda: ask(access, "PUT", path, {"role": "operator", "password": PASSWORD + "2"}),
        "own password": lambda: ask(
            auth, "PUT", "/api/auth/password", {"current": PASSWORD, "new": PASSWORD + "2"}, key=token
        ),
    }[change]()
    assert done.status in (200, 204)
    elsewhere()
    assert reads(token) == 401
    assert enter().status == (200 if change == "role" else 401)
    assert enter(password=PASSWORD + "2").status == (200 if "password" in change else 401)


def test_ones_own_password_needs_the_current_one() -> None:
    make_user()
    token = enter().json()["access_token"]
    wrong = ask(auth, "PUT", "/api/auth/password", {"current": "not this one", "new": PASSWORD + "2"}, key=token)
    assert wrong.status == 401
    assert enter().status == 200


def test_a_refreshed_token_is_good_once_and_logging_out_ends_one() -> None:
    make_user()
    old = enter().json()["access_token"]
    new = ask(auth, "POST", "/api/auth/refresh", key=old).json()["access_token"]
    assert (reads(old), reads(new)) == (401, 200)
    assert ask(auth, "POST", "/api/auth/refresh", key=old).status == 401
    assert ask(auth, "POST", "/api/auth/logout", key=new).status == 204
    elsewhere()
    assert reads(new) == 401


def test_refreshing_takes_the_role_of_now_and_ends_a_day_after_the_password_was_given(
    monkeypatch: pytest.MonkeyPatch,
) -> None:
    make_user("admin")
    token = enter().json()["access_token"]
    read = login.tokens.read(token)
    aged = login.tokens.issue("ann", "admin", read.issued, read.login - 86_400 + 1200)[0]
    assert ask(auth, "POST", "/api/auth/refresh", key=aged).json()["expires_in"] <= 1200
    over = login.tokens.Token("ann", "admin", "j", read.issued, read.expires, read.login - 86_400)
    with pytest.raises(login.Unauthorized):
        login.refresh(over)


def test_a_warm_function_hears_of_a_logout_within_30_seconds_by_one_command(
    empty_redis: Upstash, monkeypatch: pytest.MonkeyPatch
) -> None:
    make_user()
    token = enter().json()["access_token"]
    assert reads(token) == 200
    clock = own_clock(revocations, monkeypatch)
    # Another process revokes it:
    admission.revoke(f"token|{login.tokens.read(token).jti}", clock[0] + 1e10, 0)
    empty_redis.reset_stats()
    assert reads(token) == 200
    assert empty_redis.stats()["by_name"].get("zrangebyscore", 0) == 0
    clock[0] += revocations.FRESH_S + 0.1
    assert reads(token) == 401
    assert reads(token) == 401
    assert {k.lower(): n for k, n in empty_redis.stats()["by_name"].items()}["zrangebyscore"] == 1


def test_signing_keys_rotate_with_an_overlap(monkeypatch: pytest.MonkeyPatch) -> None:
    make_user()
    statuses = []
    token = enter().json()["access_token"]
    for rotated in (f"two:{SECOND},one:{SECRET}", f"two:{SECOND}"):
        monkeypatch.setenv("OPENMANAGER_JWT_KEYS", rotated)
        settings.cache_clear()
        statuses.append((reads(token), reads(enter().json()["access_token"])))
    assert statuses == [(200, 200), (401, 200)]


def test_without_signing_keys_nobody_logs_in(monkeypatch: pytest.MonkeyPatch) -> None:
    make_user()
    monkeypatch.delenv("OPENMANAGER_JWT_KEYS")
    settings.cache_clear()
    assert enter().status == 403


def attempt(password: str, address: str, name: str = "ann") -> str:
    try:
        login.log_in(name, password, address)
    except attempts.TooManyRequests:
        return "wait"
    except login.Unauthorized:
        return "wrong"
    return "in"


def test_guessing_from_one_address_waits_and_does_not_lock_out_the_owner_elsewhere() -> None:
    make_user()
    said = [attempt("guess", "203.0.113.9") for _ in range(attempts.USER_FAILURES + 2)]
    assert said == ["wrong"] * attempts.USER_FAILURES + ["wait"] * 2
    assert attempt(PASSWORD, "203.0.113.9") == "wait"
    assert attempt(PASSWORD, "198.51.100.7") == "in"


def test_waiting_doubles_up_to_a_quarter_of_an_hour_and_success_starts_anew() -> None:
    def tries(now_ms: int) -> int:
        return admission.attempt({"a|x": 2}, now_ms, 15_000, 900_000).wait_ms

    waits, now = [], 1_000_000_000_000
    assert tries(now) == 0
    for _ in range(8):
        assert tries(now) == 0
        waits.append(tries(now))
        now += waits[-1]
    assert waits == [15_000, 30_000, 60_000, 120_000, 240_000, 480_000, 900_000, 900_000]
    admission.succeeded("a|x", "a")
    assert tries(now) == tries(now) == 0


def test_only_failures_count_against_an_address_that_many_share(empty_redis: Upstash) -> None:
    make_user()
    assert [attempt(PASSWORD, "198.51.100.7") for _ in range(3)] == ["in"] * 3
    assert empty_redis.command("HGET", "om:login:198.51.100.7", "n") == "0"
    assert attempt("one good account is no licence", "198.51.100.7") == "wrong"
    assert attempt(PASSWORD, "198.51.100.7") == "in"
    assert empty_redis.command("HGET", "om:login:198.51.100.7", "n") == "1"


def test_guesses_sent_at_once_are_counted_exactly(monkeypatch: pytest.MonkeyPatch) -> None:
    make_user()
    said: list[str] = []
    threads = [threading.Thread(target=lambda: said.append(attempt("guess", "203.0.113.9"))) for _ in range(20)]
    for thread in threads:
        thread.start()
    for thread in threads:
        thread.join()
    assert said.count("wrong") == attempts.USER_FAILURES
    assert said.count("wait") == 20 - attempts.USER_FAILURES


def test_without_redis_nobody_logs_in_and_tokens_are_not_trusted(empty_redis: Upstash) -> None:
    make_user()
    token = enter().json()["access_token"]
    elsewhere()
    with empty_redis.away():
        assert enter().status == 503
        assert reads(token) == 503


def make_key(**asked: Any) -> dict[str, Any]:
    reply = ask(access, "POST", "/api/keys", {"name": "web agents", "role": "agent", "servers": ["web-*"]} | asked)
    assert reply.status == 201
    made: dict[str, Any] = reply.json()
    return made


def test_an_agents_key_writes_its_own_servers_and_reads_nothing() -> None:
    key = make_key()["key"]
    both = {"servers": [{"server": s, "samples": SAMPLES} for s in ("web-01", "db-01")]}
    answer = ask(ingest, "POST", "/api/ingest", both, key=key).json()
    assert (answer["accepted"], answer["rejected_count"]) == (1, 1)
    assert answer["rejected"][0]["field"] == "db-01"
    alone = ask(ingest, "POST", "/api/ingest", {"server": "db-01", "samples": SAMPLES}, key=key).json()
    assert (alone["accepted"], alone["rejected_count"]) == (0, 1)
    assert reads(key) == 403
    assert _kept() == ["web-01"]


def _kept() -> list[str]:
    """Servers of whom Redis holds anything."""
    found = []
    for name in ("web-01", "db-01"):
        now = int(time.time() * 1000)
        found += [name] if read_server_frames(name, segments_between(now - 3_600_000, now)) else []
    return found


def test_otlp_and_remote_write_name_foreign_servers_too() -> None:
    key = make_key()["key"]
    point = {"asDouble": 1.0, "timeUnixNano": str(int(time.time() * 1e9))}
    host = {"key": "host.name", "value": {"stringValue": "db-01"}}
    metric = {"name": "system.cpu.load_average.1m", "gauge": {"dataPoints": [point]}}
    body = {"resourceMetrics": [{"resource": {"attributes": [host]}, "scopeMetrics": [{"metrics": [metric]}]}]}
    headers = {"content-type": "application/json"}
    reply = invoke(ingest, "POST", "/v1/metrics", key=key, headers=headers, body=json.dumps(body).encode())
    assert "db-01" in reply.json()["partialSuccess"]["errorMessage"]
    assert _kept() == []


def test_a_key_is_shown_once_listed_without_itself_and_ends_when_deleted(stores_env: dict[str, str]) -> None:
    made = make_key(role="viewer", servers=None, name="wall")
    assert reads(made["key"]) == 200
    (listed,) = ask(access, "GET", "/api/keys").json()["keys"]
    assert listed["last_used"] is None
    assert {"key", "digest"}.isdisjoint(listed)
    with psycopg.connect(stores_env["DATABASE_URL"]) as c:
        assert made["key"] not in str(c.execute("SELECT * FROM api_keys").fetchall())
    assert ask(access, "DELETE", f"/api/keys/{made['id']}").status == 204
    elsewhere()
    assert reads(made["key"]) == 401
    assert ask(access, "DELETE", f"/api/keys/{made['id']}").status == 404


def test_two_keys_are_valid_at_once_so_that_one_replaces_the_other() -> None:
    old, new = make_key(role="viewer", servers=None), make_key(role="viewer", servers=None)
    assert (reads(old["key"]), reads(new["key"])) == (200, 200)
    ask(access, "DELETE", f"/api/keys/{old['id']}")
    elsewhere()
    assert (reads(old["key"]), reads(new["key"])) == (401, 200)


@pytest.mark.parametrize(
    ("asked", "field"),
    [
        ({"role": "agent"}, "servers"),
        ({"role": "agent", "servers": []}, "servers"),
        ({"role": "agent", "servers": ["web-*", "*-01"]}, "servers[1]"),
        ({"role": "agent", "servers": [7]}, "servers[0]"),
        ({"role": "viewer", "servers": ["web-*"]}, "servers"),
        ({"role": "owner"}, "role"),
        ({"role": "viewer", "days": 0}, "days"),
        ({"role": "viewer", "days": True}, "days"),
        ({"role": "viewer", "digest": "00"}, "digest"),
        ({"role": "viewer", "name": "line\nbreak"}, "name"),
    ],
)
def test_a_key_that_cannot_be_is_refused_by_field(asked: dict[str, Any], field: str) -> None:
    reply = ask(access, "POST", "/api/keys", {"name": "n", **asked})
    assert (reply.status, reply.json()["field"]) == (400, field)


def test_an_agents_push_stays_one_command_while_its_key_is_known(
    empty_redis: Upstash, monkeypatch: pytest.MonkeyPatch
) -> None:
    key = make_key()["key"]
    ask(ingest, "POST", "/api/ingest", {"server": "web-01", "samples": SAMPLES}, key=key)
    empty_redis.reset_stats()
    for _ in range(20):
        ask(ingest, "POST", "/api/ingest", {"server": "web-01", "samples": SAMPLES}, key=key)
    assert empty_redis.stats()["commands"] == 20


def test_when_a_key_was_used_is_told_with_a_later_look_at_the_keys(monkeypatch: pytest.MonkeyPatch) -> None:
    made = make_key(role="viewer", servers=None)
    reads(made["key"])
    clock = own_clock(keys, monkeypatch)
    clock[0] += 61
    reads(made["key"])
    (listed,) = ask(access, "GET", "/api/keys").json()["keys"]
    assert listed["last_used"] is not None


@pytest.mark.parametrize("lost", ["redis is away", "redis lost everything"])
def test_agents_go_on_by_what_postgres_knows_when_redis_does_not(lost: str, empty_redis: Upstash) -> None:
    key, body = make_key()["key"], {"server": "web-01", "samples": SAMPLES}
    elsewhere()
    if lost == "redis is away":
        with empty_redis.away():
            assert ask(ingest, "POST", "/api/ingest", body, key=key).status == 200
            assert ask(ingest, "POST", "/api/ingest", body, key=key[:-1] + "!").status == 401
    else:
        empty_redis.command("FLUSHALL")
        assert ask(ingest, "POST", "/api/ingest", body, key=key).status == 200
        assert empty_redis.command("HEXISTS", admission.KEYS, admission.PUBLISHED) == 1


def test_a_key_that_redis_did_not_take_was_never_made(empty_redis: Upstash) -> None:
    with empty_redis.away():
        assert ask(access, "POST", "/api/keys", {"name": "n", "role": "viewer"}).status == 503
    assert programs.listing() == []


def test_no_secret_reaches_the_log(caplog: pytest.LogCaptureFixture) -> None:
    caplog.set_level("DEBUG")
    make_user()
    token = enter().json()["access_token"]
    enter(password="a wrong password")
    key = make_key()["key"]
    for bearer in (token, token[:-4] + "AAAA", key, key[:-4] + "AAAA"):
        reads(bearer)
        assert bearer not in caplog.text
    for secret in (PASSWORD, "a wrong password", SECRET, API_KEY):
        assert secret not in caplog.text


def test_the_first_administrator_of_a_stack_logs_in_with_what_it_printed(live_gateway: LiveStack) -> None:
    known = live_gateway.credentials
    assert f"{known['user']} / {known['password']}" in live_gateway.said.read_text()
    body = json.dumps({"user": known["user"], "password": known["password"]}).encode()
    status, answer = live_gateway.ask("/api/auth/token", "POST", body)
    assert (status, json.loads(answer)["role"]) == (200, "admin")
    key, password = live_gateway.token, known["password"]
    assert first_administrator(live_gateway.url, key, password) == password
    path = f"/api/users/{known['user']}"
    assert live_gateway.ask(path, "PUT", json.dumps({"role": "admin", "password": password}).encode())[0] == 200
    assert first_administrator(live_gateway.url, key, password) == ""


def test_who_changed_users_and_keys_is_in_the_audit_log() -> None:
    make_user()
    key = make_key()
    ask(access, "DELETE", f"/api/keys/{key['id']}")
    ask(access, "DELETE", "/api/users/ann")
    rows = [(row["actor"], row["action"], row["target"]) for row in audit.read(0, 10)]
    ends = [("key.add", key["id"]), ("key.delete", key["id"]), ("user.delete", "ann")]
    assert rows == [("api key", action, target) for action, target in [("user.put", "ann"), *ends]]


def test_a_stolen_token_is_no_way_to_guess_the_password() -> None:
    make_user()
    stolen = enter().json()["access_token"]
    guess = {"current": "a wrong guess", "new": "something else entirely"}
    answers = [ask(auth, "PUT", "/api/auth/password", guess, key=stolen).status for _ in range(7)]
    assert answers == [401] * 5 + [429] * 2
    right = {"current": PASSWORD, "new": "something else entirely"}
    assert ask(auth, "PUT", "/api/auth/password", right, key=stolen).status == 429
