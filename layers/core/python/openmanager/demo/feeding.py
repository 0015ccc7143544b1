"""The demo fleet's minute, sent through the ordinary door before each tick's rounds."""

import logging
from dataclasses import replace

from openmanager.demo import state
from openmanager.errors import StoreUnavailable
from openmanager.stores.redis import CommandFailed

# Rows of all servers in one write; with a whole past, which is some 250 KB, those of twenty servers.
_TOGETHER = 20 * state.PAST_MIN

log = logging.getLogger(__name__)


def feed(now_ms: int) -> int:
    """Send what a run owes up to the last whole minute, at most four hours of it; how many minutes that were.

    One command where nothing runs. Raises nothing that a store's absence causes: the next call sends the same minutes
    with the same samples.
    """
    try:
        text, run = state.read()
        return _send(text, run, now_ms) if run else 0
    except (StoreUnavailable, CommandFailed) as error:
        log.warning("the demo fleet waits: %s", error)
        return 0


def _send(text: str, run: state.Run, now_ms: int) -> int:
    newest = min(now_ms, run.ends_ms) // state.MINUTE_MS - 1
    if run.stopped_ms is not None or newest <= run.fed:
        return 0
    # Only a tick that has something to send pays for what makes it.
    from openmanager import intake
    from openmanager.demo.fleet import fleet
    from openmanager.demo.generator import pushes

    first = max(run.fed + 1, newest - state.LONGEST_MIN)
    count = newest - first + 1
    members = fleet(run.servers)
    minute = first - run.started_ms // state.MINUTE_MS
    made = pushes(members, run.scenario, run.seed, run.started_ms, minute, count, run.speed)
    servers = _TOGETHER // count
    for i in range(0, len(made), servers):
        intake.keep(made[i : i + servers], now_ms)
    # Stopped or started anew meanwhile: then this minute is none of its business any more.
    state.write(text, replace(run, fed=newest))
    return count
