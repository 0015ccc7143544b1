"""The doctor and the stores: real ones, and what really goes wrong with them."""

import re
from collections.abc import Callable, Iterator
from contextlib import ExitStack, contextmanager
from pathlib import Path
from socket import create_server
from urllib.parse import quote, urlsplit, urlunsplit

import psycopg
import pytest
from openmanager.settings import settings
from openmanager.stores.postgres import Postgres

from infra.aws import Aws
from infra.doctor import postgres, redis
from infra.doctor.clock import clock
from infra.doctor.examine import examine
from infra.doctor.finding import Finding
from infra.doctor.place import Place
from infra.doctor.rest import Rest
from infra.local.process import free_port
from infra.local.stack import Upstash
from infra.migrations.apply import apply
from tests.faults import Door, door
from tests.pooler import pooled

TLS = Path(__file__).parents[1] / "tls"
MIGRATIONS = Path(postgres.__file__).parents[1] / "migrations"


@contextmanager
def rest(url: str, token: str, timeout_s: float = 5) -> Iterator[Rest]:
    it = Rest(url, token, timeout_s)
    try:
        yield it
    finally:
        it.close()


def reach(url: str, token: str, timeout_s: float = 5) -> Finding:
    with rest(url, token, timeout_s) as it:
        (finding,) = redis.reach(it)
    return finding


def connect(url: str) -> Finding:
    history, (finding,) = postgres.reach(Place("test", {"DATABASE_URL": url}))
    if history:
        history.close()
    return finding


def test_stores_that_are_well_are_found_well(stores_env: dict[str, str]) -> None:
    found = list(examine(Place("test", stores_env)))
    told = [(f.check, f.state) for f in found]
    assert [check for check, state in told if state != "ok"] == ["api", "senders", "rounds"]
    # There is no gateway here to ask, and no scheduler.
    assert dict(told)["rounds"] == "failed"
    assert {"settings", "redis", "postgres", "schema", "backlog", "clock", "archive", "notices"} < {c for c, _ in told}


def test_the_examination_leaves_a_key_of_ten_seconds_and_nothing_else(
    stores_env: dict[str, str], upstash: Upstash
) -> None:
    list(examine(Place("test", stores_env)))
    assert upstash.command("KEYS", "*") == ["om:doctor"]
    assert 0 < upstash.command("TTL", "om:doctor") <= 10


def test_a_wrong_token_is_told_from_all_else(upstash: Upstash) -> None:
    finding = reach(upstash.url, "x" * 32)
    assert (finding.state, finding.what) == ("failed", "Unauthorized")
    assert "belongs to another database or was reset" in finding.do


def test_a_token_that_only_reads_is_found(upstash: Upstash) -> None:
    upstash.command("ACL", "SETUSER", "default", "-@write")
    try:
        finding = reach(upstash.url, upstash.token)
    finally:
        upstash.command("ACL", "SETUSER", "default", "+@all")
    assert finding.state == "failed"
    assert "read-only token" in finding.do


def test_a_name_that_is_not_known_is_told_from_a_refusal_and_from_silence(upstash: Upstash) -> None:
    finding = reach("https://no-such-database.invalid", upstash.token)
    assert (finding.state, finding.what) == ("failed", "the name no-such-database.invalid is not known")
    assert "mistyped, or the database was deleted" in finding.do
    finding = reach(f"http://127.0.0.1:{free_port()}", upstash.token)
    assert (finding.state, finding.what) == ("failed", "127.0.0.1 refuses connections")
    with door(upstash.url) as slow:
        slow.fault = "is slow"
        finding = reach(slow.url, upstash.token, timeout_s=0.2)
    assert (finding.state, finding.what) == ("failed", "127.0.0.1 did not answer in time")


def test_something_else_at_that_address_is_no_redis(upstash: Upstash) -> None:
    with door(upstash.url) as page:
        page.fault = "answers 502 pages"
        finding = reach(page.url, upstash.token)
    assert (finding.state, finding.what) == ("failed", "answered 502 without JSON")
    assert "no Upstash REST interface" in finding.do


def test_a_redis_that_is_away_does_not_keep_postgres_from_being_looked_at(
    stores_env: dict[str, str], upstash: Upstash
) -> None:
    with upstash.away():
        found = {f.check: f for f in examine(Place("test", stores_env))}
    assert found["redis"].state == "failed"
    assert found["schema"].state == "ok"
    assert "rounds" not in found


@contextmanager
def skewed(upstash: Upstash, seconds: float) -> Iterator[Door]:
    """Redis by way of a server whose clock is wrong."""
    with door(upstash.url) as proxy:
        proxy.off_s = seconds
        yield proxy


@pytest.mark.parametrize(("seconds", "state", "says"), [(300, "failed", "s ahead"), (-20, "warning", "s behind")])
def test_a_clock_that_is_off_is_found_by_the_date_of_redis(
    upstash: Upstash, seconds: float, state: str, says: str
) -> None:
    with skewed(upstash, seconds) as proxy, rest(proxy.url, upstash.token) as it:
        (finding,) = clock(it, None)
    assert finding.state == state
    assert says in finding.what
    assert "time synchronisation" in finding.do


def test_a_store_whose_clock_alone_is_off_is_blamed_itself(upstash: Upstash, postgres_url: str) -> None:
    there = Postgres(postgres_url, 5)
    try:
        with skewed(upstash, 300) as proxy, rest(proxy.url, upstash.token) as it:
            (finding,) = clock(it, there)
    finally:
        there.close()
    assert finding.state == "failed"
    assert "this machine agrees with the other store" in finding.do


def test_a_redis_far_from_the_functions_is_a_warning(upstash: Upstash) -> None:
    place = Place("dev", {}, aws=Aws("dev", "eu-central-1"))
    with rest(upstash.url, upstash.token) as it:
        (near,) = redis.distance(place, it, 5.0)
        (far,) = redis.distance(place, it, 500.0)
    assert near.state == "ok"
    assert far.state == "warning"
    assert re.search(r"the two are at least (4\d\d|500) ms apart", far.what)
    assert "make the database in eu-central-1" in far.do


def changed(url: str, **parts: str) -> str:
    """The same address with another user, password, host, database or query."""
    there = urlsplit(url)
    user, password = parts.get("user", there.username or ""), parts.get("password", there.password or "")
    host = parts.get("host", f"{there.hostname}:{there.port}")
    path, query = parts.get("path", there.path), parts.get("query", "")
    return urlunsplit(("postgresql", f"{user}:{quote(password)}@{host}", path, query, ""))


@pytest.mark.parametrize(
    ("mistake", "what", "do"),
    [
        (lambda u: changed(u, password="wrong-one"), "does not take user and password", "copy DATABASE_URL anew"),
        (lambda u: changed(u, path="/elsewhere"), "no database of that name", "what follows the last /"),
        (lambda u: changed(u, host="db.invalid"), "the name db.invalid is not known", "mistyped"),
        (lambda u: changed(u, host=f"127.0.0.1:{free_port()}"), "refuses connections", "port of DATABASE_URL"),
        (lambda u: changed(u, query="sslmode=require"), "offers no TLS", "switch TLS on"),
    ],
)
def test_what_keeps_us_from_postgres_is_named(
    postgres_url: str, mistake: Callable[[str], str], what: str, do: str
) -> None:
    finding = connect(mistake(postgres_url))
    assert finding.state == "failed"
    assert what in finding.what
    assert do in finding.do
    assert "wrong-one" not in finding.what


def test_a_postgres_that_never_answers_is_a_firewall(postgres_url: str, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr(postgres, "TIMEOUT_S", 2)
    with create_server(("127.0.0.1", 0)) as mute:
        finding = connect(changed(postgres_url, host=f"127.0.0.1:{mute.getsockname()[1]}"))
    assert (finding.state, finding.what) == ("failed", "127.0.0.1 does not answer")


def test_a_pooler_is_as_good_as_postgres_unless_the_address_asks_too_much(postgres_url: str, tmp_path: Path) -> None:
    with pooled(postgres_url, tmp_path) as url:
        assert connect(url).state == "ok"
        finding = connect(url + "?options=-c%20geqo%3Doff")
    assert finding.what == "the pooler at 127.0.0.1 refuses a parameter that connections begin with"
    assert "take them out" in finding.do


def test_a_server_that_wants_tls_is_told_from_one_whose_certificate_is_not_taken(
    postgres_url: str, tmp_path: Path
) -> None:
    pem = tmp_path / "server.pem"
    pem.write_bytes((TLS / "receiver.pem").read_bytes())
    tls = ("client_tls_sslmode = require", f"client_tls_key_file = {pem}", f"client_tls_cert_file = {pem}")
    with pooled(postgres_url, tmp_path, *tls) as url:
        assert connect(url + "?sslmode=require").state == "ok"
        bare = connect(url + "?sslmode=disable")
        unknown = connect(url + "?sslmode=verify-full&sslrootcert=/nowhere.pem")
    assert bare.what == "127.0.0.1 wants TLS"
    assert bare.do == "append sslmode=require to DATABASE_URL"
    assert unknown.what == "the certificate of 127.0.0.1 is not taken"


@contextmanager
def role(url: str, *limits: str) -> Iterator[str]:
    """The address for a user of little right."""
    with psycopg.connect(url, autocommit=True) as connection:
        connection.execute(f"CREATE ROLE guest LOGIN PASSWORD 'guest' {' '.join(limits)}")
        try:
            yield changed(url, user="guest", password="guest")
        finally:
            connection.execute("DROP ROLE guest")


def test_a_database_without_a_free_connection_is_named(postgres_url: str) -> None:
    with role(postgres_url, "CONNECTION LIMIT 0") as url:
        finding = connect(url)
    assert finding.what == "127.0.0.1 has no connection left"
    assert "pooled address" in finding.do


def test_a_user_without_rights_is_not_taken_for_an_old_schema(postgres_url: str) -> None:
    with role(postgres_url) as url:
        finding = schema(url)
    assert finding.what.startswith("cannot be read: permission denied")
    assert finding.do == "give the user of DATABASE_URL its own schema"


def test_a_postgres_that_gets_no_fixes_is_refused(postgres_url: str, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr(postgres, "OLDEST", 99)
    finding = connect(postgres_url)
    assert finding.state == "failed"
    assert "move to a Postgres that gets fixes" in finding.do


def schema(url: str, folder: Path = MIGRATIONS) -> Finding:
    with ExitStack() as opened:
        there = Postgres(url, 5)
        opened.callback(there.close)
        (finding,) = postgres.schema(there, folder)
    return finding


def test_an_empty_database_and_an_old_schema_are_told_apart(empty_database: str, tmp_path: Path) -> None:
    assert "none of" in schema(empty_database).what
    for file in sorted(MIGRATIONS.glob("*.sql"))[:-2]:
        (tmp_path / file.name).write_bytes(file.read_bytes())
    apply(empty_database, tmp_path)
    finding = schema(empty_database)
    last = sorted(file.name for file in MIGRATIONS.glob("*.sql"))[-2:]
    assert (finding.state, finding.what) == ("failed", f"not applied: {', '.join(last)}")
    assert "make deploy" in finding.do


def test_a_newer_schema_is_a_warning_and_a_changed_one_a_failure(empty_database: str, tmp_path: Path) -> None:
    apply(empty_database)
    assert schema(empty_database).state == "ok"
    with psycopg.connect(empty_database, autocommit=True) as connection:
        connection.execute("INSERT INTO schema_migrations (name, sha256) VALUES ('9999_later.sql', 'x')")
    assert (schema(empty_database).state, "9999_later.sql" in schema(empty_database).what) == ("warning", True)
    with psycopg.connect(empty_database, autocommit=True) as connection:
        connection.execute("UPDATE schema_migrations SET sha256 = 'x' WHERE name = '0001_start.sql'")
    finding = schema(empty_database)
    assert (finding.state, finding.what) == ("failed", "applied in another form: 0001_start.sql")


def test_pushes_that_postgres_has_held_for_long_are_a_warning(empty_tables: str) -> None:
    there = Postgres(empty_tables, 5)
    try:
        assert [f.state for f in postgres.left_behind(there)] == ["ok"]
        with psycopg.connect(empty_tables, autocommit=True) as connection:
            connection.execute(
                "INSERT INTO intake (server, digest, arrived, attributes, body)"
                " VALUES ('a', 'd', now() - interval '40 minutes', '{}', '')"
            )
            connection.execute("INSERT INTO damaged_frames (key, field, body, reason) VALUES ('k', 'f', 'b', 'r')")
        waiting, damaged = postgres.left_behind(there)
    finally:
        there.close()
    assert waiting.what == "pushes have waited for 40 minutes in Postgres"
    assert damaged.what == "1 stored frames could not be read"


def test_settings_of_the_test_are_not_those_of_the_doctor(stores_env: dict[str, str]) -> None:
    """It looks at a place by what it is given, never by the environment that it runs in."""
    list(examine(Place("test", {"OPENMANAGER_STAGE": "local"})))
    assert settings.cache_info().currsize == 0
