"""When nobody is to be told: silences, which always end, and maintenance windows, which come back. Pure."""

from collections.abc import Mapping
from dataclasses import asdict, dataclass, fields
from datetime import UTC, datetime, timedelta
from typing import Any, TypeVar
from zoneinfo import ZoneInfo, ZoneInfoNotFoundError

from openmanager.alerts.texts import MOST_NAMES, are_names, storable
from openmanager.errors import InvalidInput
from openmanager.telemetry.samples import LATEST_S

LONGEST_SILENCE_S = 30 * 86_400
MAX_ITEMS = 500
_DAYS = ("mon", "tue", "wed", "thu", "fri", "sat", "sun")


@dataclass(frozen=True, slots=True)
class Silence:
    """From `start` to `end` (s) nobody is told of what these servers, roles and rules say; empty means all."""

    id: str
    start: int
    end: int
    by: str
    reason: str
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


@dataclass(frozen=True, slots=True)
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
        """Whether it applies at an instant (s)."""
        if (self.servers and server not in self.servers) or (self.roles and role not in self.roles):
            return False
        zone = ZoneInfo(self.timezone)
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
    if not 1 <= window.minutes <= 7 * 1440:
        raise InvalidInput("minutes", "must be from 1 to 10080")
    try:
        datetime.strptime(window.at, "%H:%M")
    except ValueError:
        raise InvalidInput("at", f"{window.at!r} is not a time like 02:30") from None
    try:
        ZoneInfo(window.timezone)
    except (ZoneInfoNotFoundError, ValueError, OSError):
        raise InvalidInput("timezone", f"{window.timezone!r} is not known") from None
    return window


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
            elif name in ("timezone", "reason"):
                continue
            else:
                raise InvalidInput(name, "is missing")
        elif "tuple" in str(f.type):
            if not are_names(value):
                raise InvalidInput(name, f"must be a list of at most {MOST_NAMES} names")
            values[name] = tuple(value)
        elif f.type is int or f.type == "int":
            # Bounded, or an end that Postgres takes for no number would keep the archive from its work.
            if isinstance(value, bool) or not isinstance(value, int) or not 0 <= value <= LATEST_S:
                raise InvalidInput(name, f"{str(value)[:64]!r} is not a whole number from 0 to {LATEST_S}")
            values[name] = value
        elif not isinstance(value, str) or len(value) > 200 or not storable(value):
            raise InvalidInput(name, "must be a text of at most 200 characters")
        else:
            values[name] = value
    return values
