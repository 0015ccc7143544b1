"""PgBouncer in transaction mode before a Postgres, as providers put it there."""

import os
import shutil
import subprocess
from collections.abc import Iterator
from contextlib import contextmanager, suppress
from pathlib import Path
from urllib.parse import urlsplit

import psycopg
import pytest

from infra.local.process import free_port
from tests.live import PATIENCE_S

# Debian keeps it where only root looks.
PROGRAM = shutil.which("pgbouncer", path=os.pathsep.join((os.environ.get("PATH", ""), "/usr/sbin")))


@contextmanager
def pooled(url: str, folder: Path, *more: str) -> Iterator[str]:
    """The address of a database by way of the pooler, which gives each transaction whatever connection is free.

    `more` are further lines of its settings.
    """
    if PROGRAM is None:
        pytest.skip("there is no pgbouncer here (Debian: apt install pgbouncer)")
    there, port = urlsplit(url), free_port()
    name = there.path.strip("/")
    settings = folder / "pgbouncer.ini"
    settings.write_text(
        f"[databases]\n{name} = host={there.hostname} port={there.port} dbname={name}"
        f" user={there.username} password={there.password}\n"
        f"[pgbouncer]\nlisten_addr = 127.0.0.1\nlisten_port = {port}\nunix_socket_dir =\n"
        "auth_type = any\npool_mode = transaction\n" + "".join(f"{line}\n" for line in more)
    )
    as_nobody = ["-u", "nobody"] if os.geteuid() == 0 else []
    process = subprocess.Popen([PROGRAM, "-q", *as_nobody, str(settings)], stderr=subprocess.PIPE)
    pooled_url = f"postgresql://anybody@127.0.0.1:{port}/{name}"
    try:
        _wait_for(pooled_url, process)
        yield pooled_url
    finally:
        process.terminate()
        process.communicate(timeout=PATIENCE_S)


def _wait_for(url: str, process: "subprocess.Popen[bytes]") -> None:
    for _ in range(500):
        with suppress(psycopg.OperationalError), psycopg.connect(url, prepare_threshold=None) as connection:
            connection.execute("select 1")
            return
        try:
            process.wait(0.02)
        except subprocess.TimeoutExpired:
            continue
        pytest.fail(f"pgbouncer ended: {process.communicate()[1].decode()}")
    pytest.fail("pgbouncer does not answer")
