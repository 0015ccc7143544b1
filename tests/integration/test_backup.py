"""One file holds all of both stores; what is put back answers as before, and what goes wrong changes nothing."""

import json
import os
import signal
import subprocess
import sys
import time
import zipfile
from collections.abc import Iterator
from contextvars import Context
from pathlib import Path
from typing import Any

import psycopg
import pytest
from openmanager import archive
from openmanager.audit import verify
from openmanager.stores import audit, intake
from openmanager.telemetry.samples import MINUTE_MS
from openmanager.watch import rounds
from psycopg import sql

import run
from infra.backup import __main__ as command
from infra.backup import container, keys, make, restore, stores, tables
from infra.backup.container import MANIFEST, Manifest, Reader
from infra.doctor.place import named_by
from infra.local.stack import Stack
from infra.migrations import apply as migrations
from infra.transfer.api import Failed
from tests import filled
from tests.conftest import API_KEY, TABLES
from tests.faults import Door, door
from tests.live import CHECKOUT, PATIENCE_S
from tests.pooler import pooled


class House:
    """An installation's stores, both its own."""

    def __init__(self, stack: Stack) -> None:
        self.stack = stack
        self.env = {**stack.environment, "OPENMANAGER_API_KEY": API_KEY, "OPENMANAGER_STORE_TIMEOUT_S": "20"}

    def clear(self) -> None:
        """As before the first migration, and without a key."""
        self.stack.upstash.command("FLUSHALL")
        with psycopg.connect(self.stack.postgres.url, autocommit=True) as c:
            c.execute("DROP SCHEMA public CASCADE")
            c.execute("CREATE SCHEMA public")

    def rows(self) -> dict[str, list[str]]:
        """Every row of every table as JSON, in an order of its own; columns that hold nothing are left out."""
        with psycopg.connect(self.stack.postgres.url) as c:
            names = [name for (name,) in c.execute(TABLES)]
            every = sql.SQL("SELECT to_jsonb(t) FROM {} AS t")
            return {
                name: sorted(_held(row) for (row,) in c.execute(every.format(sql.Identifier(name)))) for name in names
            }

    def keys(self) -> dict[str, Any]:
        """Every key that is kept, with what it holds; hashes in any order."""
        held = {}
        for key in filter(keys.kept, self.stack.upstash.command("KEYS", "om:*")):
            kind = self.stack.upstash.command("TYPE", key)
            name, *rest = keys._READ[kind]
            value = self.stack.upstash.command(name, key, *rest)
            held[key] = dict(zip(value[::2], value[1::2], strict=True)) if kind == "hash" else value
        return held

    def everything(self) -> tuple[dict[str, list[str]], dict[str, Any]]:
        return self.rows(), self.keys()


def _held(row: dict[str, Any]) -> str:
    return json.dumps({name: value for name, value in row.items() if value is not None}, sort_keys=True)


@pytest.fixture(scope="module")
def house(tmp_path_factory: pytest.TempPathFactory) -> Iterator[House]:
    """Where a backup is made of."""
    with Stack(tmp_path_factory.mktemp("house")) as stack:
        yield House(stack)


@pytest.fixture(scope="module")
def first_ms() -> int:
    return (int(time.time()) // 60 - filled.COUNT - 3) * MINUTE_MS


@pytest.fixture(scope="module")
def answers(house: House, first_ms: int) -> dict[str, bytes]:
    """What the house answers once it is filled."""
    with filled.within(house.env):
        filled.fill(first_ms)
        return filled.answers(first_ms)


@pytest.fixture(scope="module")
def file(house: House, answers: dict[str, bytes], tmp_path_factory: pytest.TempPathFactory) -> Path:
    """A backup of it."""
    path = tmp_path_factory.mktemp("backups") / "all.zip"
    with stores.opened(named_by(house.env)) as opened:
        make.backup(opened, path)
    return path


@pytest.fixture(scope="module")
def _other(tmp_path_factory: pytest.TempPathFactory) -> Iterator[House]:
    with Stack(tmp_path_factory.mktemp("other")) as stack:
        yield House(stack)


@pytest.fixture
def other(_other: House) -> House:
    """New stores, where nobody has been yet."""
    _other.clear()
    return _other


def put_back(house: House, file: Path, *, replace: bool = False) -> list[str]:
    with restore.read(file) as reader, stores.opened(named_by(house.env)) as opened:
        # In nobody's name, whoever acted in a test before.
        return Context().run(restore.restore, opened, reader, replace=replace)


def without_own(rows: dict[str, list[str]]) -> dict[str, list[str]]:
    """Without the row of the audit log that a restore leaves."""
    return rows | {"audit_log": [row for row in rows["audit_log"] if "backup.restore" not in row]}


def test_the_system_is_filled_with_something_of_everything(house: House, answers: dict[str, bytes]) -> None:
    rows, held = house.everything()
    assert [name for name, found in rows.items() if not found] == []
    assert {"om:0:state", "om:0:alerts", "om:0:coarse", "om:0:latest", "om:0:verdicts", "om:0:transitions"} < set(held)
    assert {"om:outbox", "om:outbox:failed", "om:notices", "om:revoked", "om:mcp:memory", "om:usage:ever"} < set(held)
    assert any(field.startswith("request|") for field in held["om:config"])


def test_what_is_put_back_into_new_stores_is_what_was_there_and_answers_the_same(
    house: House, other: House, file: Path, answers: dict[str, bytes], first_ms: int
) -> None:
    assert put_back(other, file) == []
    rows, held = other.everything()
    before_rows, before_held = house.everything()
    assert without_own(rows) == before_rows
    assert held == before_held
    with filled.within(other.env):
        assert filled.answers(first_ms) == answers
        log = audit.read(0, 1000)
        assert verify(json.dumps(row) for row in log).seq == len(log)
    assert (log[-1]["action"], log[-1]["actor"]) == ("backup.restore", "openmanager")
    assert [row["hash"] for row in log[:-1]] == [row["hash"] for row in _log(house)]


def _log(house: House) -> list[dict[str, Any]]:
    with filled.within(house.env):
        return audit.read(0, 1000)


def test_what_was_under_way_goes_on(other: House, file: Path, first_ms: int) -> None:
    put_back(other, file)
    now_ms = first_ms + (filled.COUNT + 20) * MINUTE_MS
    with filled.within(other.env):
        assert intake.count() == 1
        archive.run(now_ms)
        assert intake.count() == 0
        rounds.run_message(json.dumps({"shard": 0, "minute": now_ms // MINUTE_MS - 3}), now_ms, rounds.Report(0), bool)
        acknowledged = json.loads(filled.ask("GET", "/api/alerts").body)["alerts"]
    # The acknowledgement that no round had carried out yet.
    assert [a["rule"] for a in acknowledged if a["note"] == "on it"] == ["cpu"]


def test_rounds_wait_a_moment_for_what_senders_have_kept(other: House, file: Path) -> None:
    put_back(other, file)
    with filled.within(other.env):
        assert rounds.tick(int(time.time() * 1000)).held
        assert rounds.tick(int(time.time() * 1000) + (keys.HOLD_MIN - 1) * MINUTE_MS).held
        assert not rounds.tick(int(time.time() * 1000) + (keys.HOLD_MIN + 3) * MINUTE_MS).held


def test_the_time_that_keys_have_left_runs_on_while_they_lie_in_the_file(other: House, file: Path) -> None:
    put_back(other, file)
    with stores.opened(named_by(other.env)) as opened:
        redis = opened.redis
        redis.call("SET", "om:model|2026-11-28", 5, "PX", 1500)
        redis.call("SET", "om:demo", "{}", "EX", 1000)
        lines = list(keys.dump(redis, 1, int(time.time() * 1000)))
        staged = keys.Staged(redis)
        staged.put(lines, int(time.time() * 1000) + 100_000)
        staged.switch(int(time.time() * 1000))
        assert redis.call("EXISTS", "om:model|2026-11-28") == 0
        assert 800 < redis.call("TTL", "om:demo") <= 1000
        assert redis.call("TTL", "om:0:state") == -1
        assert redis.call("KEYS", "om-restore*") == []


def test_a_second_backup_of_what_was_put_back_holds_the_same(other: House, file: Path, tmp_path: Path) -> None:
    put_back(other, file)
    with stores.opened(named_by(other.env)) as opened:
        again = make.backup(opened, tmp_path / "again.zip")
    first = Reader(file).manifest
    # Where one row more says that it was put back.
    held, again_held = ({t.name: (t.rows, t.partitions) for t in m.tables} for m in (first, again))
    assert again_held.pop("audit_log")[0] == held.pop("audit_log")[0] + 1
    assert again_held == held
    assert again.keys == first.keys
    assert put_back(other, tmp_path / "again.zip", replace=True) == []


def test_stores_that_are_not_empty_are_left_alone_unless_told(house: House, other: House, file: Path) -> None:
    put_back(other, file)
    with filled.within(other.env):
        assert filled.ask("PUT", "/api/users/bob", {"role": "viewer"}).status == 200
    before = other.everything()
    with pytest.raises(Failed, match=r"is not empty \(.*users.*, Redis\); --replace"):
        put_back(other, file)
    assert other.everything() == before
    put_back(other, file, replace=True)
    assert without_own(other.rows()) == house.rows()


def damaged(file: Path, to: Path, name: str) -> Path:
    """A copy of a backup in which a part says something else, by the rules of zip all well."""
    with zipfile.ZipFile(file) as source, zipfile.ZipFile(to, "w", zipfile.ZIP_DEFLATED) as target:
        for part in source.namelist():
            content = source.read(part)
            target.writestr(part, content.replace(b"1", b"2", 1) if part == name else content)
    return to


def test_a_file_that_is_cut_off_damaged_or_none_is_refused_and_nothing_changes(
    other: House, file: Path, tmp_path: Path
) -> None:
    put_back(other, file)
    before = other.everything()
    whole = file.read_bytes()
    inside = zipfile.ZipFile(file).getinfo("redis").header_offset + 500
    bad = {
        "cut": whole[: len(whole) // 2],
        "flipped": whole[:inside] + bytes([whole[inside] ^ 1]) + whole[inside + 1 :],
        "none": b"time,cpu_utilization\n1,2\n",
        "empty": b"",
    }
    for name, content in bad.items():
        (tmp_path / name).write_bytes(content)
        with pytest.raises(Failed, match=r"is no backup, or was cut off or damaged|is damaged"):
            put_back(other, tmp_path / name, replace=True)
    for part in ("postgres/blocks", "redis"):
        with pytest.raises(Failed, match=rf"{part} is not what the manifest says"):
            put_back(other, damaged(file, tmp_path / "changed", part), replace=True)
    with pytest.raises(Failed, match="there is no file"):
        put_back(other, tmp_path / "nowhere.zip", replace=True)
    assert other.everything() == before


def with_manifest(file: Path, to: Path, **changed: Any) -> Path:
    """A copy of a backup whose manifest says something else."""
    with zipfile.ZipFile(file) as source, zipfile.ZipFile(to, "w", zipfile.ZIP_DEFLATED) as target:
        for part in source.namelist():
            content = source.read(part)
            if part == MANIFEST:
                content = json.dumps(json.loads(content) | changed).encode()
            target.writestr(part, content)
    return to


def test_a_file_that_does_not_fit_this_checkout_or_these_stores_is_refused(
    other: House, file: Path, tmp_path: Path
) -> None:
    known = [list(m) for m in Reader(file).manifest.migrations]
    foreign = {"name": "pg_authid", "columns": ["rolname"], "partitions": [], "rows": 0, "sha256": ""}
    wrong = {
        r"by a newer OpenManager \(9.9\): update": {"format": 2, "version": "9.9"},
        r"with 9999_later.sql: update this checkout": {"migrations": [*known, ["9999_later.sql", "0" * 64]]},
        r"made by another 0001_start.sql": {"migrations": [["0001_start.sql", "0" * 64], *known[1:]]},
        r"is of 4 shards and not of 1: set OPENMANAGER_SHARDS": {"shards": 4},
        r"tables that its schema does not: pg_authid": {"tables": [foreign]},
        r"it lacks 'tables'": {"tables": None},
    }
    for said, changed in wrong.items():
        with pytest.raises(Failed, match=said if changed.get("tables", 1) else "is no backup"):
            put_back(other, with_manifest(file, tmp_path / "wrong.zip", **changed))
    assert other.everything() == ({}, {})


def test_a_broken_audit_chain_is_neither_backed_up_nor_put_back(other: House, file: Path, tmp_path: Path) -> None:
    with pytest.raises(Failed, match=r"not restored: the audit log ends with .* and not with 9:0000"):
        put_back(other, with_manifest(file, tmp_path / "head.zip", audit_head=f"9:{'0' * 64}"))
    assert other.everything() == ({}, {})
    put_back(other, file)
    with psycopg.connect(other.stack.postgres.url) as c:
        c.execute("SET session_replication_role = replica")
        c.execute("UPDATE audit_log SET actor = 'nobody' WHERE seq = 2")
    with stores.opened(named_by(other.env)) as opened, pytest.raises(Failed, match="line 2: row 2 was changed"):
        make.backup(opened, tmp_path / "no.zip")
    assert list(tmp_path.glob("no.zip*")) == []


def test_a_restore_that_is_killed_or_meets_a_fault_leaves_everything_as_it_was(other: House, file: Path) -> None:
    put_back(other, file)
    with filled.within(other.env):
        filled.ask("PUT", "/api/users/bob", {"role": "viewer"})
    before = other.everything()
    for module, name in ((tables, "load"), (tables, "_move"), (audit, "append"), (keys.Staged, "put")):
        with pytest.MonkeyPatch.context() as patch:
            patch.setattr(module, name, _broken)
            with pytest.raises(Killed):
                put_back(other, file, replace=True)
        assert other.everything() == before
        assert other.stack.upstash.command("KEYS", "om-restore*") == []


class Killed(BaseException):
    """It died here."""


def _broken(*_: Any, **__: Any) -> None:
    raise Killed


def test_redis_that_goes_away_after_the_tables_are_in_is_said_and_mended_by_the_same_command(
    house: House, other: House, file: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    with door(other.stack.upstash.url) as before_it:
        other.env = {**other.env, "UPSTASH_REDIS_REST_URL": before_it.url}
        with pytest.MonkeyPatch.context() as patch:
            switch = keys.Staged.switch
            patch.setattr(keys.Staged, "switch", lambda *a: (_refuse(before_it), switch(*a)))
            with pytest.raises(Failed, match=r"the tables are restored, Redis may not be: .*--replace"):
                put_back(other, file)
        with pytest.raises(Failed, match="redis: "):
            put_back(other, file, replace=True)
    other.env = {**other.env, "UPSTASH_REDIS_REST_URL": other.stack.upstash.url}
    put_back(other, file, replace=True)
    assert (without_own(other.rows()), other.keys()) == house.everything()


def _refuse(before_it: Door) -> None:
    before_it.fault = "refuses"


def test_stores_that_do_not_answer_are_named(house: House, file: Path, tmp_path: Path) -> None:
    wrong = {
        "DATABASE_URL: needed and not set": {"DATABASE_URL": ""},
        "postgres: 127.0.0.1 refuses connections": {"DATABASE_URL": "postgresql://a:b@127.0.0.1:1/x"},
        "redis: .*refuses connections": {"UPSTASH_REDIS_REST_URL": "http://127.0.0.1:1"},
        "redis: .*UPSTASH_REDIS_REST_TOKEN belongs to another": {"UPSTASH_REDIS_REST_TOKEN": "x"},
        "OPENMANAGER_SHARDS: 'few' is no number": {"OPENMANAGER_SHARDS": "few"},
    }
    for said, changed in wrong.items():
        with pytest.raises(Failed, match=said), stores.opened(named_by(house.env | changed)):
            pass
    with stores.opened(named_by(house.env)) as opened, pytest.raises(Failed, match="there already"):
        make.backup(opened, file)


def test_the_file_is_for_its_owner_and_is_there_whole_or_not_at_all(
    house: House, file: Path, tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    assert file.stat().st_mode & 0o777 == 0o600
    (tmp_path / "new.zip.partial").write_text("what a run that was killed has left")
    with stores.opened(named_by(house.env)) as opened:
        with pytest.MonkeyPatch.context() as patch:
            patch.setattr(tables, "audit_head", _broken)
            with pytest.raises(Killed):
                make.backup(opened, tmp_path / "new.zip")
        assert list(tmp_path.iterdir()) == []
        make.backup(opened, tmp_path / "new.zip")
    with pytest.raises(Failed, match="cannot write"):
        container.Writer(tmp_path / "no" / "such" / "folder.zip")


def test_what_comes_while_the_backup_is_made_does_not_tear_it(house: House, answers: Any, tmp_path: Path) -> None:
    """A partition that expires and a push that moves on, between one table and the next."""
    with psycopg.connect(house.stack.postgres.url, autocommit=True) as archive_run:
        archive_run.execute("SET lock_timeout = '200ms'")
        dump, seen = tables.dump, []

        def meanwhile(connection: psycopg.Connection, name: str, *more: Any) -> Any:
            if name == "users" and not seen:
                archive_run.execute("INSERT INTO days_due VALUES ('web-77', '2020-01-01')")
                seen.append(name)
                with pytest.raises(psycopg.errors.LockNotAvailable):
                    archive_run.execute("DROP TABLE blocks CASCADE")
            return dump(connection, name, *more)

        with pytest.MonkeyPatch.context() as patch, stores.opened(named_by(house.env)) as opened:
            patch.setattr(tables, "dump", meanwhile)
            manifest = make.backup(opened, tmp_path / "b.zip")
        archive_run.execute("DELETE FROM days_due WHERE server = 'web-77'")
    assert seen
    assert sum(t.rows for t in manifest.tables) == manifest.rows
    assert b"web-77" not in b"".join(Reader(tmp_path / "b.zip").chunks("postgres/days_due"))


def test_a_push_that_moves_from_postgres_to_redis_meanwhile_is_in_the_file(
    other: House, file: Path, first_ms: int, tmp_path: Path
) -> None:
    put_back(other, file)
    dumped = keys.dump

    def moved_before(*arguments: Any) -> Any:
        yield from dumped(*arguments)
        # All that Redis would have shown of it comes too late.
        with filled.within(other.env):
            assert intake.count() == 1
            archive.run(first_ms + filled.COUNT * MINUTE_MS)
            assert intake.count() == 0

    with pytest.MonkeyPatch.context() as patch, stores.opened(named_by(other.env)) as opened:
        patch.setattr(keys, "dump", moved_before)
        manifest = make.backup(opened, tmp_path / "b.zip")
    assert {t.name: t.rows for t in manifest.tables}["intake"] == 1


def test_tables_of_others_in_the_same_database_stay(other: House, file: Path) -> None:
    with psycopg.connect(other.stack.postgres.url, autocommit=True) as c:
        c.execute("CREATE TABLE invoices (id int)")
        c.execute("INSERT INTO invoices VALUES (7)")
        put_back(other, file)
        put_back(other, file, replace=True)
        assert c.execute("SELECT id FROM invoices").fetchall() == [(7,)]
    other.stack.upstash.command("SET", "theirs", 1)
    put_back(other, file, replace=True)
    assert other.stack.upstash.command("GET", "theirs") == "1"


def test_it_goes_through_a_pooler_in_transaction_mode(house: House, other: House, file: Path, tmp_path: Path) -> None:
    with pooled(other.stack.postgres.url, tmp_path) as url:
        through = House(other.stack)
        through.env = {**through.env, "DATABASE_URL": url}
        put_back(through, file)
        with stores.opened(named_by(through.env)) as opened:
            assert make.backup(opened, tmp_path / "b.zip").rows == Reader(file).manifest.rows + 1
    assert without_own(other.rows()) == house.rows()


def test_the_tables_that_migrations_make_are_all_known(house: House) -> None:
    with psycopg.connect(house.stack.postgres.url) as c:
        assert {name for (name,) in c.execute(TABLES)} == set(migrations.tables(migrations.read()))


def cli(*arguments: str, data: Path, **more: str) -> subprocess.CompletedProcess[str]:
    env = {k: v for k, v in os.environ.items() if not k.startswith("OPENMANAGER")}
    env |= {"OPENMANAGER_DATA": str(data), "PYTHONPATH": f"{CHECKOUT}:{CHECKOUT / 'layers/core/python'}", **more}
    argv = [sys.executable, "-m", "infra.backup", *arguments]
    return subprocess.run(argv, env=env, cwd=CHECKOUT, capture_output=True, text=True, timeout=2 * PATIENCE_S)


def test_the_command_starts_the_stores_of_this_machine_and_ends_them(file: Path, tmp_path: Path, house: House) -> None:
    data, again = tmp_path / "data", tmp_path / "again.zip"
    none = cli("backup", str(again), data=data)
    assert (none.returncode, data.exists()) == (1, False)
    assert "has no data yet" in none.stdout
    back = cli("restore", str(file), data=data)
    assert back.returncode == 0, back.stdout + back.stderr
    assert "is whole: " in back.stdout
    assert "rows counted, the audit log's chain verified" in back.stdout
    refused = cli("restore", str(file), data=data)
    assert refused.returncode == 1
    assert "--replace" in refused.stdout
    out = cli("backup", str(again), data=data)
    assert out.returncode == 0, out.stdout + out.stderr
    first, second = Reader(file).manifest, Reader(again).manifest
    assert (second.rows, second.keys) == (first.rows + 1, first.keys)
    assert [*(data / "run").glob("*.pid")] == []
    checked = cli("restore", str(again), "--check", data=tmp_path / "unused")
    assert (checked.returncode, (tmp_path / "unused").exists()) == (0, False)


def test_run_py_passes_the_command_on(monkeypatch: pytest.MonkeyPatch) -> None:
    became: list[tuple[str, ...]] = []
    monkeypatch.setattr(run.Venv, "ready", lambda _: None)
    monkeypatch.setattr(run.Venv, "become", lambda _, *argv: became.append(argv))
    for name in ("backup", "restore"):
        run.main(name, "all.zip", "--environment")
    assert [argv[:4] for argv in became] == [("-m", "infra.command", name, "all.zip") for name in ("backup", "restore")]


def test_a_restore_that_is_killed_by_the_system_leaves_everything_as_it_was(
    other: House, file: Path, tmp_path: Path
) -> None:
    """A process of its own, killed while its transaction waits for a lock that we hold."""
    put_back(other, file)
    before = other.everything()
    env = {**os.environ, **other.env, "PYTHONPATH": f"{CHECKOUT}:{CHECKOUT / 'layers/core/python'}"}
    argv = [sys.executable, "-m", "infra.backup", "restore", str(file), "--replace", "--environment"]
    for number, code in ((signal.SIGKILL, -signal.SIGKILL), (signal.SIGTERM, 130)):
        with psycopg.connect(other.stack.postgres.url) as holder:
            # The last table that is replaced can be read and not dropped.
            holder.execute("LOCK TABLE users IN ACCESS SHARE MODE")
            process = subprocess.Popen(argv, env=env, cwd=CHECKOUT, stdout=subprocess.DEVNULL)
            _wait_for(other, process)
            process.send_signal(number)
            assert process.wait(PATIENCE_S) == code
        assert other.everything() == before


def _wait_for(other: House, process: subprocess.Popen[bytes]) -> None:
    """Until the restore waits for the lock."""
    waits = "SELECT count(*) FROM pg_locks WHERE NOT granted"
    give_up = time.monotonic() + PATIENCE_S
    with psycopg.connect(other.stack.postgres.url, autocommit=True) as watcher:
        while watcher.execute(waits).fetchone() == (0,):
            assert process.poll() is None
            assert time.monotonic() < give_up
            time.sleep(0.05)


def test_a_backup_says_in_a_line_what_it_holds(file: Path) -> None:
    manifest = Reader(file).manifest
    assert Manifest.parse(zipfile.ZipFile(file).read(MANIFEST)) == manifest
    assert command.told(manifest).startswith(f"{manifest.rows:,} rows of {len(manifest.tables)} tables and ")
