"""What readers are told, and how it is written as server-sent events: once for all who asked for the same. Pure."""

import json
import re
from collections.abc import Mapping, Sequence
from dataclasses import field
from typing import Any

from openmanager.errors import InvalidInput
from openmanager.feed import columns
from openmanager.feed.cursor import Cursor
from openmanager.feed.fleet import Server
from openmanager.security.fields import without
from openmanager.values import frozen, mutable

# Topic -> the events that belong to it.
TOPICS = {"metrics": "metrics", "predictions": "prediction", "alerts": "alert", "models": "model"}
_SERVERS = re.compile(r"[*]|[A-Za-z0-9][A-Za-z0-9._:-]{0,127}[*]?")
MOST_SERVERS = 200


def _comma_separated(item: str) -> dict[str, str]:
    item = rf"\s*({item})\s*"
    return {"type": "string", "pattern": f"^{item}(,{item})*$"}


# As `Wish.read` takes them, in the words of JSON Schema.
TOPICS_SCHEMA = _comma_separated("|".join(TOPICS))
SERVERS_SCHEMA = _comma_separated(_SERVERS.pattern)


@frozen
class Wish:
    """What a reader asked for: events by name, and servers by name (`web-01`) or prefix (`web-*`), all if none; and
    which fields its role may not see."""

    events: frozenset[str]
    servers: tuple[str, ...] = ()
    hidden: frozenset[str] = frozenset()

    @classmethod
    def read(cls, topics: str | None, servers: str | None, hidden: frozenset[str]) -> "Wish":
        """The wish as it stands in a request. Raises InvalidInput."""
        names = list(TOPICS) if topics is None else [name.strip() for name in topics.split(",")]
        if unknown := [name for name in names if name not in TOPICS]:
            raise InvalidInput("topics", f"{unknown[0]!r} is not one of {', '.join(TOPICS)}")
        patterns = () if servers is None else tuple(sorted({name.strip() for name in servers.split(",")}))
        if len(patterns) > MOST_SERVERS:
            raise InvalidInput("servers", f"are {len(patterns)}; at most {MOST_SERVERS} can be asked for, or a prefix")
        for pattern in patterns:
            if not _SERVERS.fullmatch(pattern):
                raise InvalidInput("servers", f"{pattern!r} is no name such as web-01 and no prefix such as web-*")
        return cls(frozenset(TOPICS[name] for name in names), patterns, hidden)

    def wants(self, server: str) -> bool:
        """Whether a server is among those asked for."""
        if not self.servers:
            return True
        return any(server.startswith(p[:-1]) if p.endswith("*") else server == p for p in self.servers)


@frozen
class Happening:
    """An event that a round left, and the place up to which a reader who has got it has got everything."""

    cursor: Cursor
    name: str
    data: Mapping[str, Any]


@mutable
class News:
    """What one look found: what happened, in order; the servers with newer samples and those that are new or called
    differently; `key` that all values are due. After all of it a reader is at `cursor`."""

    cursor: Cursor
    time_s: float
    happened: list[Happening] = field(default_factory=list)
    moved: set[str] = field(default_factory=set)
    changed: set[str] = field(default_factory=set)
    key: bool = False


class Group:
    """The readers of one wish, and what they were told of each server's values last."""

    def __init__(self, wish: Wish) -> None:
        self.wish = wish
        self._told: dict[str, columns.Values] = {}

    def begin(self, servers: Mapping[str, Server]) -> None:
        """Somebody was told everything, as it is."""
        for server in self.chosen(servers):
            self._told.setdefault(server, servers[server].values)

    def chosen(self, servers: Mapping[str, Server]) -> list[str]:
        """The names of those that were asked for."""
        return [server for server in servers if self.wish.wants(server)]

    def news(self, news: News, servers: Mapping[str, Server], *, all_moved: bool = False) -> bytes:
        """The events of a look as octets; `all_moved` leaves out nothing for being within its dead band."""
        written = [write(h.name, data, h.cursor) for h in news.happened if (data := self._of(h)) is not None]
        if "metrics" in self.wish.events and (told := self._values(news, servers, all_moved)):
            written.append(write("metrics", told, news.cursor))
        return b"".join(written)

    def _of(self, happening: Happening) -> Mapping[str, Any] | None:
        """The part of an event that was asked for."""
        name, data = happening.name, happening.data
        if name not in self.wish.events:
            return None
        if name == "prediction" and self.wish.servers:
            servers = {server: said for server, said in data["servers"].items() if self.wish.wants(server)}
            return {**data, "servers": servers} if servers else None
        if name == "alert":
            transitions = [t for t in data["transitions"] if self.wish.wants(t["alert"]["server"])]
            return without({"transitions": transitions}, self.wish.hidden) if transitions else None
        return data

    def _values(self, news: News, servers: Mapping[str, Server], all_moved: bool) -> dict[str, Any] | None:
        names = servers.keys() if news.key else news.moved
        values: dict[str, columns.Values] = {}
        for server in sorted(names):
            if not self.wish.wants(server):
                continue
            now, told = servers[server].values, self._told.get(server)
            if news.key or all_moved or told is None or columns.moved(now, told):
                values[server] = now
                # One that catches up is not the whole group.
                if not all_moved or told is None:
                    self._told[server] = now
        about = {s: servers[s].about() for s in sorted(news.changed) if s in servers and self.wish.wants(s)}
        if not values and not about:
            return None
        seen = {server: servers[server].seen for server in values}
        told_of = {"time": news.time_s, "servers": values, "seen": seen, "key": news.key}
        return told_of | ({"about": about} if about else {})


def write(name: str, data: Mapping[str, Any], cursor: Cursor | None) -> bytes:
    """One event as octets. In ASCII, because a label may hold half of a surrogate pair, which UTF-8 cannot write."""
    text = json.dumps(data, separators=(",", ":"), allow_nan=False)
    place = f"id: {cursor}\n" if cursor else ""
    return f"event: {name}\n{place}data: {text}\n\n".encode("ascii")


def bye(reason: str, cursor: Cursor) -> bytes:
    """The last event of a stream."""
    return write("bye", {"reason": reason}, cursor)


def opening(retry_ms: int) -> bytes:
    """What a stream begins with: how long to wait before coming back."""
    return f"retry: {retry_ms}\n: open\n\n".encode("ascii")


PING = b": ping\n\n"


def snapshot(
    cursor: Cursor,
    servers: Sequence[Server],
    alerts: Sequence[Mapping[str, Any]],
    models: Mapping[str, Any],
    about: Mapping[str, Any],
    wish: Wish,
) -> dict[str, Any]:
    """The whole fleet as of a cursor; `about` says how the feed runs."""
    shown = [alert for alert in alerts if wish.wants(alert["server"])]
    return {
        **about,
        "id": str(cursor),
        "columns": columns.described(),
        "servers": [server.entry() for server in servers],
        "alerts": without(shown, wish.hidden),
        "models": dict(models),
    }
