"""Every table of Postgres as COPY writes it, and back into a schema of its own that then takes the others' place."""

import json
import re
from collections.abc import Callable, Iterable, Iterator, Sequence
from contextlib import contextmanager

import psycopg
from openmanager.audit import Broken, Head, verify
from openmanager.stores import audit
from psycopg import sql

from infra.backup.container import Manifest, Partition, Table, Writer
from infra.migrations import apply as migrations
from infra.transfer.api import Failed

INTAKE = "intake"
# Where tables are made and filled while those of before are still read.
_SCRATCH = "openmanager_restore"
_CONNECT_S = 10
_BOUNDS = re.compile(r"FOR VALUES FROM \('([^']+)'\) TO \('([^']+)'\)")
# A row of text is written the same wherever it is read. No statement here is short, and none waits for a person.
_SESSION = """
    SET LOCAL statement_timeout = 0; SET LOCAL idle_in_transaction_session_timeout = 0;
    SET LOCAL timezone = 'UTC'; SET LOCAL datestyle = 'ISO, YMD'
"""
_AUDIT_PAGE = 10_000
_PIECE_BYTES = 1 << 16

Counted = Callable[[int], None]


def connect(url: str) -> psycopg.Connection:
    """A connection of our own, without the functions' limits. Raises psycopg.OperationalError."""
    # Behind a pooler prepared statements belong to somebody else.
    return psycopg.connect(
        url, autocommit=True, prepare_threshold=None, connect_timeout=_CONNECT_S, client_encoding="UTF8"
    )


def applied(connection: psycopg.Connection) -> tuple[tuple[str, str], ...]:
    """(name, SHA-256) of the migrations that a database has; none of one without our tables."""
    if connection.execute("SELECT to_regclass('schema_migrations')").fetchone() == (None,):
        return ()
    rows = connection.execute("SELECT name, sha256 FROM schema_migrations ORDER BY name").fetchall()
    return tuple((str(name), str(sha256)) for name, sha256 in rows)


def ours(connection: psycopg.Connection) -> list[str]:
    """The tables of ours that a database has; partitions belong to their table."""
    rows = connection.execute(
        "SELECT name FROM unnest(%s::text[]) AS name WHERE to_regclass(name) IS NOT NULL ORDER BY name",
        (migrations.tables(migrations.read()),),
    ).fetchall()
    return [str(name) for (name,) in rows]


def filled(connection: psycopg.Connection) -> list[str]:
    """The tables of ours that have a row."""
    return [
        name
        for name in ours(connection)
        if connection.execute(sql.SQL("SELECT EXISTS (SELECT FROM {})").format(sql.Identifier(name))).fetchone()
        == (True,)
    ]


@contextmanager
def snapshot(connection: psycopg.Connection, names: Sequence[str]) -> Iterator[None]:
    """A transaction that sees all of these tables as they are at one moment, and has their partitions stay."""
    with connection.transaction():
        connection.execute("SET TRANSACTION ISOLATION LEVEL REPEATABLE READ, READ ONLY")
        connection.execute(_SESSION)
        # Before anything is looked at, for from then on a partition that is dropped would be missing.
        listed = sql.SQL(", ").join(map(sql.Identifier, names))
        connection.execute(sql.SQL("LOCK TABLE {} IN ACCESS SHARE MODE").format(listed))
        yield


def count(connection: psycopg.Connection, name: str) -> int:
    """Rows of a table."""
    row = connection.execute(sql.SQL("SELECT count(*) FROM {}").format(sql.Identifier(name))).fetchone()
    return int(row[0]) if row else 0


def dump(connection: psycopg.Connection, name: str, writer: Writer, counted: Counted) -> Table:
    """Write a table's rows as a part; `counted` hears of rows. Raises Failed for partitions that are not by range."""
    columns = tuple(
        str(column)
        for (column,) in connection.execute(
            "SELECT attname FROM pg_attribute WHERE attrelid = %s::regclass AND attnum > 0 AND NOT attisdropped"
            " ORDER BY attnum",
            (name,),
        )
    )
    # Of a partitioned table COPY takes no name before Postgres 18.
    listed = sql.SQL(", ").join(map(sql.Identifier, columns))
    statement = sql.SQL("COPY (SELECT {} FROM {}) TO STDOUT").format(listed, sql.Identifier(name))
    with writer.part(f"postgres/{name}") as part, connection.cursor() as cursor, cursor.copy(statement) as rows:
        for data in _gathered(rows):
            before = part.lines
            part.write(data)
            counted(part.lines - before)
    return Table(name, columns, _partitions(connection, name), part.lines, part.sha256)


def _gathered(rows: Iterable[bytes | bytearray | memoryview]) -> Iterator[bytes]:
    """The same octets in larger pieces: Postgres sends a row at a time."""
    piece = bytearray()
    for row in rows:
        piece += row
        if len(piece) >= _PIECE_BYTES:
            yield bytes(piece)
            piece.clear()
    if piece:
        yield bytes(piece)


def _partitions(connection: psycopg.Connection, name: str) -> tuple[Partition, ...]:
    rows = connection.execute(
        "SELECT c.relname, pg_get_expr(c.relpartbound, c.oid) FROM pg_inherits i JOIN pg_class c ON c.oid = i.inhrelid"
        " WHERE i.inhparent = %s::regclass ORDER BY c.relname",
        (name,),
    ).fetchall()
    made = []
    for partition, bounds in rows:
        if (match := _BOUNDS.fullmatch(bounds)) is None:
            raise Failed(f"{partition} is a partition of another kind than ours: {bounds}")
        made.append(Partition(str(partition), *match.groups()))
    return tuple(made)


def audit_head(connection: psycopg.Connection, fault: str) -> Head:
    """The last row of the audit log. Raises Failed, beginning with `fault`, where its chain does not hold."""
    try:
        return verify(json.dumps(row) for row in _audit_rows(connection))
    except Broken as broken:
        raise Failed(f"{fault}: the audit log's chain does not hold: {broken}") from None


def _audit_rows(connection: psycopg.Connection) -> Iterator[dict[str, object]]:
    after = 0
    while page := audit.rows(connection, after, _AUDIT_PAGE):
        yield from page
        after = page[-1]["seq"]


@contextmanager
def replaced(connection: psycopg.Connection) -> Iterator[None]:
    """A transaction in which new tables are made, that take the place of those of the same names at its end.

    Nobody notices before, and nothing is left where it breaks off. Raises Failed where the database does not let us.
    """
    with connection.transaction():
        connection.execute(_SESSION)
        connection.execute("SELECT pg_advisory_xact_lock(%s)", (migrations.LOCK,))
        row = connection.execute("SELECT current_schema()").fetchone()
        home = sql.Identifier(row[0]) if row and row[0] else None
        if home is None:
            raise Failed("DATABASE_URL: its user has no schema in which tables could be made")
        try:
            connection.execute(sql.SQL("CREATE SCHEMA {}").format(sql.Identifier(_SCRATCH)))
        except psycopg.errors.InsufficientPrivilege:
            raise Failed("DATABASE_URL: its user may not create a schema: GRANT CREATE ON DATABASE") from None
        connection.execute(sql.SQL("SET LOCAL search_path = {}").format(sql.Identifier(_SCRATCH)))
        yield
        _move(connection, home)
        connection.execute(sql.SQL("SET LOCAL search_path = {}").format(home))
        connection.execute(sql.SQL("DROP SCHEMA {}").format(sql.Identifier(_SCRATCH)))


def _move(connection: psycopg.Connection, home: sql.Identifier) -> None:
    made = connection.execute(
        "SELECT relname, relispartition FROM pg_class"
        " WHERE relnamespace = current_schema()::regnamespace AND relkind IN ('r', 'p')"
    ).fetchall()
    functions = connection.execute(
        "SELECT proname FROM pg_proc WHERE pronamespace = current_schema()::regnamespace"
    ).fetchall()
    scratch = sql.Identifier(_SCRATCH)
    for name, partition in made:
        if not partition:
            connection.execute(sql.SQL("DROP TABLE IF EXISTS {}.{}").format(home, sql.Identifier(name)))
    for (name,) in functions:
        connection.execute(sql.SQL("DROP FUNCTION IF EXISTS {}.{}").format(home, sql.Identifier(name)))
        move = sql.SQL("ALTER FUNCTION {}.{} SET SCHEMA {}")
        connection.execute(move.format(scratch, sql.Identifier(name), home))
    for name, _ in made:
        connection.execute(sql.SQL("ALTER TABLE {}.{} SET SCHEMA {}").format(scratch, sql.Identifier(name), home))


def make(connection: psycopg.Connection, wanted: Iterable[migrations.Migration]) -> list[str]:
    """Bring the schema to these migrations in the transaction that is open; the names of those that were missing."""
    connection.execute(migrations.RECORD)
    return [migration.name for migration in wanted if migrations.bring(connection, migration)]


def load(
    connection: psycopg.Connection, manifest: Manifest, chunks: Callable[[str], Iterable[bytes]], counted: Counted
) -> None:
    """Fill the tables, which are made and empty, from a backup's parts (`chunks` by name). Raises Failed."""
    for table in manifest.tables:
        name = sql.Identifier(table.name)
        for partition in table.partitions:
            connection.execute(
                sql.SQL("CREATE TABLE {} PARTITION OF {} FOR VALUES FROM ({}) TO ({})").format(
                    sql.Identifier(partition.name), name, sql.Literal(partition.start), sql.Literal(partition.stop)
                )
            )
        columns = sql.SQL(", ").join(map(sql.Identifier, table.columns))
        statement = sql.SQL("COPY {} ({}) FROM STDIN").format(name, columns)
        try:
            with connection.cursor() as cursor, cursor.copy(statement) as rows:
                for chunk in chunks(table.part):
                    rows.write(chunk)
                    counted(chunk.count(b"\n"))
        except psycopg.DataError as fault:
            raise Failed(f"{table.part} does not fit its table: {fault}") from None
        if (there := count(connection, table.name)) != table.rows:
            raise Failed(f"{table.name} has {there:,} rows and not {table.rows:,}")
