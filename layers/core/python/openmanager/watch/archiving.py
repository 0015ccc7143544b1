"""One run of the archive, however it was called for: what is settled moves, and what Redis lost comes back."""

from collections.abc import Callable
from dataclasses import asdict
from typing import Any

from openmanager import archive
from openmanager.stores import audit
from openmanager.watch import lost


def run(now_ms: int, out_of_time: Callable[[], bool]) -> dict[str, Any]:
    """What was moved and rebuilt, as far as time allowed. Raises StoreUnavailable."""
    report: dict[str, Any] = {
        **asdict(archive.run(now_ms, out_of_time)),
        "records": asdict(lost.restore(now_ms, out_of_time)),
    }
    # Noted where whoever writes to the database does not: `run.py audit verify --head`.
    report["audit"] = str(audit.head())
    return report
