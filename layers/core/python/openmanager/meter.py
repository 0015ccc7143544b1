"""What this process does and uses, counted where that happens, by function, until it is written down.

A quantity is counted by whoever uses it; `stores.usage` adds up what all processes counted, `bill` says what it costs,
`exposition` tells whoever scrapes it.
"""

import threading
from collections import Counter
from collections.abc import Mapping
from contextvars import ContextVar

from openmanager import stages

# The upper ends of classes of durations, in ms.
BUCKETS_MS = (10, 50, 200, 1000, 5000)
# Quantity -> what it is, in the unit that it is counted in. Whole numbers all of them.
QUANTITIES: Mapping[str, str] = {
    "requests": "invocations of functions",
    "api_requests": "requests that came through the HTTP API",
    "mb_ms": "memory times duration, in MB and ms",
    "egress_bytes": "octets of answers, header fields included",
    "redis_commands": "commands of Redis",
    "redis_bytes": "octets to and from Redis",
    "postgres_statements": "statements of Postgres",
    "postgres_rows": "rows that Postgres answered or changed",
    "queue_requests": "requests to the queue",
    "log_bytes": "octets of the log, with what CloudWatch adds to each line and Lambda to each invocation",
    "took_us": "how long invocations took, in microseconds",
    **{f"within_{ms}_ms": "invocations that took no longer, and longer than the class below" for ms in BUCKETS_MS},
    **{f"answers_{status}xx": "answers whose status is of the class" for status in range(2, 6)},
    "verdicts": "minutes of servers that were judged",
    "anomalies": "judged minutes that were anomalous",
    "inference_us": "how long models computed, in microseconds",
    **dict(stages.quantities()),
}
# What CloudWatch counts for a line beside its text:
# https://docs.aws.amazon.com/AmazonCloudWatch/latest/logs/cloudwatch_limits_cwl.html
LOG_LINE_BYTES = 26
# Whose work is being done. Threads that serve all of a process belong to nobody.
SHARED = "shared"
FUNCTION: ContextVar[str] = ContextVar("function", default=SHARED)

_lock = threading.Lock()
_counted: Counter[tuple[str, str]] = Counter()


def count(quantity: str, amount: int = 1) -> None:
    """Add to one of QUANTITIES for the function at work."""
    with _lock:
        _counted[FUNCTION.get(), quantity] += amount


def count_all(amounts: Mapping[str, int]) -> None:
    """Add to several of QUANTITIES at once."""
    function = FUNCTION.get()
    with _lock:
        for quantity, amount in amounts.items():
            _counted[function, quantity] += amount


def take() -> dict[tuple[str, str], int]:
    """What was counted since the last call, (function, quantity) -> amount; whoever takes it writes it down."""
    with _lock:
        taken = dict(_counted)
        _counted.clear()
    return taken


def give_back(taken: Mapping[tuple[str, str], int]) -> None:
    """Count once more what could not be written down."""
    with _lock:
        _counted.update(taken)
