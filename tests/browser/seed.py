"""Fills a stack with a fleet and its past, then sends what comes: `python -m tests.browser.seed SERVERS`.

Runs with the environment of the stack's gateway. All samples go through the ingest door. Records of servers are
rebuilt from their samples, as they are after a loss of Redis; their last minutes, the hour of the troubled and all of
the new ones are judged by real rounds. Says `seeded` when the fleet is there.
"""

import json
import os
import sys
import time
import urllib.request
from collections.abc import Iterable, Iterator, Sequence
from concurrent.futures import ThreadPoolExecutor
from contextlib import suppress
from http.client import HTTPException
from typing import Any

import numpy as np
from openmanager.settings import settings
from openmanager.stores import past
from openmanager.stores.shards import shard_of
from openmanager.telemetry.samples import MINUTE_MS, Samples
from openmanager.watch import rounds, state
from openmanager.watch.rebuild import rebuild

from infra.local.process import say
from tests.browser.fleet import PAST_MIN, SHORT_MIN, Member, members

# Minutes that real rounds judge: of the quiet few, of the troubled most of what befell them.
JUDGED_MIN, TROUBLED_MIN = 12, 75
# Values in a request; the door takes 200,000.
_TOGETHER = 150_000
TIMEOUT_S = 60
PAUSE_S = 5


def main(url: str, size: int) -> None:
    """Fill, say so, and go on sending until somebody ends it."""
    now_min = int(time.time() // 60)
    fleet = members(size, now_min)
    with ThreadPoolExecutor(1) as door:
        sending = door.submit(lambda: [post(url, body) for body in _bodies(_past(fleet, now_min))])
        put_records(fleet, now_min)
        sending.result()
    # What took place meanwhile, so that nobody looks silent:
    until = int(time.time() // 60)
    alive = [member for member in fleet if not member.silent_min]
    for body in _bodies(_between(alive, now_min, until)):
        post(url, body)
    with ThreadPoolExecutor(1) as door:
        sending = door.submit(send, url, alive)
        report = rounds.tick(int(time.time() * 1000))
        if report.failed or report.carried_over or report.poison:
            say(f"the rounds did not go well: {report}")
            os._exit(1)
        say(f"seeded {size} servers: {report.verdicts} verdicts")
        sending.result()


def put_records(fleet: Sequence[Member], now_min: int) -> None:
    """Records of all but the new as rounds would have left them before the minutes that are still to be judged."""
    own = [i for i, m in enumerate(fleet) if m.alike is None and m.sent_min >= SHORT_MIN]
    lasts = np.array([now_min - (TROUBLED_MIN if fleet[i].troubled else JUDGED_MIN) for i in own])
    made = dict(zip(own, state.pack(rebuild([fleet[i].samples for i in own], lasts)), strict=True))
    places = {m.name: i if m.alike is None else m.alike for i, m in enumerate(fleet)}
    for shard in range(settings().shards):
        records = {name: made[i] for name, i in places.items() if i in made and shard_of(name) == shard}
        past.put_state(shard, records, [])


def send(url: str, fleet: Sequence[Member]) -> None:
    """Everybody's values of this second at the pace that the door asks for, until what the fleet has in store ends."""
    pause_s = PAUSE_S
    last = max(int(member.samples.times[-1]) for member in fleet) / 1000
    while time.time() < last:
        began = time.time()
        # A gateway that some test has killed under a push is back in a moment.
        with suppress(OSError, HTTPException):
            answer = post(url, {"servers": [_entry(m, _at(m.samples, began)) for m in fleet]})
            pause_s = min(answer["next_push_s"], PAUSE_S)
        time.sleep(max(0.0, began + pause_s - time.time()))


def post(url: str, body: dict[str, Any]) -> dict[str, Any]:
    """What the door answers."""
    headers = {"Authorization": f"Bearer {os.environ['OPENMANAGER_API_KEY']}", "Content-Type": "application/json"}
    request = urllib.request.Request(f"{url}/api/ingest", json.dumps(body).encode(), headers)
    with urllib.request.urlopen(request, timeout=TIMEOUT_S) as reply:
        answer: dict[str, Any] = json.load(reply)
    if answer["rejected"]:
        sys.exit(f"refused: {answer['rejected'][0]}")
    return answer


def _past(fleet: Iterable[Member], now_min: int) -> Iterator[tuple[Member, Samples]]:
    for member in fleet:
        yield from _between([member], now_min - min(member.sent_min, PAST_MIN), now_min - member.silent_min)


def _between(fleet: Iterable[Member], start: int, stop: int) -> Iterator[tuple[Member, Samples]]:
    for member in fleet:
        minutes = member.samples.times // MINUTE_MS
        wanted = (minutes >= start) & (minutes < stop)
        if wanted.any():
            yield member, member.samples.rows(wanted)


def _bodies(parts: Iterable[tuple[Member, Samples]]) -> Iterator[dict[str, Any]]:
    gathered: list[dict[str, Any]] = []
    count = 0
    for member, samples in parts:
        if count + samples.count > _TOGETHER:
            yield {"servers": gathered}
            gathered, count = [], 0
        gathered.append(_entry(member, samples))
        count += samples.count
    if gathered:
        yield {"servers": gathered}


def _entry(member: Member, samples: Samples) -> dict[str, Any]:
    rows = [
        {"time": t / 1000, "metrics": dict(zip(samples.series, row, strict=True))}
        for t, row in zip(samples.times.tolist(), samples.values.tolist(), strict=True)
    ]
    return {"server": member.name, **member.attributes, "samples": rows}


def _at(samples: Samples, moment_s: float) -> Samples:
    """One sample between those of two minutes."""
    instant = np.array([round(moment_s * 1000)])
    values = [np.interp(instant, samples.times, column) for column in samples.values.T]
    return Samples(samples.series, instant, np.round(np.stack(values, axis=1), 1), np.zeros(1, np.bool_))


if __name__ == "__main__":
    main(sys.argv[1], int(sys.argv[2]))
