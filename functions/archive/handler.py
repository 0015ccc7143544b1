"""Every five minutes: what is settled moves from Redis to Postgres."""

import time
from dataclasses import asdict
from typing import Any

from openmanager import archive
from openmanager.logs import configure

_RESERVE_MS = 20_000

log = configure("archive")


def handler(_event: dict[str, Any], context: Any) -> dict[str, Any]:
    """Archive as far as time allows; answers with what was moved."""
    report = archive.run(int(time.time() * 1000), lambda: context.get_remaining_time_in_millis() < _RESERVE_MS)
    log.info("archived", extra={"report": asdict(report)})
    return asdict(report)
