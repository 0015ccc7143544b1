"""Texts that people give, before they are stored. Pure."""


def storable(text: str) -> bool:
    """Whether Postgres takes a text as JSON: without NUL and halves of surrogate pairs, which JSON itself can write.

    https://www.postgresql.org/docs/current/datatype-json.html
    """
    return not any(c == "\0" or "\ud800" <= c <= "\udfff" for c in text)
