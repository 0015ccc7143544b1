"""The live feed over real connections: broken lines, readers that do not read, tokens that end, servers that stop."""

import json
import random
import threading
import time
from collections.abc import Callable, Iterable, Iterator
from contextlib import ExitStack

import numpy as np
import pytest
from jsonschema_rs import ValidationError
from openmanager.feed import hub
from openmanager.security import revocations, tokens
from openmanager.settings import settings
from openmanager.stores import hot
from openmanager.stores.feed import SAID_LENGTH
from openmanager.stores.pushes import store_pushes
from openmanager.telemetry.samples import Push, Samples

from infra.local.stack import Upstash
from tests import credentials
from tests.conftest import API_KEY
from tests.feed import Event, Line, check, serving
from tests.live import PATIENCE_S

DROPS = 100
SERVERS = ("web-01", "db-01")
ALERT = {
    "server": "web-01", "rule": "cpu", "state": "firing", "severity": "warning", "since": 1, "changed": 1, "fired": 1,
    "clear": 0, "easing": 0, "blind": 0, "told": 1, "tellings": 1, "worst": "warning", "escalated": False,
    "was": "firing", "value": 97.0, "limit": 80.0, "facts": {}, "suppressed": "", "incident": "", "acknowledged": 0,
    "by": "", "note": "",
}  # fmt: skip


@pytest.fixture
def port(stores_env: dict[str, str], monkeypatch: pytest.MonkeyPatch) -> Iterator[int]:
    monkeypatch.setenv("OPENMANAGER_STREAM_POLL_S", "0.05")
    monkeypatch.setenv("OPENMANAGER_STREAM_WINDOW_S", "300")
    settings.cache_clear()
    with serving() as number:
        yield number


def until(port: int, wanted: Callable[[list[Event]], bool], last: str = "", query: str = "") -> list[Event]:
    """Read until what has come is enough, coming back after a `bye` as readers do."""
    found: list[Event] = []
    while not wanted(found):
        with Line(port, API_KEY, found[-1].id if found else last, query) as line:
            while not wanted(found) and not line.ended:
                found += line.read()
    return found


class Writer:
    """Alerts, verdicts and pushes, each with a number that tells whether one is missing or came twice.

    Rounds are a minute apart, these some milliseconds: it waits for its reader, as the stream of verdicts is short.
    """

    def __init__(self) -> None:
        self.count = self.read = 0
        self.stop = threading.Event()
        self.thread = threading.Thread(target=self._run, name="writer")

    def _run(self) -> None:
        while not self.stop.wait(0.005):
            if self.count - self.read < SAID_LENGTH // 2:
                self.write()

    def write(self) -> None:
        self.count += 1
        n = self.count
        transition = {"id": str(n), "what": "firing", "at": n, "notice": "", "alert": ALERT}
        said = {"status": "healthy", "risk": n, "failure": None, "anomaly": None, "anomalous": False, "confidence": 0}
        told = {"minute": 60 * n, "servers": dict.fromkeys(SERVERS, said), "recent": {s: [1] for s in SERVERS}}
        writes = hot.Writes(events=[("alert", {"transitions": [transition]})], said=told)
        assert hot.commit_round(0, n - 1, writes)
        # The load counts; the processor jumps, so that the dead band holds nothing back.
        row = np.array([[90.0 if n % 2 else 10.0, n / 100]])
        times = np.array([int(time.time() * 1000)], np.int64)
        samples = Samples(("cpu_utilization", "load_5m"), times, row, np.zeros(1, np.bool_))
        store_pushes([Push(server, samples) for server in SERVERS], int(times[0]))


def test_a_hundred_broken_lines_lose_nothing_and_repeat_nothing(port: int) -> None:
    chance, writer = random.Random(7), Writer()
    writer.write()
    read = until(port, bool)
    last, writer.read = read[-1].id, writer.count
    writer.thread.start()
    try:
        for drop in range(DROPS):
            with Line(port, API_KEY, last) as line:
                for _ in range(chance.randint(0, 12)):
                    read += line.read(chance.randint(1, 700))
            last, writer.read = read[-1].id, max([writer.read, *numbers(read)[1]])
            if drop % 7 == 6:
                # As if the next answer came from another process, which has followed nothing.
                hub.forget()
    finally:
        writer.stop.set()
        writer.thread.join()
    # One last push tells whether everything before it has come.
    writer.write()
    final = writer.count

    def all_came(found: list[Event]) -> bool:
        names = {event.name for event in found}
        return {"alert", "prediction", "metrics"} <= names and values(found)[-1:] == [final]

    read += until(port, all_came, last)
    alerts, predictions, loads = numbers(read)
    assert [event.data["gap"] for event in read if event.name == "snapshot"] == [False]
    # What the snapshot showed already is not told again.
    assert alerts == predictions == list(range(2, final + 1))
    assert loads == sorted(set(loads))
    assert values(read)[-1] == final > DROPS


def numbers(read: list[Event]) -> tuple[list[int], list[int], list[int]]:
    """The numbers of alerts, of verdicts and of one server's pushes, in the order in which they came."""
    alerts = [int(t["id"]) for event in read if event.name == "alert" for t in event.data["transitions"]]
    predictions = [event.data["minute"] // 60 for event in read if event.name == "prediction"]
    # Once a minute every value is told again.
    return alerts, predictions, values(event for event in read if not event.data.get("key"))


def values(read: Iterable[Event]) -> list[int]:
    """The numbers of one server's pushes."""
    metrics = [event.data["servers"] for event in read if event.name == "metrics"]
    return [servers["web-01"][4] for servers in metrics if "web-01" in servers]


def test_a_reader_that_does_not_read_is_let_go_of_and_slows_nobody(port: int, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr("openmanager.web.sse._STALL_S", 0.5)
    writer = Writer()
    writer.write()
    with Line(port, API_KEY):
        (here,) = hub._hubs.values()
        assert here.readers == 1
        # More than all buffers on the way hold.
        long = ALERT | {"note": "x" * 200_000}
        filled = {"transitions": [{"id": "0", "what": "firing", "at": 1, "notice": "", "alert": long}]}
        for n in range(1, 41):
            assert hot.commit_round(0, n, hot.Writes(events=[("alert", filled)]))
            found = until(port, bool, query="?topics=alerts&servers=nobody")
            assert found[0].name == "snapshot"
        give_up = time.monotonic() + PATIENCE_S
        while here.readers and time.monotonic() < give_up:
            time.sleep(0.05)
        assert here.readers == 0


def test_what_is_quiet_sends_comments(port: int) -> None:
    with Line(port, API_KEY) as line:
        while line.parser.comments < 4:
            line.read()


def test_however_many_read_a_look_is_one_command(port: int, empty_redis: Upstash) -> None:
    with ExitStack() as stack:
        lines = [stack.enter_context(Line(port, API_KEY)) for _ in range(20)]
        empty_redis.reset_stats()
        for line in lines:
            while line.parser.comments < 6:
                line.read()
        spent = empty_redis.stats()["by_name"]
    assert spent.keys() == {"EVAL"}
    assert spent["EVAL"] < 6 * len(lines)


def test_a_store_that_goes_away_ends_the_stream_with_its_reason(port: int, upstash: Upstash) -> None:
    with Line(port, API_KEY) as line:
        begun = line.read()
        while not begun:
            begun += line.read()
        with upstash.away():
            rest = line.rest()
    assert (rest[-1].name, rest[-1].data) == ("bye", {"reason": "store"})
    with Line(port, API_KEY, rest[-1].id) as line:
        while line.parser.comments < 3:
            assert not line.ended
            line.read()


def test_a_server_that_stops_says_so(stores_env: dict[str, str], monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setenv("OPENMANAGER_STREAM_WINDOW_S", "300")
    settings.cache_clear()
    with ExitStack() as stack:
        with serving() as port:
            line = stack.enter_context(Line(port, API_KEY))
            assert [event.name for event in line.read()] in ([], ["snapshot"])
        rest = line.rest()
    assert (rest[-1].name, rest[-1].data) == ("bye", {"reason": "shutdown"})


def test_who_logs_out_reads_no_further(port: int, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr("openmanager.web.sse._CHECK_S", 0.0)
    monkeypatch.setattr("openmanager.security.revocations.FRESH_S", 0.0)
    monkeypatch.setenv("OPENMANAGER_JWT_KEYS", credentials.JWT_KEYS)
    settings.cache_clear()
    mine = credentials.token("viewer")
    with Line(port, mine) as line:
        line.read()
        revocations.revoke(tokens.read(mine), time.time())
        rest = line.rest()
    assert (rest[-1].name, rest[-1].data) == ("bye", {"reason": "expired"})


def test_a_token_that_ends_ends_its_stream(
    port: int, stores_env: dict[str, str], monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setattr("openmanager.web.sse._CHECK_S", 0.0)
    with Line(port, API_KEY) as line:
        line.read()
        monkeypatch.setenv("OPENMANAGER_API_KEY", "another-key-0123456789abcdef")
        settings.cache_clear()
        rest = line.rest()
    assert (rest[-1].name, rest[-1].data) == ("bye", {"reason": "expired"})


def test_the_schema_knows_what_is_wrong() -> None:
    check(Event("bye", "1-0_1-0_1-0", {"reason": "window"}))
    for event in (
        Event("bye", "1-0_1-0_1-0", {"reason": "bored"}),
        Event("bye", "1-0", {"reason": "window"}),
        Event("metrics", "1-0_1-0_1-0", {"time": 1, "servers": {"a": [1]}, "seen": {}, "key": False}),
        Event("weather", "1-0_1-0_1-0", json.loads("{}")),
    ):
        with pytest.raises(ValidationError):
            check(event)
