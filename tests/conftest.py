"""Real stores for every test that asks: started once a session, emptied before each test."""

import importlib
import secrets
from collections.abc import Callable, Iterator

# The real ones, for tests that have a function describe itself (openmanager/web/quick.py).
import fastapi.openapi.models  # noqa: F401
import hypothesis
import psycopg
import pytest
from openmanager import metering
from openmanager.settings import settings
from psycopg import sql

from infra.local.postgres import Postgres
from infra.local.process import free_port
from infra.local.stack import Upstash
from infra.migrations.apply import apply
from infra.packaging.failure import CannotPackage
from tests.events import LOOP
from tests.live import LiveStack
from tests.packaging.artifacts import Artifacts, make
from tests.vercel.build import Output, build

# A busy machine is no finding.
hypothesis.settings.register_profile(
    "openmanager", deadline=None, suppress_health_check=[hypothesis.HealthCheck.too_slow]
)
hypothesis.settings.load_profile("openmanager")


def pytest_unconfigure() -> None:
    LOOP.close()


def pytest_terminal_summary(terminalreporter: pytest.TerminalReporter) -> None:
    """Show the figures that a test has recorded as `told`."""
    for reports in terminalreporter.stats.values():
        for report in reports:
            for name, text in getattr(report, "user_properties", ()):
                if name == "told" and report.when == "call":
                    terminalreporter.write_line(text)


API_KEY = "test-api-key-0123456789abcdef"

TABLES = """
    select relname from pg_class
    where relnamespace = 'public'::regnamespace and relkind in ('r', 'p') and not relispartition
      and relname <> 'schema_migrations'
"""


@pytest.fixture(autouse=True)
def _nothing_is_written_down() -> None:
    """Tests count commands, and one that writes down what was used would come at any moment.

    For each test anew: one that writes it down by itself sets when it is due next.
    """
    metering._write_next = float("inf")


@pytest.fixture(scope="session")
def postgres(tmp_path_factory: pytest.TempPathFactory) -> Iterator[Postgres]:
    """The Postgres server, migrated. `stop()`, `kill()` and `start()` make it go away and come back."""
    server = Postgres(tmp_path_factory.mktemp("pg"), secrets.token_urlsafe(24), free_port(), durable=False)
    server.start()
    try:
        apply(server.url)
        yield server
    finally:
        server.stop()


@pytest.fixture(scope="session")
def postgres_url(postgres: Postgres) -> str:
    """The address of the migrated database."""
    return postgres.url


@pytest.fixture
def empty_database(postgres: Postgres) -> Iterator[str]:
    """The address of a database of its own without any table."""
    name = sql.Identifier(f"t_{secrets.token_hex(6)}")
    with psycopg.connect(postgres.url, autocommit=True) as connection:
        connection.execute(sql.SQL("create database {}").format(name))
        yield postgres.url.rpartition("/")[0] + "/" + name.as_string().strip('"')
        connection.execute(sql.SQL("drop database {} with (force)").format(name))


@pytest.fixture(scope="session")
def upstash(tmp_path_factory: pytest.TempPathFactory) -> Iterator[Upstash]:
    """Valkey behind the Upstash REST front: `url`, `token`, `stats()`, `restart()`, `away()`, `command()`."""
    server = Upstash(tmp_path_factory.mktemp("redis"))
    server.start()
    try:
        yield server
    finally:
        server.stop()


@pytest.fixture
def empty_redis(upstash: Upstash) -> Upstash:
    """The same, without a key and with its counters at nought."""
    upstash.command("FLUSHALL")
    upstash.reset_stats()
    return upstash


@pytest.fixture
def empty_tables(postgres: Postgres) -> str:
    """The address of the migrated database, without a row."""
    truncate(postgres.url)
    return postgres.url


def truncate(url: str) -> None:
    """Take every row out of a migrated database."""
    with psycopg.connect(url) as connection:
        tables = [sql.Identifier(name) for (name,) in connection.execute(TABLES)]
        if tables:
            # The audit log would refuse.
            connection.execute("set session_replication_role = replica")
            connection.execute(sql.SQL("truncate {} restart identity cascade").format(sql.SQL(", ").join(tables)))


def _forget_getters() -> None:
    """Cached settings and clients would outlive the environment they were made from."""
    settings.cache_clear()
    reset: Callable[[], None] | None = getattr(importlib.import_module("openmanager.stores"), "reset", None)
    if reset is not None:
        reset()


@pytest.fixture
def stores_env(monkeypatch: pytest.MonkeyPatch, empty_redis: Upstash, empty_tables: str) -> Iterator[dict[str, str]]:
    """The environment of a function whose stores are both there and empty."""
    env = {
        "OPENMANAGER_STAGE": "local",
        "OPENMANAGER_API_KEY": API_KEY,
        "UPSTASH_REDIS_REST_URL": empty_redis.url,
        "UPSTASH_REDIS_REST_TOKEN": empty_redis.token,
        "DATABASE_URL": empty_tables,
        # A machine under load is no fault of the stores.
        "OPENMANAGER_STORE_TIMEOUT_S": "20",
    }
    for name, value in env.items():
        monkeypatch.setenv(name, value)
    _forget_getters()
    yield env
    _forget_getters()


@pytest.fixture(scope="session")
def live_gateway(tmp_path_factory: pytest.TempPathFactory) -> Iterator[LiveStack]:
    """The whole stack on this machine but for its agent: `url`, `token`, `ask(path)`."""
    stack = LiveStack(tmp_path_factory.mktemp("live"), free_port())
    stack.start()
    try:
        yield stack
    finally:
        stack.stop()


@pytest.fixture(scope="session")
def vercel_output(tmp_path_factory: pytest.TempPathFactory) -> Output:
    """What `vercel build` makes of the checkout; skips where it cannot run."""
    return build(tmp_path_factory.mktemp("vercel"))


@pytest.fixture(scope="session")
def lambda_artifacts(tmp_path_factory: pytest.TempPathFactory) -> Artifacts:
    """The layers and functions built for this machine's processor; skips where they cannot be."""
    try:
        return make(tmp_path_factory.mktemp("lambda"), lambda _: None)
    except CannotPackage as error:
        pytest.skip(str(error))
