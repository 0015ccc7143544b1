"""Every five minutes: what is settled moves from Redis to Postgres; what Redis lost of the servers' past comes back."""

import time
from dataclasses import asdict
from typing import Any

from openmanager import archive
from openmanager.logs import configure
from openmanager.stores import audit
from openmanager.watch import lost

_RESERVE_MS = 20_000

log = configure("archive")


def handler(_event: dict[str, Any], context: Any) -> dict[str, Any]:
    """Archive as far as time allows; answers with what was moved and rebuilt."""

    def out_of_time() -> bool:
        return bool(context.get_remaining_time_in_millis() < _RESERVE_MS)

    now_ms = int(time.time() * 1000)
    report: dict[str, Any] = {
        **asdict(archive.run(now_ms, out_of_time)),
        "records": asdict(lost.restore(now_ms, out_of_time)),
    }
    # Noted where whoever writes to the database does not: `run.py audit verify --head`.
    report["audit"] = str(audit.head())
    log.info("archived", extra={"report": report})
    return report
