"""Where a push is written: its samples as frames, in the hashes of their segments (stores.segments), in one command."""

import os
from collections import OrderedDict, defaultdict
from collections.abc import Iterable, Iterator, Sequence
from dataclasses import field

import numpy as np

from openmanager.stores import awaited, cadence
from openmanager.stores.feed import LIVE, LIVE_LENGTH, WATCHED
from openmanager.stores.redis import connect
from openmanager.stores.segments import BACKLOG, SEGMENT_MS, frames_key, segment_of, told_minutes
from openmanager.stores.shards import shard_of
from openmanager.telemetry import frames
from openmanager.telemetry.samples import MINUTE_MS, Push, Samples
from openmanager.values import mutable

_BASELINES_KEPT = 20_000
# What is older than this is not news to anybody who watches.
_NEWS_MS = 180_000

# All of a push in one command, whether somebody watches or not; whoever does gets the new fields as well. Answers
# whether somebody does, how often senders are asked to push, and since when samples wait for a round; or, having
# written nothing, nothing: a baseline that the frames lean on is gone, since Redis lost it, and without it nobody could
# read them.
# KEYS: watched, live, cadence, awaited, the hashes. ARGV: the time (s); for each hash how many baselines it must have,
# and their fields; then for each hash how many fields come, whether they are news, the pairs.
# One call with all pairs could outgrow Lua's stack, so entries hold up to 500 of them.
_STORE = """
local p = 2
for i = 5, #KEYS do
  local stop = p + tonumber(ARGV[p])
  for j = p + 1, stop do
    if redis.call('HEXISTS', KEYS[i], ARGV[j]) == 0 then return {} end
  end
  p = stop + 1
end
local watched = redis.call('EXISTS', KEYS[1])
for i = 5, #KEYS do
  local stop = p + 1 + 2 * tonumber(ARGV[p])
  local news = watched == 1 and ARGV[p + 1] == '1'
  for j = p + 2, stop, 1000 do
    local last = math.min(stop, j + 999)
    redis.call('HSET', KEYS[i], unpack(ARGV, j, last))
    if news then redis.call('XADD', KEYS[2], 'MAXLEN', '~', LIVE_LENGTH, '*', unpack(ARGV, j, last)) end
  end
  p = stop + 1
end
redis.call('SET', KEYS[4], ARGV[1], 'NX')
return {watched, redis.call('GET', KEYS[3]) or '', redis.call('GET', KEYS[4])}
""".replace("LIVE_LENGTH", str(LIVE_LENGTH))

_baselines: OrderedDict[tuple[str, int], frames.Baseline] = OrderedDict()


def forget_baselines() -> None:
    """Take no baseline for stored any more."""
    _baselines.clear()


def store_pushes(
    pushes: Sequence[Push], now_ms: int, arrived_ms: int | None = None, traceparent: str | None = None
) -> bool:
    """Write the pushes' samples in one command, all of it or nothing; whether somebody watches the live feed.

    `arrived_ms`, now unless given, is when they came, which decides what was late. The same push again lands on the
    same fields. A `traceparent` is kept beside the samples that somebody may still be told of, in the same command, and
    goes with them to the archive, which drops it. Raises StoreUnavailable when it cannot be known that all is stored.
    """
    arrived_ms = now_ms if arrived_ms is None else arrived_ms
    while True:
        written = _written(pushes, now_ms, arrived_ms, traceparent)
        if not written.fields:
            return False
        answer = _store(written, now_ms)
        if answer:
            break
        # Redis lost what this process stored earlier, so that everything goes anew:
        forget_baselines()
    watched, asked, waiting = answer
    cadence.remember(asked)
    awaited.remember(waiting)
    # Only now are baselines known to be stored, and later frames may lean on them.
    _remember(written.fresh, now_ms)
    return bool(watched == 1)


def _remember(fresh: Iterable[tuple[tuple[str, int], frames.Baseline]], now_ms: int) -> None:
    _baselines.update(fresh)
    # Rows from before the segment before this one are backlog, and that one's baselines learn from those before them.
    oldest = segment_of(now_ms - 2 * SEGMENT_MS)
    while _baselines and (next(iter(_baselines))[1] < oldest or len(_baselines) > _BASELINES_KEPT):
        _baselines.popitem(last=False)


@mutable
class _Written:
    """What pushes become: by hash the fields to write and the fields of baselines that these lean on; the hashes with
    something new in them, and the baselines that are among the fields."""

    fields: dict[str, dict[str, str]] = field(default_factory=lambda: defaultdict(dict))
    leaned: dict[str, set[str]] = field(default_factory=lambda: defaultdict(set))
    news: set[str] = field(default_factory=set)
    fresh: list[tuple[tuple[str, int], frames.Baseline]] = field(default_factory=list)


def _written(pushes: Sequence[Push], now_ms: int, arrived_ms: int, traceparent: str | None) -> _Written:
    found = _Written()
    for push in pushes:
        shard = shard_of(push.server)
        for segment, rows in _split(push.samples, now_ms, arrived_ms):
            baseline, known = _baseline_for(push, segment, rows)
            text, digest = frames.encode_frame(rows, baseline)
            key = frames_key(shard, segment)
            fields = found.fields[key]
            if segment != BACKLOG and rows.times[-1] >= now_ms - _NEWS_MS:
                found.news.add(key)
            late = "|late" if rows.late[0] else ""
            fields[f"{push.server}|{rows.times[0]}|{digest}{late}"] = text
            if traceparent and segment != BACKLOG:
                fields |= {f"{push.server}|trace|{minute}": traceparent for minute in told_minutes(rows, now_ms)}
            place = f"{push.server}|baseline|{baseline.id}"
            if known:
                found.leaned[key].add(place)
                continue
            fields[place] = baseline.text
            if segment != BACKLOG:
                found.fresh.append(((push.server, int(segment)), baseline))
    return found


def _store(written: _Written, now_ms: int) -> tuple[int, str, str] | None:
    """One command: (whether somebody watches, the pace that is asked for, since when samples wait), None where a
    baseline is gone."""
    arguments = [str(now_ms // 1000)]
    for key in written.fields:
        arguments += [str(len(written.leaned[key])), *written.leaned[key]]
    for key, fields in written.fields.items():
        arguments += [
            str(len(fields)), str(int(key in written.news)), *(part for item in fields.items() for part in item)
        ]  # fmt: skip
    keys = (WATCHED, LIVE, cadence.KEY, awaited.KEY, *written.fields)
    answer = connect().call("EVAL", _STORE, len(keys), *keys, *arguments, repeatable=True)
    return (answer[0], answer[1], answer[2]) if answer else None


def _split(samples: Samples, now_ms: int, arrived_ms: int) -> Iterator[tuple[int | str, Samples]]:
    """Rows by the hash they belong to, late ones apart.

    A push no longer than a segment stays whole and goes where its first row belongs, so that a batch across a boundary
    is still one command; readers look one segment back.
    """
    if not len(samples):
        return
    grace_ms = cadence.grace_s() * 1000
    backlog_ms = segment_of(now_ms) * 1000 - SEGMENT_MS
    first, last = int(samples.times[0]), int(samples.times[-1])
    on_time = (first // MINUTE_MS + 1) * MINUTE_MS + grace_ms >= arrived_ms
    if on_time and first >= backlog_ms and last - first <= SEGMENT_MS:
        yield segment_of(first), samples
        return
    minute_end = (samples.times // MINUTE_MS + 1) * MINUTE_MS
    late = minute_end + grace_ms < arrived_ms
    backlog = samples.times < backlog_ms
    marked = Samples(samples.series, samples.times, samples.values, late)
    for is_late in (True, False):
        old = marked.rows(backlog & (late == is_late))
        if len(old):
            yield BACKLOG, old
        rows = marked.rows(~backlog & (late == is_late))
        if not len(rows):
            continue
        if rows.times[-1] - rows.times[0] <= SEGMENT_MS:
            yield segment_of(int(rows.times[0])), rows
        else:
            segments = rows.times // SEGMENT_MS
            for segment in np.unique(segments):
                yield int(segment) * SEGMENT_MS // 1000, rows.rows(segments == segment)


def _baseline_for(push: Push, segment: int | str, rows: Samples) -> tuple[frames.Baseline, bool]:
    """The baseline to encode against, and whether it is already stored."""
    start_ms = segment_of(int(rows.times[0])) * 1000
    # The backlog is emptied while it is written to, so every push there brings its own baseline.
    known = _baselines.get((push.server, segment)) if isinstance(segment, int) else None
    token = os.urandom(4).hex()
    if known is None:
        # What this function wrote in the segment before tells how far the series move.
        before = _baselines.get((push.server, start_ms // 1000 - SEGMENT_MS // 1000))
        return frames.make_baseline(start_ms, rows, push.attributes, token, before), False
    # Senders cut one scrape into several requests; a baseline for the union serves all of them.
    attributes = {**known.attributes, **push.attributes}
    if attributes == known.attributes and set(rows.series) <= set(known.series):
        return known, True
    return frames.make_baseline(start_ms, _union(rows, known), attributes, token, known), False


def _union(rows: Samples, known: frames.Baseline) -> Samples:
    extra = [i for i, name in enumerate(known.series) if name not in rows.series]
    names = tuple(known.series[i] for i in extra)
    values = (known.values[extra] / frames.scales(names)) if names else np.empty(0)
    first = np.concatenate((np.where(np.isnan(rows.values), np.inf, rows.values).min(axis=0), values))
    first[np.isinf(first)] = np.nan
    return Samples((*rows.series, *names), rows.times[:1], first[None, :], rows.late[:1])
