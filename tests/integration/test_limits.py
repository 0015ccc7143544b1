"""Limits at real stores: what is let in, what it costs, and what is said."""

import re
from collections.abc import Iterator

import pytest
from openmanager.settings import settings
from openmanager.stores import limits as store
from openmanager.stores import reset
from openmanager.stores.limits import Count
from openmanager.web import limits

from functions.ingest.handler import handler as ingest
from functions.servers.handler import handler as servers
from functions.stream.handler import handler as stream
from infra.local.stack import Upstash
from tests.conftest import API_KEY
from tests.events import Reply, invoke

NOW = 1_800_000_000.0
BODY = b'{"server": "web-01", "samples": [{"metrics": {"cpu_utilization": 12.5}}]}'


@pytest.fixture
def ten(stores_env: dict[str, str], monkeypatch: pytest.MonkeyPatch) -> Iterator[None]:
    """Ten requests and a thousand pushes in a window, which begins now and does not move on."""
    monkeypatch.setenv("OPENMANAGER_REQUEST_LIMIT", "10")
    monkeypatch.setenv("OPENMANAGER_INGEST_LIMIT", "1000")
    monkeypatch.setenv("OPENMANAGER_STREAM_WINDOW_S", "0")
    monkeypatch.setattr(limits.time, "time", lambda: NOW)
    settings.cache_clear()
    reset()
    yield
    settings.cache_clear()


def read() -> Reply:
    return invoke(servers, "GET", "/api/servers", key=API_KEY)


def push(path: str = "/api/ingest") -> Reply:
    return invoke(ingest, "POST", path, key=API_KEY, body=BODY)


def used(name: str) -> int:
    """How many requests Redis knows of in this window."""
    _, (count,) = store.take({name: 1}, NOW, limits.WINDOW_S, 0, True)
    return count.current


def test_the_answer_says_what_is_left_and_then_when_to_come_back(ten: None) -> None:
    first = read()
    assert first.headers["ratelimit-policy"] == '"people";q=10;w=900, "address";q=50;w=900'
    assert first.headers["ratelimit"] == '"people";r=9;t=900, "address";r=49;t=900'
    assert [read().status for _ in range(9)] == [200] * 9
    refused = read()
    assert (refused.status, refused.json()["title"]) == (429, "Too Many Requests")
    assert refused.headers["content-type"] == "application/problem+json"
    assert refused.headers["ratelimit"].startswith('"people";r=0;t=')
    assert int(refused.headers["retry-after"]) == 990
    assert (used("people|api key"), used("address|192.0.2.1")) == (10, 10)


def test_who_waits_as_told_is_let_in(ten: None, monkeypatch: pytest.MonkeyPatch) -> None:
    refused = [read() for _ in range(11)][-1]
    wait_s = int(refused.headers["retry-after"])
    monkeypatch.setattr(limits.time, "time", lambda: NOW + wait_s - 2)
    assert read().status == 429
    monkeypatch.setattr(limits.time, "time", lambda: NOW + wait_s)
    assert read().status == 200


def test_an_address_has_a_budget_of_its_own(ten: None) -> None:
    store.take({"address|192.0.2.1": 50}, NOW, limits.WINDOW_S, 50)
    assert read().status == 429
    assert used("people|api key") == 0
    spoofed = {"x-forwarded-for": "203.0.113.5", "x-real-ip": "203.0.113.5", "x-vercel-forwarded-for": "203.0.113.5"}
    assert invoke(servers, "GET", "/api/servers", key=API_KEY, headers=spoofed).status == 429


def test_a_stranger_uses_up_nobody_s_budget(ten: None, empty_redis: Upstash) -> None:
    empty_redis.reset_stats()
    assert [invoke(servers, "GET", "/api/servers", key="wrong").status for _ in range(20)] == [401] * 20
    assert empty_redis.stats()["commands"] == 0


def test_a_call_costs_one_command_and_a_push_a_hundredth(ten: None, empty_redis: Upstash) -> None:
    read()
    empty_redis.reset_stats()
    read()
    # Another one asks whether the fleet has changed (test_caching.py).
    assert empty_redis.stats()["by_name"]["EVAL"] == 1 + 1
    push()
    empty_redis.reset_stats()
    assert {push().status for _ in range(200)} == {200}
    assert empty_redis.stats()["commands"] == 202


def test_pushes_are_let_in_up_to_their_limit_by_one_process(ten: None) -> None:
    answers = [push() for _ in range(1010)]
    assert [reply.status for reply in answers] == [200] * 1000 + [429] * 10
    assert answers[0].headers["ratelimit-policy"] == '"ingest";q=1000;w=900'
    assert int(answers[-1].headers["retry-after"]) > 0
    assert read().status == 200


def test_of_two_processes_each_lets_in_a_batch_at_most_beyond(ten: None) -> None:
    accepted = 0
    for _ in range(2):
        limits.local.cache_clear()
        accepted += sum(push().status == 200 for _ in range(800))
    assert 1000 <= accepted <= 1000 + 2 * 100


def test_prometheus_is_told_to_wait_in_words_that_keep_its_data(ten: None) -> None:
    limits.local().close("ingest|api key", NOW + 60)
    assert (push().status, push("/v1/metrics").status) == (429, 429)
    reply = push("/api/v1/write")
    assert (reply.status, reply.headers["retry-after"]) == (503, "60")


def test_the_stream_has_a_budget_of_its_own(ten: None) -> None:
    def listen() -> Reply:
        return invoke(stream, "GET", "/api/stream", key=API_KEY)

    assert {listen().status for _ in range(60)} == {200}
    assert listen().headers["ratelimit-policy"] == '"stream";q=120;w=900'
    assert read().status == 200


def test_while_redis_is_away_each_process_counts_for_itself(ten: None, upstash: Upstash) -> None:
    with upstash.away():
        answers = [read().status for _ in range(12)]
    assert answers == [503] * 10 + [429] * 2


def test_a_flood_of_names_fills_no_memory(monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr(limits, "_HELD", 100)
    here = limits.Local()
    for n in range(1000):
        here.take({f"people|{n}": 10}, NOW, 1, False)
        here.batch(f"ingest|{n}", 10)
        here.close(f"ingest|{n}", NOW + 1)
    assert {len(held) for held in (here._counts, here._pending, here._closed_until)} == {100}


@pytest.mark.parametrize("begin", [NOW, NOW + 100, NOW + 899])
def test_the_script_counts_as_the_arithmetic_does(stores_env: dict[str, str], begin: float) -> None:
    here = limits.Local()
    for step in range(60):
        now_s = begin + step * 37.5
        told = store.take({"a": 7, "b": 9}, now_s, limits.WINDOW_S)
        assert told == here.take({"a": 7, "b": 9}, now_s, 1, False), step
    assert told[1][0].current <= 7


def test_a_budget_is_forgotten_after_two_windows(stores_env: dict[str, str], empty_redis: Upstash) -> None:
    store.take({"a": 7}, NOW, limits.WINDOW_S)
    assert 0 < empty_redis.command("TTL", store.PREFIX + "a") <= 2 * limits.WINDOW_S
    assert Count(int(NOW // 900), 0, 1).at(NOW + 1800, 900) == Count(int(NOW // 900) + 2)


def test_a_ticket_opens_the_stream_once(ten: None, empty_redis: Upstash) -> None:
    issued = invoke(stream, "POST", "/api/stream/ticket", key=API_KEY)
    ticket = issued.json()["ticket"]
    assert (issued.status, issued.json()["expires_in"]) == (200, 30)
    assert re.fullmatch(r"[A-Za-z0-9_-]{43}", ticket)
    (key,) = empty_redis.command("KEYS", "om:ticket|*")
    assert ticket not in key
    assert 0 < empty_redis.command("TTL", key) <= 30
    query = f"ticket={ticket}"
    assert invoke(stream, "GET", "/api/stream", query=query).status == 200
    replayed = invoke(stream, "GET", "/api/stream", query=query)
    assert (replayed.status, replayed.headers["www-authenticate"]) == (401, "Bearer")


def test_only_a_ticket_in_time_opens_it_and_nothing_else(ten: None, empty_redis: Upstash) -> None:
    assert invoke(stream, "POST", "/api/stream/ticket").status == 401
    assert invoke(stream, "GET", "/api/stream").status == 401
    for wrong in ("", "x", "*", "a" * 43):
        assert invoke(stream, "GET", "/api/stream", query=f"ticket={wrong}").status == 401
    ticket = invoke(stream, "POST", "/api/stream/ticket", key=API_KEY).json()["ticket"]
    assert invoke(servers, "GET", "/api/servers", query=f"ticket={ticket}").status == 401
    assert invoke(servers, "GET", "/api/servers", key=ticket).status == 401
    (key,) = empty_redis.command("KEYS", "om:ticket|*")
    empty_redis.command("PEXPIRE", key, 0)
    assert invoke(stream, "GET", "/api/stream", query=f"ticket={ticket}").status == 401
