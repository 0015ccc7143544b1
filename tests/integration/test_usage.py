"""What functions use is counted as the stores see it, written down once, and told with its price."""

import json
import time
from collections.abc import Iterator

import pytest
from openmanager import meter, metering
from openmanager.settings import settings
from openmanager.stores import usage
from openmanager.stores.redis import Redis, connect

from functions.cost.handler import handler as cost
from functions.ingest.handler import handler as ingest
from functions.servers.handler import handler as servers
from functions.tick.handler import handler as tick
from infra.local.stack import Upstash
from tests.conftest import API_KEY
from tests.events import Context, invoke


@pytest.fixture(autouse=True)
def counts(monkeypatch: pytest.MonkeyPatch) -> Iterator[None]:
    """Nothing counted before, nothing written down unless a test says so."""
    monkeypatch.setattr(metering, "_write_next", float("inf"))
    meter.take()
    yield
    meter.take()


def push(n: int = 1) -> None:
    now = time.time()
    batch = [{"server": f"web-{i}", "samples": [{"time": now, "metrics": {"cpu_utilization": 5}}]} for i in range(n)]
    body = json.dumps({"servers": batch}).encode()
    assert invoke(ingest, "POST", "/api/ingest", key=API_KEY, body=body).status == 200


def test_commands_are_counted_as_redis_counts_them(stores_env: dict[str, str], upstash: Upstash) -> None:
    push()
    upstash.reset_stats()
    meter.take()
    push(3)
    invoke(servers, "GET", "/api/servers", key=API_KEY)
    tick({}, Context())
    counted = meter.take()
    assert {function for function, _ in counted} == {"ingest", "servers", "tick"}
    by_function = {f: counted[f, "redis_commands"] for f in ("ingest", "servers", "tick")}
    assert sum(by_function.values()) == upstash.stats()["commands"]
    assert all(by_function.values())


def test_requests_answers_and_time_are_counted_by_function(stores_env: dict[str, str]) -> None:
    answer = invoke(servers, "GET", "/api/servers", key=API_KEY)
    tick({}, Context())
    counted = meter.take()
    assert counted["servers", "requests"] == counted["servers", "api_requests"] == counted["tick", "requests"] == 1
    assert ("tick", "api_requests") not in counted
    assert len(answer.body) < counted["servers", "egress_bytes"] < len(answer.body) + 2000
    # At least the begun millisecond of 512 MB, and not a second.
    assert 512 <= counted["servers", "mb_ms"] < 512 * 1000


def test_a_request_that_fails_is_paid_for_as_well(stores_env: dict[str, str]) -> None:
    assert invoke(servers, "GET", "/api/servers").status == 401
    assert meter.take()["servers", "requests"] == 1

    @metering.metered("broken")
    def broken(event: object, context: object) -> None:
        raise ZeroDivisionError

    with pytest.raises(ZeroDivisionError):
        broken({}, None)
    assert meter.take()["broken", "requests"] == 1


def test_rows_and_statements_of_postgres_are_counted(stores_env: dict[str, str], postgres_url: str) -> None:
    from openmanager.stores import postgres

    with_three = postgres.Postgres(postgres_url, 3)
    token = meter.FUNCTION.set("here")
    try:
        with_three.run(lambda c: c.execute("SELECT generate_series(1, 3)").fetchall())
    finally:
        meter.FUNCTION.reset(token)
        with_three.close()
    counted = meter.take()
    assert (counted["here", "postgres_statements"], counted["here", "postgres_rows"]) == (1, 3)


def test_what_was_counted_is_written_down_in_one_command_and_adds_up(
    stores_env: dict[str, str], upstash: Upstash
) -> None:
    meter.FUNCTION.set("shared")
    upstash.reset_stats()
    for _ in range(2):
        meter.count("redis_bytes", 1000)
        metering.write(1_795_000_000)
    # Writing it down is itself counted, for the next time.
    assert upstash.stats()["commands"] == 2
    found = usage.read("2026-11")
    assert found.since_s == 1_795_000_000
    assert found.functions["shared"]["redis_bytes"] >= 2000
    assert found.functions["shared"]["redis_commands"] == 1
    assert found.days[18]["redis_bytes"] == found.total["redis_bytes"]
    assert 0 < connect().call("TTL", usage.key("2026-11")) <= 400 * 86_400


def test_what_no_store_takes_waits(stores_env: dict[str, str], monkeypatch: pytest.MonkeyPatch) -> None:
    meter.count("redis_bytes", 7)
    with monkeypatch.context() as away:
        away.setattr(usage, "connect", lambda: Redis("http://127.0.0.1:9", "x", 0.2))
        metering.write()
    assert not usage.read(usage.month_of(time.time())).functions
    metering.write()
    assert usage.read(usage.month_of(time.time())).total["redis_bytes"] >= 7


def test_a_function_writes_once_a_minute(stores_env: dict[str, str], monkeypatch: pytest.MonkeyPatch) -> None:
    now = [1000.0]
    monkeypatch.setattr(metering.time, "monotonic", lambda: now[0])
    monkeypatch.setattr(metering, "_write_next", 0.0)
    written: list[float] = []
    monkeypatch.setattr(usage, "add", lambda *_: written.append(now[0]))
    for second in range(0, 130, 10):
        now[0] = 1000.0 + second
        tick({}, Context())
    assert written == [1000.0, 1060.0, 1120.0]


def test_the_cost_is_told_with_its_parts(stores_env: dict[str, str], monkeypatch: pytest.MonkeyPatch) -> None:
    empty = invoke(cost, "GET", "/api/system/cost", key=API_KEY).json()
    assert (empty["servers"], empty["so_far"]["usd"], empty["projected"], empty["functions"]) == (0, 0, None, {})
    push(2)
    usage.add({("ingest", "redis_commands"): 1_500_000, ("tick", "requests"): 3}, time.time() - 1)
    told = invoke(cost, "GET", "/api/system/cost", key=API_KEY).json()
    assert told["so_far"]["usd"] == 2.0
    assert told["functions"] == {"ingest": {"redis_commands": 1_500_000}, "tick": {"requests": 3}}
    assert told["counted_since"] <= told["as_of"]
    monkeypatch.setenv("OPENMANAGER_PRICES", '{"prices": {"redis_commands": {"usd": 0}}, "monthly": {"Neon": 5}}')
    settings.cache_clear()
    told = invoke(cost, "GET", "/api/system/cost", key=API_KEY).json()
    assert (told["so_far"]["usd"], told["so_far"]["monthly"]) == (5.0, {"Neon": 5.0})


def test_servers_are_counted_without_what_else_is_kept_of_them(stores_env: dict[str, str]) -> None:
    from openmanager.stores.latest import count_servers

    connect().call("HSET", "om:0:latest", "web-1", "{}", "web-1|verdict", "{}", "web-2", "{}", "web-2|outlook", "{}")
    assert count_servers([0, 1]) == 2


def test_a_function_url_is_not_paid_for_by_the_request(stores_env: dict[str, str]) -> None:
    from tests.events import http_event

    event = http_event("GET", "/api/servers", headers={"authorization": f"Bearer {API_KEY}"})
    event["requestContext"]["domainName"] = "abc.lambda-url.eu-central-1.on.aws"
    assert servers(event, Context())["statusCode"] == 200
    counted = meter.take()
    assert counted["servers", "requests"] == 1
    assert ("servers", "api_requests") not in counted
