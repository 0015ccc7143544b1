"""When nobody is to be told: silences, which always end, and maintenance windows, which come back. Pure."""

import re
from collections.abc import Mapping
from dataclasses import asdict, fields
from datetime import UTC, datetime, timedelta
from typing import Any, TypeVar

from openmanager import zones
from openmanager.alerts.texts import MOST_NAMES, NAMES, TEXT, are_names, storable
from openmanager.errors import InvalidInput
from openmanager.spans import LATEST_S
from openmanager.values import frozen
from openmanager.whole import whole

LONGEST_SILENCE_S = 30 * 86_400
MAX_ITEMS = 500
_LONGEST_TEXT = 200
_LONGEST_WINDOW_MIN = 7 * 1440
# What a silence says of itself that nobody may send.
SET_BY_US = ("id", "by")
_OPTIONAL_TEXTS = ("timezone", "reason")
_DAYS = ("mon", "tue", "wed", "thu", "fri", "sat", "sun")
_CLOCK = r"([01][0-9]|2[0-3]):[0-5][0-9]"


@frozen
class Silence:
    """From `start` to `end` (s) nobody is told of what these servers, roles and rules say; empty means all."""

    id: str
    start: int
    end: int
    by: str
    reason: str = ""
    servers: tuple[str, ...] = ()
    roles: tuple[str, ...] = ()
    rules: tuple[str, ...] = ()

    def covers(self, server: str, role: str, rule: str, at: int) -> bool:
        """Whether it applies at an instant (s)."""
        return (
            self.start <= at < self.end
            and (not self.servers or server in self.servers)
            and (not self.roles or role in self.roles)
            and (not self.rules or rule in self.rules)
        )

    def as_dict(self) -> dict[str, Any]:
        """The silence as JSON values."""
        return asdict(self)


@frozen
class Maintenance:
    """A window that returns every week: on `days` from `at` (HH:MM in `timezone`), for `minutes`."""

    id: str
    days: tuple[str, ...]
    at: str
    minutes: int
    timezone: str = "UTC"
    reason: str = ""
    servers: tuple[str, ...] = ()
    roles: tuple[str, ...] = ()

    def covers(self, server: str, role: str, at: int) -> bool:
        """Whether it applies to a server at an instant (s)."""
        return self.concerns(server, role) and self.is_open(at)

    def concerns(self, server: str, role: str) -> bool:
        """Whether a server is among those that it is for."""
        return (not self.servers or server in self.servers) and (not self.roles or role in self.roles)

    def is_open(self, at: int) -> bool:
        """Whether it is open at an instant (s)."""
        zone = zones.zone(self.timezone)
        now = datetime.fromtimestamp(at, UTC).astimezone(zone)
        hour, minute = map(int, self.at.split(":"))
        # A window may have begun a day or more ago.
        for back in range(self.minutes // 1440 + 2):
            day = now.date() - timedelta(days=back)
            if _DAYS[day.weekday()] not in self.days:
                continue
            # On the clock of the wall, so that a window at two stays at two when the hour changes.
            begin = datetime(day.year, day.month, day.day, hour, minute, tzinfo=zone).timestamp()
            if begin <= at < begin + 60 * self.minutes:
                return True
        return False

    def as_dict(self) -> dict[str, Any]:
        """The window as JSON values."""
        return asdict(self)


def parse_silence(item: Any, now_s: int) -> Silence:
    """A silence from JSON; `start` is now unless given. Raises InvalidInput naming the field."""
    values = _values(Silence, item, {"start": now_s})
    silence = Silence(**values)
    if not silence.start < silence.end <= silence.start + LONGEST_SILENCE_S:
        raise InvalidInput("end", "must be after the start, and at most 30 days after it")
    if silence.end <= now_s:
        raise InvalidInput("end", "is past already")
    return silence


def parse_maintenance(item: Any) -> Maintenance:
    """A maintenance window from JSON. Raises InvalidInput naming the field."""
    window = Maintenance(**_values(Maintenance, item, {}))
    if not window.days or any(day not in _DAYS for day in window.days):
        raise InvalidInput("days", f"must name some of {', '.join(_DAYS)}")
    if not 1 <= window.minutes <= _LONGEST_WINDOW_MIN:
        raise InvalidInput("minutes", f"must be from 1 to {_LONGEST_WINDOW_MIN}")
    if not re.fullmatch(_CLOCK, window.at):
        raise InvalidInput("at", f"{window.at!r} is not a time like 02:30")
    try:
        zones.zone(window.timezone)
    except ValueError:
        raise InvalidInput("timezone", f"{window.timezone!r} is not known") from None
    return window


def _described(kind: type[Any], **more: dict[str, Any]) -> dict[str, Any]:
    """What `_values` takes for the fields of a dataclass, in the words of JSON Schema."""
    shapes: dict[str, dict[str, Any]] = {}
    for f in fields(kind):
        if "tuple" in str(f.type):
            shape = NAMES
        elif f.type in (int, "int"):
            shape = {"type": "integer", "minimum": 0, "maximum": LATEST_S}
        elif f.name == "timezone":
            shape = {"type": "string", "format": "time-zone", "description": "an IANA name; else UTC"}
        else:
            shape = TEXT | {"maxLength": _LONGEST_TEXT}
        # Where null is as good as nothing:
        if "tuple" in str(f.type) or f.name in _OPTIONAL_TEXTS:
            shape = shape | {"type": [shape["type"], "null"]}
        shapes[f.name] = shape | more.get(f.name, {})
    return {"type": "object", "properties": shapes, "additionalProperties": False}


ID = TEXT | {"minLength": 1, "maxLength": _LONGEST_TEXT}
_silence = _described(
    Silence,
    start={"description": "seconds since 1970; else now"},
    end={"description": "seconds since 1970, in the place of `minutes`; at most 30 days after the start"},
)
_minutes = {"type": "integer", "minimum": 1, "maximum": LONGEST_SILENCE_S // 60, "description": "from the start on"}
SILENCE: dict[str, Any] = _silence | {
    "properties": {"minutes": _minutes}
    | {name: shape for name, shape in _silence["properties"].items() if name not in SET_BY_US},
    "oneOf": [{"required": ["minutes"]}, {"required": ["end"]}],
    "examples": [{"minutes": 60, "reason": "deployment"}],
}
MAINTENANCE: dict[str, Any] = _described(
    Maintenance,
    id={"description": "that of the address, or left out"},
    days={"type": "array", "items": {"enum": list(_DAYS)}, "minItems": 1, "description": "some of the week"},
    at={"pattern": f"^{_CLOCK}$", "description": "on the clock of `timezone`"},
    minutes={"minimum": 1, "maximum": _LONGEST_WINDOW_MIN},
) | {
    "required": ["days", "at", "minutes"],
    "examples": [{"days": ["sun"], "at": "02:00", "minutes": 120}],
}


T = TypeVar("T")


def _values(kind: type[Any], item: Any, defaults: Mapping[str, Any]) -> dict[str, Any]:
    """The fields of a dataclass from JSON, by the type of each."""
    if not isinstance(item, Mapping):
        raise InvalidInput(kind.__name__.lower(), "must be an object")
    known = {f.name: f for f in fields(kind)}
    if unknown := sorted(set(item) - set(known)):
        raise InvalidInput(unknown[0], f"is not known; these are: {', '.join(known)}")
    values: dict[str, Any] = {}
    for name, f in known.items():
        value = item.get(name, defaults.get(name))
        if value is None:
            if "tuple" in str(f.type):
                values[name] = ()
            elif name in _OPTIONAL_TEXTS:
                continue
            else:
                raise InvalidInput(name, "is missing")
        elif "tuple" in str(f.type):
            if not are_names(value):
                raise InvalidInput(name, f"must be a list of at most {MOST_NAMES} names")
            values[name] = tuple(value)
        elif f.type is int or f.type == "int":
            # Bounded, or an end that Postgres takes for no number would keep the archive from its work.
            number = whole(value)
            if number is None or not 0 <= number <= LATEST_S:
                raise InvalidInput(name, f"{str(value)[:64]!r} is not a whole number from 0 to {LATEST_S}")
            values[name] = number
        elif not isinstance(value, str) or len(value) > _LONGEST_TEXT or not storable(value):
            raise InvalidInput(name, f"must be a text of at most {_LONGEST_TEXT} characters")
        else:
            values[name] = value
    return values
