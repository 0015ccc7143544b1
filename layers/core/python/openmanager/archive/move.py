"""Moves what is settled from Redis to Postgres: closed segments, the backlog, verdicts, and what does not decode.

Every step writes to Postgres first and then deletes just the fields it read, so a run that dies anywhere is repeated
by the next one without loss or doubles.
"""

import json
from collections import defaultdict
from collections.abc import Callable, Mapping

import numpy as np

from openmanager import intake, notify
from openmanager.archive import ledger
from openmanager.archive.days import close_due
from openmanager.errors import DamagedFrame
from openmanager.oncall import settings as oncall
from openmanager.stores import alerts, blocks, config, history, hot, partitions, verdicts
from openmanager.stores.latest import read_latest
from openmanager.stores.segments import (
    BACKLOG,
    SEGMENT_MS,
    frames_key,
    oldest_segment,
    read_hash,
    segment_of,
    stored_frames,
)
from openmanager.telemetry.samples import MINUTE_MS, Samples, merge
from openmanager.telemetry.windows import LOOKBACK_MS
from openmanager.values import mutable

# No push reaches a segment's hash after this (stores.pushes files older samples under the backlog).
_CLOSED_AFTER_MS = 3 * SEGMENT_MS
# Rows this near to the last verdict may still be looked back at.
_MARGIN_MS = LOOKBACK_MS + SEGMENT_MS
# What no round has judged within a day never will be.
_UNJUDGED_MS = 24 * 3600 * 1000
# Once an hour settings are published anew, outcomes of notices moved, the ledger is asked which rules earn their keep,
# and what is past its time is let go.
_HOUR_MS = 3_600_000
# What happened to alerts and came of predictions is kept as long as the hours that it happened in.
_KEPT = partitions.ROLLUPS["1h"]


@mutable
class Report:
    """What a run moved, closed, made and dropped."""

    frames: int = 0
    rows: int = 0
    blocks: int = 0
    verdicts: int = 0
    transitions: int = 0
    damaged: int = 0
    days: int = 0
    partitions_made: int = 0
    partitions_dropped: int = 0
    carried_over: bool = False


def run(now_ms: int, out_of_time: Callable[[], bool] = lambda: False) -> Report:
    """Archive every shard as far as time allows. Raises StoreUnavailable with nothing lost."""
    # What Postgres took while Redis was away belongs there before anything is moved from it.
    intake.refill_all(now_ms, out_of_time)
    report = Report(partitions_made=partitions.make_ahead(now_ms))
    hour = now_ms // _HOUR_MS
    done, ends = hot.read_archived()
    hourly = done != hour
    if hourly or not config.published():
        oncall.republish()
        notify.republish_targets()
        notify.archive_outcomes(now_ms)
    # Those furthest behind come first, so that no shard waits for ever where a run's time is not enough for all.
    untils = dict(enumerate(ends))
    for shard in sorted(untils, key=lambda shard: untils[shard] or 0):
        if out_of_time():
            report.carried_over = True
            break
        latest = read_latest(shard)
        judged = {s: v["verdict"]["minute"] * 1000 for s, v in latest.items() if v["verdict"]}
        _move_verdicts(shard, report)
        _move_transitions(shard, report)
        _move_hash(frames_key(shard, BACKLOG), judged, now_ms, report)
        _move_segments(shard, untils[shard], judged, now_ms, report, out_of_time)
        seen = {server: (entry["attributes"], entry["seen"], entry["seen"]) for server, entry in latest.items()}
        if seen:
            history.store_servers(seen)
    if hourly:
        ledger.end_gone(now_ms)
        ledger.mute(now_ms)
        _let_go(_KEPT.kept_from_ms(now_ms) / 1000)
        hot.set_hour_done(hour)
    if not report.carried_over:
        report.days, report.carried_over = close_due(now_ms, out_of_time)
    # What has not been rolled up yet stays:
    if not report.carried_over:
        report.partitions_dropped = partitions.drop_expired(now_ms)
    return report


def _let_go(before_s: float) -> None:
    alerts.delete_before(before_s)
    ledger.delete_before(before_s)
    oncall.forget_silences(before_s)


def _move_segments(
    shard: int,
    until: int | None,
    judged: Mapping[str, int],
    now_ms: int,
    report: Report,
    out_of_time: Callable[[], bool],
) -> None:
    """Move closed segments from `until` on, which is where the last run of the shard ended."""
    closed = segment_of(now_ms - _CLOSED_AFTER_MS)
    first = until if until is not None else oldest_segment(shard) or closed
    clean = True
    for segment in range(first, closed, SEGMENT_MS // 1000):
        if out_of_time():
            report.carried_over = True
            break
        clean = _move_hash(frames_key(shard, segment), judged, now_ms, report) and clean
        if clean:
            until = segment + SEGMENT_MS // 1000
    if until is not None and until > first:
        hot.set_archived_until(shard, until)


def _move_hash(key: str, judged: Mapping[str, int], now_ms: int, report: Report) -> bool:
    """Move a hash's settled frames; True if nothing is left of what was read."""
    fields = read_hash(key)
    keep: set[str] = set()
    tables: dict[tuple[str, int], list[Samples]] = defaultdict(list)
    damaged: list[tuple[str, str, str, str]] = []
    for frame in stored_frames(key, fields):
        try:
            samples, _ = frame.read()
        except DamagedFrame as error:
            damaged.append((key, frame.field, frame.text, str(error)))
            continue
        if not _settled(samples, judged.get(frame.server), now_ms):
            keep |= {frame.field, *frame.baselines}
            continue
        report.frames += 1
        report.rows += len(samples)
        for segment in np.unique(samples.times // SEGMENT_MS):
            rows = samples.rows(samples.times // SEGMENT_MS == segment)
            tables[frame.server, int(segment) * SEGMENT_MS // 1000].append(rows)
    if damaged:
        history.store_damaged(damaged)
        report.damaged += len(damaged)
    if tables:
        blocks.store_segments({where: merge(parts) for where, parts in tables.items()})
        report.blocks += len(tables)
    hot.delete_fields(key, [field for field in fields if field not in keep])
    return not keep


def _settled(samples: Samples, judged_ms: int | None, now_ms: int) -> bool:
    last = int(samples.times[-1])
    if judged_ms is not None and last + _MARGIN_MS <= judged_ms + MINUTE_MS:
        return True
    return last + _UNJUDGED_MS <= now_ms


def _move_transitions(shard: int, report: Report) -> None:
    found = hot.read_transitions(shard)
    if found:
        alerts.store([json.loads(text) for text in found.values()])
        hot.delete_transitions(shard, list(found))
        report.transitions += len(found)


def _move_verdicts(shard: int, report: Report) -> None:
    found = hot.read_verdicts(shard)
    if not found:
        return
    rows = []
    for field, text in found.items():
        server, _, minute = field.rpartition("|")
        rows.append((server, int(minute), json.loads(text)))
    verdicts.store(rows)
    ledger.settle(rows)
    hot.delete_verdicts(shard, list(found))
    report.verdicts += len(rows)
