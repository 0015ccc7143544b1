"""Users and API keys in Postgres. Redis holds a copy of the keys for the doors (stores.admission)."""

from collections.abc import Callable
from datetime import datetime
from typing import Any

import psycopg
from psycopg.rows import class_row

from openmanager.stores import audit
from openmanager.stores.postgres import connect
from openmanager.values import frozen

# Whoever changes keys takes turns, so that what is published last is what was stored last.
_LOCK = 0x6F6D_6B79


@frozen
class User:
    """Somebody who logs in; `password` as security.passwords stores it."""

    name: str
    role: str
    password: str
    enabled: bool
    created: datetime
    changed: datetime
    changed_by: str


@frozen
class Key:
    """An API key without the key: `digest` is the SHA-256 of it; `servers` None for all."""

    id: str
    name: str
    role: str
    servers: list[str] | None
    digest: str
    created: datetime
    created_by: str
    expires: datetime


_USER = "SELECT name, role, password, enabled, created, changed, changed_by FROM users"
_KEY = "SELECT id, name, role, servers, digest, created, created_by, expires FROM api_keys"


def users() -> list[User]:
    """Everybody. Raises StoreUnavailable."""
    return connect().run(lambda c: c.cursor(row_factory=class_row(User)).execute(f"{_USER} ORDER BY name").fetchall())


def user(name: str) -> User | None:
    """One user. Raises StoreUnavailable."""
    return connect().run(lambda c: _user(c, name))


def put_user(
    name: str, role: str, password: str | None, enabled: bool, by: str, before_commit: Callable[[], None]
) -> User | None:
    """Make or change a user; None leaves the password. What they are now, None for a new one without a password.

    `before_commit` runs once the change stands but for its commit, and may raise to undo it.
    """

    def work(c: psycopg.Connection) -> User | None:
        with c.transaction():
            before = _user(c, name)
            if password is None:
                c.execute(
                    "UPDATE users SET role = %s, enabled = %s, changed = now(), changed_by = %s WHERE name = %s",
                    (role, enabled, by, name),
                )
            else:
                c.execute(
                    "INSERT INTO users (name, role, password, enabled, created, changed, changed_by)"
                    " VALUES (%s, %s, %s, %s, now(), now(), %s)"
                    " ON CONFLICT (name) DO UPDATE SET role = excluded.role, password = excluded.password,"
                    " enabled = excluded.enabled, changed = excluded.changed, changed_by = excluded.changed_by",
                    (name, role, password, enabled, by),
                )
            if (now := _user(c, name)) is not None:
                audit.append(c, "user.put", name, _told(before), _told(now))
                before_commit()
            return now

    return connect().run(work)


def set_password(name: str, before: str, password: str, before_commit: Callable[[], None]) -> bool:
    """Change one's own password, unless it has changed since `before` was read. Raises StoreUnavailable."""

    def work(c: psycopg.Connection) -> bool:
        with c.transaction():
            done = c.execute(
                "UPDATE users SET password = %s, changed = now(), changed_by = name"
                " WHERE name = %s AND password = %s AND enabled",
                (password, name, before),
            ).rowcount
            if done:
                audit.append(c, "user.password", name, None, None)
                before_commit()
            return done == 1

    return connect().run(work)


def delete_user(name: str, before_commit: Callable[[], None]) -> bool:
    """Forget a user; False if there is none. Raises StoreUnavailable."""

    def work(c: psycopg.Connection) -> bool:
        with c.transaction():
            before = _user(c, name)
            done = c.execute("DELETE FROM users WHERE name = %s", (name,)).rowcount
            if done:
                audit.append(c, "user.delete", name, _told(before), None)
                before_commit()
            return done == 1

    return connect().run(work)


def all_keys() -> list[Key]:
    """Every key. Raises StoreUnavailable."""
    return connect().run(_keys)


def change_keys(add: Key | None, delete: str | None, publish: Callable[[list[Key]], None]) -> int:
    """Add a key, delete one by id, and publish what is left, all or none; how many were changed."""

    def work(c: psycopg.Connection) -> int:
        with c.transaction():
            c.execute("SELECT pg_advisory_xact_lock(%s)", (_LOCK,))
            changed = 0
            if add is not None:
                row: tuple[Any, ...] = (add.id, add.name, add.role, add.servers, add.digest)
                changed += c.execute(
                    "INSERT INTO api_keys (id, name, role, servers, digest, created, created_by, expires)"
                    " VALUES (%s, %s, %s, %s, %s, %s, %s, %s)",
                    (*row, add.created, add.created_by, add.expires),
                ).rowcount
                audit.append(c, "key.add", add.id, None, {"name": add.name, "role": add.role, "servers": add.servers})
            if delete is not None and c.execute("DELETE FROM api_keys WHERE id = %s", (delete,)).rowcount:
                audit.append(c, "key.delete", delete, None, None)
                changed += 1
            publish(_keys(c))
            return changed

    return connect().run(work)


def _told(user: User | None) -> dict[str, Any] | None:
    """What the audit log hears of a user."""
    return None if user is None else {"role": user.role, "enabled": user.enabled}


def _user(c: psycopg.Connection, name: str) -> User | None:
    return c.cursor(row_factory=class_row(User)).execute(f"{_USER} WHERE name = %s", (name,)).fetchone()


def _keys(c: psycopg.Connection) -> list[Key]:
    return c.cursor(row_factory=class_row(Key)).execute(f"{_KEY} ORDER BY created, id").fetchall()
