"""From the queue: the round of each shard that a message names."""

import time
from dataclasses import asdict
from typing import Any

from openmanager import notify
from openmanager.errors import StoreUnavailable
from openmanager.logs import configure
from openmanager.metering import metered
from openmanager.notify import heartbeat
from openmanager.watch.round import Report
from openmanager.watch.rounds import run_message

# What is left of a function's time when it stops taking on more.
_RESERVE_MS = 5_000

log = configure("predict")


@metered("predict")
def handler(event: dict[str, Any], context: Any) -> dict[str, Any]:
    """Judge the shards; answers with the messages that are to come again, which the queue sets aside in the end."""

    def out_of_time() -> bool:
        return bool(context.get_remaining_time_in_millis() < _RESERVE_MS)

    failures, judged, alive = [], 0, False
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
            judged += report.verdicts
            alive = alive or report.alive
            log.info("round done", extra={"report": asdict(report)})
    if judged:
        try:
            # What these rounds had to say is not to wait for the next tick.
            notify.deliver(int(time.time() * 1000), out_of_time)
        except StoreUnavailable as error:
            log.warning("notices wait for the next tick: %s", error)
    # The first shard's worker is who knows.
    heartbeat.beat(alive)
    return {"batchItemFailures": failures}
