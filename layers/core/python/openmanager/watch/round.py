"""The prediction round of one shard: from where it was left to the newest closed minute."""

import logging
from collections import defaultdict
from collections.abc import Callable, Sequence
from dataclasses import dataclass, field

import numpy as np

from openmanager.errors import DamagedFrame
from openmanager.stores import hot
from openmanager.stores.segments import BACKLOG, SEGMENT_MS, StoredFrame, read_shard_frames, segments_between
from openmanager.telemetry import windows
from openmanager.telemetry.samples import MINUTE_MS, Samples, merge
from openmanager.watch import coarse
from openmanager.watch.alerting import Desk, read_config
from openmanager.watch.judge import Verdict, values
from openmanager.watch.outcome import Outcome, targets
from openmanager.watch.poison import anew, judge_apart
from openmanager.watch.rebuild import PAST, adopt, catch_up, split
from openmanager.watch.state import States, new_states, pack, unpack
from openmanager.watch.waiting import Waiting, gridded

# How far back a server's past is judged: the hot half keeps no more, and a longer silence starts anew.
CATCH_UP_MIN = 1440
# A server silent for this long is no longer watched; it comes back with its next sample.
FORGET_MIN = 7 * 1440
# Verdicts in one write, so that no request outgrows Redis' limit.
_COMMIT_EVERY = 1000

log = logging.getLogger(__name__)


@dataclass(slots=True)
class Report:
    """What a tick did: the minute it was for, and what became of the shards."""

    minute: int
    held: bool = False
    judged: int = 0
    verdicts: int = 0
    servers: int = 0
    damaged: int = 0
    # Minutes that lay out of reach when their server's turn came, so that nobody will judge them.
    skipped: int = 0
    # Redis has been away, and what was sent meanwhile is on its way back: verdicts wait for it.
    refilling: bool = False
    # How many messages went to the queue; their rounds have reports of their own.
    queued: int = 0
    overtaken: list[int] = field(default_factory=list)
    carried_over: list[int] = field(default_factory=list)
    # Shard -> start (s) of the first minute that it still owes.
    behind: dict[int, int] = field(default_factory=dict)
    # Shard -> why its round broke off; server -> why it could not be judged.
    failed: dict[int, str] = field(default_factory=dict)
    poison: dict[str, str] = field(default_factory=dict)
    # Servers whose rebuilt record was taken on.
    rebuilt: list[str] = field(default_factory=list)


@dataclass(slots=True)
class _Marks:
    """What verdicts say beyond the models, and what the commit does for it.

    `rebuilding` the servers whose record is still to be rebuilt, `asked` those for whom this round asks for it,
    `adopted` those whose rebuilt record it took on; `damaged` how many frames of a server and minute did not read.
    """

    rebuilding: set[str]
    asked: set[str]
    adopted: set[str]
    damaged: dict[tuple[str, int], int] = field(default_factory=lambda: defaultdict(int))

    def put(self, verdict: Verdict) -> None:
        if verdict.server in self.rebuilding:
            verdict.missing["rebuilding"] = True
        if count := self.damaged.get((verdict.server, verdict.minute)):
            verdict.missing["damaged_frames"] = count


def run_shard(shard: int, newest: int, report: Report, out_of_time: Callable[[], bool]) -> None:
    """Judge a shard's servers up to minute `newest`, in order, and commit; what time forbids stays for the next."""
    usual = segments_between(newest * MINUTE_MS - windows.LOOKBACK_MS, (newest + 1) * MINUTE_MS)
    before = hot.read_round(shard, usual, coarse.closes(newest))
    found = before.frames
    texts, pasts = split(before.states)
    servers, states = unpack(texts)
    unreadable = [servers[i] for i in np.flatnonzero(states["judged"] == 0)]
    _begin_again(states, newest)
    servers, states, replaced = adopt(servers, states, pasts)
    adopted = {server for server, text in pasts.items() if text}
    asked = set(unreadable) - adopted
    marks = _Marks(asked | (pasts.keys() - adopted), asked, adopted)
    report.rebuilt += sorted(adopted)
    oldest = max(int(states["judged"].min(initial=newest)) + 1, newest - CATCH_UP_MIN)
    earlier = segments_between(oldest * MINUTE_MS - windows.LOOKBACK_MS, (newest + 1) * MINUTE_MS)
    found += read_shard_frames(shard, [s for s in earlier if s not in usual])
    pending, servers, states = _pending(servers, states, found, newest, report, marks)
    pending = catch_up(servers, states, pending, replaced)
    report.servers += len(servers)
    if pending:
        desk = Desk(read_config(before.config, shard), before.books)
        outcome = Outcome(desk, targets(before.targets))
        grids = coarse.Grids(before.coarse if coarse.closes(newest) else None, lambda: hot.read_coarse(shard))
        _judge_all(shard, before.number, servers, states, pending, newest, report, marks, outcome, grids, out_of_time)


def _begin_again(states: States, newest: int) -> None:
    """Records that did not read go on from where the others of the shard are."""
    lost = states["judged"] == 0
    if lost.any():
        states[lost] = anew(states[lost], int(states["judged"].max()) or newest - 1)


def _pending(
    servers: list[str],
    states: States,
    found: Sequence[StoredFrame],
    newest: int,
    report: Report,
    marks: _Marks,
) -> tuple[list[Waiting], list[str], States]:
    """What waits for each server, those seen for the first time added to `servers` and `states`."""
    judged = dict(zip(servers, (int(j) for j in states["judged"]), strict=True))
    tables: dict[str, list[Samples]] = defaultdict(list)
    attributes: dict[str, dict[str, str]] = defaultdict(dict)
    for frame in sorted(found, key=lambda f: f.first_ms):
        # Nothing before the look-back of the next minute matters. The backlog's frames may be long, others span a
        # segment at most.
        wanted = (judged.get(frame.server, 0) + 1) * MINUTE_MS - windows.LOOKBACK_MS - SEGMENT_MS
        if frame.first_ms < wanted and not frame.key.endswith(BACKLOG):
            continue
        try:
            samples, about = frame.read()
        except Exception as error:
            # Whatever it is that this frame does to the decoder, it does it to its own server only.
            report.damaged += 1
            marks.damaged[frame.server, frame.first_ms // MINUTE_MS * 60] += 1
            log.warning("passed over: %s", error, exc_info=not isinstance(error, DamagedFrame))
            continue
        tables[frame.server].append(samples)
        attributes[frame.server].update(about)
    # Rows of minutes already judged, late ones among them, serve as look-back and nothing else.
    merged = {server: merge(parts) for server, parts in tables.items()}
    new = sorted(s for s, m in merged.items() if s not in judged and _first_minute(m, newest) <= newest)
    servers = servers + new
    states = np.concatenate((states, new_states(len(new))))
    pending = []
    for i, server in enumerate(servers):
        samples = merged.get(server, _NOTHING)
        start = int(states["judged"][i]) + 1 if server in judged else _first_minute(samples, newest)
        first = max(start, newest - CATCH_UP_MIN)
        if first > start:
            report.skipped += first - start
            log.warning("%s: %d minutes from %d on are out of reach", server, first - start, start * 60)
        pending.append(gridded(samples, first, newest, attributes.get(server)))
    return pending, servers, states


_NOTHING = merge([])


def _first_minute(samples: Samples, newest: int) -> int:
    """A new server's first minute with samples, within reach; after `newest` if there is none yet."""
    minutes = samples.times // MINUTE_MS
    minutes = minutes[(minutes >= newest - CATCH_UP_MIN) & (minutes <= newest)]
    return int(minutes[0]) if len(minutes) else newest + 1


def _judge_all(
    shard: int,
    number: int,
    servers: list[str],
    states: States,
    pending: list[Waiting],
    newest: int,
    report: Report,
    marks: _Marks,
    outcome: Outcome,
    grids: coarse.Grids,
    out_of_time: Callable[[], bool],
) -> None:
    """Minute by minute over all servers that wait for it, writing whenever enough has gathered."""
    firsts = np.array([p.first for p in pending])
    for minute in range(int(firsts.min()), newest + 1):
        active = np.flatnonzero(firsts <= minute)
        at = [minute - pending[i].first for i in active]
        rows = np.array([pending[i].rows[j] for i, j in zip(active, at, strict=True)])
        x = np.stack([pending[i].table[j] for i, j in zip(active, at, strict=True)])
        newest_ms = np.array([pending[i].newest_ms[j] for i, j in zip(active, at, strict=True)])
        names = [servers[i] for i in active]
        some = states[active]
        said = judge_apart(names, some, minute, x, rows, newest_ms, report.poison)
        for verdict in said:
            if "record" in verdict.missing:
                marks.asked.add(verdict.server)
                marks.rebuilding.add(verdict.server)
            marks.put(verdict)
        if coarse.closes(minute):
            grids.learn(names, some, minute)
        for i, k in enumerate(active):
            if role := pending[k].attributes.get("role"):
                some["role"][i] = role.encode()[:48]
        states[active] = some
        report.judged = minute * 60
        latest = {
            v.server: {
                "id": v.server,
                "attributes": dict(pending[i].attributes),
                "seen": int(states["seen_ms"][i]) / 1000,
                "metrics": values(row),
            }
            for i, v, row, count in zip(active, said, x, rows, strict=True)
            if count
        }
        outcome.minute(minute, said, latest, [role.decode(errors="ignore") for role in some["role"].tolist()])
        done = minute == newest or out_of_time()
        if done or len(outcome.verdicts) >= _COMMIT_EVERY:
            count = len(outcome.verdicts)
            if not _commit(shard, number, servers, states, outcome, grids, minute == newest, marks):
                report.overtaken.append(shard)
                return
            report.verdicts += count
            number += 1
        if done:
            if minute < newest:
                report.carried_over.append(shard)
                report.behind[shard] = (minute + 1) * 60
            return


def _commit(
    shard: int,
    number: int,
    servers: list[str],
    states: States,
    outcome: Outcome,
    grids: coarse.Grids,
    newest: bool,
    marks: _Marks,
) -> bool:
    """Write what was judged."""
    judged = [i for i, state in enumerate(states) if state["judged"]]
    gone = {servers[i] for i in judged if states["judged"][i] - states["seen_ms"][i] // MINUTE_MS > FORGET_MIN}
    kept = [i for i in judged if servers[i] not in gone]
    writes = outcome.writes(shard, gone, newest)
    writes.states = dict(zip([servers[i] for i in kept], pack(states[kept]), strict=True))
    writes.states |= {f"{server}{PAST}": "" for server in marks.asked - gone}
    writes.coarse = grids.changed()
    writes.drop = [f"{server}{PAST}" for server in sorted(marks.adopted)]
    return hot.commit_round(shard, number, writes)
