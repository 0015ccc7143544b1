"""What a caller may say about time."""

from datetime import UTC, datetime

from openmanager.errors import InvalidInput
from openmanager.telemetry.samples import LATEST_S

_HOUR_S = 3600


def span(from_: str | None, to: str | None, now_ms: int, usual_s: float = _HOUR_S) -> tuple[float, float]:
    """Start and end in s; `to` is now unless given, `from` `usual_s` before. Raises InvalidInput naming either."""
    stop = _instant("to", to) if to else now_ms / 1000
    start = _instant("from", from_) if from_ else max(0.0, stop - usual_s)
    if start >= stop:
        raise InvalidInput("from", "must lie before `to`")
    return start, stop


def _instant(field: str, text: str) -> float:
    try:
        if text.replace(".", "", 1).isdigit():
            seconds = float(text)
        else:
            when = datetime.fromisoformat(text)
            # UTC unless it says otherwise, as everywhere here: a function's own zone is nobody's.
            seconds = (when if when.tzinfo else when.replace(tzinfo=UTC)).timestamp()
    except (ValueError, OverflowError):
        raise InvalidInput(field, f"{text[:64]!r} is neither ISO 8601 nor Unix seconds") from None
    if not 0 <= seconds <= LATEST_S:
        raise InvalidInput(field, f"{text[:64]!r} lies outside the years 1970 to 5138")
    return seconds
