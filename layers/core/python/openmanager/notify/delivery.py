"""Delivers what waits in the outbox: every minute, under a lease, several receivers at a time.

At least once: an entry leaves the outbox only after the receiver took it. A function that dies in between has it sent
again, under the same idempotency key; that is at most one notice a receiver, because the next is sent only when the one
before it has been settled.
"""

import logging
import os
import queue
import threading
import time
from collections.abc import Callable, Sequence
from contextvars import copy_context

from openmanager import tracing
from openmanager.errors import InvalidInput
from openmanager.notify.entries import Entry, plan, read_entry, settled, unreadable
from openmanager.notify.outcome import LIMIT_S, Outcome
from openmanager.notify.routing import UNROUTED, route
from openmanager.notify.targets import Target, published
from openmanager.stores import outbox, stages
from openmanager.values import mutable

# A tick's minute: who died within it is succeeded by the next.
_LEASE_S = 50
# No attempt begins after this, so that the last one is settled while the lease holds.
_BEGIN_WITHIN_S = _LEASE_S - 2 * LIMIT_S
_AT_ONCE = 8
# How soon a worker notices that nobody settles any more.
_LOOK_UP_S = 0.1

log = logging.getLogger(__name__)
# An attempt, and what tells its worker that it has been settled; None when a worker is through.
Result = tuple[Entry, Outcome, threading.Event] | None


@mutable
class DeliveryReport:
    """What a delivery did. `held`: somebody else delivers. `without_targets`: Redis lost them; all waits for them."""

    waiting: int = 0
    delivered: int = 0
    later: int = 0
    failed: int = 0
    held: bool = False
    without_targets: bool = False
    carried_over: bool = False


def deliver(now_ms: int, out_of_time: Callable[[], bool] = lambda: False) -> DeliveryReport:
    """Try everything that is due. Raises StoreUnavailable with nothing lost."""
    report = DeliveryReport()
    run = _Run(now_ms, out_of_time)
    token = os.urandom(8).hex()
    taken = outbox.take(token, _LEASE_S)
    if not isinstance(taken, outbox.Taken):
        report.held = taken == "held"
        return report
    report.waiting = len(taken.entries)
    entries = _readable(taken.entries, now_ms, report)
    targets = published(taken.targets)
    if targets is None:
        report.without_targets = True
    else:
        entries = _routed(entries, targets)
        report.waiting = len(entries) + report.failed
        _deliver(plan(entries, now_ms), {target.id: target for target in targets}, run, report)
    outbox.release(token)
    return report


def _routed(entries: list[Entry], targets: Sequence[Target]) -> list[Entry]:
    """The entries, with those in the place of what was told while nobody knew which targets there are."""
    unrouted = [entry for entry in entries if entry.target == UNROUTED]
    if not unrouted:
        return entries
    places = [(entry.key, entry.text, route(entry.notice, targets)) for entry in unrouted]
    put = [fields for (*_, fields), done in zip(places, outbox.put_in_place(places), strict=True) if done]
    routed = [read_entry(key, text) for fields in put for key, text in fields.items()]
    return [entry for entry in entries if entry.target != UNROUTED] + routed


class _Run:
    """The clock of one delivery, from the given instant on, and whether it is to end."""

    def __init__(self, now_ms: int, out_of_time: Callable[[], bool]) -> None:
        self._began, self._now_ms, self._out_of_time = time.monotonic(), now_ms, out_of_time
        self._stop = threading.Event()

    def now_ms(self) -> int:
        return self._now_ms + round((time.monotonic() - self._began) * 1000)

    def stop(self) -> None:
        self._stop.set()

    def wait(self, settled: threading.Event) -> None:
        while not settled.wait(_LOOK_UP_S) and not self._stop.is_set():
            pass

    def over(self) -> bool:
        return self._stop.is_set() or time.monotonic() - self._began > _BEGIN_WITHIN_S or self._out_of_time()


def _readable(texts: dict[str, str], now_ms: int, report: DeliveryReport) -> list[Entry]:
    found, damaged = [], []
    for key, text in texts.items():
        try:
            found.append(read_entry(key, text))
        except InvalidInput as error:
            log.error("notice %s is set aside: %s", key, error)
            damaged.append(unreadable(key, text, error.reason, now_ms))
    if damaged:
        report.failed += outbox.settle(damaged)
    return found


def _deliver(planned: dict[str, list[Entry]], targets: dict[str, Target], run: _Run, report: DeliveryReport) -> None:
    """One worker a target; what they report is settled as it comes, together where it comes together."""
    if not planned:
        return
    # Most ticks have nothing to tell anybody.
    from concurrent.futures import ThreadPoolExecutor

    results: queue.SimpleQueue[Result] = queue.SimpleQueue()
    with ThreadPoolExecutor(min(_AT_ONCE, len(planned)), thread_name_prefix="notify") as pool:
        try:
            for name, entries in planned.items():
                # In a context like ours, so that its log names the function that delivers.
                pool.submit(copy_context().run, _work, targets.get(name), entries, run, results, report)
            working = len(planned)
            while working:
                batch = _gathered(results)
                working -= batch.count(None)
                _settle([result for result in batch if result], run, report)
        finally:
            run.stop()


def _gathered(results: "queue.SimpleQueue[Result]") -> list[Result]:
    batch = [results.get()]
    while not results.empty():
        batch.append(results.get())
    return batch


def _settle(results: Sequence[tuple[Entry, Outcome, threading.Event]], run: _Run, report: DeliveryReport) -> None:
    if not results:
        return
    settlements = [settled(entry, outcome, run.now_ms()) for entry, outcome, _ in results]
    outbox.settle(settlements)
    for _, _, done in results:
        done.set()
    moves = [s.move for s in settlements]
    _count_ages(results, moves, run.now_ms())
    report.delivered += moves.count("gone")
    report.later += moves.count("stay")
    report.failed += moves.count("park")


def _count_ages(results: Sequence[tuple[Entry, Outcome, threading.Event]], moves: Sequence[str], now_ms: int) -> None:
    """How old notices were as they were settled. Tests tell of nothing; what nobody will ever take is late."""
    for (entry, _, _), move in zip(results, moves, strict=True):
        if move != "stay" and entry.notice.event != "test":
            # It happened in the minute that begins then.
            stages.passed("notice", now_ms - (entry.notice.at + 60) * 1000, late=move == "park")


def _work(
    target: Target | None,
    entries: list[Entry],
    run: _Run,
    results: "queue.SimpleQueue[Result]",
    report: DeliveryReport,
) -> None:
    """A target's entries, one after the other; after the first that must wait, the rest waits for the next run."""
    try:
        for entry in entries:
            if run.over():
                report.carried_over = True
                return
            with tracing.within(tracing.joined(entry.notice.trace_id)):
                outcome = _attempt(entry, target, run)
                _note(entry, outcome)
            done = threading.Event()
            results.put((entry, outcome, done))
            run.wait(done)
            if outcome.kind == "later":
                return
    finally:
        results.put(None)


def _note(entry: Entry, outcome: Outcome) -> None:
    notice = entry.notice
    about = {"notice": notice.id, "target": entry.target, "status": outcome.status, "tries": entry.tries + 1}
    log.info("notice %s: %s", notice.event, outcome.kind, extra=about)


def _attempt(entry: Entry, target: Target | None, run: _Run) -> Outcome:
    if target is None:
        return Outcome("refused", "the target no longer exists")
    if not target.enabled:
        return Outcome("refused", "the target is switched off")
    # Nearly every run finds nothing to send and needs none of what sending takes.
    from openmanager.notify.send import send

    return send(entry.notice, target, entry.key, run.now_ms() / 1000)
