"""The tools as a model is offered them, what it asks of them checked, and what it gets to see of their results. Pure.

Only those that read; a model changes nothing. What they may do is decided by the caller's role (tools.table).
"""

import json
import math
from collections.abc import Mapping
from datetime import UTC, datetime, timedelta, timezone
from typing import Any

from openmanager.assistant import figures
from openmanager.catalog import METRIC_KEYS
from openmanager.errors import InvalidInput
from openmanager.tools.call import Call

# Of one result, and of all results together, in characters; a token is some three or four of them.
MOST_SEEN, MOST_SEEN_IN_ALL = 8_000, 24_000
_POINTS = 30
_LONGEST_S = 400 * 86_400
_CUT = "[cut here: ask for less, such as one server]"
_TIMES = frozenset({
    "minute", "seen", "at", "from", "to", "since", "changed", "fired", "clear", "easing", "blind", "told",
    "acknowledged", "began", "ended", "judged", "times", "late",
})  # fmt: skip
_SERVER: Mapping[str, Any] = {"type": "string", "description": "a server's id"}
_FROM: Mapping[str, Any] = {"type": "string", "description": "ISO 8601"}
_SPAN: Mapping[str, Any] = {"from": _FROM, "to": _FROM}
# Name -> what it is, what it takes, and what of that it needs.
_TOOLS: Mapping[str, tuple[str, Mapping[str, Any], tuple[str, ...]]] = {
    "list_servers": ("All servers: newest values, status, role.", {}, ()),
    "get_server": ("One server with its last verdict: reasons, risk, forecasts.", {"server": _SERVER}, ("server",)),
    "list_predictions": ("The last verdict on every server.", {}, ()),
    "query_metrics": (
        "A metric of a server over a span, with its least, greatest, mean, first and last value.",
        {"server": _SERVER, "metrics": {"enum": list(METRIC_KEYS)}, **_SPAN},
        ("server", "metrics", "from", "to"),
    ),
    "explain_server": ("Why a server is judged as it is.", {"server": _SERVER}, ("server",)),
    "list_alerts": ("Open alerts, of one server or all.", {"server": _SERVER}, ()),
    "alert_history": ("What happened to alerts in a span.", {**_SPAN, "server": _SERVER}, ("from", "to")),
    "prediction_record": ("What predictions were worth in a span.", {**_SPAN, "server": _SERVER}, ("from", "to")),
    "list_incidents": ("Open incidents, each with its alerts.", {}, ()),
    "read_audit_log": ("Who did what in a span.", _SPAN, ("from", "to")),
}
NAMES = tuple(_TOOLS)


def listed(names: tuple[str, ...]) -> list[dict[str, Any]]:
    """These tools in the words of the protocol."""
    return [
        {
            "type": "function",
            "function": {
                "name": name,
                "description": about,
                "parameters": {
                    "type": "object",
                    "properties": dict(takes),
                    "required": list(needs),
                    "additionalProperties": False,
                },
            },
        }
        for name, (about, takes, needs) in _TOOLS.items()
        if name in names
    ]


def read(name: Any, arguments: Any, names: tuple[str, ...]) -> Call:
    """A call as a model wrote it. Raises InvalidInput naming what is wrong, in words for the model."""
    if name not in names:
        raise InvalidInput("name", f"is none of {', '.join(names)}")
    try:
        asked = json.loads(arguments or "{}")
    except (ValueError, TypeError, RecursionError):
        raise InvalidInput("arguments", "is no JSON") from None
    _, takes, needs = _TOOLS[name]
    if not isinstance(asked, dict) or asked.keys() - takes.keys():
        raise InvalidInput("arguments", f"must be an object of {', '.join(takes) or 'nothing'}")
    if missing := sorted(set(needs) - asked.keys()):
        raise InvalidInput(missing[0], "is missing")
    for field, value in asked.items():
        if not isinstance(value, str) or len(value) > 128 or ("enum" in takes[field] and value not in METRIC_KEYS):
            raise InvalidInput(field, "is not of the values that it may have")
    read_ = asked | {field: _instant(field, asked[field]) for field in ("from", "to") if field in asked}
    if "from" in read_ and not 0 < read_["to"] - read_["from"] <= _LONGEST_S:
        raise InvalidInput("from", "must lie before `to`, by 400 days at most")
    if name == "query_metrics":
        read_["step"] = max(60, math.ceil((read_["to"] - read_["from"]) / _POINTS / 60) * 60)
    return Call(name, read_)


def _instant(field: str, text: str) -> int:
    try:
        at = datetime.fromisoformat(text)
    except ValueError:
        raise InvalidInput(field, "is no time by ISO 8601") from None
    seconds = (at if at.tzinfo else at.replace(tzinfo=UTC)).timestamp()
    if not 0 <= seconds < 4e9:
        raise InvalidInput(field, "is no time that anything was stored at")
    return int(seconds)


def shown(call: Call, result: Any, offset_m: int) -> Any:
    """A result as the model sees it: times by the caller's clock, and of a metric what people ask for."""
    if call.tool == "query_metrics":
        result = {
            **{k: v for k, v in result.items() if k not in ("times", "late", "stat")},
            "summary": {
                metric: {name: figures.find(values, [], name) for name in figures.REDUCTIONS}
                for metric, values in result["metrics"].items()
            },
        }
    return _clocked(result, "", timezone(timedelta(minutes=offset_m)))


def _clocked(value: Any, name: str, zone: timezone) -> Any:
    if isinstance(value, Mapping):
        return {key: _clocked(item, str(key), zone) for key, item in value.items()}
    if isinstance(value, list):
        return [_clocked(item, name, zone) for item in value]
    if name in _TIMES and isinstance(value, int | float) and not isinstance(value, bool):
        return datetime.fromtimestamp(value, zone).strftime("%Y-%m-%d %H:%M")
    return value


def bounded(value: Any, most: int) -> Any:
    """A result of at most so many characters of JSON: of its longest list the first items, or else its beginning."""
    if len(text := written(value)) <= most:
        return value
    lists = {key: item for key, item in value.items() if isinstance(item, list)} if isinstance(value, Mapping) else {}
    longest = max(lists, key=lambda key: len(written(lists[key])), default=None)
    if longest is not None:
        items = lists[longest]
        low, high = 0, len(items)
        while low < high:
            middle = (low + high + 1) // 2
            fits = len(written(_first(value, longest, middle))) <= most
            low, high = (middle, high) if fits else (low, middle - 1)
        if low:
            return _first(value, longest, low)
    kept = text[: max(0, most - len(_CUT) - 2)]
    # Half a number would be another one.
    return kept[: kept.rfind(",") + 1] + _CUT


def _first(value: Mapping[str, Any], name: str, count: int) -> dict[str, Any]:
    items = value[name]
    return {**value, name: items[:count], "cut": f"{name}: the first {count} of {len(items)}; ask for less"}


def written(value: Any) -> str:
    """A value as the model gets it."""
    return json.dumps(value, ensure_ascii=False, separators=(",", ":"))
