"""Whom to tell, through which channel, and of what: validated data. Pure."""

import json
import logging
import re
from collections.abc import Callable, Mapping, Sequence
from dataclasses import fields
from typing import Any, Literal, get_args
from urllib.parse import urlsplit

from openmanager.alerts.texts import MOST_NAMES, are_names, storable
from openmanager.errors import InvalidInput
from openmanager.notify.notice import SEVERITIES, Severity
from openmanager.security.sealing import Sealed
from openmanager.values import frozen
from openmanager.whole import whole
from openmanager.zones import zone

Channel = Literal["webhook", "slack", "discord", "telegram", "pagerduty", "ntfy", "email"]
Language = Literal["en", "ko"]
Class = Literal["measured", "predictive"]
CLASSES: tuple[Class, ...] = get_args(Class)
MAX_TARGETS = 100
ID = re.compile(r"[A-Za-z0-9][A-Za-z0-9._-]{0,63}")
_ADDRESS = r"[^\s@<>,;:\"()\[\]\\]{1,64}@[A-Za-z0-9.-]{1,253}"
_MOST_ADDRESSES = 50
_ANY_URL = r"https?://[!-~]{1,2040}"
MASK = "…"

log = logging.getLogger(__name__)


@frozen
class Target:
    """One receiver.

    It is told of notices of at least `severity`, of these `classes`, and of these `servers` and `roles` (all if
    empty); of the end of alerts unless `resolved` is false. Texts are in `language`, times in `timezone`.
    `settings` are the channel's own; those in `secrets_of(channel)` never leave by the API, and may be Sealed.
    """

    id: str
    channel: Channel
    settings: Mapping[str, Any]
    language: Language = "en"
    timezone: str = "UTC"
    severity: Severity = "info"
    classes: tuple[Class, ...] = CLASSES
    servers: tuple[str, ...] = ()
    roles: tuple[str, ...] = ()
    resolved: bool = True
    enabled: bool = True

    def as_dict(self) -> dict[str, Any]:
        """The target as JSON values, secrets included."""
        plain = {f.name: getattr(self, f.name) for f in fields(self)}
        own = {name: v.as_dict() if isinstance(v, Sealed) else v for name, v in self.settings.items()}
        return {name: list(v) if isinstance(v, tuple) else v for name, v in plain.items()} | {"settings": own}


@frozen
class Check:
    """`read` returns the value or raises ValueError saying what it must be; `schema` says so in JSON Schema."""

    read: Callable[[Any], Any]
    schema: dict[str, Any]


@frozen
class Setting:
    """One setting of a channel, with its check.

    `binds` says that secrets belong to it: whoever changes it must know them.
    """

    check: Check
    default: Any = None
    required: bool = False
    secret: bool = False
    binds: bool = False


def _text(pattern: str, must: str) -> Check:
    compiled = re.compile(pattern)

    def read(value: Any) -> str:
        if not isinstance(value, str) or not compiled.fullmatch(value) or not storable(value):
            raise ValueError(must)
        return value

    return Check(read, {"type": "string", "pattern": f"^({pattern})$"})


def _read_url(value: Any) -> str:
    must = "must be an https address of printable ASCII, without a user and password"
    if not isinstance(value, str) or not re.fullmatch(_ANY_URL, value):
        raise ValueError(must)
    parts = urlsplit(value)
    if parts.scheme not in ("https", "http") or not parts.hostname or parts.username is not None or parts.fragment:
        raise ValueError(must)
    _ = parts.port  # raises ValueError where it is none
    return value


def _whole(low: int, high: int) -> Check:
    def read(value: Any) -> int:
        number = whole(value)
        if number is None or not low <= number <= high:
            raise ValueError(f"must be a whole number from {low} to {high}")
        return number

    return Check(read, {"type": "integer", "minimum": low, "maximum": high})


def _read_address(value: Any) -> str:
    if not isinstance(value, str) or not re.fullmatch(_ADDRESS, value) or not value.isprintable():
        raise ValueError("must be an e-mail address")
    return value


def _read_addresses(value: Any) -> list[str]:
    if not isinstance(value, list | tuple) or not 1 <= len(value) <= _MOST_ADDRESSES:
        raise ValueError(f"must be a list of 1 to {_MOST_ADDRESSES} e-mail addresses")
    return [_read_address(v) for v in value]


_url = Check(
    _read_url, {"type": "string", "pattern": f"^{_ANY_URL}$", "description": "https, without user or fragment"}
)
_address = Check(_read_address, {"type": "string", "pattern": f"^{_ADDRESS}$"})
_addresses = Check(
    _read_addresses, {"type": "array", "items": _address.schema, "minItems": 1, "maxItems": _MOST_ADDRESSES}
)
_SECRET = _text(r"[!-~]{16,256}", "must be 16 to 256 printable ASCII characters without spaces")
_PASSWORD = _text(r"[^\x00-\x1f\x7f]{1,256}", "must be a text of at most 256 characters")
_TOKEN, _CHAT = "must be a bot's token", "must be a chat's number or @name"
_HOST = _text(r"[A-Za-z0-9.:-]{1,253}", "must be the name or address of a host")

SETTINGS: dict[str, dict[str, Setting]] = {
    "webhook": {
        "url": Setting(_url, required=True, binds=True),
        "secret": Setting(_SECRET, required=True, secret=True),
        "previous_secret": Setting(_SECRET, secret=True),
    },
    "slack": {"url": Setting(_url, required=True, secret=True)},
    "discord": {"url": Setting(_url, required=True, secret=True)},
    "telegram": {
        "token": Setting(_text(r"[0-9]{3,20}:[A-Za-z0-9_-]{20,64}", _TOKEN), required=True, secret=True),
        "chat_id": Setting(_text(r"-?[0-9]{1,20}|@[A-Za-z0-9_]{1,64}", _CHAT), required=True),
        "thread_id": Setting(_whole(1, 2**31 - 1)),
        "server": Setting(_url, "https://api.telegram.org", binds=True),
    },
    "pagerduty": {
        "routing_key": Setting(_text(r"[A-Za-z0-9]{32}", "must be 32 characters"), required=True, secret=True),
        "url": Setting(_url, "https://events.pagerduty.com/v2/enqueue", binds=True),
    },
    "ntfy": {
        "topic": Setting(_text(r"[-_A-Za-z0-9]{1,64}", "must be 1 to 64 letters, digits, - and _"), required=True),
        "server": Setting(_url, "https://ntfy.sh", binds=True),
        "token": Setting(_SECRET, secret=True),
    },
    "email": {
        "host": Setting(_HOST, required=True, binds=True),
        "port": Setting(_whole(1, 65535), 587, binds=True),
        "security": Setting(_text("starttls|tls|none", "must be starttls, tls or none"), "starttls", binds=True),
        "user": Setting(_PASSWORD, binds=True),
        "password": Setting(_PASSWORD, secret=True),
        "sender": Setting(_address, required=True),
        "to": Setting(_addresses, required=True),
    },
}


def secrets_of(channel: str) -> set[str]:
    """The names of a channel's settings that are never shown."""
    return {name for name, setting in SETTINGS.get(channel, {}).items() if setting.secret}


def parse(text: str | None) -> list[Target]:
    """The targets of a JSON list as it is published; none of nothing. Raises InvalidInput naming the field."""
    if not text:
        return []
    try:
        items = json.loads(text)
    except (ValueError, RecursionError) as error:
        raise InvalidInput("targets", f"is not JSON: {error}") from None
    if not isinstance(items, list) or len(items) > MAX_TARGETS:
        raise InvalidInput("targets", f"must be a list of at most {MAX_TARGETS}")
    return [read_stored(item, f"targets[{i}].") for i, item in enumerate(items)]


def published(text: str | None) -> list[Target] | None:
    """The targets as rounds and deliveries find them; None where Redis lost them or they do not read, which is logged,
    until the archive publishes them anew."""
    try:
        return None if text is None else parse(text)
    except InvalidInput as error:
        log.error("%s", error)
        return None


def read_stored(item: Any, path: str = "") -> Target:
    """One target from its JSON values in a store, where secrets may be sealed. Raises InvalidInput naming the field."""
    own = item.get("settings") if isinstance(item, Mapping) else None
    if not isinstance(own, Mapping):
        return read_target(item, path)
    found = dict(own)
    for name in secrets_of(str(item.get("channel"))) & own.keys():
        if isinstance(own[name], Mapping):
            try:
                found[name] = Sealed.read(own[name])
            except ValueError as error:
                raise InvalidInput(f"{path}settings.{name}", str(error)) from None
    return read_target({**item, "settings": found}, path)


def read_target(item: Any, path: str = "") -> Target:
    """One target from its JSON values as people send them. Raises InvalidInput naming the field."""
    if not isinstance(item, Mapping):
        raise InvalidInput(path.rstrip(".") or "target", "must be an object")
    known = [f.name for f in fields(Target)]
    if unknown := sorted(str(name) for name in set(item) - set(known)):
        raise InvalidInput(path + unknown[0], f"is not known; these are: {', '.join(known)}")
    if missing := [name for name in ("id", "channel", "settings") if name not in item]:
        raise InvalidInput(path + missing[0], "is missing")
    return Target(**{name: _FIELDS[name](value, path + name, item) for name, value in item.items()})


def _identity(value: Any, where: str, _: Mapping[str, Any]) -> str:
    if not isinstance(value, str) or not ID.fullmatch(value):
        raise InvalidInput(where, "must be 1 to 64 letters, digits and . _ - and begin with a letter or digit")
    return value


def _one_of(known: Sequence[str]) -> Callable[[Any, str, Mapping[str, Any]], str]:
    def check(value: Any, where: str, _: Mapping[str, Any]) -> str:
        if not isinstance(value, str) or value not in known:
            raise InvalidInput(where, f"must be one of {', '.join(known)}")
        return value

    return check


def _classes(value: Any, where: str, _: Mapping[str, Any]) -> tuple[str, ...]:
    if not isinstance(value, list | tuple) or not value or any(v not in CLASSES for v in value):
        raise InvalidInput(where, f"must be a list of some of {', '.join(CLASSES)}")
    return tuple(value)


def _names(value: Any, where: str, _: Mapping[str, Any]) -> tuple[str, ...]:
    if not are_names(value) or "" in value:
        raise InvalidInput(where, f"must be a list of at most {MOST_NAMES} names")
    return tuple(value)


def _flag(value: Any, where: str, _: Mapping[str, Any]) -> bool:
    if not isinstance(value, bool):
        raise InvalidInput(where, "must be true or false")
    return value


def _timezone(value: Any, where: str, _: Mapping[str, Any]) -> str:
    try:
        zone(value)
    except (ValueError, TypeError):
        raise InvalidInput(where, f"{str(value)[:64]!r} is not a known time zone") from None
    return str(value)


def _settings(value: Any, where: str, item: Mapping[str, Any]) -> dict[str, Any]:
    known = SETTINGS.get(str(item.get("channel")), {})
    if not isinstance(value, Mapping):
        raise InvalidInput(where, "must be an object")
    if unknown := sorted(str(name) for name in set(value) - set(known)):
        raise InvalidInput(f"{where}.{unknown[0]}", f"is not known; these are: {', '.join(known)}")
    found = {}
    for name, setting in known.items():
        given = value.get(name)
        given = setting.default if given is None else given
        if given is None and setting.required:
            raise InvalidInput(f"{where}.{name}", "is missing")
        try:
            # No JSON value is Sealed: only what lay in a store is taken without knowing what is in it.
            known_good = given is None or (setting.secret and isinstance(given, Sealed))
            found[name] = given if known_good else setting.check.read(given)
        except ValueError as error:
            raise InvalidInput(f"{where}.{name}", str(error)) from None
    return found


_FIELDS: dict[str, Callable[[Any, str, Mapping[str, Any]], Any]] = {
    "id": _identity,
    "channel": _one_of(get_args(Channel)),
    "settings": _settings,
    "language": _one_of(get_args(Language)),
    "timezone": _timezone,
    "severity": _one_of(SEVERITIES),
    "classes": _classes,
    "servers": _names,
    "roles": _names,
    "resolved": _flag,
    "enabled": _flag,
}


def dump(targets: Sequence[Target]) -> str:
    """The JSON list that `parse` reads."""
    return json.dumps([t.as_dict() for t in targets], separators=(",", ":"), ensure_ascii=False)


def masked(target: Target) -> dict[str, Any]:
    """The target as JSON values whose secrets show no more than their last four characters."""
    hidden = secrets_of(target.channel)
    shown = {name: _hide(v) if name in hidden else v for name, v in target.settings.items()}
    return target.as_dict() | {"settings": shown}


def _hide(secret: str | Sealed | None) -> str | None:
    if secret is None:
        return None
    return MASK + (secret[-4:] if isinstance(secret, str) and len(secret) >= 16 else "")


def keep_secrets(item: Mapping[str, Any], before: Target | None) -> dict[str, Any]:
    """`item` with the secrets that it leaves out (or shows masked) as they were.

    Where the place changes that they are sent to, they must be given anew, or somebody who must not read them could
    have them sent to a place of his own.
    """
    given = item.get("settings")
    if before is None or item.get("channel") != before.channel or not isinstance(given, Mapping):
        return dict(item)
    known = SETTINGS[before.channel]
    moved = any(
        s.binds and name in given and given[name] != before.settings.get(name) for name, s in known.items()
    ) or any(s.binds and name not in given and before.settings.get(name) != s.default for name, s in known.items())
    kept = {
        name: before.settings.get(name)
        for name in secrets_of(before.channel)
        if not moved and (name not in given or given[name] == _hide(before.settings.get(name)))
    }
    return dict(item) | {"settings": {**given, **kept}}
