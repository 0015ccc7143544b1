"""Price lists, statements and estimates: by hand where a sum can be done by hand."""

import json
from datetime import UTC, datetime

import pytest
from hypothesis import given
from hypothesis import strategies as st
from openmanager.bill.estimate import MONTH_S, Plan, Unit, estimate, measured
from openmanager.bill.prices import PRICED, Price, amounts, invoice, price_list
from openmanager.bill.statement import projected, statement
from openmanager.errors import InvalidSettings
from openmanager.meter import QUANTITIES
from openmanager.stores.usage import Month, Usage

NOTHING = dict.fromkeys(PRICED, 0.0)


def at(text: str) -> float:
    return datetime.fromisoformat(text).replace(tzinfo=UTC).timestamp()


def test_the_list_has_a_price_of_everything_with_its_source_and_its_day() -> None:
    prices = price_list()
    assert set(prices.prices) == set(PRICED)
    assert all(price.source.startswith("https://") for price in prices.prices.values())
    assert datetime.fromisoformat(prices.as_of)


def test_what_is_free_is_taken_off_and_the_rest_is_by_so_many() -> None:
    price = Price(0.2, 100_000, 500_000, "")
    assert [price.of(n) for n in (0, 500_000, 600_000, 1_500_000)] == [0, 0, 0.2, 2.0]
    assert price.listed(600_000) == pytest.approx(1.2)


def test_a_list_of_one_s_own_changes_what_it_names_and_nothing_else() -> None:
    changed = price_list(
        '{"as_of": "2027-01-01", "prices": {"redis_commands": {"usd": 0}}, "monthly": {"Postgres": 19}}'
    )
    plain = price_list()
    assert changed.as_of == "2027-01-01"
    assert changed.prices["redis_commands"] == Price(0, 100_000, 500_000, plain.prices["redis_commands"].source)
    assert {k: v for k, v in changed.prices.items() if k != "redis_commands"} == {
        k: v for k, v in plain.prices.items() if k != "redis_commands"
    }
    assert invoice(NOTHING, changed, 10) | {"lines": []} == {
        "usd": 19.0, "usd_without_free": 19.0, "usd_per_server": 1.9, "lines": [], "monthly": {"Postgres": 19.0},
    }  # fmt: skip


@pytest.mark.parametrize(
    ("text", "named"),
    [
        ("[]", "must be a JSON object"),
        ("{", "is no JSON"),
        ('{"price": {}}', "price: is none of"),
        ('{"as_of": 3}', "as_of: must be a text"),
        ('{"prices": 3}', "prices: must be an object"),
        ('{"prices": {"gold": {}}}', "prices.gold: is none of"),
        ('{"prices": {"requests": 3}}', "prices.requests: must be an object"),
        ('{"prices": {"requests": {"eur": 3}}}', "prices.requests.eur: is none of"),
        ('{"prices": {"requests": {"usd": "3"}}}', "prices.requests.usd: must be a number"),
        ('{"prices": {"requests": {"usd": -1}}}', "prices.requests.usd: must be a number"),
        ('{"prices": {"requests": {"usd": NaN}}}', "prices.requests.usd: must be a number"),
        ('{"prices": {"requests": {"per": 0}}}', "prices.requests.per: must be more than 0"),
        ('{"monthly": {"Postgres": true}}', "monthly.Postgres: must be a number"),
    ],
)
def test_a_list_that_is_none_is_refused_by_the_field(text: str, named: str) -> None:
    with pytest.raises(InvalidSettings, match=f"OPENMANAGER_PRICES: {named}"):
        price_list(text)


def test_amounts_are_those_that_are_sold() -> None:
    counted = dict.fromkeys(QUANTITIES, 0) | {
        "mb_ms": 512 * 2000, "egress_bytes": 3_000_000_000, "redis_bytes": 1_500_000_000, "redis_commands": 7,
        "log_bytes": 2_000_000_000,
    }  # fmt: skip
    assert amounts(counted) == NOTHING | {
        "gb_seconds": 1.0, "egress_gb": 3.0, "logs_gb": 2.0, "redis_gb": 1.5, "redis_commands": 7,
    }  # fmt: skip


def month(days: dict[int, int], since: str) -> Usage:
    functions = {"ingest": {"redis_commands": sum(days.values())}}
    return Usage("2026-11", int(at(since)), functions, {day: {"redis_commands": n} for day, n in days.items()})


def test_the_rest_of_the_month_goes_on_as_since_yesterday() -> None:
    # 100 in the first twelve days, then 24 a day: yesterday, and half of today.
    used = month({1: 100, 14: 24, 15: 12}, "2026-11-01T00:00:00")
    found = projected(Month(used, {"redis_commands": 24}, used.since_s), at("2026-11-15T12:00:00"))
    assert found == {"redis_commands": 136 + round(24 * 15.5)}


def test_a_new_installation_is_projected_from_when_it_began() -> None:
    used = month({15: 6}, "2026-11-15T06:00:00")
    assert projected(Month(used, {}, used.since_s), at("2026-11-15T12:00:00")) == {
        "redis_commands": 6 + round(24 * 15.5)
    }
    assert projected(Month(used, {}, used.since_s), at("2026-11-15T06:09:59")) is None
    assert projected(Month(Usage("2026-11"), {}, None), at("2026-11-15T12:00:00")) is None


def test_the_first_day_of_a_month_looks_back_at_the_last_of_the_one_before() -> None:
    used = month({1: 1}, "2026-11-01T00:00:30")
    found = projected(Month(used, {"redis_commands": 24}, int(at("2026-09-01T00:00:00"))), at("2026-11-01T01:00:00"))
    assert found == {"redis_commands": 1 + round(24 * (30 * 24 - 1) / 24)}


@given(st.integers(0, 10**9), st.floats(at("2026-11-02T00:00:00"), at("2026-11-30T23:59:59")))
def test_a_projection_is_never_less_than_what_there_is(n: int, now: float) -> None:
    day = datetime.fromtimestamp(now, UTC).day
    used = month({day: n}, "2026-11-01T00:00:00")
    found = projected(Month(used, {}, used.since_s), now)
    assert found is not None
    assert found["redis_commands"] >= n


def test_a_statement_s_sums_are_those_of_its_lines() -> None:
    used = month({14: 40_000_000, 15: 2_000_000}, "2026-11-01T00:00:00")
    told = statement(Month(used, used.days[14], used.since_s), price_list(), at("2026-11-15T12:00:00"), 50)
    for part in (told["so_far"], told["projected"]):
        assert part["usd"] == pytest.approx(sum(line["usd"] for line in part["lines"]), abs=1e-3)
        assert part["usd_per_server"] == pytest.approx(part["usd"] / 50, abs=1e-4)
    assert told["so_far"]["usd"] == pytest.approx(41.5e6 / 1e5 * 0.2)
    assert told["days"][-1] == {"day": "2026-11-15", "redis_commands": 2_000_000}
    assert json.loads(json.dumps(told)) == told


def test_of_no_server_nothing_is_said_per_server() -> None:
    assert statement(Month(Usage("2026-11"), {}, None), price_list(), at("2026-11-15T12:00:00"), 0)["so_far"] == (
        invoice(NOTHING, price_list(), 0)
    )


def test_an_estimate_is_pushes_rounds_and_archives() -> None:
    units = {"push_60": Unit(commands=1), "tick": Unit(), "tick_server": Unit(), "archive": Unit()} | {
        "archive_server": Unit()
    }
    told = estimate(Plan(100, 60, door="api", watched_h=0), price_list(), units)
    lines = {line["what"]: line["amount"] for line in told["lines"]}
    pushes = 100 * MONTH_S / 60
    assert lines["api_requests"] == pushes
    assert lines["requests"] == pushes + MONTH_S / 60 + MONTH_S / 300
    assert lines["redis_commands"] == pushes + 2 * MONTH_S / 60
    assert estimate(Plan(100, 60, watched_h=0), price_list(), units)["lines"][2]["amount"] == 0


@given(st.integers(1, 20_000), st.sampled_from((15, 60, 300)), st.sampled_from(("url", "api")))
def test_more_servers_and_more_pushes_never_cost_less(servers: int, interval: int, door: str) -> None:
    def usd(n: int, every: int) -> float:
        found: float = estimate(Plan(n, every, door=door), price_list())["usd_without_free"]  # type: ignore[arg-type]
        return found

    assert usd(servers, interval) <= usd(servers + 1, interval) + 0.01
    if interval > 15:
        assert usd(servers, interval) <= usd(servers, interval // 4 if interval == 60 else 60) + 0.01


def test_a_hundred_servers_that_push_every_minute_cost_at_most_ten_cents_each() -> None:
    """DESIGN's promise, by what was measured last; through the function's own address."""
    assert estimate(Plan(100, 60), price_list())["usd_per_server"] <= 0.10


def test_what_was_measured_is_of_everything_that_is_estimated() -> None:
    assert {"push_15", "push_60", "push_300", "tick", "tick_server", "archive", "archive_server"} == set(measured())
    assert 1.0 <= measured()["push_60"].commands <= 1.1
