"""What a caller may say about time."""

import re
from datetime import UTC, datetime

from openmanager.errors import InvalidInput

# The year 5138: far beyond it neither Python nor Postgres has dates.
LATEST_S = 10**11
_HOUR_S = 3600
# What `_instant` takes, until LATEST_S.
_INSTANT = (
    r"[0-9]{1,11}([.][0-9]{1,9})?"
    r"|(19[789]|[234][0-9][0-9])[0-9]-(0[1-9]|1[0-2])-(0[1-9]|[12][0-9]|3[01])"
    r"([T ]([01][0-9]|2[0-3]):[0-5][0-9](:[0-5][0-9]([.][0-9]{1,9})?)?(Z|[+-]([01][0-9]|2[0-3]):[0-5][0-9])?)?"
)
# The same in the words of JSON Schema.
INSTANT = {"type": "string", "pattern": f"^({_INSTANT})$", "description": "ISO 8601 or seconds since 1970"}


def span(from_: str | None, to: str | None, now_ms: int, usual_s: float = _HOUR_S) -> tuple[float, float]:
    """Start and end in s; `to` is now unless given, `from` `usual_s` before. Raises InvalidInput naming either."""
    stop = _instant("to", to) if to is not None else now_ms / 1000
    start = _instant("from", from_) if from_ is not None else max(0.0, stop - usual_s)
    if start >= stop:
        raise InvalidInput("from", "must lie before `to`")
    return start, stop


def _instant(field: str, text: str) -> float:
    if not re.fullmatch(_INSTANT, text):
        raise InvalidInput(field, f"{text[:64]!r} is neither ISO 8601 nor Unix seconds")
    try:
        if text.replace(".", "", 1).isdigit():
            seconds = float(text)
        else:
            when = datetime.fromisoformat(text)
            # UTC unless it says otherwise, as everywhere here: a function's own zone is nobody's.
            seconds = (when if when.tzinfo else when.replace(tzinfo=UTC)).timestamp()
    except (ValueError, OverflowError):
        raise InvalidInput(field, f"{text[:64]!r} is no day of the calendar") from None
    if not 0 <= seconds <= LATEST_S:
        raise InvalidInput(field, f"{text[:64]!r} lies outside the years 1970 to 5138")
    return seconds
