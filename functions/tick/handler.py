"""Every minute: one prediction round of every shard, done here or handed to the queue; then what people are told."""

import time
from dataclasses import asdict
from typing import Any

from openmanager import bill, notify
from openmanager.demo.feeding import feed
from openmanager.logs import logger
from openmanager.metering import metered
from openmanager.notify import heartbeat
from openmanager.watch import emf
from openmanager.watch.rounds import tick

# What is left of a function's time when it stops taking on more.
_RESERVE_MS = 5_000

log = logger("tick")


@metered("tick")
def handler(_event: dict[str, Any], context: Any) -> dict[str, Any]:
    """Judge what has come since the last round and deliver notices; answers with what was done."""

    def out_of_time() -> bool:
        return bool(context.get_remaining_time_in_millis() < _RESERVE_MS)

    feed(int(time.time() * 1000))
    began_s = time.time()
    report = tick(int(began_s * 1000), out_of_time)
    ended_s = time.time()
    if not report.held:
        bill.heed(report.minute // 60, time.time())
    log.info("round done", extra={"report": asdict(report)})
    told = notify.deliver(int(time.time() * 1000), out_of_time)
    if told.waiting:
        log.info("notices delivered", extra={"report": asdict(told)})
    emf.write(report, began_s, ended_s, told)
    heartbeat.beat(report.alive and not report.failed)
    return asdict(report) | {"notices": asdict(told)}
