"""Notices that no round is committed any more while samples come: people hear of all else by rounds.

The functions that take samples in look: each push tells them for how long samples wait (stores.awaited). While rounds
are as they should be that is all; what telling people takes is in watch.missing, and loaded when it is needed.
"""

import logging
import time
from collections.abc import Sequence

from openmanager import intake
from openmanager.errors import OpenManagerError
from openmanager.stores import awaited
from openmanager.stores.redis import CommandFailed
from openmanager.telemetry.samples import Push

# A tick may come late, and the next one on time: nothing to ask anybody about.
_USUAL_S = 120
_AGAIN_MS = 60_000
# No notice is begun after this: a sender waits for its answer.
_TELL_WITHIN_S = 5.0

_looked_ms = 0

log = logging.getLogger(__name__)


def keep(pushes: Sequence[Push], now_ms: int) -> bool:
    """Store pushes as `intake.keep` does, and tell people if no round comes for them, at most once a minute.

    Raises StoreUnavailable when neither store takes the pushes, and nothing once they are stored.
    """
    watched = intake.keep(pushes, now_ms)
    _look(now_ms)
    return watched


def _look(now_ms: int) -> None:
    global _looked_ms
    if awaited.waited_s(now_ms / 1000) <= _USUAL_S or 0 <= now_ms - _looked_ms < _AGAIN_MS:
        return
    _looked_ms = now_ms
    deadline = time.monotonic() + _TELL_WITHIN_S
    from openmanager.watch.missing import tell

    try:
        tell(now_ms, lambda: time.monotonic() >= deadline)
    except (OpenManagerError, CommandFailed) as error:
        log.warning("nobody is told that rounds are missing: %s", error)


def forget() -> None:
    """Look again with the next push."""
    global _looked_ms
    _looked_ms = 0
