"""What all processes counted.

om:usage:{month} (UTC, such as 2026-11), a hash, kept for thirteen months:
{function}|{quantity}     the month's sum so far; quantities are those of `meter`
@{day}|{quantity}         all functions' sum of a day of the month
@since                    when the month's first count was written, in seconds since 1970

om:usage:ever             a hash: {function}|{quantity} -> the sum of all that was ever counted

How old things are at each stage costs nothing: it is in the second of these and by the ten minutes (stores.stages).
"""

import json
from collections import Counter
from collections.abc import Mapping
from dataclasses import field
from datetime import UTC, datetime, timedelta

from openmanager.stages import is_age
from openmanager.stores import stages
from openmanager.stores.redis import connect, pairs
from openmanager.values import frozen

EVER = "om:usage:ever"
_KEPT_S = 400 * 86_400

# KEYS: the month's hash, that of all time, that of the ten minutes. ARGV: for each of them JSON of field -> amount,
# then the time, and how long the first and the last are kept, all in s.
_ADD = """
redis.call('HSETNX', KEYS[1], '@since', ARGV[4])
for i = 1, 3 do
  for name, amount in pairs(cjson.decode(ARGV[i])) do
    redis.call('HINCRBY', KEYS[i], name, string.format('%.0f', amount))
  end
end
redis.call('EXPIRE', KEYS[1], ARGV[5])
redis.call('EXPIRE', KEYS[3], ARGV[6])
"""


@frozen
class Usage:
    """A month's sums: `functions` by function and quantity, `days` by day of the month and quantity.

    `since_s` is when counting began in it, None if it has not.
    """

    month: str
    since_s: int | None = None
    functions: Mapping[str, Mapping[str, int]] = field(default_factory=dict)
    days: Mapping[int, Mapping[str, int]] = field(default_factory=dict)

    @property
    def total(self) -> Counter[str]:
        """All functions together, by quantity."""
        whole: Counter[str] = Counter()
        for sums in self.functions.values():
            whole.update(sums)
        return whole


@frozen
class Month:
    """A month so far, and what its projection needs of the past.

    `yesterday` is what was used on the day before, by quantity; `since_s` when counting began in this month or the one
    before.
    """

    usage: Usage
    yesterday: Mapping[str, int]
    since_s: int | None


def month_of(at_s: float) -> str:
    """The month (UTC) of an instant, as 2026-11."""
    return f"{datetime.fromtimestamp(at_s, UTC):%Y-%m}"


def key(month: str) -> str:
    """Where a month's sums are."""
    return f"om:usage:{month}"


def add(counted: Mapping[tuple[str, str], int], now_s: float) -> None:
    """Add (function, quantity) -> amount, in one command. Raises StoreUnavailable, and then it may have been added."""
    day = datetime.fromtimestamp(now_s, UTC).day
    month, ever_, ages = Counter[str](), Counter[str](), Counter[str]()
    for (function, quantity), amount in counted.items():
        ever_[f"{function}|{quantity}"] += amount
        if is_age(quantity):
            ages[quantity] += amount
        else:
            month[f"{function}|{quantity}"] += amount
            month[f"@{day}|{quantity}"] += amount
    keys = (key(month_of(now_s)), EVER, stages.key(now_s))
    sums = (json.dumps(each) for each in (month, ever_, ages))
    connect().call("EVAL", _ADD, len(keys), *keys, *sums, int(now_s), _KEPT_S, stages.KEPT_S)


def read(month: str) -> Usage:
    """A month's sums, nothing where nothing was counted. Raises StoreUnavailable."""
    found = pairs(connect().call("HGETALL", key(month), repeatable=True))
    since = found.pop("@since", None)
    sums = _sums(found)
    days = {int(whose[1:]): of_day for whose, of_day in sums.items() if whose.startswith("@")}
    functions = {whose: of_function for whose, of_function in sums.items() if not whose.startswith("@")}
    return Usage(month, None if since is None else int(since), functions, days)


def read_month(now_s: float) -> Month:
    """The month of an instant; on its first day the one before is read, too. Raises StoreUnavailable."""
    month = read(month_of(now_s))
    before = datetime.fromtimestamp(now_s, UTC) - timedelta(days=1)
    of_before = month if f"{before:%Y-%m}" == month.month else read(f"{before:%Y-%m}")
    since_s = month.since_s if of_before.since_s is None else of_before.since_s
    return Month(month, of_before.days.get(before.day, {}), since_s)


def ever() -> dict[str, dict[str, int]]:
    """All that was ever counted, by function and quantity. Raises StoreUnavailable."""
    return _sums(pairs(connect().call("HGETALL", EVER, repeatable=True)))


def _sums(fields: Mapping[str, str]) -> dict[str, dict[str, int]]:
    """`{whose}|{quantity}` -> amount, by whose and quantity."""
    found: dict[str, dict[str, int]] = {}
    for name, amount in fields.items():
        whose, _, quantity = name.rpartition("|")
        found.setdefault(whose, {})[quantity] = int(amount)
    return found
