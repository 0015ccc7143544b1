"""Every minute: one prediction round of every shard, done here or handed to the queue."""

import time
from dataclasses import asdict
from typing import Any

from openmanager.logs import configure
from openmanager.watch.rounds import tick

# What is left of a function's time when it stops taking on more.
_RESERVE_MS = 5_000

log = configure("tick")


def handler(_event: dict[str, Any], context: Any) -> dict[str, Any]:
    """Judge what has come since the last round; answers with what was done."""
    report = tick(int(time.time() * 1000), lambda: context.get_remaining_time_in_millis() < _RESERVE_MS)
    log.info("round done", extra={"report": asdict(report)})
    return asdict(report)
