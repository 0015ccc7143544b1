"""Where samples are kept once a source has read them: in Redis, and while Redis is away in Postgres.

What lies in Postgres is put where it belongs as soon as Redis answers again, by the first function that stores
something, and by the archive in case none does.
"""

import logging
import time
from collections.abc import Callable, Sequence

from openmanager import tracing
from openmanager.errors import InvalidSettings, StoreUnavailable
from openmanager.settings import settings
from openmanager.stores import cadence, stages
from openmanager.stores.pushes import store_pushes
from openmanager.stores.segments import told_minutes
from openmanager.telemetry.samples import Push

# For this long after a failure Redis is not asked again, so that senders need not wait for it each time.
_AWAY_S = 10.0
# What is older than this when it comes is history, which is neither late nor on time.
_NEWS_MS = 3_600_000
# Pushes put back at once; a round trip each way, well within any function's time.
_REFILL = 200

_away_until = 0.0
_owed = False

log = logging.getLogger(__name__)


def keep(pushes: Sequence[Push], now_ms: int) -> bool:
    """Store the pushes durably; whether somebody watches. Raises StoreUnavailable when neither store takes them.

    One line of the log says what was stored, and by which traces alerts will know it.
    """
    watched = _kept(pushes, now_ms)
    _note(pushes, now_ms)
    return watched


def _kept(pushes: Sequence[Push], now_ms: int) -> bool:
    global _away_until, _owed
    if time.monotonic() >= _away_until:
        try:
            trace = tracing.current()
            named = trace.header if trace and trace.received and trace.sampled else None
            watched = store_pushes(pushes, now_ms, traceparent=named)
        except StoreUnavailable:
            _away_until = time.monotonic() + _AWAY_S
        else:
            _count_ages(pushes, now_ms)
            if _owed:
                _owed = refill(now_ms) > 0
            return watched
    _keep_in_postgres(pushes, now_ms)
    _count_ages(pushes, now_ms)
    _owed = True
    return False


def _note(pushes: Sequence[Push], now_ms: int) -> None:
    """The line belongs to the sender's trace if it named one, else to the newest minute's if that is of one server.

    Alerts of minutes without a stored trace are found by `traces`: server -> of each of its minutes.
    """
    traces = {p.server: [tracing.of_minute(p.server, m) for m in told_minutes(p.samples, now_ms)] for p in pushes}
    trace = tracing.current()
    if (trace is None or not trace.received) and len(traces) == 1 and (ids := next(iter(traces.values()))):
        trace = tracing.joined(ids[-1])
    with tracing.within(trace):
        log.info("samples stored", extra={"values": sum(push.samples.count for push in pushes), "traces": traces})


def next_push_s(watched: bool) -> int:
    """When a sender shall push again: sooner while somebody watches, later while the month would cost too much."""
    s = settings()
    usual = min(s.watched_interval_s, s.push_interval_s) if watched else s.push_interval_s
    return max(usual, cadence.known().push_s)


def _count_ages(pushes: Sequence[Push], now_ms: int) -> None:
    """How old each push's newest sample is; a history that somebody hands in later is no sample that came late."""
    for push in pushes:
        if len(push.samples) and (age_ms := now_ms - int(push.samples.times[-1])) <= _NEWS_MS:
            stages.passed("ingest", age_ms)


def _keep_in_postgres(pushes: Sequence[Push], now_ms: int) -> None:
    # Only a function that finds Redis away pays for Postgres' driver.
    from openmanager.stores import intake

    try:
        intake.add(pushes, now_ms)
    except (StoreUnavailable, InvalidSettings) as error:
        raise StoreUnavailable(f"neither Redis nor Postgres takes samples now: {error}") from error


def refill(now_ms: int) -> int:
    """Move some of what Postgres took into Redis; how many pushes are left. Raises nothing: the next call goes on."""
    from openmanager.stores import intake

    try:
        rows = intake.oldest(_REFILL)
        for row in rows:
            store_pushes([row.push], now_ms, row.arrived_ms)
            intake.remove(row)
        return intake.count()
    except StoreUnavailable as error:
        log.warning("what Postgres took waits there: %s", error)
        return 1


def refill_all(now_ms: int, out_of_time: Callable[[], bool]) -> None:
    """Move everything that Postgres took into Redis, as long as that makes progress and there is time."""
    left = refill(now_ms)
    while left and not out_of_time():
        before, left = left, refill(now_ms)
        if left >= before:
            return


def forget() -> None:
    """Take every store for reachable again."""
    global _away_until, _owed
    _away_until, _owed = 0.0, False
