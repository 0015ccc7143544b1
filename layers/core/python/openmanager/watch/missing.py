"""Tells people that no round is committed, in the place of a round.

Whoever is first puts the alert where the first shard's round would have put it, by the conditional write of a round: so
only one of many does, and a round that was on its way all the same finds that it was overtaken. All of them deliver
what waits in the outbox, until a round is committed. That one finds the alert, sees that it is over, and the alert is
resolved like any other.
"""

import json
import logging
from collections.abc import Callable

from openmanager import notify
from openmanager.alerts.rules import OURSELVES
from openmanager.stores import awaited, hot
from openmanager.stores.latest import read_book
from openmanager.telemetry.samples import MINUTE_MS
from openmanager.watch.alerting import Desk
from openmanager.watch.config import read_config
from openmanager.watch.outcome import Outcome

# Alerts about ourselves are the first shard's.
_FIRST = 0

log = logging.getLogger(__name__)


def tell(now_ms: int, out_of_time: Callable[[], bool]) -> None:
    """Raise the alert if its rule says so and it does not stand yet, and deliver it. Raises StoreUnavailable."""
    if _stands() or _raise(now_ms):
        notify.deliver(now_ms, out_of_time)


def _stands() -> bool:
    book = json.loads(read_book(_FIRST, OURSELVES) or '{"alerts": []}')
    return any("waited_s" in alert["facts"] and alert["state"] != "recovering" for alert in book["alerts"])


def _raise(now_ms: int) -> bool:
    """Whether this call did."""
    before = hot.read_round(_FIRST, [])
    # In this order, so that a round committed since the push is seen here, and one committed from now on there.
    awaited.read()
    waited_s = awaited.waited_s(now_ms / 1000)
    desk = Desk(read_config(before.config, _FIRST), before.books)
    happened = desk.wait(now_ms // MINUTE_MS, waited_s / 60)
    if not happened:
        return False
    writes = Outcome(desk, notify.published(before.targets)).beside_a_round(happened)
    raised = hot.commit_round(_FIRST, before.number, writes)
    if raised:
        log.error("no round was committed for %d s", waited_s)
    return raised
