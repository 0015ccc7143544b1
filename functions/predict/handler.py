"""From the queue: the round of each shard that a message names."""

import time
from dataclasses import asdict
from typing import Any

from openmanager.logs import configure
from openmanager.watch.round import Report
from openmanager.watch.rounds import run_message

# What is left of a function's time when it stops taking on more.
_RESERVE_MS = 5_000

log = configure("predict")


def handler(event: dict[str, Any], context: Any) -> dict[str, Any]:
    """Judge the shards; answers with the messages that are to come again, which the queue sets aside in the end."""

    def out_of_time() -> bool:
        return bool(context.get_remaining_time_in_millis() < _RESERVE_MS)

    failures = []
    for record in event["Records"]:
        report = Report(0)
        try:
            if out_of_time():
                raise TimeoutError("no time was left for it")
            run_message(record["body"], int(time.time() * 1000), report, out_of_time)
        except Exception:
            log.exception("message failed", extra={"message_id": record["messageId"], "body": record["body"][:200]})
            failures.append({"itemIdentifier": record["messageId"]})
        else:
            log.info("round done", extra={"report": asdict(report)})
    return {"batchItemFailures": failures}
