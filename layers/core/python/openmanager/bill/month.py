"""This month's statement, from what was written down."""

from typing import Any

from openmanager.bill.cap import Cap, total
from openmanager.bill.prices import amounts, price_list
from openmanager.bill.statement import projected, statement
from openmanager.settings import settings
from openmanager.stores import cadence
from openmanager.stores.latest import count_servers
from openmanager.stores.usage import read_month


def this_month(now_s: float) -> dict[str, Any]:
    """The statement as of now. Raises StoreUnavailable, and InvalidSettings for a price list that is none."""
    s = settings()
    prices = price_list(s.prices)
    month = read_month(now_s)
    cap = None
    if s.cost_cap_usd is not None:
        ahead = projected(month.usage, month.yesterday, month.since_s, now_s)
        holds = None if ahead is None else total(amounts(ahead), prices) <= s.cost_cap_usd
        cap = Cap(s.cost_cap_usd, cadence.read().push_s or s.push_interval_s, holds).as_dict()
    servers = count_servers(range(s.shards))
    return statement(month.usage, month.yesterday, month.since_s, prices, now_s, servers) | {"cap": cap}
