"""Whether Postgres can be used as the functions use it, and whether its schema is this checkout's."""

import hashlib
import re
from pathlib import Path
from urllib.parse import urlsplit

import psycopg
from openmanager.errors import StoreUnavailable
from openmanager.stores.postgres import Postgres

from infra.doctor.finding import Finding
from infra.doctor.place import Place

CHECK = "postgres"
TIMEOUT_S = 5
MIGRATIONS = Path(__file__).resolve().parents[1] / "migrations"
# Older ones get no fixes any more; https://www.postgresql.org/support/versioning/
OLDEST = 14

# What libpq, servers, poolers and providers say, and what it means. The first that fits counts.
_SAID: tuple[tuple[str, str, str], ...] = (
    (
        r"resolve host|translate host name|Name or service not known",
        "the name {host} is not known",
        "DATABASE_URL is mistyped, or the database was deleted; copy it from your provider's console",
    ),
    (
        r"Connection refused",
        "{host} refuses connections",
        "nothing listens on that port; see that the database is not paused, and the port of DATABASE_URL",
    ),
    (
        r"timeout expired|timed out|connection timeout",
        "{host} does not answer",
        "a firewall or an allow list is between: functions come from changing addresses, so the database must take any",
    ),
    (
        r"server does not support SSL",
        "{host} offers no TLS and DATABASE_URL insists on it",
        "switch TLS on at the server; only on your own machine drop sslmode from DATABASE_URL",
    ),
    (
        r"no encryption|SSL (connection is )?required|connection is insecure|SSL off",
        "{host} wants TLS",
        "append sslmode=require to DATABASE_URL",
    ),
    (
        r"certificate verify failed|certificate has expired|root certificate",
        "the certificate of {host} is not taken",
        "take sslmode=require, or give sslrootcert the provider's certificate",
    ),
    (
        r"password authentication failed|Wrong password|SASL authentication failed|Tenant or user not found",
        "{host} does not take user and password",
        "copy DATABASE_URL anew; signs such as @ / : # in a password are written %40 %2F %3A %23",
    ),
    (
        r"database \"[^\"]*\" does not exist|no such database",
        "there is no database of that name at {host}",
        "create it, or correct what follows the last / of DATABASE_URL",
    ),
    (
        r"unsupported startup parameter",
        "the pooler at {host} refuses a parameter that connections begin with",
        "DATABASE_URL has parameters that the pooler does not know; take them out, or use the direct address",
    ),
    (
        r"too many connections|remaining connection slots|max_client_conn|MaxClients",
        "{host} has no connection left",
        "use the provider's pooled address: every warm function keeps one connection",
    ),
)


def reach(place: Place) -> tuple[Postgres | None, list[Finding]]:
    """The connection that the functions would have, and what there is to say of it."""
    url = place.env.get("DATABASE_URL", "")
    if not url:
        return None, [Finding(CHECK, "skipped", "its address is not set")]
    history = Postgres(url, TIMEOUT_S)
    try:
        number, text = history.run(_version)
    except (StoreUnavailable, psycopg.Error) as error:
        history.close()
        return None, [_refused(url, str(error))]
    host = urlsplit(url).hostname or "?"
    if number < OLDEST * 10_000:
        do = f"move to a Postgres that gets fixes, {OLDEST} or newer"
        return history, [Finding(CHECK, "failed", f"{host} runs Postgres {text}", do)]
    return history, [Finding(CHECK, "ok", f"{host} answers, Postgres {text}")]


def _version(connection: psycopg.Connection) -> tuple[int, str]:
    row = connection.execute(
        "SELECT current_setting('server_version_num')::int, current_setting('server_version')"
    ).fetchone()
    assert row is not None
    return int(row[0]), str(row[1]).split()[0]


def _refused(url: str, error: str) -> Finding:
    try:
        host = urlsplit(url).hostname or "?"
    except ValueError:
        host = "?"
    for pattern, what, do in _SAID:
        if re.search(pattern, error, re.I):
            return Finding(CHECK, "failed", what.format(host=host), do)
    # What a driver says may repeat what it was given.
    password = urlsplit(url).password or ""
    said = " ".join(error.split())
    said = said.replace(password, "…") if password else said
    return Finding(CHECK, "failed", f"{host}: {said[:300]}", "see what your provider's console says of the database")


def schema(history: Postgres, folder: Path = MIGRATIONS) -> list[Finding]:
    """Whether each migration of this checkout is applied, as it is here, and no other."""
    here = {file.name: hashlib.sha256(file.read_bytes()).hexdigest() for file in sorted(folder.glob("*.sql"))}
    how = "`make deploy` applies them; by hand: DATABASE_URL=… .venv/bin/python -m infra.migrations.apply"
    try:
        rows = history.run(lambda c: c.execute("SELECT name, sha256 FROM schema_migrations").fetchall())
    except psycopg.errors.UndefinedTable:
        return [Finding("schema", "failed", f"none of {len(here)} migrations is applied", how)]
    except (StoreUnavailable, psycopg.Error) as error:
        return [Finding("schema", "failed", f"cannot be read: {error}", "give the user of DATABASE_URL its own schema")]
    there = {str(name): str(sha256) for name, sha256 in rows}
    if changed := [name for name in here if name in there and there[name] != here[name]]:
        do = "applied files never change: get them back from git, and put what is new into a new file"
        return [Finding("schema", "failed", f"applied in another form: {', '.join(changed)}", do)]
    if missing := [name for name in here if name not in there]:
        return [Finding("schema", "failed", f"not applied: {', '.join(missing)}", how)]
    if newer := sorted(there.keys() - here.keys()):
        do = "fine after a roll-back: the version before works on a newer schema; else update this checkout"
        return [Finding("schema", "warning", f"the database knows more than this checkout: {', '.join(newer)}", do)]
    return [Finding("schema", "ok", f"all {len(here)} migrations are applied")]


def left_behind(history: Postgres) -> list[Finding]:
    """Pushes that wait in Postgres for Redis, and frames that nobody could read."""
    try:
        minutes, damaged = history.run(_left_behind)
    except (StoreUnavailable, psycopg.Error) as error:
        return [Finding("backlog", "skipped", f"cannot be read: {error}")]
    found = []
    if minutes > 15:
        do = "the archive puts them back every five minutes: see its log, and whether Redis answers it"
        found.append(Finding("backlog", "warning", f"pushes have waited for {minutes:.0f} minutes in Postgres", do))
    if damaged:
        do = "SELECT * FROM damaged_frames says which and why; they are kept and hold nobody up"
        found.append(Finding("backlog", "warning", f"{damaged} stored frames could not be read", do))
    return found or [Finding("backlog", "ok", "nothing waits in Postgres, and no frame is damaged")]


def _left_behind(connection: psycopg.Connection) -> tuple[float, int]:
    row = connection.execute(
        "SELECT coalesce(extract(epoch FROM now() - (SELECT min(arrived) FROM intake)) / 60, 0)::float,"
        " (SELECT count(*) FROM damaged_frames)"
    ).fetchone()
    assert row is not None
    return float(row[0]), int(row[1])
