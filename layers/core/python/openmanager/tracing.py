"""Traces by W3C Trace Context (https://www.w3.org/TR/trace-context/): read from a caller, begun here, told to others.

The trace of the work at hand belongs to its own context, as acting's caller does: log lines name it (logs), errors
quote it (web.problems), and what is asked of others carries it on. No spans are recorded, and `tracestate` ends here:
it is other vendors' business, and receivers of notices are none of theirs.
"""

import hashlib
import os
import re
from collections.abc import Iterator, Mapping, Sequence
from contextlib import contextmanager
from contextvars import ContextVar
from typing import Any

from openmanager.values import frozen

HEADER = "traceparent"
# As far as version 00 goes; a later one may go on after another hyphen (W3C, 3.2.4 "Versioning of traceparent").
_KNOWN = re.compile("([0-9a-f]{2})-([0-9a-f]{32})-([0-9a-f]{16})-([0-9a-f]{2})")
_TRACE_ID = re.compile("[0-9a-f]{32}")
_SAMPLED = 1


@frozen
class Trace:
    """A trace and the span at work in it: 32 and 16 hexadecimal digits in lower case, never all zero.

    `sampled` says that whoever began it may have recorded it; `received` that it came from outside.
    """

    trace_id: str
    span_id: str
    sampled: bool = False
    received: bool = False

    @property
    def header(self) -> str:
        """Its `traceparent`."""
        return f"00-{self.trace_id}-{self.span_id}-{int(self.sampled):02x}"


_trace: ContextVar[Trace | None] = ContextVar("openmanager_trace", default=None)


def parse(header: str) -> Trace | None:
    """The trace that a `traceparent` names, the sender's span in it; None where the specification says to ignore it."""
    found = _KNOWN.match(header)
    if found is None:
        return None
    version, trace_id, span_id, flags = found.groups()
    rest = header[found.end() :]
    if version == "ff" or (rest and (version == "00" or not rest.startswith("-"))):
        return None
    if not int(trace_id, 16) or not int(span_id, 16):
        return None
    # Of a later version, too, the first flag is the one known here; the others mean nothing to us.
    return Trace(trace_id, span_id, bool(int(flags, 16) & _SAMPLED), received=True)


def received(headers: Sequence[str]) -> Trace:
    """The trace of a request with these `traceparent` fields: the caller's with a span of ours, else a new one.

    More than one field is no field: nobody could say which is right.
    """
    caller = parse(headers[0].strip(" \t")) if len(headers) == 1 else None
    return begun() if caller is None else _below(caller)


def carried(message: Any) -> Trace:
    """The trace of a message of ours to another function, made with `outgoing`; a new one where it names none."""
    named = message.get(HEADER) if isinstance(message, Mapping) else None
    return received([named] if isinstance(named, str) else [])


def begun() -> Trace:
    """A new trace. It is not sampled: nobody need record it on our account."""
    return Trace(_new(16), _new(8))


def joined(trace_id: str) -> Trace:
    """A span of ours in a trace known by its id alone, or in a new one if that is none.

    It is sampled: what is told of an alert comes seldom, and is worth recording wherever it goes.
    """
    if not _TRACE_ID.fullmatch(trace_id) or not int(trace_id, 16):
        return begun()
    return Trace(trace_id, _new(8), sampled=True)


def of_minute(server: str, minute: int) -> str:
    """The trace id of a server's minute (since 1970) for which its sender named none.

    The first 16 octets of SHA-256 of `server|start of the minute in Unix seconds`, so that ingest and the round, which
    share no more than that, come to the same one.
    """
    return hashlib.sha256(f"{server}|{minute * 60}".encode()).hexdigest()[:32]


def current() -> Trace | None:
    """The trace of the work at hand; None outside of any."""
    return _trace.get()


def current_id() -> str:
    """Its id, empty outside of any."""
    trace = _trace.get()
    return trace.trace_id if trace else ""


@contextmanager
def within(trace: Trace | None) -> Iterator[None]:
    """What is done inside belongs to this trace."""
    before = _trace.set(trace)
    try:
        yield
    finally:
        _trace.reset(before)


def outgoing() -> dict[str, str]:
    """The header field of a request to somebody else: the same trace, a span of its own. Empty outside of any."""
    trace = _trace.get()
    return {HEADER: _below(trace).header} if trace else {}


def _below(trace: Trace) -> Trace:
    return Trace(trace.trace_id, _new(8), trace.sampled, trace.received)


def _new(octets: int) -> str:
    """So many random octets in hexadecimal digits, not all zero."""
    while not any(drawn := os.urandom(octets)):
        pass
    return drawn.hex()
