"""Whether the system answers, asked of Redis at most every ten seconds however often it is called."""

import time
from typing import Any

from openmanager.errors import OpenManagerError
from openmanager.settings import settings
from openmanager.stores.redis import CommandFailed, connect

_FRESH_S = 10.0
_checked: tuple[float, str] = (float("-inf"), "")


def check() -> dict[str, Any]:
    """`status` ok or degraded, and each store's state."""
    global _checked
    at, state = _checked
    if time.monotonic() - at > _FRESH_S:
        try:
            connect().ping()
            state = "ok"
        except (OpenManagerError, CommandFailed):
            # Why goes to the log of whoever is hurt by it; strangers may read this answer.
            state = "unavailable"
        _checked = (time.monotonic(), state)
    return {
        "status": "ok" if state == "ok" else "degraded",
        "stores": {"redis": state},
        "stage": settings().stage,
    }
