"""The live feed through its door, as Lambda opens it: what there is now, buffered, and a cursor to come back with."""

import asyncio
import gzip
import json
import time
from dataclasses import dataclass
from typing import Any

import pytest
from openmanager.errors import StoreUnavailable
from openmanager.feed.cursor import Cursor
from openmanager.feed.events import Happening, Wish
from openmanager.feed.fleet import Fleet
from openmanager.feed.hub import Hub, _hubs
from openmanager.settings import settings
from openmanager.stores import feed
from openmanager.stores.feed import FIRST
from openmanager.watch import rounds

from functions.ingest.handler import handler as ingest
from functions.predictions.handler import handler as predictions
from functions.stream.handler import handler as stream
from infra.local.stack import Upstash
from tests.conftest import API_KEY
from tests.events import Reply, invoke

MINUTE_S = 60


@dataclass(frozen=True)
class Event:
    """One server-sent event."""

    name: str
    id: str
    data: Any


def events(body: bytes) -> list[Event]:
    """The events of a body, without comments."""
    found = []
    for block in body.decode().split("\n\n"):
        fields = dict(line.split(": ", 1) for line in block.splitlines() if line and not line.startswith(":"))
        if "event" in fields:
            found.append(Event(fields["event"], fields.get("id", ""), json.loads(fields["data"])))
    return found


def read(last: str | None = None, query: str = "") -> list[Event]:
    """What a reader gets that comes back with the last id it saw."""
    headers = {"last-event-id": last} if last else {}
    reply = invoke(stream, "GET", "/api/stream", key=API_KEY, headers=headers, query=query)
    assert (reply.status, reply.headers["content-type"]) == (200, "text/event-stream; charset=utf-8")
    return events(reply.body)


def names(found: list[Event]) -> list[str]:
    return [event.name for event in found]


def push(server: str = "web-01", cpu: float = 20.0, minutes: int = 1, **more: Any) -> Reply:
    """The last minutes of a server, with this processor use."""
    now = time.time()
    samples = [
        {"time": now - MINUTE_S * i, "metrics": {"cpu_utilization": cpu, "load_1m": 0.5}} for i in range(minutes)
    ]
    body = json.dumps({"server": server, "role": "web", "samples": samples, **more}).encode()
    return invoke(ingest, "POST", "/api/ingest", key=API_KEY, body=body)


def minute_ends() -> int:
    """When this very minute is over (s)."""
    return (int(time.time()) // MINUTE_S + 1) * MINUTE_S


def judge(ends: int | None = None) -> None:
    """A round up to this very minute, or to the one that ends then (s)."""
    rounds.tick(1000 * ((ends or minute_ends()) + settings().grace_s))


@pytest.fixture(autouse=True)
def buffered(stores_env: dict[str, str], monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setenv("OPENMANAGER_STREAM_WINDOW_S", "0")
    settings.cache_clear()


def test_a_reader_begins_with_a_snapshot_and_resumes_without_loss_or_repeat() -> None:
    push(minutes=70)
    first = read()
    assert names(first) == ["snapshot", "bye"]
    (server,) = first[0].data["servers"]
    assert (server["id"], server["role"], server["values"][0], server["said"]) == ("web-01", "web", 200, None)
    assert first[0].data["gap"] is False
    judge()
    second = read(first[-1].id)
    assert names(second) == ["model", "prediction", "bye"]
    assert second[1].data["servers"]["web-01"]["status"] == "healthy"
    push(cpu=60.0)
    third = read(second[-1].id)
    assert names(third) == ["metrics", "bye"]
    assert third[0].data["servers"] == {"web-01": [600, None, None, None, None, None]}
    assert names(read(third[-1].id)) == ["bye"]
    # What an earlier id asks for again is what came after it, whoever has read it meanwhile.
    assert names(read(first[-1].id)) == ["model", "prediction", "metrics", "bye"]
    assert names(read(first[-1].id, "topics=predictions")) == ["prediction", "bye"]
    recent = read()[0].data["servers"][0]["recent"]
    assert recent[-39:] == [20] * 39


def test_every_event_s_own_id_goes_on_right_after_it() -> None:
    push(minutes=70)
    begun = read()[-1].id
    judge()
    push(cpu=60.0)
    whole = [event for event in read(begun) if event.name != "bye"]
    assert names(whole) == ["model", "prediction", "metrics"]
    for i, event in enumerate(whole):
        assert [e.data for e in read(event.id) if e.name not in ("bye", "metrics")] == [
            e.data for e in whole[i + 1 :] if e.name != "metrics"
        ]
        assert ("metrics" in names(read(event.id))) == (event.name != "metrics")


def test_of_what_rounds_said_little_is_held_and_who_was_away_for_longer_hears_it_all() -> None:
    """A fleet of 500 servers makes half a megabyte a minute of it, in a process that may follow for months."""
    push(minutes=70)
    begun = read()[-1].id
    ends = minute_ends()
    for i in range(12):
        judge(ends + MINUTE_S * i)
        read()
    (one,) = [hub for loop, hub in _hubs.items() if not loop.is_closed()]
    assert len(one._said) == 3
    minutes = [event.data["minute"] for event in read(begun) if event.name == "prediction"]
    assert minutes == [ends - MINUTE_S + MINUTE_S * i for i in range(12)]
    read()
    assert len(one._said) == 3


def test_of_what_happened_so_much_is_held_however_it_came(stores_env: dict[str, str]) -> None:
    hub = Hub()
    hub._happened.extend(
        Happening(Cursor(f"{i}-0", FIRST, FIRST), "alert", {"transitions": [{}] * 100}) for i in range(1, 20)
    )
    hub._happened.append(Happening(Cursor("20-0", FIRST, FIRST), "model", {"models": {}}))
    hub._forget()
    assert (len(hub._happened), hub._floor.feed) == (4 + 1, "15-0")


def test_after_a_time_that_nobody_watched_a_reader_is_told_that_something_is_missing(empty_redis: Upstash) -> None:
    push(minutes=70)
    cursor = read()[-1].id
    empty_redis.command("DEL", feed.WATCHED)
    judge()
    push(cpu=60.0)
    again = read(cursor)
    assert (names(again), again[0].data["gap"]) == (["snapshot", "bye"], True)
    assert again[0].data["servers"][0]["values"][0] == 600
    # Alerts and models are told always, so that nothing of them is missing.
    assert names(read(cursor, "topics=alerts,models")) == ["model", "bye"]


def test_unwatched_pushes_and_rounds_leave_nothing_but_what_happened(empty_redis: Upstash) -> None:
    push(minutes=70)
    judge()
    assert empty_redis.command("EXISTS", feed.LIVE, feed.SAID, feed.WATCHED) == 0
    assert [flat[1] for _, flat in empty_redis.command("XRANGE", feed.FEED, "-", "+")] == ["model"]


def test_a_push_is_one_command_watched_or_not_and_says_how_soon_to_come_back(empty_redis: Upstash) -> None:
    for watched, pace in ((False, 60), (True, 10)):
        if watched:
            read()
        empty_redis.reset_stats()
        reply = push()
        assert empty_redis.stats()["commands"] == 1
        assert reply.json()["next_push_s"] == pace


def test_nobody_watches_once_the_last_reader_has_gone(empty_redis: Upstash, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setenv("OPENMANAGER_STREAM_POLL_S", "0.05")
    settings.cache_clear()

    async def come_and_go() -> None:
        hub = Hub()
        reader = await hub.join(Wish.read(None, None, frozenset()), None, {})
        following = hub._task
        assert following is not None
        # It sleeps until its next look.
        await asyncio.sleep(0)
        hub.leave(reader)
        empty_redis.command("DEL", feed.WATCHED)
        await following

    asyncio.run(come_and_go())
    assert empty_redis.command("EXISTS", feed.WATCHED) == 0


def test_a_round_costs_the_same_watched_or_not(empty_redis: Upstash) -> None:
    # The same minute for both, for what is due now and then costs more.
    ends = minute_ends()
    spent = []
    for watched in (False, True):
        empty_redis.command("FLUSHALL")
        push(minutes=70)
        if watched:
            read()
        empty_redis.reset_stats()
        judge(ends)
        spent.append(empty_redis.stats()["commands"])
    assert spent[0] == spent[1] >= 3


def test_a_snapshot_alone_tells_where_the_stream_goes_on() -> None:
    push(minutes=70)
    reply = invoke(stream, "GET", "/api/stream/snapshot", key=API_KEY)
    (told,) = (event for event in read() if event.name == "snapshot")
    mine = reply.json()
    assert {k: v for k, v in mine.items() if k != "time"} == {k: v for k, v in told.data.items() if k != "time"}
    push(cpu=60.0)
    assert names(read(mine["id"])) == ["metrics", "bye"]
    assert names(events(invoke(stream, "GET", "/api/stream", key=API_KEY, query=f"after={mine['id']}").body)) == [
        "metrics",
        "bye",
    ]


def test_a_fleet_that_takes_longer_to_read_than_a_watch_lasts_is_read_once(monkeypatch: pytest.MonkeyPatch) -> None:
    push("web-01")
    reads, whole = [0], Fleet.read

    def slowly(now_ms: int) -> Fleet:
        reads[0] += 1
        if reads[0] > 2:
            raise StoreUnavailable("the fleet is read over and over")
        found = whole(now_ms)
        time.sleep(2.5 * feed.WATCH_S)
        return found

    monkeypatch.setattr(feed, "WATCH_S", 1)
    monkeypatch.setattr(Fleet, "read", slowly)
    told = asyncio.run(Hub().snapshot(Wish.read(None, None, frozenset()), {}))
    assert ([server["id"] for server in told["servers"]], reads) == (["web-01"], [1])


def test_servers_can_be_asked_for_by_name_and_by_prefix() -> None:
    for server in ("web-01", "web-02", "db-01"):
        push(server, minutes=70)
    query = "servers=web-*,nobody"
    begun = read(query=query)
    assert [s["id"] for s in begun[0].data["servers"]] == ["web-01", "web-02"]
    judge()
    push("db-01", cpu=60.0)
    assert set(read(begun[-1].id, query + "&topics=predictions")[0].data["servers"]) == {"web-01", "web-02"}
    assert names(read(begun[-1].id, query + "&topics=metrics")) == ["bye"]
    push("web-02", cpu=60.0)
    assert set(read(begun[-1].id, query + "&topics=metrics")[0].data["servers"]) == {"web-02"}


@pytest.mark.parametrize(
    ("headers", "query"),
    [
        ({"last-event-id": "x"}, ""),
        ({"last-event-id": "1-1_1-1"}, ""),
        ({}, "after=1-1_1-1_1-x"),
        ({}, "topics=weather"),
        ({}, "servers=web*01"),
        ({}, "servers=" + ",".join(f"s{i}" for i in range(201))),
    ],
)
def test_a_stream_request_out_of_form_is_refused(headers: dict[str, str], query: str) -> None:
    assert invoke(stream, "GET", "/api/stream", key=API_KEY, headers=headers, query=query).status == 400


def test_a_new_server_comes_with_what_it_is() -> None:
    begun = read()[-1].id
    push("web-09", stage="test", labels={"rack": "7"})
    (told, _) = read(begun)
    assert told.data["about"] == {"web-09": {"role": "web", "stage": "test", "labels": {"rack": "7"}}}


def test_a_scrape_cut_into_requests_is_one_row() -> None:
    begun = read()[-1].id
    now = time.time()
    for metrics in ({"cpu_utilization": 30.0}, {"filesystem_utilization": 71.5}, {"load_1m": 3}):
        body = {"server": "web-01", "samples": [{"time": now, "metrics": metrics}]}
        invoke(ingest, "POST", "/api/ingest", key=API_KEY, body=json.dumps(body).encode())
    (told, _) = read(begun)
    assert told.data["servers"] == {"web-01": [300, None, 715, None, None, None]}


def test_rates_come_from_the_sample_before() -> None:
    now = time.time()

    def counters(at: float, received: int, sent: int) -> None:
        totals = {"network_receive_bytes": received, "network_transmit_bytes": sent}
        body = {"server": "web-01", "samples": [{"time": at, "counters": totals}]}
        reply = invoke(ingest, "POST", "/api/ingest", key=API_KEY, body=json.dumps(body).encode())
        assert reply.json()["accepted"] == 2

    counters(now - 60, 1_000_000, 1_000_000)
    begun = read()[-1].id
    counters(now, 7_000_000, 4_000_000)
    (told, _) = read(begun)
    assert told.data["servers"]["web-01"][5] == 150_000


def test_an_alert_is_told_as_it_is_listed() -> None:
    push(cpu=97.0, minutes=70)
    begun = read()[-1].id
    judge()
    told = [event for event in read(begun) if event.name == "alert"]
    assert told
    shown = read()[0].data["alerts"]
    assert shown
    first = told[0].data["transitions"][0]
    assert first["alert"].keys() == shown[0].keys()
    assert first["alert"]["since"] > 1_000_000_000


def test_outlooks_show_what_the_risk_is_about_measured_and_forecast() -> None:
    for server in ("web-01", "web-02"):
        push(server, minutes=70)
    judge()
    query = "servers=web-02,nobody,web-01,web-02"
    reply = invoke(predictions, "GET", "/api/outlooks", key=API_KEY, query=query)
    found = reply.json()["outlooks"]
    assert [outlook["server"] for outlook in found] == ["web-02", "web-01"]
    one = found[0]
    assert (one["metric"], one["limit"], one["critical"], one["unit"]) == ("cpu_utilization", 100, 90, "%")
    measured = [value for value in one["history"]["values"] if value is not None]
    assert (len(one["history"]["values"]), set(measured), one["history"]["start"] % 60) == (90, {20.0}, 0)
    assert one["forecast"]["at"] == one["history"]["start"] + 60 * len(one["history"]["values"])
    assert len(one["forecast"]["path"]) == len(one["forecast"]["low"]) == len(one["forecast"]["high"]) == 30
    assert one["risk"]["parts"].keys() == {"failure"}
    assert one["next"] is None


@pytest.mark.parametrize("servers", ["", ",".join(f"web-{i}" for i in range(13))])
def test_outlooks_are_for_a_dozen_servers_at_most(servers: str) -> None:
    reply = invoke(predictions, "GET", "/api/outlooks", key=API_KEY, query=f"servers={servers}")
    assert (reply.status, reply.json()["field"]) == (400, "servers")


def test_answers_are_compressed_for_who_takes_that_and_the_stream_is_not() -> None:
    for i in range(20):
        push(f"web-{i:02}")
    taken = {"accept-encoding": "gzip"}
    plain = invoke(stream, "GET", "/api/stream/snapshot", key=API_KEY)
    packed = invoke(stream, "GET", "/api/stream/snapshot", key=API_KEY, headers=taken)
    assert (plain.headers.get("content-encoding"), packed.headers["content-encoding"]) == (None, "gzip")
    assert packed.headers["vary"] == "Accept-Encoding"
    assert json.loads(gzip.decompress(packed.body))["servers"] == plain.json()["servers"]
    assert len(packed.body) < len(plain.body) / 4
    followed = invoke(stream, "GET", "/api/stream", key=API_KEY, headers=taken)
    assert "content-encoding" not in followed.headers
    assert names(events(followed.body)) == ["snapshot", "bye"]
