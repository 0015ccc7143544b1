"""Figures of answers: where in a tool's result each stands, so that anybody can compute it again, and its words. Pure.

A path leads into a result: a text is a key, a number an index, and an object chooses of a list the items that have its
values (`a/b` a key within a key). What it leads to is the figure, or becomes it by one of `REDUCTIONS`.
"""

from collections.abc import Callable, Mapping, Sequence
from datetime import UTC, datetime, timedelta
from typing import Any

from openmanager.catalog import METRIC

Path = Sequence[str | int | Mapping[str, Any]]
REDUCTIONS: Mapping[str, Callable[[list[float]], float]] = {
    "min": min,
    "max": max,
    "mean": lambda values: sum(values) / len(values),
    "first": lambda values: values[0],
    "last": lambda values: values[-1],
    "change": lambda values: values[-1] - values[0],
}
_DECIMALS = 3
# Between a number and its unit, which stay on one line; and units that stand without it.
_KEPT = "\u00a0"
_BEFORE = {"": "", "number": "", "%": "%", "1/s": "/s"}


def find(result: Any, path: Path, reduce: str = "") -> Any:
    """What a path leads to; None where there is nothing. `count` counts, all other reductions leave nulls out."""
    reached, chosen = [result], False
    for step in path:
        if isinstance(step, Mapping):
            items = [item for value in reached if isinstance(value, list) for item in value]
            reached = [i for i in items if all(_within(i, key) == wanted for key, wanted in step.items())]
            chosen = True
        else:
            reached = [_get(value, step) for value in reached]
    if reduce == "count":
        return len(reached) if chosen else len(reached[0] or ())
    if not reduce:
        return reached[0] if reached else None
    values = reached if chosen or not isinstance(reached[0], list) else reached[0]
    numbers = [v for v in values if v is not None]
    return round(REDUCTIONS[reduce](numbers), _DECIMALS) if numbers else None


def _within(item: Any, key: str) -> Any:
    for part in key.split("/"):
        item = _get(item, part)
    return item


def _get(value: Any, key: str | int) -> Any:
    if isinstance(value, Mapping):
        return value.get(key)
    if isinstance(value, list) and isinstance(key, int) and -len(value) <= key < len(value):
        return value[key]
    return None


def spoken(value: Any, unit: str, language: str, offset_m: int) -> str:
    """A figure in words: `unit` is a metric's, or `share` (of 1), `s`, `count`, `time` (s since 1970) or `number`."""
    if value is None:
        return "–"
    if unit == "share":
        return _share(value)
    if unit == "s":
        return _duration(value, language)
    if unit == "time":
        return clock(datetime.fromisoformat(value).timestamp() if isinstance(value, str) else value, offset_m)
    if unit == "B/s":
        return _bytes(value)
    if unit == "count":
        return str(int(value))
    return f"{_number(value)}{_BEFORE.get(unit, _KEPT + unit)}"


def unit_of(metric: str) -> str:
    """A metric's unit, in which a figure of it is told."""
    return METRIC[metric].unit


def clock(at_s: float, offset_m: int) -> str:
    """A time by the caller's clock."""
    return (datetime.fromtimestamp(at_s, UTC) + timedelta(minutes=offset_m)).strftime("%Y-%m-%d %H:%M")


def zone(offset_m: int) -> str:
    """How that clock is called."""
    hours, minutes = divmod(abs(offset_m), 60)
    return "UTC" if not offset_m else f"UTC{'+' if offset_m > 0 else '-'}{hours}{f':{minutes:02}' if minutes else ''}"


def _number(value: float) -> str:
    text = f"{value:.2f}".rstrip("0").rstrip(".") if abs(value) < 10 else f"{value:,.1f}".removesuffix(".0")
    return "0" if text == "-0" else text


def _share(value: float) -> str:
    percent = 100 * value
    if 0 < percent < 1:
        return "<1%"
    return f"{percent:.0f}%"


def _bytes(value: float) -> str:
    for unit in ("B/s", "kB/s", "MB/s"):
        if abs(value) < 1000:
            return f"{_number(value)}{_KEPT}{unit}"
        value /= 1000
    return f"{_number(value)}{_KEPT}GB/s"


def _duration(value: float, language: str) -> str:
    sizes = ((86_400, "d", "일"), (3600, "h", "시간"), (60, "min", "분"), (1, "s", "초"))
    # Minutes up to 99, hours up to two days: the same as on the dashboard.
    least = (172_800, 5_970, 60)
    size = next((row for row, n in zip(sizes, least, strict=False) if abs(value) >= n), sizes[-1])
    number = value / size[0]
    text = _number(round(number, 1) if size[0] >= 3600 else round(number))
    return text + (size[2] if language == "ko" else _KEPT + size[1])
