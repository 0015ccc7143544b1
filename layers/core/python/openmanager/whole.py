"""Whole numbers as JSON writes them."""

from typing import Any


def whole(value: Any) -> int | None:
    """The whole number that a JSON value is, which 5.0 is as well as 5 (JSON Schema 2020-12, 4.2.3); None if none."""
    if isinstance(value, float) and value.is_integer():
        return int(value)
    return value if isinstance(value, int) and not isinstance(value, bool) else None
