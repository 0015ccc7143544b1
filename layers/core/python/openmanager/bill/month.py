"""This month's statement, from what was written down."""

from typing import Any

from openmanager.bill.prices import price_list
from openmanager.bill.statement import statement
from openmanager.settings import settings
from openmanager.stores import cadence
from openmanager.stores.latest import count_servers
from openmanager.stores.usage import read_month


def this_month(now_s: float) -> dict[str, Any]:
    """The statement as of now, and under `cap` what the month may cost, or None.

    `holds` of the cap says whether the month is going to stay within it, None while nobody can say. Raises
    StoreUnavailable, and InvalidSettings for a price list that is none.
    """
    s = settings()
    told = statement(read_month(now_s), price_list(s.prices), now_s, count_servers(range(s.shards)))
    if s.cost_cap_usd is None:
        return told | {"cap": None}
    push_s = cadence.read().push_s or s.push_interval_s
    cap = {
        "usd": s.cost_cap_usd,
        "push_every_s": push_s,
        "slowed": push_s > s.push_interval_s,
        "holds": None if told["projected"] is None else told["projected"]["usd"] <= s.cost_cap_usd,
    }
    return told | {"cap": cap}
