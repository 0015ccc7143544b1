"""The month's statement: what was used, what that costs, and what the month will cost if it goes on like this. Pure.

What is projected is what there is and the rest of the month at the rate since yesterday's beginning (UTC), or since
counting began where that is later. What is free in a month is taken off the month's sums, not off each day's.
"""

from collections import Counter
from datetime import UTC, datetime, timedelta
from typing import Any

from openmanager.bill.prices import PriceList, amounts, invoice
from openmanager.stores.usage import Month

# Less than this says nothing of a month.
SHORTEST_S = 600


def statement(month: Month, prices: PriceList, now_s: float, servers: int) -> dict[str, Any]:
    """The statement as JSON values. `projected` is None until ten minutes were counted; per server is by how many there
    are now.
    """
    usage = month.usage
    ahead = projected(month, now_s)
    return {
        "as_of": _iso(now_s),
        "month": usage.month,
        "counted_since": None if usage.since_s is None else _iso(usage.since_s),
        "currency": prices.currency,
        "prices": {"as_of": prices.as_of, "about": prices.about},
        "servers": servers,
        "so_far": invoice(amounts(usage.total), prices, servers),
        "projected": None if ahead is None else invoice(amounts(ahead), prices, servers),
        "functions": {name: dict(sums) for name, sums in sorted(usage.functions.items())},
        "days": [{"day": f"{usage.month}-{day:02}", **usage.days[day]} for day in sorted(usage.days)],
    }


def projected(month: Month, now_s: float) -> Counter[str] | None:
    """The month's sums at its end, by quantity; None where too little was counted to say."""
    now = datetime.fromtimestamp(now_s, UTC)
    midnight = now.replace(hour=0, minute=0, second=0, microsecond=0)
    begins = (midnight - timedelta(days=1)).timestamp()
    known_s = max(begins, now_s if month.since_s is None else month.since_s)
    span_s = now_s - known_s
    if span_s < SHORTEST_S:
        return None
    recent = Counter(month.usage.days.get(now.day, {}))
    if known_s < midnight.timestamp():
        recent.update(month.yesterday)
    after = (midnight.replace(day=1) + timedelta(days=32)).replace(day=1)
    share = (after.timestamp() - now_s) / span_s
    whole = month.usage.total
    whole.update({quantity: round(amount * share) for quantity, amount in recent.items()})
    return whole


def _iso(at_s: float) -> str:
    return datetime.fromtimestamp(at_s, UTC).strftime("%Y-%m-%dT%H:%M:%SZ")
