"""One trace from a push to the notice of the alert that it made fire, through real stores and a real receiver."""

import json
import time
from collections.abc import Iterator
from typing import Any

import pytest
from openmanager import tracing
from openmanager.notify.targets import dump, read_target
from openmanager.settings import settings
from openmanager.stores import hot, queue
from openmanager.stores.pushes import forget_baselines
from openmanager.stores.segments import frames_key, read_hash, segment_of
from openmanager.telemetry.samples import MINUTE_MS

from functions.alerts.handler import handler as alerts
from functions.ingest.handler import handler as ingest
from functions.tick.handler import handler as tick
from infra.local.stack import Upstash
from tests.events import Context, Reply, invoke
from tests.receivers import Receiver, running

ID, SPAN = "0af7651916cd43dd8448eb211c80319c", "b7ad6b7169203331"
# Long enough for the rule of the processor to fire, and too short for the backlog.
MINUTES = 8


@pytest.fixture
def receiver(stores_env: dict[str, str], empty_redis: Upstash, monkeypatch: pytest.MonkeyPatch) -> Iterator[Receiver]:
    monkeypatch.setenv("OPENMANAGER_NOTIFY_ALLOW_PRIVATE", "1")
    settings.cache_clear()
    with running(Receiver()) as one:
        where = {"secret": "s" * 24, "url": f"http://127.0.0.1:{one.server_port}/"}
        target = read_target({"id": "hook", "channel": "webhook", "settings": where})
        empty_redis.command("SET", "om:targets", dump([target]))
        yield one


def push(key: str, *, servers: tuple[str, ...] = ("web-01",), headers: dict[str, str] | None = None) -> list[int]:
    """Some minutes of a processor that has too much to do, until now; which minutes those are."""
    newest = int(time.time()) // 60
    # The last one is not over.
    minutes = list(range(newest - MINUTES, newest))
    for server in servers:
        samples = [{"time": minute * 60 + 20, "metrics": {"cpu_utilization": 95.0}} for minute in minutes]
        body = json.dumps({"server": server, "role": "web", "samples": samples}).encode()
        reply = invoke(ingest, "POST", "/api/ingest", key=key, headers=headers, body=body)
        assert (reply.status, reply.json()["rejected"]) == (200, [])
    return minutes


def lines(capsys: pytest.CaptureFixture[str]) -> list[dict[str, Any]]:
    return [json.loads(text) for text in capsys.readouterr().out.splitlines()]


def of(told: list[dict[str, Any]], message: str) -> dict[str, Any]:
    (found,) = [one for one in told if one["message"] == message]
    return found


def listed(key: str) -> dict[str, Any]:
    (alert,) = [a for a in invoke(alerts, "GET", "/api/alerts", key=key).json()["alerts"] if a["rule"] == "cpu"]
    assert isinstance(alert, dict)
    return alert


def test_an_alert_leads_to_the_sender_s_own_trace(
    stores_env: dict[str, str], receiver: Receiver, capsys: pytest.CaptureFixture[str]
) -> None:
    key = stores_env["OPENMANAGER_API_KEY"]
    push(key, headers={"traceparent": f"00-{ID}-{SPAN}-01"})
    pushed = of(lines(capsys), "samples stored")
    assert (pushed["component"], pushed["traceId"]) == ("ingest", ID)
    tick({}, Context())
    told = lines(capsys)
    fired, delivered, done = of(told, "alert fired"), of(told, "notice firing: delivered"), of(told, "round done")
    assert {one["traceId"] for one in (fired, delivered)} == {ID}
    assert {one["component"] for one in (fired, delivered, done)} == {"tick"}
    # The round is a trace of its own, which the alert's line names.
    assert done["traceId"] != ID
    assert fired["metadata"]["round"] == done["traceId"]
    assert listed(key)["trace_id"] == ID
    (hook,) = receiver.received
    assert hook.json()["notice"]["trace_id"] == ID
    sent = tracing.parse(hook.headers["traceparent"])
    assert sent is not None
    assert (sent.trace_id, sent.sampled) == (ID, True)
    assert sent.span_id != SPAN


@pytest.mark.parametrize("header", [None, f"00-{ID}-{SPAN}-00", f"ff-{ID}-{SPAN}-01"])
def test_without_a_sampled_trace_both_sides_derive_the_same_one(
    header: str | None, stores_env: dict[str, str], receiver: Receiver, capsys: pytest.CaptureFixture[str]
) -> None:
    key = stores_env["OPENMANAGER_API_KEY"]
    minutes = push(key, headers={"traceparent": header} if header else None)
    pushed = of(lines(capsys), "samples stored")
    derived = [tracing.of_minute("web-01", minute) for minute in minutes]
    assert pushed["metadata"]["traces"] == {"web-01": derived}
    # A sender that named a trace finds its push by it all the same.
    assert pushed["traceId"] == (ID if header and header.startswith("00") else derived[-1])
    tick({}, Context())
    told = lines(capsys)
    alert = listed(key)
    assert alert["trace_id"] == tracing.of_minute("web-01", int(alert["fired"]) // 60)
    assert alert["trace_id"] in pushed["metadata"]["traces"]["web-01"]
    assert of(told, "alert fired")["traceId"] == of(told, "notice firing: delivered")["traceId"] == alert["trace_id"]
    (hook,) = receiver.received
    assert hook.json()["notice"]["trace_id"] == alert["trace_id"]
    assert hook.headers["traceparent"].split("-")[1] == alert["trace_id"]
    # No store has heard of a trace.
    assert traces_stored() == {}


def traces_stored() -> dict[str, str]:
    now_ms = int(time.time() * 1000)
    fields: dict[str, str] = {}
    for ms in (now_ms - 2 * 600_000, now_ms - 600_000, now_ms):
        fields |= read_hash(frames_key(0, segment_of(ms)))
    return {field: text for field, text in fields.items() if "|trace|" in field}


def test_a_push_is_one_command_and_a_round_three_with_a_trace_as_without(
    stores_env: dict[str, str], empty_redis: Upstash, receiver: Receiver
) -> None:
    key = stores_env["OPENMANAGER_API_KEY"]
    spent = []
    for headers in (None, {"traceparent": f"00-{ID}-{SPAN}-01"}):
        empty_redis.command("FLUSHALL")
        forget_baselines()
        # What asks for the caller's budget is counted once in a hundred pushes.
        push(key, servers=("web-02",), headers=headers)
        empty_redis.reset_stats()
        push(key, headers=headers)
        pushed = empty_redis.stats()["commands"]
        empty_redis.reset_stats()
        tick({}, Context())
        spent.append((pushed, empty_redis.stats()["commands"]))
    assert spent[0] == spent[1]
    assert spent[0][0] == 1
    assert spent[0][1] <= 8


def test_the_trace_of_a_minute_lies_beside_its_frame_and_goes_with_it(
    stores_env: dict[str, str], receiver: Receiver
) -> None:
    minutes = push(stores_env["OPENMANAGER_API_KEY"], headers={"traceparent": f"00-{ID}-{SPAN}-01"})
    stored = traces_stored()
    assert sorted(stored) == [f"web-01|trace|{minute}" for minute in minutes]
    assert {text.split("-")[1] for text in stored.values()} == {ID}
    before = hot.read_round(0, sorted({segment_of(minute * MINUTE_MS) for minute in minutes}))
    # A frame is read as ever, and a trace is none.
    assert {frame.server for frame in before.frames} == {"web-01"}
    assert before.traces == {("web-01", minute): stored[f"web-01|trace|{minute}"] for minute in minutes}


def test_a_stored_trace_that_does_not_read_is_as_none(
    stores_env: dict[str, str], empty_redis: Upstash, receiver: Receiver, capsys: pytest.CaptureFixture[str]
) -> None:
    key = stores_env["OPENMANAGER_API_KEY"]
    minutes = push(key)
    for minute in minutes:
        place = frames_key(0, segment_of(minute * MINUTE_MS))
        empty_redis.command("HSET", place, f"web-01|trace|{minute}", "00-half-writ")
        empty_redis.command("HSET", place, "web-01|trace|soon", f"00-{ID}-{SPAN}-01")
    report = tick({}, Context())
    assert (report["damaged"], report["servers"]) == (0, 1)
    alert = listed(key)
    assert alert["trace_id"] == tracing.of_minute("web-01", int(alert["fired"]) // 60)


def test_a_silent_server_s_alert_leads_to_its_last_push(
    stores_env: dict[str, str], receiver: Receiver, monkeypatch: pytest.MonkeyPatch
) -> None:
    key = stores_env["OPENMANAGER_API_KEY"]
    minutes = push(key, headers={"traceparent": f"00-{ID}-{SPAN}-01"})
    # A round that meets a server after ten minutes may know its newest push only, and not how often it reports.
    tick({}, Context())
    later = time.time() + 600
    monkeypatch.setattr(time, "time", lambda: later)
    tick({}, Context())
    (offline,) = [a for a in invoke(alerts, "GET", "/api/alerts", key=key).json()["alerts"] if a["rule"] == "offline"]
    assert offline["fired"] // 60 > minutes[-1]
    assert offline["trace_id"] == ID


def test_a_pending_alert_has_no_trace_yet(stores_env: dict[str, str], receiver: Receiver) -> None:
    key = stores_env["OPENMANAGER_API_KEY"]
    at = int(time.time()) // 60 * 60 - 40
    body = json.dumps({"server": "web-01", "samples": [{"time": at, "metrics": {"cpu_utilization": 95.0}}]})
    assert invoke(ingest, "POST", "/api/ingest", key=key, body=body.encode()).status == 200
    # The minute is over, whatever the grace.
    tick_at(int(at // 60))
    assert (listed(key)["state"], listed(key)["trace_id"]) == ("pending", None)


def tick_at(minute: int) -> None:
    from openmanager.watch import rounds

    rounds.tick((minute + 1) * MINUTE_MS + settings().grace_s * 1000)


def problem(reply: Reply, status: int) -> dict[str, Any]:
    assert reply.status == status
    found: dict[str, Any] = reply.json()
    return found


def test_an_error_quotes_the_trace_by_which_its_lines_are_found(
    stores_env: dict[str, str], capsys: pytest.CaptureFixture[str]
) -> None:
    key = stores_env["OPENMANAGER_API_KEY"]
    header = {"traceparent": f"00-{ID}-{SPAN}-00"}
    told = problem(invoke(alerts, "GET", "/api/alerts", key="wrong", headers=header), 401)
    assert told["trace_id"] == ID
    (line,) = [one for one in lines(capsys) if one["traceId"] == ID]
    assert (line["component"], line["message"].split(": ")[1][:3]) == ("alerts", "401")
    ours = [problem(invoke(ingest, "POST", "/api/ingest", key=key, body=b"{"), 400)["trace_id"] for _ in range(2)]
    assert len({ID, *ours}) == 3
    assert {one["traceId"] for one in lines(capsys)} == set(ours)


def test_a_round_of_the_queue_is_in_the_tick_s_trace() -> None:
    with tracing.within(tracing.Trace(ID, SPAN)):
        body = json.dumps({"shard": 0, "minute": 1, **tracing.outgoing()})
    trace = queue.read_trace(body)
    assert trace.trace_id == ID
    assert trace.span_id not in (SPAN, json.loads(body)["traceparent"].split("-")[2])
    for other in ("", "[]", "{", '{"shard": 0}', '{"traceparent": 3}', '{"traceparent": "00-x"}', "null"):
        assert queue.read_trace(other).trace_id != ID
