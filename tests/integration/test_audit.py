"""The audit log through the real doors and Postgres: what gets in, what cannot be done to it, what is found."""

import json
import threading
from pathlib import Path
from typing import Any

import psycopg
import pytest
from openmanager import acting
from openmanager.audit import Broken, Head, digest, row_hash, verify
from openmanager.errors import StoreUnavailable
from openmanager.oncall import settings as desk
from openmanager.settings import settings
from openmanager.stores import audit, documents, postgres

from functions.archive.handler import handler as archive_door
from functions.audit.handler import handler as audit_door
from functions.demo.handler import handler as demo_door
from functions.notifications.handler import handler as notifications_door
from functions.rules.handler import handler as rules_door
from infra.transfer import audit as command
from tests.events import Context, Reply, invoke
from tests.live import LiveStack


def ask(handler: Any, method: str, path: str, document: Any = None) -> Reply:
    body = None if document is None else json.dumps(document).encode()
    return invoke(handler, method, path, key=settings().api_key, body=body)


def log() -> list[dict[str, Any]]:
    found: list[dict[str, Any]] = ask(audit_door, "GET", "/api/audit").json()["rows"]
    return found


def lines(rows: list[dict[str, Any]]) -> list[str]:
    return [json.dumps(row) for row in rows]


@pytest.fixture
def five(stores_env: dict[str, str]) -> str:
    """The address of a database whose log has five rows."""
    for i in range(5):
        ask(rules_door, "PUT", "/api/rules/cpu", {"warning": 70 + i})
    assert [row["seq"] for row in log()] == [1, 2, 3, 4, 5]
    return stores_env["DATABASE_URL"]


def test_a_change_is_recorded_with_who_what_from_where_and_both_digests(stores_env: dict[str, str]) -> None:
    first = ask(rules_door, "PUT", "/api/rules/cpu", {"warning": 70}).json()
    second = ask(rules_door, "PUT", "/api/rules/cpu", {"warning": 75}).json()
    assert ask(rules_door, "DELETE", "/api/rules/cpu").status == 204
    made, changed, deleted = log()
    assert {(r["actor"], r["address"], r["target"]) for r in (made, changed, deleted)} == {
        ("api key", "192.0.2.1", "cpu")
    }
    assert [r["action"] for r in (made, changed, deleted)] == ["rule.put", "rule.put", "rule.delete"]
    for answer in (first, second):
        del answer["default"]
    assert (made["before"], made["after"]) == (None, digest(first))
    assert (changed["before"], changed["after"]) == (digest(first), digest(second))
    assert (deleted["before"], deleted["after"]) == (digest(second), None)
    assert made["at"] < changed["at"] < deleted["at"]


def test_what_is_refused_or_changes_nothing_leaves_no_row(stores_env: dict[str, str]) -> None:
    assert ask(rules_door, "PUT", "/api/rules/cpu", {"warning": "high"}).status == 400
    assert ask(rules_door, "DELETE", "/api/rules/cpu").status == 404
    assert ask(notifications_door, "DELETE", "/api/notifications/targets/nobody").status == 404
    assert log() == []


def test_a_change_that_is_undone_takes_its_row_along(stores_env: dict[str, str]) -> None:
    def away(_: Any) -> None:
        raise StoreUnavailable("Redis: away")

    with pytest.raises(StoreUnavailable):
        documents.change("rule", "cpu", {"warning": 70}, "kim", lambda _: None, away)
    assert (documents.read("rule"), log()) == ({}, [])


def test_a_change_without_its_row_is_undone(stores_env: dict[str, str], monkeypatch: pytest.MonkeyPatch) -> None:
    def fail(*_: Any) -> None:
        raise RuntimeError("no row")

    monkeypatch.setattr(audit, "append", fail)
    with pytest.raises(RuntimeError):
        desk.put_rule("cpu", {"warning": 70}, "kim")
    assert documents.read("rule") == {}


def test_no_digest_gives_a_secret_to_guess(stores_env: dict[str, str]) -> None:
    mailbox = {"host": "mail.example.com", "sender": "om@example.com", "to": ["ops@example.com"], "user": "om"}
    for password in ("hunter2", "hunter3"):
        target = {"channel": "email", "settings": mailbox | {"password": password}}
        assert ask(notifications_door, "PUT", "/api/notifications/targets/ops", target).status == 200
    first, second = log()
    assert first["action"] == second["action"] == "target.put"
    assert first["after"] == second["before"] == second["after"]


def test_starting_and_stopping_the_demo_is_recorded(stores_env: dict[str, str]) -> None:
    assert ask(demo_door, "POST", "/api/system/start", {"scenario": "spike"}).status == 200
    assert ask(demo_door, "POST", "/api/system/stop").status == 200
    assert [(row["action"], row["target"]) for row in log()] == [("demo.start", "spike"), ("demo.stop", "spike")]


def test_without_postgres_what_redis_alone_does_goes_on_and_the_log_names_it(
    stores_env: dict[str, str], monkeypatch: pytest.MonkeyPatch, caplog: pytest.LogCaptureFixture
) -> None:
    monkeypatch.setenv("DATABASE_URL", "postgresql://nobody@127.0.0.1:1/none")
    settings.cache_clear()
    postgres.connect.cache_clear()
    assert ask(demo_door, "POST", "/api/system/start", {"scenario": "spike"}).status == 200
    (lost,) = [record for record in caplog.records if record.name == audit.__name__]
    assert lost.audit == {  # type: ignore[attr-defined]
        "actor": "api key",
        "address": "192.0.2.1",
        "action": "demo.start",
        "target": "spike",
    }


@pytest.mark.parametrize(
    "statement",
    [
        "UPDATE audit_log SET actor = 'kim' WHERE seq = 1",
        "DELETE FROM audit_log WHERE seq = 5",
        "DELETE FROM audit_log WHERE false",
        "TRUNCATE audit_log",
    ],
)
def test_the_database_refuses_all_but_additions(five: str, statement: str) -> None:
    with psycopg.connect(five) as c, pytest.raises(psycopg.errors.InsufficientPrivilege, match="append-only"):
        c.execute(statement)
    assert len(log()) == 5


COPY = (
    "INSERT INTO audit_log SELECT {seq}, at, 'kim', address, action, target, before, after, {previous}, hash"
    " FROM audit_log WHERE seq = {of}"
)


@pytest.mark.parametrize(
    ("statements", "line", "reason"),
    [
        (["UPDATE audit_log SET actor = 'kim' WHERE seq = 3"], 3, "row 3 was changed"),
        (["UPDATE audit_log SET at = at + interval '1 microsecond' WHERE seq = 3"], 3, "row 3 was changed"),
        (["UPDATE audit_log SET after = NULL WHERE seq = 5"], 5, "row 5 was changed"),
        (["DELETE FROM audit_log WHERE seq = 1"], 1, "row 2 follows row 0"),
        (["DELETE FROM audit_log WHERE seq = 3"], 3, "row 4 follows row 2"),
        (
            ["DELETE FROM audit_log WHERE seq = 3", "UPDATE audit_log SET seq = seq - 1 WHERE seq > 3"],
            3,
            "row 3 is not bound",
        ),
        (
            [
                "UPDATE audit_log SET seq = 90 WHERE seq = 2",
                "UPDATE audit_log SET seq = 2 WHERE seq = 3",
                "UPDATE audit_log SET seq = 3 WHERE seq = 90",
            ],
            2,
            "row 2 is not bound",
        ),
        ([COPY.format(seq=6, previous="previous", of=5)], 6, "row 6 is not bound"),
        ([COPY.format(seq=6, previous="hash", of=5)], 6, "row 6 was changed"),
        (
            ["UPDATE audit_log SET seq = seq + 10 WHERE seq > 2", COPY.format(seq=3, previous="hash", of=2)]
            + [f"UPDATE audit_log SET seq = {seq + 1} WHERE seq = {seq + 10}" for seq in (3, 4, 5)],
            3,
            "row 3 was changed",
        ),
    ],
)
def test_what_a_superuser_does_to_the_log_is_found(
    five: str, tmp_path: Path, capsys: pytest.CaptureFixture[str], statements: list[str], line: int, reason: str
) -> None:
    forge(five, *statements)
    file = tmp_path / "audit.jsonl"
    file.write_text("".join(line + "\n" for line in lines(log())))
    assert command.main(["verify", str(file)]) == command.BROKEN
    said = capsys.readouterr().out
    assert f"line {line}: " in said
    assert reason in said


def forge(url: str, *statements: str) -> None:
    """As a superuser, with the triggers out of the way."""
    with psycopg.connect(url) as c:
        c.execute("SET session_replication_role = replica")
        for statement in statements:
            c.execute(statement)


def test_a_log_that_was_shortened_is_found_by_a_head_noted_before(five: str) -> None:
    noted = audit.head()
    forge(five, "DELETE FROM audit_log WHERE seq = 5")
    assert verify(lines(log())).seq == 4
    with pytest.raises(Broken, match="line 5: the log ends with row 4"):
        verify(lines(log()), noted)


def test_a_log_that_was_written_anew_is_found_by_a_head_noted_before(five: str) -> None:
    noted, rows, previous = audit.head(), log(), "0" * 64
    for row in rows:
        row |= {"actor": "kim", "previous": previous}
        previous = row["hash"] = row_hash(row)
    assert verify(lines(rows)).seq == 5
    with pytest.raises(Broken, match="row 5 is not the one"):
        verify(lines(rows), noted)


def test_changes_at_once_make_one_chain(stores_env: dict[str, str]) -> None:
    def add(name: str) -> None:
        store = postgres.Postgres(stores_env["DATABASE_URL"], 20)
        acting.begin(name, "192.0.2.9")

        def work(c: psycopg.Connection) -> None:
            with c.transaction():
                audit.append(c, "rule.put", "cpu", None, {"warning": 1})

        for _ in range(10):
            store.run(work)
        store.close()

    threads = [threading.Thread(target=add, args=(f"caller {i}",)) for i in range(5)]
    for thread in threads:
        thread.start()
    for thread in threads:
        thread.join()
    rows = log()
    assert verify(lines(rows)) == audit.head() == Head(50, rows[-1]["hash"])
    assert {row["actor"] for row in rows} == {f"caller {i}" for i in range(5)}


def test_a_log_is_exported_whole_and_verified_offline(
    live_gateway: LiveStack, tmp_path: Path, monkeypatch: pytest.MonkeyPatch, capsys: pytest.CaptureFixture[str]
) -> None:
    monkeypatch.setenv("OPENMANAGER_URL", live_gateway.url)
    monkeypatch.setenv("OPENMANAGER_TOKEN", live_gateway.token)
    for i in range(3):
        assert live_gateway.ask("/api/rules/cpu", "PUT", json.dumps({"warning": 70 + i}).encode())[0] == 200
    file = tmp_path / "audit.jsonl"
    assert command.main(["export", str(file)]) == 0
    head = capsys.readouterr().out.split()[-1]
    rows = [json.loads(line) for line in file.read_text().splitlines()]
    assert [row["action"] for row in rows][-3:] == ["rule.put"] * 3
    assert rows[-1]["address"] == "127.0.0.1"
    assert command.main(["verify", str(file), "--head", head]) == 0
    file.write_text(file.read_text().replace("rule.put", "rule.cut", 1))
    assert command.main(["verify", str(file), "--head", head]) == command.BROKEN


def test_pages_follow_each_other(five: str, monkeypatch: pytest.MonkeyPatch) -> None:
    whole = log()
    monkeypatch.setattr("functions.audit.handler.PAGE", 2)
    paged: list[dict[str, Any]] = []
    page: dict[str, Any] = {"next": 0}
    while page["next"] is not None:
        page = invoke(audit_door, "GET", "/api/audit", key=settings().api_key, query=f"after={page['next']}").json()
        paged += page["rows"]
    assert paged == whole
    assert page["head"] == f"5:{whole[-1]['hash']}"


def test_the_archive_s_log_notes_the_head(five: str) -> None:
    assert archive_door({}, Context())["audit"] == str(audit.head())
