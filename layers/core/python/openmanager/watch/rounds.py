"""Every minute, under a lease, a round of every shard: here if there is one or no queue, else by workers."""

import logging
import time
from collections.abc import Callable, Sequence
from contextlib import suppress

from openmanager.errors import InvalidInput, StoreUnavailable
from openmanager.settings import settings
from openmanager.stores import cadence, hot, queue
from openmanager.telemetry.samples import MINUTE_MS
from openmanager.watch.round import Report, run_shard

_LEASE_S = 120
# After an outage of Redis its samples come back with the senders' next pushes (openmanager.intake). Rounds wait for so
# many minutes, or they would call everybody offline for the time in between.
_REFILL_MIN = 2
# An outage that only one tick met is shorter than any silence that counts.
_OUTAGE_TICKS = 2

# First and last minute of the outage that this process saw last; a process that saw none does not wait.
_outage = (0, 0)

log = logging.getLogger(__name__)


def tick(now_ms: int, out_of_time: Callable[[], bool] = lambda: False) -> Report:
    """One tick: nothing if another one took this minute, else a round of every shard.

    A shard whose round breaks off is named in the report and holds up no other; the next tick catches it up. Raises
    StoreUnavailable when Redis is away; after more than one such tick, the next ones wait for what was sent meanwhile.
    """
    _hear_pace()
    newest = newest_closed_minute(now_ms)
    report = Report(newest * 60)
    try:
        report.held = not hot.take_lease(f"tick:{newest}", _LEASE_S)
    except StoreUnavailable:
        _note_outage(newest)
        raise
    if report.held:
        return report
    if _refilling(newest):
        report.refilling = True
        report.carried_over = list(range(settings().shards))
        return report
    shards: Sequence[int] = range(settings().shards)
    if settings().queue_url and len(shards) > 1:
        shards = queue.send_rounds(shards, newest)
        report.queued = settings().shards - len(shards)
    if shards:
        _run_in_turn(shards, newest, report, out_of_time, _clock(now_ms))
    return report


def run_message(body: str, now_ms: int, report: Report, out_of_time: Callable[[], bool]) -> None:
    """The round that a message asks for. Raises InvalidInput for a message that is none of ours."""
    shard, minute = queue.read_round(body)
    _hear_pace()
    newest = newest_closed_minute(now_ms)
    # The sender's clock may be a little ahead of ours, across the end of a grace.
    if minute > newest + 1:
        raise InvalidInput("body.minute", f"{minute} is not over yet")
    # A message that waited asks for no less than a new one would:
    report.minute = max(minute, newest) * 60
    run_shard(shard, max(minute, newest), report, out_of_time, _clock(now_ms))


def _clock(now_ms: int) -> Callable[[], float]:
    """The time in ms, from the given instant on."""
    began = time.monotonic()
    return lambda: now_ms + (time.monotonic() - began) * 1000


def newest_closed_minute(now_ms: int) -> int:
    """The newest minute (index since 1970) whose grace is over."""
    return (now_ms - cadence.grace_s() * 1000) // MINUTE_MS - 1


def _hear_pace() -> None:
    """Where senders may be slowed, hear how much: rounds wait for them. While Redis is away, as much as before."""
    if settings().cost_cap_usd is not None:
        with suppress(StoreUnavailable):
            cadence.read()


def _note_outage(minute: int) -> None:
    global _outage
    first, last = _outage
    _outage = (first if minute - last in (0, 1) else minute, minute)


def _refilling(minute: int) -> bool:
    global _outage
    first, last = _outage
    if last - first + 1 >= _OUTAGE_TICKS and 0 < minute - last <= _REFILL_MIN:
        return True
    _outage = (0, 0)
    return False


def _run_in_turn(
    shards: Sequence[int],
    newest: int,
    report: Report,
    out_of_time: Callable[[], bool],
    clock_ms: Callable[[], float],
) -> None:
    """One shard after the other: first those that the last tick left, longest first, then as the minute has it."""
    n = settings().shards
    # A single shard knows by itself what it owes.
    left = hot.read_carried() if n > 1 else {}
    # A tick that is killed leaves no word, and must not begin with the same shards each time.
    order = sorted(shards, key=lambda shard: (left.get(shard, newest * 60), (shard - newest) % n))
    since: dict[int, int] = {}
    for shard in order:
        if out_of_time():
            report.carried_over.append(shard)
            report.behind[shard] = left.get(shard, newest * 60)
        else:
            _attempt(shard, newest, report, out_of_time, clock_ms)
        if shard in report.failed:
            report.behind.setdefault(shard, left.get(shard, newest * 60))
        if shard in report.behind:
            since[shard] = report.behind[shard]
    for shard, second in report.behind.items():
        log.warning("shard %d is carried over: it owes verdicts from %d on", shard, second)
    if n > 1 and since != left:
        hot.set_carried(since)


def _attempt(
    shard: int, newest: int, report: Report, out_of_time: Callable[[], bool], clock_ms: Callable[[], float]
) -> None:
    try:
        run_shard(shard, newest, report, out_of_time, clock_ms)
    except Exception as error:
        log.exception("the round of shard %d broke off", shard)
        report.failed[shard] = f"{type(error).__name__}: {error}"
