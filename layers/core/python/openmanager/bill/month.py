"""This month's statement, from what was written down."""

from datetime import UTC, datetime, timedelta
from typing import Any

from openmanager.bill.prices import price_list
from openmanager.bill.statement import statement
from openmanager.settings import settings
from openmanager.stores import usage
from openmanager.stores.latest import count_servers


def this_month(now_s: float) -> dict[str, Any]:
    """The statement as of now. Raises StoreUnavailable, and InvalidSettings for a price list that is none."""
    s = settings()
    prices = price_list(s.prices)
    month = usage.read(usage.month_of(now_s))
    before = datetime.fromtimestamp(now_s, UTC) - timedelta(days=1)
    same = f"{before:%Y-%m}" == month.month
    of_before = month if same else usage.read(f"{before:%Y-%m}")
    since_s = month.since_s if of_before.since_s is None else of_before.since_s
    servers = count_servers(range(s.shards))
    return statement(month, of_before.days.get(before.day, {}), since_s, prices, now_s, servers)
