"""Finds servers whose record Redis lost or holds from too late on, and has it rebuilt from the stored history.

Runs beside the archive, which has Postgres at hand. What it makes it leaves in the shard's state hash for the next
round (watch.rebuild), which alone writes the records themselves.
"""

import logging
from collections.abc import Callable, Mapping
from dataclasses import field

import numpy as np

from openmanager.errors import DamagedFrame
from openmanager.settings import settings
from openmanager.stores import cadence, history, hot, past
from openmanager.stores.segments import BACKLOG, SEGMENT_MS, read_shard_frames, segments_between
from openmanager.stores.shards import shard_of
from openmanager.telemetry.samples import MINUTE_MS, Samples, merge
from openmanager.telemetry.scaling import WARM_UP
from openmanager.values import frozen, mutable
from openmanager.watch.rebuild import PAST, REACH_MIN, rebuild, split
from openmanager.watch.state import States, new_states, pack, unpack

# Field of the state hash that says that nobody is missing from it; it is gone when the hash was.
WHOLE = "@whole"
# Rounds forget a server after a week; one that is about to be forgotten is not brought back.
_WATCHED_S = 7 * 86400 - 3600
# Records rebuilt together: four seconds' work on a whole core, fifteen on what 512 MB get, which fits into the reserve
# that the archive keeps.
_BATCH = 8
# In one run, so that the next archive run is not far.
_MOST = 64
# A record is too young if a block began this long before it: blocks begin up to a segment before their first sample.
_YOUNGER_MIN = 2 * SEGMENT_MS // MINUTE_MS

log = logging.getLogger(__name__)


@frozen
class _Wanted:
    """The minutes that a rebuilt record is to know of, and what the archive knows of the server."""

    first: int
    last: int
    known: past.Known | None


@mutable
class Report:
    """Servers whose record was rebuilt in this run, how many wait for the next, and who has no history to use."""

    rebuilt: list[str] = field(default_factory=list)
    waiting: int = 0
    hopeless: list[str] = field(default_factory=list)


def restore(now_ms: int, out_of_time: Callable[[], bool] = lambda: False) -> Report:
    """Rebuild what is missing, oldest records first, as far as time allows. Raises StoreUnavailable."""
    report = Report()
    for shard in range(settings().shards):
        if out_of_time():
            break
        fields = past.read_state(shard)
        wanted = _wanted(shard, fields, now_ms)
        marks = {f"{server}{PAST}": "" for server in wanted if f"{server}{PAST}" not in fields}
        # A mark that nothing stands behind any more would be spoken of for ever:
        stale = [name for name, text in fields.items() if name.endswith(PAST) and not text]
        stale = [name for name in stale if name.removesuffix(PAST) not in wanted]
        past.put_state(shard, marks if WHOLE in fields else {**marks, WHOLE: "1"}, stale)
        _rebuild_all(shard, wanted, now_ms, report, out_of_time)
    return report


def _wanted(shard: int, fields: Mapping[str, str], now_ms: int) -> dict[str, _Wanted]:
    """Servers whose record knows little while the archive knows more, longest missed first.

    Where the whole hash was lost, those that have been silent since are among them.
    """
    handed = {name.removesuffix(PAST) for name, text in fields.items() if name.endswith(PAST) and text}
    servers, states = unpack(split(fields)[0])
    rows = {server: state for server, state in zip(servers, states, strict=True) if server not in handed}
    young = {server: state for server, state in rows.items() if state["count"].max() < WARM_UP and state["judged"]}
    if WHOLE in fields and not young:
        return {}
    everybody = past.known_servers(now_ms / 1000 - _WATCHED_S)
    known = {server: k for server, k in everybody.items() if shard_of(server) == shard}
    gone = set() if WHOLE in fields else known.keys() - rows.keys() - handed
    # Before the first round since the loss, the minute that is due now is still to be judged.
    due = (now_ms - cadence.grace_s() * 1000) // MINUTE_MS - 2
    newest = max((int(s["judged"]) for s in rows.values()), default=due)
    oldest = past.oldest_blocks([*young, *gone], now_ms / 1000 - _WATCHED_S - REACH_MIN * 60)
    missed: dict[str, tuple[int, int]] = {
        **{server: (int(state["first"]), int(state["judged"])) for server, state in young.items()},
        **dict.fromkeys(gone, (newest + 1, newest)),
    }
    found = {}
    for server, (first, last) in sorted(missed.items(), key=lambda item: (item[1], item[0])):
        if server in oldest:
            silent_since = round(known[server].last_seen) // 60 if server in gone else last
            reached = _reached(oldest[server], min(last, silent_since))
            if reached < first - _YOUNGER_MIN:
                found[server] = _Wanted(reached, last, known.get(server))
    return found


def _reached(block_s: int, last: int) -> int:
    """The first minute that a record rebuilt up to `last` would know of."""
    return max(block_s // 60, last - REACH_MIN)


def _rebuild_all(
    shard: int, wanted: Mapping[str, _Wanted], now_ms: int, report: Report, out_of_time: Callable[[], bool]
) -> None:
    turn = list(wanted)[: max(0, _MOST - len(report.rebuilt))]
    still_hot = _hot_samples(shard, turn, now_ms) if turn else {}
    done = 0
    while done < len(turn) and not out_of_time():
        some = turn[done : done + _BATCH]
        states = _rebuilt(some, [wanted[server] for server in some], still_hot)
        useful = np.flatnonzero(states["first"])
        named = [some[i] for i in useful]
        hopeless = [server for server in some if server not in named]
        fields = {f"{server}{PAST}": text for server, text in zip(named, pack(states[useful]), strict=True)}
        past.put_state(shard, fields, [f"{server}{PAST}" for server in hopeless])
        report.rebuilt += named
        report.hopeless += hopeless
        done += len(some)
    report.waiting += len(wanted) - done


def _hot_samples(shard: int, servers: list[str], now_ms: int) -> dict[str, Samples]:
    """What the archive has not moved yet; to be read before Postgres, so that nothing slips between."""
    first = hot.archived_until(shard)
    first_ms = first * 1000 if first is not None else now_ms - 6 * SEGMENT_MS
    parts: dict[str, list[Samples]] = {server: [] for server in servers}
    for frame in read_shard_frames(shard, [*segments_between(first_ms, now_ms), BACKLOG]):
        if frame.server in parts:
            try:
                parts[frame.server].append(frame.read()[0])
            except DamagedFrame as error:
                log.warning("passed over: %s", error)
    return {server: merge(found) for server, found in parts.items()}


def _rebuilt(servers: list[str], wanted: list[_Wanted], still_hot: Mapping[str, Samples]) -> States:
    """The records; a history that cannot be learnt from gives one that knows nothing."""
    histories = [
        merge([*history.read_blocks(server, w.first * MINUTE_MS, (w.last + 1) * MINUTE_MS), still_hot[server]])
        for server, w in zip(servers, wanted, strict=True)
    ]
    lasts = np.array([w.last for w in wanted], np.int64)
    try:
        states = rebuild(histories, lasts)
    except Exception:
        log.exception("%d servers together cannot be rebuilt", len(servers))
        states = new_states(len(servers))
        for i, server in enumerate(servers):
            try:
                states[i] = rebuild(histories[i : i + 1], lasts[i : i + 1])[0]
            except Exception:
                log.exception("%s cannot be rebuilt", server)
    for state, w in zip(states, wanted, strict=True):
        if state["first"]:
            # It knows of these minutes even if the first of them were empty, and is not wanted again for them.
            state["first"] = min(int(state["first"]), w.first)
            state["role"] = (w.known.attributes.get("role", "") if w.known else "").encode()[:48]
    return states
