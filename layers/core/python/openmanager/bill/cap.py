"""What a month may cost (OPENMANAGER_COST_CAP): as it would cost more, senders are asked to push less often.

Pushes are nearly all of the bill, so that five minutes' samples in one push cost a fifth of a push a minute; nothing is
lost but time: verdicts come as much later. Only senders that ask us how often to push can be slowed, our agents and
whoever reads `next_push_s`; what Prometheus and OpenTelemetry send is counted, and their settings are not ours.
"""

import logging
import math
from collections.abc import Mapping

from openmanager.bill.prices import PriceList, amounts, invoice, price_list
from openmanager.bill.statement import projected
from openmanager.errors import OpenManagerError
from openmanager.settings import settings
from openmanager.stores import cadence, usage
from openmanager.stores.cadence import WAY_S, Cadence
from openmanager.stores.redis import CommandFailed
from openmanager.stores.usage import Month

# Beyond this a chart has holes to the eye, and an alert comes as late as its cause is long.
SLOWEST_S = 300
# What is asked for outlives some looks that fail.
_KEEP_S = 2 * 3600

log = logging.getLogger(__name__)


def wanted(month: Month, prices: PriceList, cap_usd: float, usual_s: int, now_push_s: int, now_s: float) -> int | None:
    """How often senders should push (s), from `usual_s` to SLOWEST_S; None while too little was counted to say.

    What is ahead is taken for what the pace of now makes it, so a slower one errs to the slow side for its first day.
    """
    ahead = projected(month, now_s)
    if ahead is None:
        return None
    so_far = _usd(month.usage.total, prices)
    left = cap_usd - so_far
    if left <= 0:
        return SLOWEST_S
    unslowed = (_usd(ahead, prices) - so_far) * now_push_s / usual_s
    return min(SLOWEST_S, max(usual_s, math.ceil(usual_s * unslowed / left)))


def look(now_s: float) -> None:
    """Ask senders for the pace that the month can pay. Raises nothing."""
    try:
        _look(now_s)
    except (OpenManagerError, CommandFailed) as error:
        log.warning("nobody looked at the bill: %s", error)


def _look(now_s: float) -> None:
    s, asked = settings(), cadence.read()
    cap_usd, usual = s.cost_cap_usd or 0.0, s.push_interval_s
    push_s = wanted(usage.read_month(now_s), price_list(s.prices), cap_usd, usual, asked.push_s or usual, now_s)
    if push_s is None:
        return
    if push_s > usual:
        cadence.write(Cadence(push_s, push_s + WAY_S), _KEEP_S)
        log.warning("the month would cost more than %g: senders are asked to push every %d s", cap_usd, push_s)
    elif asked.push_s:
        # What they hold back comes with their next push, so the minutes until then are waited for a last time.
        cadence.write(Cadence(0, asked.grace_s), asked.push_s + WAY_S)
        log.info("the month stays within %g: senders push every %d s again", cap_usd, usual)


def _usd(sums: Mapping[str, int], prices: PriceList) -> float:
    return float(invoice(amounts(sums), prices, 0)["usd"])
