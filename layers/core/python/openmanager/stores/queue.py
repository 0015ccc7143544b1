"""Rounds as messages: one a shard and minute, through SQS.

A message is JSON, `{"shard": 3, "minute": 29400000, "traceparent": "00-…"}`, the minute counted since 1970, the trace
that of the tick which sent it. It may come twice, late or in any order: what is due, and what was judged already, is
known to the shard alone.
"""

import json
import logging
from collections.abc import Sequence
from functools import lru_cache
from typing import Any

from openmanager import meter, tracing
from openmanager.errors import InvalidInput
from openmanager.settings import settings

# As many as one request of SQS takes.
_BATCH = 10

log = logging.getLogger(__name__)


def send_rounds(shards: Sequence[int], minute: int) -> list[int]:
    """Ask for a round of each shard; those that the queue did not take, which is no error of ours."""
    refused: list[int] = []
    for at in range(0, len(shards), _BATCH):
        some = shards[at : at + _BATCH]
        entries = [
            {"Id": str(shard), "MessageBody": json.dumps({"shard": shard, "minute": minute, **tracing.outgoing()})}
            for shard in some
        ]
        meter.count("queue_requests")
        try:
            answer = connect().send_message_batch(QueueUrl=settings().queue_url, Entries=entries)
        except Exception as error:
            # botocore has two roots of errors and neither may keep a shard from its round.
            log.error("queue: %s: %s", type(error).__name__, error)
            refused += some
            continue
        for failure in answer.get("Failed", ()):
            log.error("queue: shard %s: %s %s", failure["Id"], failure["Code"], failure.get("Message", ""))
            refused.append(int(failure["Id"]))
    return refused


def read_round(body: str) -> tuple[int, int]:
    """(shard, minute) of a message. Raises InvalidInput for one that is none of ours or of no shard of ours."""
    try:
        message = json.loads(body)
        shard, minute = int(message["shard"]), int(message["minute"])
    except (ValueError, TypeError, KeyError) as error:
        raise InvalidInput("body", f"is no round: {error!r}") from None
    if not 0 <= shard < settings().shards:
        raise InvalidInput("body.shard", f"{shard} is none of {settings().shards}")
    return shard, minute


def read_trace(body: str) -> tracing.Trace:
    """The trace that a message belongs to: its tick's, with a span of its own, or a new one where it names none."""
    try:
        return tracing.carried(json.loads(body))
    except ValueError:
        return tracing.begun()


@lru_cache(maxsize=1)
def connect() -> Any:
    """This process's SQS client; address and credentials are found as botocore finds them."""
    # Part of Lambda's runtime, needed by one function only, and a third of a second to import:
    import boto3
    from botocore.config import Config

    timeout_s = settings().store_timeout_s
    return boto3.client(
        "sqs",
        config=Config(
            connect_timeout=timeout_s, read_timeout=timeout_s, retries={"mode": "standard", "total_max_attempts": 2}
        ),
    )
