"""Who came in, who was kept out: what of it is in the audit log, and how little a stranger can put there."""

import json
import threading
from collections import Counter
from collections.abc import Iterator
from typing import Any

import pytest
from openmanager.audit import verify
from openmanager.errors import TooManyRequests, Unauthorized
from openmanager.security import attempts, events, login, passwords, revocations
from openmanager.settings import settings
from openmanager.stores import audit, reset

from functions.access.handler import handler as access
from functions.auth.handler import handler as auth
from functions.rules.handler import handler as rules
from functions.servers.handler import handler as servers
from infra.local.stack import Upstash
from tests.conftest import API_KEY
from tests.credentials import BAD, JWT_KEYS, api_key
from tests.events import Reply, invoke

PASSWORD = "correct horse battery"
HOME = "192.0.2.1"


@pytest.fixture(autouse=True)
def stage(stores_env: dict[str, str], monkeypatch: pytest.MonkeyPatch) -> Iterator[None]:
    monkeypatch.setenv("OPENMANAGER_JWT_KEYS", JWT_KEYS)
    monkeypatch.setattr(passwords, "_LOG_N", 4)
    settings.cache_clear()
    events.forget()
    yield
    events.forget()


def ask(door: Any, method: str, path: str, body: Any = None, key: str | None = API_KEY) -> Reply:
    octets = None if body is None else json.dumps(body).encode()
    return invoke(door, method, path, key=key, body=octets)


def enter(user: str = "ann", password: str = PASSWORD) -> Reply:
    return ask(auth, "POST", "/api/auth/token", {"user": user, "password": password}, key=None)


@pytest.fixture
def ann() -> None:
    assert ask(access, "PUT", "/api/users/ann", {"role": "viewer", "password": PASSWORD}).status == 200


@pytest.fixture
def bearer(ann: None) -> str:
    token: str = enter().json()["access_token"]
    return token


def rows() -> list[tuple[str, str, str, str]]:
    """(actor, address, action, target) of who comes and goes."""
    found = [(row["actor"], row["address"], row["action"], row["target"]) for row in audit.read(0, 10_000)]
    return [row for row in found if row[2] not in ("user.put", "key.add")]


def guess(address: str, name: str = "ann", password: str = "guess") -> None:
    with pytest.raises((Unauthorized, TooManyRequests)):
        login.log_in(name, password, address)


def test_logging_in_and_out_are_rows_with_who_and_from_where(bearer: str) -> None:
    assert ask(auth, "POST", "/api/auth/logout", key=bearer).status == 204
    assert rows() == [("ann", HOME, "login", "ann"), ("ann", HOME, "logout", "ann")]


def test_a_name_that_fails_at_an_address_is_a_row_and_then_each_time_that_it_must_wait(
    ann: None, monkeypatch: pytest.MonkeyPatch
) -> None:
    for _ in range(attempts.USER_FAILURES + 3):
        guess("203.0.113.9")
    first = (events.STRANGER, "203.0.113.9", "login.fail", "ann")
    wait = (events.STRANGER, "203.0.113.9", "login.wait", "ann")
    assert rows() == [first, wait]
    monkeypatch.setattr(attempts, "FIRST_WAIT_MS", 0)
    monkeypatch.setattr(attempts, "LONGEST_WAIT_MS", 0)
    for _ in range(2):
        guess("198.51.100.7")
    assert rows() == [first, wait, (events.STRANGER, "198.51.100.7", "login.fail", "ann")]
    for _ in range(attempts.USER_FAILURES):
        guess("198.51.100.7")
    assert Counter(row[2] for row in rows() if row[1] == "198.51.100.7") == {"login.fail": 1, "login.wait": 3}


def test_an_address_that_tries_many_names_is_a_row_once_all_of_it_must_wait() -> None:
    for i in range(attempts.ADDRESS_FAILURES + 2):
        guess("203.0.113.9", f"user-{i}")
    assert rows()[-1] == (events.STRANGER, "203.0.113.9", "login.wait", events.EVERYBODY)
    assert len(rows()) == attempts.ADDRESS_FAILURES


@pytest.mark.parametrize("name", ["hunter2", "Correct Horse", "a\0b", "x\nroot logged in", "<script>"])
def test_what_a_stranger_types_as_a_name_is_in_no_row(name: str) -> None:
    assert enter(name).status == 401
    written = json.dumps(audit.read(0, 10))
    assert name.lower() not in written
    assert {row[3] for row in rows()} <= {events.UNKNOWN}


def test_a_flood_from_everywhere_becomes_a_bounded_number_of_rows_that_say_so(ann: None) -> None:
    def flood(part: int) -> None:
        for i in range(20):
            guess(f"198.51.{part}.{i}", "ann" if i % 2 else f"nobody-{i}")

    threads = [threading.Thread(target=flood, args=(part,)) for part in range(5)]
    for thread in threads:
        thread.start()
    for thread in threads:
        thread.join()
    assert Counter(row[2] for row in rows()) == {"login.fail": events.ROWS - 1, "login.flood": 1}
    assert verify([json.dumps(row) for row in audit.read(0, 10_000)]) == audit.head()


def test_what_a_role_may_not_is_a_row_a_day_for_each_caller_and_route(bearer: str) -> None:
    def change(key: str, rule: str) -> int:
        return ask(rules, "PUT", f"/api/rules/{rule}", {"warning": 1}, key=key).status

    wall = api_key("viewer")
    statuses = [change(bearer, "cpu") for _ in range(3)]
    # As if asked of another process, which knows nothing yet:
    events.forget()
    statuses += [change(bearer, "memory"), change(wall, "cpu"), ask(access, "GET", "/api/users", key=bearer).status]
    assert set(statuses) == {403}
    name = f"viewer ({wall.split('_')[1]})"
    assert rows()[1:] == [
        ("ann", HOME, "refused", "PUT /api/rules/{id}"),
        (name, HOME, "refused", "PUT /api/rules/{id}"),
        ("ann", HOME, "refused", "GET /api/users"),
    ]


def test_a_token_that_is_used_after_its_end_is_a_row_once(bearer: str) -> None:
    ask(auth, "POST", "/api/auth/logout", key=bearer)
    revocations.forget()
    for _ in range(3):
        assert ask(servers, "GET", "/api/servers", key=bearer).status == 401
        events.forget()
    assert [row[2] for row in rows()] == ["login", "logout", "token.refused"]


def test_a_token_that_two_renew_is_a_row(bearer: str) -> None:
    token = login.tokens.read(bearer)
    login.refresh(token)
    with pytest.raises(Unauthorized):
        login.refresh(token)
    assert [row[2:] for row in rows()] == [("login", "ann"), ("token.refused", "ann")]


def test_a_wrong_current_password_is_a_row_a_day(bearer: str) -> None:
    asked = {"current": "wrong", "new": PASSWORD + "2"}
    assert {ask(auth, "PUT", "/api/auth/password", asked, key=bearer).status for _ in range(3)} == {401}
    assert [row[2:] for row in rows()] == [("login", "ann"), ("password.refused", "ann")]


@pytest.mark.parametrize("name", [name for name in BAD if "revoked" not in name and "refreshed" not in name][:20])
def test_what_is_no_credential_leaves_no_row(name: str) -> None:
    before = rows()
    assert ask(servers, "GET", "/api/servers", key=BAD[name]()).status == 401
    assert [row for row in rows() if row not in before and row[2] != "key.delete"] == []


def test_without_postgres_refusing_and_logging_out_go_on_and_the_functions_log_has_it(
    bearer: str, monkeypatch: pytest.MonkeyPatch, caplog: pytest.LogCaptureFixture
) -> None:
    monkeypatch.setenv("DATABASE_URL", "postgresql://nobody@127.0.0.1:1/none")
    settings.cache_clear()
    reset()
    assert ask(access, "GET", "/api/users", key=bearer).status == 403
    assert ask(auth, "POST", "/api/auth/logout", key=bearer).status == 204
    lost = [record.audit for record in caplog.records if record.name == audit.__name__]  # type: ignore[attr-defined]
    assert [(row["actor"], row["action"]) for row in lost] == [("ann", "refused"), ("ann", "logout")]


def test_while_redis_is_away_refusing_goes_on_and_leaves_no_row(empty_redis: Upstash) -> None:
    wall = api_key("viewer")
    assert ask(servers, "GET", "/api/servers", key=wall).status == 200
    with empty_redis.away():
        assert ask(access, "GET", "/api/users", key=wall).status == 403
    assert rows() == []
    # Soon it is tried again:
    events.forget()
    assert ask(access, "GET", "/api/users", key=wall).status == 403
    assert [row[2] for row in rows()] == ["refused"]


def test_a_function_without_postgres_leaves_the_row_to_one_that_has_it(
    bearer: str, stores_env: dict[str, str], monkeypatch: pytest.MonkeyPatch
) -> None:
    for url in ("", stores_env["DATABASE_URL"]):
        monkeypatch.setenv("DATABASE_URL", url)
        settings.cache_clear()
        reset()
        assert ask(access, "GET", "/api/users", key=bearer).status == 403
    assert [row[2] for row in rows()] == ["login", "refused"]
