"""Secrets of targets in the stores: encrypted, under changing keys, and what happens where a key is gone."""

import json
from collections.abc import Callable, Iterator
from pathlib import Path
from typing import Any

import psycopg
import pytest
from openmanager import notify
from openmanager.notify.channels.webhook import SIGNATURE, signature
from openmanager.settings import settings
from psycopg import sql

from functions.notifications.handler import handler
from infra.local.process import free_port
from infra.local.stack import Upstash
from infra.transfer.seal import SOME_LEFT, main
from tests.conftest import API_KEY, TABLES
from tests.events import Reply, invoke
from tests.integration.test_audit_logs import SECRETS, TARGETS
from tests.live import LiveStack
from tests.notices import NOW_MS, hook, notice, outbox, outcomes, put
from tests.receivers import Answer, Receiver, running

OLD, NEW = "old:" + "o" * 32, "new:" + "n" * 32
SECRET = "a-signing-secret-0123456789-wxyz"
Configure = Callable[[str], None]


@pytest.fixture
def configure(stores_env: dict[str, str], empty_redis: Upstash, monkeypatch: pytest.MonkeyPatch) -> Iterator[Configure]:
    """Sets OPENMANAGER_ENCRYPTION_KEYS, as a deployment would."""
    monkeypatch.setenv("OPENMANAGER_NOTIFY_ALLOW_PRIVATE", "1")

    def to(keys: str) -> None:
        monkeypatch.setenv("OPENMANAGER_ENCRYPTION_KEYS", keys)
        settings.cache_clear()

    to("")
    yield to
    settings.cache_clear()


@pytest.fixture
def receiver() -> Iterator[Receiver]:
    with running(Receiver()) as one:
        yield one


def ask(method: str, path: str, document: Any = None) -> Reply:
    body = None if document is None else json.dumps(document).encode()
    return invoke(handler, method, f"/api/notifications/{path}", key=API_KEY, body=body)


def seal() -> Any:
    reply = ask("POST", "targets/seal")
    assert reply.status == 200
    return reply.json()


def in_postgres(url: str) -> str:
    """Every row of every table."""
    with psycopg.connect(url) as connection:
        rows = []
        for (table,) in connection.execute(TABLES).fetchall():
            rows += connection.execute(sql.SQL("SELECT t::text FROM {} t").format(sql.Identifier(table))).fetchall()
    return "\n".join(row for (row,) in rows)


def in_redis(redis: Upstash) -> str:
    """Every value of every key."""
    read = {"string": ("GET",), "hash": ("HGETALL",), "stream": ("XRANGE", "-", "+"), "zset": ("ZRANGE", "0", "-1")}
    found = []
    for key in redis.command("KEYS", "*"):
        command, *more = read[redis.command("TYPE", key)]
        found.append(f"{key} {redis.command(command, key, *more)}")
    return "\n".join(found)


def make_all(receiver: Receiver) -> dict[str, str]:
    """A target of every channel, and one whose notices fail; their secrets by name."""
    for name, document in TARGETS.items():
        assert ask("PUT", f"targets/{name}", document).status == 200
    own = hook(receiver, "ops")["settings"] | {"secret": SECRET, "previous_secret": SECRET[::-1]}
    assert ask("PUT", "targets/ops", {"channel": "webhook", "settings": own, "severity": "warning"}).status == 200
    return {**SECRETS, "ops": SECRET, "previous": SECRET[::-1]}


@pytest.mark.parametrize("keys", ["", OLD])
def test_neither_store_holds_a_secret_once_there_is_a_key(
    keys: str, configure: Configure, receiver: Receiver, stores_env: dict[str, str], empty_redis: Upstash
) -> None:
    configure(keys)
    secrets = make_all(receiver)
    receiver.answers = lambda _: Answer(500)
    put(empty_redis, notice("n1"))
    for key in outbox(empty_redis):
        if not key.endswith("|ops"):
            empty_redis.command("HDEL", "om:outbox", key)
    assert notify.deliver(NOW_MS).later == 1
    ask("POST", "targets/ops/test")
    for store, text in (("Postgres", in_postgres(stores_env["DATABASE_URL"])), ("Redis", in_redis(empty_redis))):
        assert "ops" in text
        found = {name for name, secret in secrets.items() if secret in text}
        # Without a key all are there, or the search would prove nothing.
        assert found == (set() if keys else set(secrets)), store
    assert len(receiver.received) == 2


def test_what_is_sealed_is_shown_masked_changed_and_sent_as_before(configure: Configure, receiver: Receiver) -> None:
    configure(OLD)
    make_all(receiver)
    shown = ask("GET", "targets/ops").json()
    assert (shown["settings"]["secret"], "unreadable" in shown) == ("…wxyz", False)
    assert ask("PUT", "targets/ops", {**shown, "language": "ko"}).json() == {**shown, "language": "ko"}
    assert ask("POST", "targets/ops/test").json()["delivered"] is True
    received = receiver.received[-1]
    at_s = int(received.headers[SIGNATURE].partition(",")[0].removeprefix("t="))
    assert received.headers[SIGNATURE] == signature(received.body, at_s, [SECRET, SECRET[::-1]])


def test_what_was_stored_in_clear_is_read_and_sealed_when_it_is_next_written(
    configure: Configure, receiver: Receiver, stores_env: dict[str, str]
) -> None:
    make_all(receiver)
    configure(OLD)
    assert ask("GET", "targets/ops").json()["settings"]["secret"] == "…wxyz"
    assert ask("POST", "targets/ops/test").json()["delivered"] is True
    assert SECRET in in_postgres(stores_env["DATABASE_URL"])
    assert ask("PUT", "targets/ops", ask("GET", "targets/ops").json()).status == 200
    text = in_postgres(stores_env["DATABASE_URL"])
    assert SECRET not in text
    assert SECRETS["slack"] in text


def digests(url: str) -> list[tuple[str, str, str, str]]:
    with psycopg.connect(url) as connection:
        return connection.execute("SELECT action, target, before, after FROM audit_log ORDER BY seq").fetchall()


def test_keys_are_changed_one_after_the_other(
    configure: Configure, receiver: Receiver, stores_env: dict[str, str], empty_redis: Upstash
) -> None:
    make_all(receiver)
    everyone = sorted([*TARGETS, "ops"])
    assert seal() == {"key": None, "changed": [], "unreadable": {}}
    configure(OLD)
    assert seal() == {"key": "old", "changed": everyone, "unreadable": {}}
    assert seal() == {"key": "old", "changed": [], "unreadable": {}}
    configure(f"{NEW},{OLD}")
    assert ask("POST", "targets/ops/test").json()["delivered"] is True
    assert seal()["changed"] == everyone
    configure(NEW)
    assert ask("POST", "targets/ops/test").json()["delivered"] is True
    for text in (in_postgres(stores_env["DATABASE_URL"]), empty_redis.command("GET", "om:targets")):
        assert '"old"' not in text
        assert SECRET not in text
    # What the target is has not changed, so its digest has not, whatever its secrets are sealed with.
    of_ops = [row for row in digests(stores_env["DATABASE_URL"]) if row[1] == "ops" and row[0] != "target.test"]
    assert [action for action, *_ in of_ops] == ["target.put", "target.seal", "target.seal"]
    assert len({digest for _, _, *both in of_ops for digest in both} - {None}) == 1


def test_a_notice_whose_key_is_gone_waits_with_the_reason_and_holds_up_no_other(
    configure: Configure, receiver: Receiver, empty_redis: Upstash
) -> None:
    configure(OLD)
    ask("PUT", "targets/lost", {**hook(receiver, "lost"), "id": "lost"})
    configure(NEW)
    ask("PUT", "targets/fine", {**hook(receiver, "fine"), "id": "fine"})
    put(empty_redis, notice("n1"))
    report = notify.deliver(NOW_MS)
    assert (report.delivered, report.later, report.failed) == (1, 1, 0)
    assert [r.path for r in receiver.received] == ["/fine"]
    reason = "settings.secret is sealed with the key 'old', which OPENMANAGER_ENCRYPTION_KEYS does not have"
    assert [row["reason"] for row in ask("GET", "outbox").json()["waiting"]] == [reason]
    assert [o["detail"] for o in outcomes(empty_redis) if o["target"] == "lost"] == [reason]
    assert ask("POST", "targets/lost/test").json() == {"delivered": False, "status": None, "detail": reason}

    shown = ask("GET", "targets/lost").json()
    assert shown["settings"]["secret"] == "…"
    assert shown["unreadable"] == {"secret": reason.removeprefix("settings.secret ")}
    assert [t["id"] for t in ask("GET", "targets").json()["targets"]] == ["fine", "lost"]
    assert seal() == {"key": "new", "changed": [], "unreadable": {"lost": shown["unreadable"]}}
    # It can be changed without knowing its secret, which is kept; and given a new one.
    assert ask("PUT", "targets/lost", {**shown, "language": "ko"}).json() == {**shown, "language": "ko"}
    configure(f"{NEW},{OLD}")
    assert notify.deliver(NOW_MS + 3_600_000).delivered == 1
    configure(NEW)
    renewed = ask("PUT", "targets/lost", {**shown, "settings": {**shown["settings"], "secret": SECRET}}).json()
    assert (renewed["settings"]["secret"], "unreadable" in renewed) == ("…wxyz", False)


def test_a_target_led_elsewhere_in_the_store_is_not_sent_its_secret(
    configure: Configure, receiver: Receiver, empty_redis: Upstash
) -> None:
    configure(OLD)
    ask("PUT", "targets/hook", {**hook(receiver, "hook"), "id": "hook"})
    text = empty_redis.command("GET", "om:targets")
    empty_redis.command("SET", "om:targets", text.replace("/hook", "/evil"))
    put(empty_redis, notice("n1"))
    assert notify.deliver(NOW_MS).failed == 1
    assert receiver.received == []
    assert "does not open with the key 'old'" in outbox(empty_redis, "om:outbox:failed")["n1|hook"]["reason"]


def test_rounds_and_the_archive_need_no_key(configure: Configure, receiver: Receiver, empty_redis: Upstash) -> None:
    configure(OLD)
    make_all(receiver)
    published = empty_redis.command("GET", "om:targets")
    configure("")
    assert notify.republish_targets() is False
    empty_redis.command("DEL", "om:targets")
    assert notify.republish_targets() is True
    assert empty_redis.command("GET", "om:targets") == published
    assert "n1|ops" in put(empty_redis, notice("n1"))


def test_the_command_encrypts_says_how_many_and_what_it_could_not(
    tmp_path: Path, monkeypatch: pytest.MonkeyPatch, capsys: pytest.CaptureFixture[str]
) -> None:
    stack = LiveStack(tmp_path, free_port())

    def command() -> tuple[int, str]:
        monkeypatch.setenv("OPENMANAGER_URL", stack.url)
        monkeypatch.setenv("OPENMANAGER_TOKEN", stack.token)
        return main([]), capsys.readouterr().out

    stack.start()
    try:
        for name, document in TARGETS.items():
            assert stack.ask(f"/api/notifications/targets/{name}", "PUT", json.dumps(document).encode())[0] == 200
        code, said = command()
        assert (code, "has no OPENMANAGER_ENCRYPTION_KEYS" in said) == (1, True)
    finally:
        stack.stop()
    stack.env["OPENMANAGER_ENCRYPTION_KEYS"] = OLD
    stack.start()
    try:
        assert command() == (0, "targets whose secrets were encrypted with the key 'old': 6\n")
        assert command() == (0, "targets whose secrets were encrypted with the key 'old': 0\n")
    finally:
        stack.stop()
    stack.env["OPENMANAGER_ENCRYPTION_KEYS"] = NEW
    stack.start()
    try:
        code, said = command()
        assert (code, len(said.splitlines())) == (SOME_LEFT, 7)
        assert "left as it was: target slack, url: is sealed with the key 'old', which" in said
    finally:
        stack.stop()
