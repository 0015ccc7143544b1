"""A target as the API takes it, in the words of JSON Schema, from the settings that notify.targets lists."""

from typing import Any, get_args

from openmanager.alerts.texts import NAMES
from openmanager.notify.manage import UNREADABLE
from openmanager.notify.notice import SEVERITIES
from openmanager.notify.targets import CLASSES, ID, MASK, SETTINGS, Language, Setting

_NAMES = NAMES | {"items": NAMES["items"] | {"minLength": 1}}
_FLAG = {"type": "boolean"}
_COMMON: dict[str, Any] = {
    "id": {"type": "string", "pattern": f"^{ID.pattern}$", "description": "that of the address, or left out"},
    "language": {"enum": list(get_args(Language))},
    "timezone": {"type": "string", "format": "time-zone", "description": "an IANA name; else UTC"},
    "severity": {"enum": list(SEVERITIES), "description": "and worse"},
    "classes": {"type": "array", "items": {"enum": list(CLASSES)}, "minItems": 1},
    "servers": _NAMES,
    "roles": _NAMES,
    "resolved": _FLAG,
    "enabled": _FLAG,
    UNREADABLE: {"description": "as the API shows it; ignored"},
}


def _target(channel: str) -> dict[str, Any]:
    known = SETTINGS[channel]
    own = {
        "type": "object",
        "properties": {name: _setting(setting) for name, setting in known.items()},
        # Secrets may stay as they are.
        "required": [name for name, setting in known.items() if setting.required and not setting.secret],
        "additionalProperties": False,
    }
    return {
        "type": "object",
        "title": channel,
        "properties": {"channel": {"const": channel}, "settings": own, **_COMMON},
        "required": ["channel", "settings"],
        "additionalProperties": False,
    }


def _setting(setting: Setting) -> dict[str, Any]:
    shapes = [setting.check.schema]
    if setting.secret:
        as_shown = {"type": "string", "pattern": f"^{MASK}.{{0,4}}$", "description": "as shown: stays as it was"}
        shapes.append(as_shown)
    if not setting.required:
        shapes.append({"type": "null"})
    return shapes[0] if len(shapes) == 1 else {"anyOf": shapes}


_EXAMPLE = {"channel": "slack", "settings": {"url": "https://hooks.slack.com/services/T0/B0/x"}, "severity": "warning"}
SCHEMA: dict[str, Any] = {"examples": [_EXAMPLE], "oneOf": [_target(channel) for channel in SETTINGS]}
