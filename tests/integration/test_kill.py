"""kill -9 of everything in the middle of ingest and rounds: every acknowledged sample is there afterwards."""

import json
import random
import subprocess
import sys
import threading
import time
from collections.abc import Iterator
from pathlib import Path

import numpy as np
import psutil
import psycopg
import pytest
from openmanager import archive
from openmanager.settings import settings
from openmanager.stores import history, hot, reset
from openmanager.stores.segments import BACKLOG, read_server_frames, segments_between
from openmanager.telemetry.samples import merge
from openmanager.watch import rounds

from infra.local.process import free_port
from tests.live import LiveStack

SERVERS = [f"server-{i}" for i in range(4)]
SEED = 20261123
KILLS = 3
HOUR_MS = 3_600_000

# Rounds and archive runs without a pause, so that wherever the kill falls one is under way.
WORKER = """
import time
from openmanager import archive
from openmanager.watch import rounds
while True:
    now_ms = int(time.time() * 1000)
    rounds.run_shard(0, rounds.newest_closed_minute(now_ms), rounds.Report(0), lambda: False)
    archive.run(now_ms)
"""


def environment(stack: LiveStack) -> dict[str, str]:
    """How the functions of a running stack reach its stores."""
    return {**psutil.Process(stack.children()["gateway"].pid).environ(), **{"PYTHONPATH": stack.env["PYTHONPATH"]}}


@pytest.fixture
def stack(tmp_path: Path) -> Iterator[LiveStack]:
    running = LiveStack(tmp_path, free_port())
    yield running
    if running.process and running.process.poll() is None:
        running.stop()
    settings.cache_clear()
    reset()


class Sender(threading.Thread):
    """Pushes one batch after the other until told to stop and remembers what was acknowledged."""

    def __init__(self, stack: LiveStack, server: str, seed: int) -> None:
        super().__init__()
        self.stack, self.server, self.chance = stack, server, random.Random(seed)
        self.acknowledged: dict[int, float] = {}
        self.stopping = threading.Event()

    def run(self) -> None:
        while not self.stopping.is_set():
            now_ms = int(time.time() * 1000)
            # Into the current segment, the last ones and the backlog; never twice the same instant.
            samples = {
                now_ms - self.chance.randrange(HOUR_MS // 2): float(self.chance.randrange(1000)) / 10
                for _ in range(self.chance.randrange(1, 20))
            }
            new = {at: value for at, value in samples.items() if at not in self.acknowledged}
            body = {
                "server": self.server,
                "samples": [{"time": at / 1000, "metrics": {"cpu_utilization": value}} for at, value in new.items()],
            }
            status, text = self.stack.ask("/api/ingest", "POST", json.dumps(body).encode())
            if status == 200:
                assert json.loads(text)["accepted"] == len(new), text
                self.acknowledged |= new


def test_every_acknowledged_sample_survives_a_kill_of_everything(
    stack: LiveStack, monkeypatch: pytest.MonkeyPatch
) -> None:
    chance = random.Random(SEED)
    acknowledged: dict[str, dict[int, float]] = {server: {} for server in SERVERS}
    for _ in range(KILLS):
        stack.start()
        senders = [Sender(stack, server, chance.randrange(1 << 30)) for server in SERVERS]
        worker = subprocess.Popen([sys.executable, "-c", WORKER], env=environment(stack), stderr=subprocess.DEVNULL)
        for sender in senders:
            sender.acknowledged |= acknowledged[sender.server]
            sender.start()
        enough = sum(map(len, acknowledged.values())) + chance.randrange(200, 1500)
        stack.wait_for(lambda: sum(len(s.acknowledged) for s in senders) > enough)  # noqa: B023
        worker.kill()
        stack.kill()
        for sender in senders:
            sender.stopping.set()
        for sender in senders:
            sender.join()
            acknowledged[sender.server] |= sender.acknowledged
        worker.wait()

    stack.start()
    for name, value in environment(stack).items():
        monkeypatch.setenv(name, value)
    settings.cache_clear()
    reset()
    now_ms = int(time.time() * 1000)
    for server, sent in acknowledged.items():
        frames = read_server_frames(server, [*segments_between(now_ms - 2 * HOUR_MS, now_ms), BACKLOG])
        cold = history.read_blocks(server, now_ms - 2 * HOUR_MS, now_ms)
        stored = merge([*(frame.read()[0] for frame in frames), *cold])
        values = stored.values[:, stored.series.index("cpu_utilization")]
        found = dict(zip(stored.times.tolist(), values.tolist(), strict=True))
        # More may be stored than was acknowledged: the answer to a push can be lost, the push cannot.
        assert {at: found.get(at) for at in sent} == sent

    # The rounds go on from where they were, each minute judged once:
    rounds.run_shard(0, rounds.newest_closed_minute(now_ms), rounds.Report(0), lambda: False)
    archive.run(now_ms)
    assert hot.read_verdicts(0) == {}
    with psycopg.connect(environment(stack)["DATABASE_URL"]) as connection:
        for server in SERVERS:
            said = connection.execute("SELECT minute FROM predictions WHERE server = %s ORDER BY 1", (server,))
            minutes = [minute.timestamp() for (minute,) in said]
            assert len(minutes) >= 25
            assert set(np.diff(minutes).tolist()) == {60.0}
