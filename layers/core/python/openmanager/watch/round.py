"""The prediction round of one shard: from where it was left to the newest closed minute."""

import logging
import time
from collections import defaultdict
from collections.abc import Callable, Sequence
from dataclasses import field

import numpy as np
from numpy.typing import NDArray

from openmanager import meter, notify, tracing
from openmanager.alerts.machine import Alert
from openmanager.catalog import STATUSES
from openmanager.errors import DamagedFrame
from openmanager.inference import runtime
from openmanager.stores import hot, stages
from openmanager.stores.segments import (
    BACKLOG,
    SEGMENT_MS,
    TOLD_MIN,
    StoredFrame,
    read_shard_frames,
    segments_between,
)
from openmanager.telemetry import windows
from openmanager.telemetry.samples import MINUTE_MS, Samples, merge
from openmanager.values import mutable
from openmanager.watch import coarse
from openmanager.watch.alerting import Desk
from openmanager.watch.config import read_config
from openmanager.watch.judge import Verdict, values
from openmanager.watch.outcome import Outcome
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
_OFFLINE = STATUSES.index("offline")

log = logging.getLogger(__name__)


@mutable
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
    # The first shard's round committed its newest minute, and samples come, as far as it has heard of the other shards,
    # or nobody is there to send any: what a heartbeat says.
    alive: bool = False
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
    # Verdicts that were anomalous, and alerts of the failure gauge and of exhaustion that fired.
    anomalies: int = 0
    warnings: int = 0
    # Servers that were offline in the last minute judged.
    offline: int = 0
    # Newest sample (ms since 1970) that a verdict took into account; 0 where there was none.
    newest_ms: int = 0


@mutable
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


def _wall_ms() -> float:
    return time.time() * 1000


@mutable
class _Ages:
    """How old verdicts are as they are committed, minute by minute.

    Of servers beyond the first `known`, which nobody knew before, only the newest minute counts: their past came with
    them.
    """

    known: int
    clock_ms: Callable[[], float]
    minutes: list[tuple[int, int]] = field(default_factory=list)

    def judged(self, minute: int, active: NDArray[np.int64], newest: bool) -> None:
        """Take in that the servers with these places were judged."""
        self.minutes.append((minute, len(active) if newest else int((active < self.known).sum())))

    def committed(self) -> None:
        """Count what was judged since the last commit."""
        now_ms = self.clock_ms()
        for minute, count in self.minutes:
            stages.passed("verdict", now_ms - (minute + 1) * MINUTE_MS, count)
        self.minutes = []


def run_shard(
    shard: int,
    newest: int,
    report: Report,
    out_of_time: Callable[[], bool],
    clock_ms: Callable[[], float] = _wall_ms,
) -> None:
    """Judge a shard's servers up to minute `newest`, in order, and commit; what time forbids stays for the next.

    `clock_ms` is for how old verdicts are as they are committed.
    """
    usual = segments_between(newest * MINUTE_MS - windows.LOOKBACK_MS, (newest + 1) * MINUTE_MS)
    # Of ourselves the first shard speaks.
    ages = stages.keys(clock_ms() / 1000, stages.HOUR_S) if shard == 0 else []
    before = hot.read_round(shard, usual, coarse.closes(newest), ages)
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
    known = len(servers)
    earlier = segments_between(oldest * MINUTE_MS - windows.LOOKBACK_MS, (newest + 1) * MINUTE_MS)
    found += read_shard_frames(shard, [s for s in earlier if s not in usual])
    pending, servers, states = _pending(servers, states, found, newest, report, marks)
    pending = catch_up(servers, states, pending, replaced)
    report.servers += len(servers)
    if pending:
        desk = Desk(read_config(before.config, shard), before.books, newest - TOLD_MIN)
        if shard == 0:
            desk.hear(newest, stages.by_stage(before.ages))
        outcome = Outcome(desk, notify.published(before.targets))
        grids = coarse.Grids(before.coarse if coarse.closes(newest) else None, lambda: hot.read_coarse(shard))
        verdicts, traces = _Ages(known, clock_ms), before.traces
        _Round(
            shard, before.number, newest, servers, states, pending, outcome, grids, marks, traces, report, verdicts
        ).run(out_of_time)  # fmt: skip
    elif shard == 0:
        # Nobody reports, and nobody is to: all is well.
        report.alive = True


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


@mutable
class _Round:
    """A shard's servers with their records and what waits for each, and what has come of judging them so far.

    `number` is how many rounds of the shard committed before; `newest` the last minute to be judged; `traces` what
    senders gave as the `traceparent` of a server's minute.
    """

    shard: int
    number: int
    newest: int
    servers: list[str]
    states: States
    pending: list[Waiting]
    outcome: Outcome
    grids: coarse.Grids
    marks: _Marks
    traces: dict[tuple[str, int], str]
    report: Report
    ages: _Ages

    def run(self, out_of_time: Callable[[], bool]) -> None:
        """Minute by minute over all servers that wait for it, writing whenever enough has gathered."""
        firsts = np.array([p.first for p in self.pending])
        for minute in range(int(firsts.min()), self.newest + 1):
            self._judge(minute, np.flatnonzero(firsts <= minute))
            done = minute == self.newest or out_of_time()
            if (done or len(self.outcome.verdicts) >= _COMMIT_EVERY) and not self._commit(minute):
                self.report.overtaken.append(self.shard)
                return
            if done:
                if minute == self.newest and self.shard == 0:
                    self.report.alive = not self.outcome.desk.nothing_comes
                if minute < self.newest:
                    self.report.carried_over.append(self.shard)
                    self.report.behind[self.shard] = (minute + 1) * 60
                return

    def _judge(self, minute: int, active: NDArray[np.int64]) -> None:
        """One minute of the servers with these places."""
        waiting = [(self.pending[i], minute - self.pending[i].first) for i in active]
        x = np.stack([w.table[j] for w, j in waiting])
        rows = np.array([w.rows[j] for w, j in waiting])
        newest_ms = np.array([w.newest_ms[j] for w, j in waiting])
        names = [self.servers[i] for i in active]
        some = self.states[active]
        said = judge_apart(names, some, minute, x, rows, newest_ms, self.report.poison)
        for verdict in said:
            if "record" in verdict.missing:
                self.marks.asked.add(verdict.server)
                self.marks.rebuilding.add(verdict.server)
            self.marks.put(verdict)
        if coarse.closes(minute):
            self.grids.learn(names, some, minute)
        for i, (w, _) in enumerate(waiting):
            if role := w.attributes.get("role"):
                some["role"][i] = role.encode()[:48]
        self.states[active] = some
        self.report.judged = minute * 60
        self.ages.judged(minute, active, minute == self.newest)
        latest = {
            name: {"id": name, "attributes": dict(w.attributes), "seen": int(seen) / 1000, "metrics": values(row)}
            for name, (w, _), seen, row, count in zip(names, waiting, some["seen_ms"], x, rows, strict=True)
            if count
        }
        roles = [role.decode(errors="ignore") for role in some["role"].tolist()]
        seen = dict(zip(names, (some["seen_ms"] // MINUTE_MS).tolist(), strict=True))
        self.outcome.minute(minute, said, latest, roles, lambda name: self._trace_id(name, seen.get(name, minute)))

    def _trace_id(self, server: str, minute: int) -> str:
        """Of the push by which a server was last seen, in this minute: its sender's if it named one."""
        named = tracing.parse(self.traces.get((server, minute), ""))
        return named.trace_id if named else tracing.of_minute(server, minute)

    def _commit(self, minute: int) -> bool:
        """Write what was judged up to a minute; False if another round of the shard was faster."""
        count = len(self.outcome.verdicts)
        anomalies = sum(bool(v.anomaly and v.anomaly["anomalous"]) for v in self.outcome.verdicts)
        fired = self.outcome.fired()
        warnings = sum(self.outcome.predictive(alert) for alert in fired)
        judged = [i for i, state in enumerate(self.states) if state["judged"]]
        silent_min = self.states["judged"] - self.states["seen_ms"] // MINUTE_MS
        gone = {self.servers[i] for i in judged if silent_min[i] > FORGET_MIN}
        kept = [i for i in judged if self.servers[i] not in gone]
        writes = self.outcome.writes(self.shard, gone, minute == self.newest, self.servers, self.states)
        writes.models = runtime.overview()
        writes.config |= self.outcome.desk.heard()
        writes.states = dict(zip([self.servers[i] for i in kept], pack(self.states[kept]), strict=True))
        writes.states |= {f"{server}{PAST}": "" for server in self.marks.asked - gone}
        writes.coarse = self.grids.changed()
        writes.drop = [f"{server}{PAST}" for server in sorted(self.marks.adopted)]
        if not hot.commit_round(self.shard, self.number, writes):
            return False
        self.ages.committed()
        self.report.verdicts += count
        self.report.anomalies += anomalies
        self.report.warnings += warnings
        self.report.newest_ms = max(self.report.newest_ms, int(self.states["seen_ms"].max(initial=0)))
        if minute == self.newest:
            self.report.offline += int(np.count_nonzero(self.states["status"] == _OFFLINE))
        _note(fired)
        meter.count("verdicts", count)
        meter.count("anomalies", anomalies)
        self.number += 1
        return True


def _note(fired: Sequence[Alert]) -> None:
    """A line for each alert that fired, in the trace of the push by which it did; `round` is that of the round."""
    ours = tracing.current_id()
    for alert in fired:
        about = {"alert": alert.id, "severity": alert.severity, "suppressed": alert.suppressed, "round": ours}
        with tracing.within(tracing.joined(alert.trace_id)):
            log.info("alert fired", extra=about)
