"""The live feed: a Redis stream that the rounds append to (stores.hot) and readers follow."""

import json
import re
from dataclasses import dataclass
from typing import Any

from openmanager.errors import InvalidInput
from openmanager.stores.hot import FEED
from openmanager.stores.redis import connect

_ID = re.compile(r"\d{1,16}(-\d{1,16})?")


@dataclass(frozen=True, slots=True)
class Event:
    """One event: its place in the feed, its name and its data."""

    id: str
    name: str
    data: Any


def check_id(value: str, field: str) -> str:
    """A feed id as clients return it. Raises InvalidInput."""
    if not _ID.fullmatch(value):
        raise InvalidInput(field, "is not an id of this feed")
    return value


EMPTY = "0-0"


def bounds() -> tuple[str, str]:
    """(oldest id still kept, newest id); both EMPTY while nothing was ever published."""
    oldest, newest = connect().run(
        ("XRANGE", FEED, "-", "+", "COUNT", 1), ("XREVRANGE", FEED, "+", "-", "COUNT", 1), repeatable=True
    )
    return (oldest[0][0], newest[0][0]) if oldest and newest else (EMPTY, EMPTY)


def is_before(a: str, b: str) -> bool:
    """Whether id `a` stands before id `b`."""
    return _place(a) < _place(b)


def _place(identity: str) -> tuple[int, int]:
    ms, _, number = identity.partition("-")
    return int(ms), int(number or 0)


def after(identity: str, count: int = 200) -> list[Event]:
    """The events after an id, oldest first, at most `count`."""
    entries = connect().call("XRANGE", FEED, f"({identity}", "+", "COUNT", count, repeatable=True)
    events = []
    for place, flat in entries:
        fields = dict(zip(flat[::2], flat[1::2], strict=True))
        events.append(Event(place, fields["event"], json.loads(fields["data"])))
    return events
