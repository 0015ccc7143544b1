"""Every minute, under a lease, a round of every shard."""

from collections.abc import Callable

from openmanager.settings import settings
from openmanager.stores import hot
from openmanager.telemetry.samples import MINUTE_MS
from openmanager.watch.round import Report, run_shard

_LEASE_S = 120


def tick(now_ms: int, out_of_time: Callable[[], bool] = lambda: False) -> Report:
    """One tick: nothing if another one took this minute, else a round of every shard."""
    newest = newest_closed_minute(now_ms)
    report = Report(newest * 60)
    if not hot.take_lease(f"tick:{newest}", _LEASE_S):
        report.held = True
        return report
    for shard in range(settings().shards):
        if out_of_time():
            report.carried_over.append(shard)
        else:
            run_shard(shard, newest, report, out_of_time)
    return report


def newest_closed_minute(now_ms: int) -> int:
    """The newest minute (index since 1970) whose grace is over."""
    return (now_ms - settings().grace_s * 1000) // MINUTE_MS - 1
