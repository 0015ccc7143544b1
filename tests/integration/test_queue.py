"""Rounds through the queue: one message a shard, and no harm from what queues do to messages."""

import json
import random
import threading
from collections.abc import Iterator
from dataclasses import dataclass
from typing import Any

import pytest
from openmanager import tracing
from openmanager.settings import settings
from openmanager.stores import feed, hot, queue
from openmanager.stores.pushes import forget_baselines, store_pushes
from openmanager.stores.redis import Redis
from openmanager.stores.shards import shard_of
from openmanager.telemetry.samples import MINUTE_MS
from openmanager.watch import rounds

from functions.predict import handler as predict
from infra.local.stack import Upstash
from tests.events import Context
from tests.faults import Killed, dying
from tests.recorded import minutes
from tests.sqs import RECEIVES, REGION, Queue, endpoint

FIRST = 1_764_000_000_000 // MINUTE_MS * MINUTE_MS
SHARDS = 12
SERVERS = [f"server-{i:02}" for i in range(30)]


@pytest.fixture(scope="module")
def sqs() -> Iterator[str]:
    with endpoint() as address:
        yield address


@pytest.fixture
def messages(sqs: str, stores_env: dict[str, str], empty_redis: Upstash, monkeypatch: pytest.MonkeyPatch) -> Queue:
    """A queue of its own, which the settings name; twelve shards; and somebody who watches what is said."""
    empty_redis.command("SET", feed.WATCHED, "1-0")
    made = Queue(sqs)
    for name, value in {
        "OPENMANAGER_SHARDS": str(SHARDS),
        "OPENMANAGER_QUEUE_URL": made.url,
        "AWS_ENDPOINT_URL_SQS": sqs,
        "AWS_DEFAULT_REGION": REGION,
        "AWS_ACCESS_KEY_ID": "test",
        "AWS_SECRET_ACCESS_KEY": "test",
    }.items():
        monkeypatch.setenv(name, value)
    settings.cache_clear()
    queue.connect.cache_clear()
    return made


@dataclass
class Clock:
    """The worker's time."""

    ms: int = 0

    def time(self) -> float:
        return self.ms / 1000


@pytest.fixture
def clock(monkeypatch: pytest.MonkeyPatch) -> Clock:
    clock = Clock()
    monkeypatch.setattr(predict, "time", clock)
    return clock


def due_ms(minute: int) -> int:
    return FIRST + (minute + 1) * MINUTE_MS + settings().grace_s * 1000


def push(minute: int, servers: list[str] = SERVERS) -> None:
    pushes = [minutes(server, FIRST, minute + 1)[minute] for server in servers]
    store_pushes(pushes, FIRST + minute * MINUTE_MS + 21_000)


def verdicts() -> dict[str, Any]:
    found = {}
    for shard in range(settings().shards):
        found.update({field: json.loads(text) for field, text in hot.read_verdicts(shard).items()})
    return found


def expected(count: int, servers: list[str] = SERVERS) -> set[str]:
    return {f"{server}|{FIRST // 1000 + 60 * i}" for server in servers for i in range(count)}


def told_twice(redis: Upstash) -> set[tuple[str, int]]:
    """(server, minute) of which the live feed spoke more than once."""
    events = [feed.unpack(flat[1]) for _, flat in redis.command("XRANGE", feed.SAID, "-", "+")]
    told = [(server, event["minute"]) for event in events for server in event["servers"]]
    assert told
    return {one for one in told if told.count(one) > 1}


def snapshot(redis: Upstash) -> dict[str, Any]:
    keys = sorted(k for k in redis.command("KEYS", "om:*") if not k.startswith("om:lease"))
    read = {"hash": ("HGETALL",), "stream": ("XRANGE", "-", "+"), "string": ("GET",)}
    found = {}
    for key in keys:
        name, *rest = read[redis.command("TYPE", key)]
        found[key] = redis.command(name, key, *rest)
    return {k: sorted(v) if isinstance(v, list) and k != "om:feed" else v for k, v in found.items()}


def test_rounds_of_the_queue_are_logged_in_the_trace_of_the_tick_that_asked(
    messages: Queue, clock: Clock, empty_redis: Upstash, capsys: pytest.CaptureFixture[str]
) -> None:
    push(0)
    clock.ms = due_ms(0)
    with tracing.within(tracing.Trace("a" * 32, "b" * 16)):
        assert rounds.tick(due_ms(0)).queued == SHARDS
    messages.deliver(predict.handler)
    told = [json.loads(line) for line in capsys.readouterr().out.splitlines()]
    assert [one["traceId"] for one in told if one["message"] == "round done"] == SHARDS * ["a" * 32]


def test_a_message_a_shard_and_the_same_verdicts_as_without_a_queue(
    messages: Queue, clock: Clock, empty_redis: Upstash, monkeypatch: pytest.MonkeyPatch
) -> None:
    for i in range(3):
        push(i)
        report = rounds.tick(due_ms(i))
        assert (report.queued, report.verdicts, report.carried_over) == (SHARDS, 0, [])
        assert messages.waiting() == SHARDS
        clock.ms = due_ms(i)
        assert messages.deliver(predict.handler) >= SHARDS / 10
    through_queue = verdicts()
    assert through_queue.keys() == expected(3)
    assert messages.waiting() == messages.waiting(dead=True) == 0
    empty_redis.command("FLUSHALL")
    forget_baselines()
    monkeypatch.delenv("OPENMANAGER_QUEUE_URL")
    settings.cache_clear()
    for i in range(3):
        push(i)
        report = rounds.tick(due_ms(i))
        assert (report.queued, report.verdicts) == (0, len(SERVERS))
    assert verdicts() == through_queue


def test_messages_twice_late_and_in_any_order_judge_each_minute_once(
    messages: Queue, clock: Clock, empty_redis: Upstash
) -> None:
    chance = random.Random(11)
    bodies = []
    for i in range(4):
        push(i)
        rounds.tick(due_ms(i))
        while event := messages.receive(10):
            bodies += [record["body"] for record in event["Records"]]
            messages.settle(event, {})
    assert len(bodies) == 4 * SHARDS
    chance.shuffle(bodies)
    for body in bodies + bodies[::2]:
        messages.send(body)
    clock.ms = due_ms(3)
    messages.deliver(predict.handler)
    assert verdicts().keys() == expected(4)
    assert told_twice(empty_redis) == set()


def test_a_message_whose_minute_is_judged_costs_one_request_and_changes_nothing(
    messages: Queue, clock: Clock, empty_redis: Upstash
) -> None:
    push(0)
    push(1)
    clock.ms = due_ms(1)
    rounds.tick(due_ms(1))
    messages.deliver(predict.handler)
    before = snapshot(empty_redis)
    for old in (0, 1):
        empty_redis.reset_stats()
        body = json.dumps({"shard": shard_of("server-00"), "minute": FIRST // MINUTE_MS + old})
        rounds.run_message(body, clock.ms, rounds.Report(0), lambda: False)
        assert empty_redis.stats()["requests"] == 1
    assert snapshot(empty_redis) == before


def test_a_message_sent_before_the_worker_s_clock_saw_the_minute_end_is_served(messages: Queue, clock: Clock) -> None:
    push(0)
    rounds.tick(due_ms(0))
    clock.ms = due_ms(0) - 300
    messages.deliver(predict.handler)
    assert verdicts().keys() == expected(1)


@pytest.mark.parametrize(
    "body",
    [
        "",
        "{}",
        "[1, 2]",
        '{"shard": "x", "minute": 1}',
        json.dumps({"shard": SHARDS, "minute": FIRST // MINUTE_MS}),
        json.dumps({"shard": -1, "minute": FIRST // MINUTE_MS}),
        json.dumps({"shard": 0, "minute": FIRST // MINUTE_MS + 500}),
    ],
)
def test_only_the_poison_message_of_a_batch_fails_and_it_ends_in_the_dead_letter_queue(
    messages: Queue, clock: Clock, body: str
) -> None:
    push(0)
    clock.ms = due_ms(0)
    rounds.tick(due_ms(0))
    messages.send(body or " ")
    messages.deliver(predict.handler)
    assert verdicts().keys() == expected(1)
    assert messages.waiting() == 0
    assert messages.waiting(dead=True) == 1


def test_a_shard_that_fails_comes_again_and_holds_up_no_other(
    messages: Queue, clock: Clock, monkeypatch: pytest.MonkeyPatch
) -> None:
    push(0)
    clock.ms = due_ms(0)
    rounds.tick(due_ms(0))
    bad = shard_of("server-00")
    calls: list[int] = []
    real = rounds.run_shard

    def fails_twice(shard: int, *rest: Any) -> None:
        if shard == bad and len(calls) < RECEIVES - 1:
            calls.append(shard)
            raise RuntimeError("no luck")
        real(shard, *rest)

    monkeypatch.setattr(rounds, "run_shard", fails_twice)
    event = messages.receive(10)
    assert event is not None
    batch = event["Records"]
    failed = predict.handler(event, Context())
    expect = [{"itemIdentifier": r["messageId"]} for r in batch if json.loads(r["body"])["shard"] == bad]
    assert failed == {"batchItemFailures": expect}
    messages.settle(event, failed)
    messages.deliver(predict.handler)
    assert verdicts().keys() == expected(1)
    assert messages.waiting(dead=True) == 0


def test_a_worker_without_time_gives_its_messages_back(messages: Queue, clock: Clock) -> None:
    class Late(Context):
        def get_remaining_time_in_millis(self) -> int:
            return 4_000

    push(0)
    clock.ms = due_ms(0)
    rounds.tick(due_ms(0))
    event = messages.receive()
    assert event is not None
    assert len(predict.handler(event, Late())["batchItemFailures"]) == len(event["Records"])
    assert verdicts() == {}


def test_what_the_queue_does_not_take_is_judged_by_the_tick(messages: Queue, monkeypatch: pytest.MonkeyPatch) -> None:
    push(0)
    client = queue.connect()
    real, calls = client.send_message_batch, []

    def grudging(**arguments: Any) -> Any:
        """Takes the first batch but for one message, and no other."""
        calls.append(arguments)
        if len(calls) > 1:
            raise ConnectionError("away")
        refused, *taken = arguments["Entries"]
        answer = real(**{**arguments, "Entries": taken})
        return {**answer, "Failed": [{"Id": refused["Id"], "Code": "InternalError", "SenderFault": False}]}

    monkeypatch.setattr(client, "send_message_batch", grudging)
    report = rounds.tick(due_ms(0))
    assert report.queued == messages.waiting() == 9
    here = {server for server in SERVERS if shard_of(server) in (0, 10, 11)}
    assert here
    assert {v["server"] for v in verdicts().values()} == here


def test_an_endpoint_that_is_away_leaves_the_tick_to_do_it_all(
    messages: Queue, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setenv("AWS_ENDPOINT_URL_SQS", "http://127.0.0.1:9")
    queue.connect.cache_clear()
    push(0)
    report = rounds.tick(due_ms(0))
    assert (report.queued, report.verdicts) == (0, len(SERVERS))


def test_two_workers_with_the_same_message_commit_once(
    messages: Queue, clock: Clock, empty_redis: Upstash, monkeypatch: pytest.MonkeyPatch
) -> None:
    push(0)
    clock.ms = due_ms(0)
    shard = shard_of("server-00")
    body = json.dumps({"shard": shard, "minute": FIRST // MINUTE_MS})
    both_have_read = threading.Barrier(2, timeout=30)
    real, outcomes = hot.commit_round, []

    def commit(*arguments: Any) -> bool:
        both_have_read.wait()
        outcomes.append(real(*arguments))
        return outcomes[-1]

    monkeypatch.setattr(hot, "commit_round", commit)
    reports = [rounds.Report(0), rounds.Report(0)]
    workers = [
        threading.Thread(target=rounds.run_message, args=(body, clock.ms, report, lambda: False)) for report in reports
    ]
    for worker in workers:
        worker.start()
    for worker in workers:
        worker.join()
    assert sorted(outcomes) == [False, True]
    mine = [server for server in SERVERS if shard_of(server) == shard]
    assert sorted(r.verdicts for r in reports) == [0, len(mine)]
    assert sorted(r.overtaken for r in reports) == [[], [shard]]
    assert verdicts().keys() == expected(1, mine)
    assert len(empty_redis.command("XRANGE", feed.SAID, "-", "+")) == 1


@pytest.mark.parametrize("after", [False, True], ids=["before a call", "after a call"])
def test_a_worker_killed_at_any_store_call_leaves_all_to_the_next(
    messages: Queue, clock: Clock, empty_redis: Upstash, monkeypatch: pytest.MonkeyPatch, after: bool
) -> None:
    shards = 2
    monkeypatch.setenv("OPENMANAGER_SHARDS", str(shards))
    settings.cache_clear()
    real = Redis.run
    deaths = minute = 0
    while deaths == minute:
        push(minute)
        clock.ms = due_ms(minute)
        rounds.tick(due_ms(minute))
        with monkeypatch.context() as patch:
            patch.setattr(Redis, "run", dying(real, [deaths + 1], after))
            try:
                messages.deliver(predict.handler)
            except Killed:
                deaths += 1
        messages.deliver(predict.handler)
        minute += 1
        assert verdicts().keys() == expected(minute)
    # Each round reads and commits; then the worker looks for notices.
    assert deaths == 2 * shards + 1
    assert told_twice(empty_redis) == set()
