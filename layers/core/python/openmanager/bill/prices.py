"""The price list: data that comes along (prices.json), and what OPENMANAGER_PRICES says instead. Pure.

An amount's price is usd for each `per` beyond what is `free` in a month. `monthly` are sums that do not depend on use,
such as a database's plan, by what they are for.
"""

import json
from collections.abc import Mapping
from functools import lru_cache
from pathlib import Path
from typing import Any

from openmanager.errors import InvalidSettings
from openmanager.values import frozen

VARIABLE = "OPENMANAGER_PRICES"
# What is priced -> its name, its unit.
PRICED: Mapping[str, tuple[str, str]] = {
    "requests": ("Lambda requests", "requests"),
    "gb_seconds": ("Lambda duration", "GB-s"),
    "api_requests": ("HTTP API requests", "requests"),
    "egress_gb": ("data sent", "GB"),
    "queue_requests": ("queue requests", "requests"),
    "logs_gb": ("logs", "GB"),
    "redis_commands": ("Redis commands", "commands"),
    "redis_gb": ("Redis bandwidth", "GB"),
}
_GB = 1e9
# Lambda's GB has 1,024 MB: https://docs.aws.amazon.com/lambda/latest/dg/configuration-memory.html
_MB_MS = 1024 * 1000


@frozen
class Price:
    """`usd` for each `per` of an amount that is beyond `free` in a month; `source` is where it was found."""

    usd: float
    per: float
    free: float
    source: str

    def of(self, amount: float) -> float:
        """What an amount within one month costs."""
        return self.listed(max(0.0, amount - self.free))

    def listed(self, amount: float) -> float:
        """The same where nothing is free."""
        return amount * self.usd / self.per


@frozen
class PriceList:
    """Prices of PRICED, each of them; `as_of` is the day on which they were looked up."""

    as_of: str
    currency: str
    about: str
    prices: Mapping[str, Price]
    monthly: Mapping[str, float]


@lru_cache(maxsize=4)
def price_list(changes: str = "") -> PriceList:
    """The list, with what the JSON text `changes` says instead. Raises InvalidSettings naming the field.

    `{"as_of": "2027-01-01", "prices": {"redis_commands": {"usd": 0, "free": 0}}, "monthly": {"Postgres": 19}}` is one.
    """
    data = json.loads(Path(__file__).with_name("prices.json").read_text())
    if changes:
        try:
            other = json.loads(changes)
        except ValueError as error:
            raise InvalidSettings(f"{VARIABLE}: is no JSON: {error}") from None
        if not isinstance(other, dict):
            raise InvalidSettings(f"{VARIABLE}: must be a JSON object")
        _change(data, other)
    prices = {name: Price(p["usd"], p["per"], p["free"], p["source"]) for name, p in data["prices"].items()}
    return PriceList(data["as_of"], data["currency"], data["about"], prices, data["monthly"])


def _change(data: dict[str, Any], other: Mapping[str, Any]) -> None:
    for name, value in other.items():
        if name in ("as_of", "currency", "about"):
            if not isinstance(value, str):
                raise InvalidSettings(f"{VARIABLE}: {name}: must be a text")
            data[name] = value
        elif name == "monthly":
            data["monthly"] = {str(what): _amount(f"monthly.{what}", usd) for what, usd in _fields(name, value).items()}
        elif name == "prices":
            for what, price in _fields(name, value).items():
                if what not in PRICED:
                    raise InvalidSettings(f"{VARIABLE}: prices.{what}: is none of {', '.join(PRICED)}")
                for key, amount in _fields(f"prices.{what}", price).items():
                    if key not in ("usd", "per", "free", "source"):
                        raise InvalidSettings(f"{VARIABLE}: prices.{what}.{key}: is none of usd, per, free and source")
                    where = f"prices.{what}.{key}"
                    data["prices"][what][key] = str(amount) if key == "source" else _amount(where, amount)
                if data["prices"][what]["per"] == 0:
                    raise InvalidSettings(f"{VARIABLE}: prices.{what}.per: must be more than 0")
        else:
            raise InvalidSettings(f"{VARIABLE}: {name}: is none of as_of, currency, about, prices and monthly")


def _fields(where: str, value: Any) -> Mapping[str, Any]:
    if not isinstance(value, dict):
        raise InvalidSettings(f"{VARIABLE}: {where}: must be an object")
    return value


def _amount(where: str, value: Any) -> float:
    if type(value) not in (int, float) or not 0 <= value < 1e15:
        raise InvalidSettings(f"{VARIABLE}: {where}: must be a number from 0 on")
    return float(value)


def amounts(counted: Mapping[str, int]) -> dict[str, float]:
    """What is priced, of what was counted (meter.QUANTITIES)."""
    return {
        "requests": counted.get("requests", 0),
        "gb_seconds": counted.get("mb_ms", 0) / _MB_MS,
        "api_requests": counted.get("api_requests", 0),
        "egress_gb": counted.get("egress_bytes", 0) / _GB,
        "queue_requests": counted.get("queue_requests", 0),
        "logs_gb": counted.get("log_bytes", 0) / _GB,
        "redis_commands": counted.get("redis_commands", 0),
        "redis_gb": counted.get("redis_bytes", 0) / _GB,
    }


def invoice(used: Mapping[str, float], prices: PriceList, servers: int) -> dict[str, Any]:
    """What a month's amounts cost, as JSON values: line by line, together, and for each of the servers."""
    lines = [
        {
            "what": name,
            "label": label,
            "amount": round(used[name], 6),
            "unit": unit,
            "free": prices.prices[name].free,
            "usd": round(prices.prices[name].of(used[name]), 4),
            "usd_without_free": round(prices.prices[name].listed(used[name]), 4),
        }
        for name, (label, unit) in PRICED.items()
    ]
    plans = sum(prices.monthly.values())
    usd = plans + sum(price.of(used[name]) for name, price in prices.prices.items())
    listed = plans + sum(price.listed(used[name]) for name, price in prices.prices.items())
    return {
        "usd": round(usd, 4),
        "usd_without_free": round(listed, 4),
        "usd_per_server": round(usd / servers, 4) if servers else None,
        "lines": lines,
        "monthly": dict(prices.monthly),
    }
