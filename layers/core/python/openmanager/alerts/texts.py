"""Texts that people give, before they are stored. Pure."""

from typing import Any

# Of servers, roles or rules, in one list.
MOST_NAMES, LONGEST_NAME = 500, 128

# `storable` and `are_names` in the words of JSON Schema, to which half of a surrogate pair is no text anyway.
TEXT: dict[str, Any] = {"type": "string", "pattern": r"^[^\u0000]*$"}
NAMES: dict[str, Any] = {
    "type": "array",
    "items": TEXT | {"maxLength": LONGEST_NAME},
    "maxItems": MOST_NAMES,
    "description": "all if empty",
}


def storable(text: str) -> bool:
    """Whether Postgres takes a text as JSON: without NUL and halves of surrogate pairs, which JSON itself can write.

    https://www.postgresql.org/docs/current/datatype-json.html
    """
    return not any(c == "\0" or "\ud800" <= c <= "\udfff" for c in text)


def are_names(value: Any) -> bool:
    """Whether this is a list of names that may be stored: every round reads all of them."""
    if not isinstance(value, list | tuple) or len(value) > MOST_NAMES:
        return False
    return all(isinstance(v, str) and len(v) <= LONGEST_NAME and storable(v) for v in value)
