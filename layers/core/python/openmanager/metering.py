"""The meter around each invocation of a function: how long it took in how much memory, and writing it all down.

Written down once a minute and process, by one command of Redis, and on Lambda what an instance counted in its last
minute is lost with it. A fleet of 100 servers that push every minute counts some hundred commands for that one.
"""

import logging
import os
import time
from collections.abc import Callable, Iterator
from contextlib import contextmanager
from functools import wraps
from typing import Any

from openmanager import meter, tracing
from openmanager.errors import OpenManagerError
from openmanager.stores import usage
from openmanager.stores.redis import CommandFailed

WRITE_EVERY_S = 60.0
# Lambda's own three lines of an invocation: START, END and REPORT.
_LAMBDA_LINES_BYTES = 330 + 3 * meter.LOG_LINE_BYTES
# What serverless.yml gives a function that says nothing else; where no platform says how much there is.
_MEMORY_MB = 512

# The start of a process is paid for as well on Lambda since August 2025, for packages of code too:
# https://aws.amazon.com/blogs/compute/aws-lambda-standardizes-billing-for-init-phase/
_start_counted = "AWS_LAMBDA_FUNCTION_NAME" not in os.environ
# Some functions there are asked once and no more; elsewhere a process lives long, and the first minute is a minute.
_write_next = time.monotonic() + WRITE_EVERY_S if _start_counted else 0.0

log = logging.getLogger(__name__)


@contextmanager
def invocation(function: str) -> Iterator[None]:
    """Count one invocation of a function, whatever becomes of it, and what is used within it as the function's."""
    global _start_counted
    began, start_s = time.monotonic(), time.process_time()
    before = meter.FUNCTION.set(function)
    try:
        yield
    finally:
        ms = (time.monotonic() - began) * 1000
        meter.count("took_us", int(ms * 1000))
        if (bucket := next((limit for limit in meter.BUCKETS_MS if ms <= limit), None)) is not None:
            meter.count(f"within_{bucket}_ms")
        if not _start_counted:
            # Its imports are the processor's work nearly all of the time.
            ms += start_s * 1000
            _start_counted = True
        memory = int(os.environ.get("AWS_LAMBDA_FUNCTION_MEMORY_SIZE") or _MEMORY_MB)
        meter.count("requests")
        meter.count("log_bytes", _LAMBDA_LINES_BYTES)
        # Lambda counts whole milliseconds, a begun one too.
        meter.count("mb_ms", memory * (int(ms) + 1))
        meter.FUNCTION.reset(before)


def due() -> bool:
    """Whether what was counted should be written down now."""
    return time.monotonic() >= _write_next


def write(now_s: float | None = None) -> None:
    """Write down what was counted. Raises nothing: what no store takes waits for the next time."""
    global _write_next
    _write_next = time.monotonic() + WRITE_EVERY_S
    taken = meter.take()
    if not taken:
        return
    try:
        usage.add(taken, time.time() if now_s is None else now_s)
    except (OpenManagerError, CommandFailed) as error:
        # An answer that was lost is counted twice then: a bill is rather told too high.
        meter.give_back(taken)
        log.warning("what was used is not written down yet: %s", error)


def metered(function: str) -> Callable[[Callable[..., Any]], Callable[..., Any]]:
    """A handler of events that counts its invocations, each of them in a trace of its own.

    What the HTTP edge serves is counted and traced there (web.metered, web.traced).
    """

    def around(handler: Callable[..., Any]) -> Callable[..., Any]:
        @wraps(handler)
        def counted(event: Any, context: Any) -> Any:
            with tracing.within(tracing.begun()):
                try:
                    with invocation(function):
                        return _told(handler, event, context)
                finally:
                    if due():
                        write()

        return counted

    return around


def _told(handler: Callable[..., Any], event: Any, context: Any) -> Any:
    """What the handler answers. Why it failed is logged here, in its name and trace, which the platform knows not."""
    try:
        return handler(event, context)
    except Exception:
        log.exception("failed")
        raise
