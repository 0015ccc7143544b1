"""Export: a file for each server and day (UTC), and `export.json`, which says what they are and how far it came.

    FOLDER/export.json
    FOLDER/web-01/2026-11-23.csv

A day is fetched page by page and written when it is whole, so an interrupted export goes on with the day it was at.
"""

import json
from collections.abc import Callable, Sequence
from datetime import UTC, datetime
from pathlib import Path
from typing import Any

from openmanager.names import SERVER_ID, SERVER_ID_RULE

from infra.transfer.api import Api, Failed, Say
from infra.transfer.files import Table, moment, require_parquet, write

INDEX = "export.json"
_DAY_MS = 86_400_000


def export(
    api: Api,
    folder: Path,
    fmt: str,
    servers: Sequence[str],
    span_ms: tuple[int, int],
    say: Say,
    progress: Callable[[int, int], None],
) -> dict[str, Any]:
    """Write the samples of [start, end) of these servers, or of all; the index. Raises Failed.

    `progress` hears of (days of a server done, of how many).
    """
    if fmt == "parquet":
        require_parquet()
    index = _begun(folder, fmt, servers, say) or {
        "version": 1,
        "format": fmt,
        "asked": list(servers),
        "from_ms": span_ms[0],
        "to_ms": span_ms[1],
        "servers": {
            name: {"attributes": {}, "files": {}, "reached_ms": span_ms[0]} for name in _usable(servers or _all(api))
        },
    }
    _save(folder, index)
    for i, (name, entry) in enumerate(index["servers"].items(), 1):
        while entry["reached_ms"] < index["to_ms"]:
            start = entry["reached_ms"]
            end = min((start // _DAY_MS + 1) * _DAY_MS, index["to_ms"])
            table = fetch(api, name, start, end, entry)
            if table.times:
                day = datetime.fromtimestamp(start / 1000, UTC).date().isoformat()
                file = f"{name}/{day}.{fmt}"
                write(folder / file, table)
                entry["files"][file] = {"rows": len(table.times), "samples": table.count}
                say(f"[{i}/{len(index['servers'])}] {file}: {len(table.times):,} rows, {table.count:,} samples")
            entry["reached_ms"] = end
            _save(folder, index)
            progress(*_days(index))
        if name in servers and not entry.get("known"):
            raise Failed(f"{api.url} knows no server {name!r}")
        if not entry["files"]:
            say(f"[{i}/{len(index['servers'])}] {name}: nothing in this span")
    return index


def _days(index: dict[str, Any]) -> tuple[int, int]:
    """(days of all servers that are done, all of them), begun ones counted whole."""
    first, end = (index[name] // _DAY_MS for name in ("from_ms", "to_ms"))
    each = max(1, end - first + (index["to_ms"] % _DAY_MS > 0))
    done = sum(
        each if entry["reached_ms"] >= index["to_ms"] else entry["reached_ms"] // _DAY_MS - first
        for entry in index["servers"].values()
    )
    return done, each * len(index["servers"])


def fetch(api: Api, server: str, start_ms: int, end_ms: int, entry: dict[str, Any]) -> Table:
    """All pages of a span as one table; the server's attributes go into `entry`."""
    table, cursor = Table(), None
    while True:
        query = {"from": moment(start_ms), "to": moment(end_ms)} | ({"cursor": cursor} if cursor else {})
        page = api.get(f"/api/servers/{server}/samples", query)
        if page is None:  # not a server, or one that had not begun yet
            return table
        entry["known"] = True
        entry["attributes"] |= page["attributes"]
        table.extend(page["times"], page["series"], page["values"])
        following = page["next"]
        if following is None:
            return table
        if following == cursor:
            raise Failed(f"{api.url} gives the same page of {server} over and over")
        cursor = following


def _all(api: Api) -> list[str]:
    listing = api.get("/api/servers")
    if not listing:
        raise Failed(f"{api.url} has no /api/servers; is it an OpenManager?")
    return sorted(server["id"] for server in listing["servers"])


def _usable(names: Sequence[str]) -> Sequence[str]:
    """Names that may be part of an address and of a file's name. Raises Failed."""
    for name in names:
        if not SERVER_ID.fullmatch(name):
            raise Failed(f"{name!r} is no server: an id {SERVER_ID_RULE}")
    return names


def _begun(folder: Path, fmt: str, servers: Sequence[str], say: Say) -> dict[str, Any] | None:
    """The index of an export that was begun in this folder. Raises Failed if it was another one."""
    index = read_index(folder)
    if index is None:
        if folder.is_dir() and any(folder.iterdir()):
            raise Failed(f"{folder} is not empty and holds no export; name another folder")
        return None
    if (index["format"], index["asked"]) != (fmt, list(servers)):
        raise Failed(f"{folder} holds an export of other servers or in another format; name another folder")
    ends = f"{moment(index['from_ms'])} to {moment(index['to_ms'])}"
    done = all(entry["reached_ms"] >= index["to_ms"] for entry in index["servers"].values())
    say(f"{folder} {'holds this export already' if done else 'was begun before; going on'}: {ends}")
    return index


def read_index(folder: Path) -> dict[str, Any] | None:
    """The index of a folder, None where there is none. Raises Failed if it cannot be read."""
    try:
        index: dict[str, Any] = json.loads((folder / INDEX).read_text())
    except FileNotFoundError:
        return None
    except (OSError, ValueError) as fault:
        raise Failed(f"cannot read {folder / INDEX}: {fault}") from None
    if index.get("version") != 1:
        raise Failed(f"{folder / INDEX} is of version {index.get('version')}, and this program knows 1")
    return index


def _save(folder: Path, index: dict[str, Any]) -> None:
    try:
        folder.mkdir(parents=True, exist_ok=True)
        partial = folder / f"{INDEX}.partial"
        partial.write_text(json.dumps(index, indent=1) + "\n")
        partial.replace(folder / INDEX)
    except OSError as fault:
        raise Failed(f"cannot write to {folder}: {fault.strerror or fault}") from None
