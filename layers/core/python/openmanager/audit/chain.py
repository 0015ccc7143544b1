"""How a row of the audit log is bound to the one before it.

A row's `hash` is the SHA-256 (hex) of its other fields as JSON in ASCII, sorted by name, without white space; one of
them is `previous`, the hash of the row before (64 noughts for the first). `seq` counts from 1 without gaps. Whoever can
write to the database can also compute a whole new chain: what that cannot fool is a head that was noted elsewhere.
"""

import hashlib
import json
from collections.abc import Iterable, Mapping
from typing import Any

from openmanager.values import frozen

START = "0" * 64
FIELDS = ("seq", "at", "actor", "address", "action", "target", "before", "after", "previous", "hash")
_HASHED = tuple(sorted(set(FIELDS) - {"hash"}))


class Broken(Exception):
    """The chain does not hold; `line` is the first that does not fit, counted from 1."""

    def __init__(self, line: int, reason: str) -> None:
        super().__init__(f"line {line}: {reason}")
        self.line = line


@frozen
class Head:
    """The last row of a chain; seq 0 is an empty one."""

    seq: int
    hash: str

    @classmethod
    def parse(cls, text: str) -> "Head":
        """`SEQ:HASH`, as `str` writes it. Raises ValueError."""
        seq, _, value = text.partition(":")
        if not (seq.isascii() and seq.isdecimal() and len(value) == len(START)):
            raise ValueError("a head is written SEQ:HASH")
        return cls(int(seq), value)

    def __str__(self) -> str:
        return f"{self.seq}:{self.hash}"


def digest(body: Any) -> str | None:
    """SHA-256 (hex) of a JSON value, None for None. Secrets must be masked before: short ones could be guessed."""
    return None if body is None else hashlib.sha256(_canonical(body)).hexdigest()


def row_hash(row: Mapping[str, Any]) -> str:
    """The hash that belongs to a row's other fields. Raises KeyError if one is missing."""
    return hashlib.sha256(_canonical({name: row[name] for name in _HASHED})).hexdigest()


def verify(lines: Iterable[str], noted: Head | None = None) -> Head:
    """The head of a whole log as JSON lines. Raises Broken at the first row that does not fit.

    `noted` is a head seen earlier: a log that ends before it, or has another row in its place, was shortened or remade.
    """
    head, line = Head(0, START), 0
    for line, text in enumerate(lines, 1):
        head = _follow(head, _parsed(line, text), line)
        if noted is not None and head.seq == noted.seq and head.hash != noted.hash:
            raise Broken(line, f"row {head.seq} is not the one whose hash was noted")
    if noted is not None and head.seq < noted.seq:
        raise Broken(line + 1, f"the log ends with row {head.seq}, and row {noted.seq} was there once")
    return head


def _parsed(line: int, text: str) -> dict[str, Any]:
    try:
        row = json.loads(text)
    except (ValueError, RecursionError):
        raise Broken(line, "is not JSON") from None
    if not isinstance(row, dict) or set(row) != set(FIELDS):
        raise Broken(line, "is not a row of the audit log")
    return row


def _follow(head: Head, row: Mapping[str, Any], line: int) -> Head:
    if row["seq"] != head.seq + 1:
        raise Broken(line, f"row {row['seq']} follows row {head.seq}: removed, inserted or out of order")
    if row["previous"] != head.hash:
        raise Broken(line, f"row {row['seq']} is not bound to the row before: inserted, replaced or remade")
    if row["hash"] != row_hash(row):
        raise Broken(line, f"row {row['seq']} was changed: its hash is not that of its contents")
    return Head(row["seq"], row["hash"])


def _canonical(body: Any) -> bytes:
    return json.dumps(body, sort_keys=True, separators=(",", ":")).encode()
