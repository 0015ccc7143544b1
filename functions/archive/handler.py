"""Every five minutes: what is settled moves from Redis to Postgres; what Redis lost of the servers' past comes back."""

import time
from typing import Any

from openmanager.logs import logger
from openmanager.metering import metered
from openmanager.watch import archiving

_RESERVE_MS = 20_000

log = logger("archive")


@metered("archive")
def handler(_event: dict[str, Any], context: Any) -> dict[str, Any]:
    """Archive as far as time allows; answers with what was moved and rebuilt."""

    def out_of_time() -> bool:
        return bool(context.get_remaining_time_in_millis() < _RESERVE_MS)

    report = archiving.run(int(time.time() * 1000), out_of_time)
    log.info("archived", extra={"report": report})
    return report
