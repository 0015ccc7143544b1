"""From the queue: the round of each shard that a message names."""

import time
from dataclasses import asdict
from typing import Any

from openmanager import notify, tracing
from openmanager.errors import StoreUnavailable
from openmanager.logs import logger
from openmanager.metering import metered
from openmanager.notify import heartbeat
from openmanager.stores.queue import read_trace
from openmanager.watch import emf
from openmanager.watch.round import Report
from openmanager.watch.rounds import run_message

# What is left of a function's time when it stops taking on more.
_RESERVE_MS = 5_000

log = logger("predict")


@metered("predict")
def handler(event: dict[str, Any], context: Any) -> dict[str, Any]:
    """Judge the shards; answers with the messages that are to come again, which the queue sets aside in the end."""

    def out_of_time() -> bool:
        return bool(context.get_remaining_time_in_millis() < _RESERVE_MS)

    failures, judged, alive = [], 0, False
    for record in event["Records"]:
        report, began_s = Report(0), time.time()
        with tracing.within(read_trace(record["body"])):
            try:
                if out_of_time():
                    raise TimeoutError("no time was left for it")
                run_message(record["body"], int(began_s * 1000), report, out_of_time)
            except Exception:
                log.exception("message failed", extra={"message_id": record["messageId"], "body": record["body"][:200]})
                failures.append({"itemIdentifier": record["messageId"]})
            else:
                judged += report.verdicts
                alive = alive or report.alive
                log.info("round done", extra={"report": asdict(report)})
                emf.write(report, began_s, time.time())
    if judged:
        try:
            # What these rounds had to say is not to wait for the next tick.
            notify.deliver(int(time.time() * 1000), out_of_time)
        except StoreUnavailable as error:
            log.warning("notices wait for the next tick: %s", error)
    # The first shard's worker is who knows.
    heartbeat.beat(alive)
    return {"batchItemFailures": failures}
