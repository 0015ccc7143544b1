"""`users`, `keys`: who may come in."""

import argparse
from collections.abc import Callable, Sequence
from typing import Any
from urllib.parse import quote

from openmanager.security.roles import ROLES, USER_ROLES

from infra.command.client import Answered, Show, command, commands
from infra.command.client import main as run
from infra.command.screen import Painted, Screen
from infra.transfer.api import Api


def arguments() -> argparse.ArgumentParser:
    """The parser of both."""
    return commands(_add_users, _add_keys)


def main(argv: Sequence[str] | None = None) -> int:
    """The exit code."""
    return run(arguments(), argv)


def _group(among: Any, name: str, about: str) -> Any:
    made = among.add_parser(
        name,
        description=about,
        epilog=f"`openmanager {name} COMMAND --help` has options, examples and exit codes",
        formatter_class=argparse.RawDescriptionHelpFormatter,
    )
    return made.add_subparsers(required=True, dest="action", metavar="COMMAND")


def _add_users(among: Any) -> None:
    some = _group(among, "users", "People who can log in. For administrators.")
    command(some, "list", _users, "Everybody who can log in.", ("users list",))
    made = command(
        some,
        "add",
        _put_user,
        "Make a user, or give one another role, which ends their tokens. A new one gets a password, shown this once.",
        ("users add ann --role operator",),
    )
    made.add_argument("name", metavar="NAME", help="what they log in as")
    made.add_argument("--role", required=True, choices=USER_ROLES, help="what they may do")
    made = command(some, "remove", _remove_user, "Forget a user, whose tokens end.", ("users remove ann",))
    made.add_argument("name", metavar="NAME")


def _add_keys(among: Any) -> None:
    some = _group(among, "keys", "API keys of programs. For administrators.")
    command(some, "list", _keys, "All keys: whose, for what, until when; not the keys themselves.", ("keys list",))
    made = command(
        some,
        "add",
        _add_key,
        "A new key, shown this once.",
        ("keys add 'web agents' --role agent --server 'web-*'", "keys add grafana --role viewer --days 90 --json"),
    )
    made.add_argument("name", metavar="NAME", help="what it is for")
    made.add_argument("--role", required=True, choices=ROLES, help="what it may do")
    made.add_argument(
        "--server",
        dest="servers",
        action="append",
        metavar="SERVER",
        help="of an agent: what it may write, an id or a prefix such as web-*; repeatable",
    )
    made.add_argument("--days", type=int, metavar="N", help="how long it is good (365)")
    made = command(
        some, "revoke", _revoke, "End a key. Within 30 seconds it is refused everywhere.", ("keys revoke 6f0b4c6fdda8",)
    )
    made.add_argument("id", metavar="KEY", help="its id, as `keys list` says")


def _users(api: Api, _: argparse.Namespace) -> Answered:
    answer = api.ask("GET", "/api/users")
    rows = [
        (u["name"], u["role"], "yes" if u["enabled"] else "no", u["changed"][:10], u["changed_by"])
        for u in answer["users"]
    ]
    return answer, _table(("user", "role", "may log in", "changed", "by"), rows, "nobody can log in yet")


def _put_user(api: Api, chosen: argparse.Namespace) -> Answered:
    user = api.ask("PUT", f"/api/users/{quote(chosen.name, safe='')}", {"role": chosen.role})

    def show(to: Screen) -> None:
        to.line(f"{user['name']} is {user['role']}")
        if user.get("password"):
            to.line(f"password, shown this once: {user['password']}")

    return user, show


def _remove_user(api: Api, chosen: argparse.Namespace) -> Answered:
    answer = api.ask("DELETE", f"/api/users/{quote(chosen.name, safe='')}")
    return answer, _said(f"{chosen.name} is forgotten")


def _keys(api: Api, _: argparse.Namespace) -> Answered:
    answer = api.ask("GET", "/api/keys")
    rows = [
        (
            k["id"],
            k["name"],
            k["role"],
            " ".join(k["servers"] or ["-"]),
            k["expires"][:10],
            (k["last_used"] or "never")[:16],
        )
        for k in answer["keys"]
    ]
    return answer, _table(("key", "name", "role", "servers", "expires", "last used"), rows, "there is no key yet")


def _add_key(api: Api, chosen: argparse.Namespace) -> Answered:
    body = {name: getattr(chosen, name) for name in ("name", "role", "servers", "days")}
    key = api.ask("POST", "/api/keys", {name: value for name, value in body.items() if value is not None})

    def show(to: Screen) -> None:
        to.line(f"key {key['id']} is {key['role']} until {key['expires'][:10]}; shown this once:")
        to.line(Painted(key["key"], "bold"))

    return key, show


def _revoke(api: Api, chosen: argparse.Namespace) -> Answered:
    answer = api.ask("DELETE", f"/api/keys/{quote(chosen.id, safe='')}")
    return answer, _said(f"key {chosen.id} is refused everywhere within 30 seconds")


def _table(head: Sequence[str], rows: Sequence[Sequence[str]], none: str) -> Show:
    def show(to: Screen) -> None:
        if rows:
            to.table(head, rows)
        else:
            to.line(none)

    return show


def _said(text: str) -> Callable[[Screen], None]:
    return lambda to: to.line(text)
