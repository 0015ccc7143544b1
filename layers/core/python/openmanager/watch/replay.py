"""Runs a recorded past through models, rules and ledger, and says what would have paged. No stores, no clock."""

from collections.abc import Callable, Mapping, Sequence
from dataclasses import field
from typing import Any

import numpy as np
from numpy.typing import NDArray

from openmanager.ledger.record import record
from openmanager.ledger.track import Settled, Track
from openmanager.telemetry.samples import MINUTE_MS
from openmanager.values import frozen, mutable
from openmanager.watch import coarse
from openmanager.watch.alerting import Desk
from openmanager.watch.config import Config
from openmanager.watch.judge import judge, values
from openmanager.watch.outcome import PATHS_EVERY_MIN, archived
from openmanager.watch.state import new_states

# Redis commands of a minute's tick with one shard, of a push, and of an archive run every five minutes: as counted in
# tests/bench. The price of a command is Upstash's pay as you go, US dollars, as of 2026-11.
ROUND_COMMANDS, PUSH_COMMANDS, ARCHIVE_COMMANDS = 5, 1, 18
USD_A_COMMAND = 0.2e-5

Table = NDArray[np.float64]


@frozen(eq=False)
class Past:
    """A server's minutes: `values` (n, len(METRICS)) from minute `first` on, NaN where nothing came; its role."""

    server: str
    first: int
    values: Table
    role: str = ""


@mutable
class Replayed:
    """What a replay found: notices as people would have had them, transitions, the forecast ends of bounded metrics
    that a page may rest on, the ledger's record, and the cost."""

    notices: list[dict[str, Any]] = field(default_factory=list)
    happened: list[dict[str, Any]] = field(default_factory=list)
    forecast_ends: list[dict[str, Any]] = field(default_factory=list)
    minutes: int = 0
    settled: dict[str, Settled] = field(default_factory=dict)
    models_absent: set[str] = field(default_factory=set)

    def as_dict(self) -> dict[str, Any]:
        """The outcome as JSON values; times in s."""
        servers = max(1, len(self.settled))
        days = self.minutes / 1440
        commands = self.minutes * (PUSH_COMMANDS * servers + ROUND_COMMANDS) + self.minutes // 5 * ARCHIVE_COMMANDS
        firing = sum(n["event"] == "firing" for n in self.notices)
        return {
            "servers": sorted(self.settled),
            "minutes": self.minutes,
            "notices": self.notices,
            "fired": firing,
            "fired_a_server_and_day": round(firing / (servers * days), 3) if days else None,
            "record": self.record(),
            "cost": {"redis_commands": commands, "usd": round(commands * USD_A_COMMAND, 4)},
        }

    def record(self) -> dict[str, Any]:
        """The ledger's record of the replayed past."""
        episodes = [
            {"server": s, "model": e.model, "began": e.began * 60, "outcome": e.outcome,
             "lead_s": None if e.lead_min is None else e.lead_min * 60}
            for s, settled in self.settled.items()
            for e in settled.episodes
        ]  # fmt: skip
        found = [
            {"server": s, "began": i.began * 60, "ended": i.ended * 60, "kind": i.kind, "announced": i.announced}
            for s, settled in self.settled.items()
            for i in settled.incidents
        ]
        sums = [(*place, body) for settled in self.settled.values() for place, body in settled.sums().items()]
        return record(episodes, found, sums)


def replay(
    pasts: Sequence[Past], config: Config | None = None, progress: Callable[[int, int], None] | None = None
) -> Replayed:
    """Judge every minute of these pasts in order, as rounds that were never late would have done.

    `config` holds rules and quiet times (the default ones if None). `progress` hears of (minutes done, of how many).
    """
    return replay_each(pasts, [config or Config()], progress)[0]


def replay_each(
    pasts: Sequence[Past], configs: Sequence[Config], progress: Callable[[int, int], None] | None = None
) -> list[Replayed]:
    """The same for several configurations at once: what models say does not depend on rules."""
    if not pasts:
        return [Replayed() for _ in configs]
    first = min(p.first for p in pasts)
    stop = max(p.first + len(p.values) for p in pasts)
    names = [p.server for p in pasts]
    table = np.full((len(pasts), stop - first, pasts[0].values.shape[1]), np.nan)
    for i, past in enumerate(pasts):
        table[i, past.first - first : past.first - first + len(past.values)] = past.values
    begun = np.array([p.first for p in pasts])
    states = new_states(len(pasts))
    states["role"] = [p.role.encode()[:48] for p in pasts]
    grids = coarse.Grids({}, dict)
    settled = {name: Settled() for name in names}
    tracks = {name: Track() for name in names}
    desks = [(Desk(config, {}), Replayed(minutes=stop - first, settled=settled)) for config in configs]
    for minute in range(first, stop):
        active = np.flatnonzero(begun <= minute)
        x = table[active, minute - first]
        came = ~np.isnan(x).all(axis=1)
        some = states[active]
        newest = np.where(came, (minute + 1) * MINUTE_MS - 1000, 0)
        verdicts = judge([names[i] for i in active], some, minute, x, came.astype(np.int64), newest)
        if coarse.closes(minute):
            grids.learn([names[i] for i in active], some, minute)
        states[active] = some
        metrics = [values(row) for row in x]
        said = [v.as_dict() for v in verdicts]
        for desk, replayed in desks:
            _take(desk, replayed, minute, said, metrics, [pasts[i].role for i in active])
        for verdict, row in zip(verdicts, metrics, strict=True):
            tracks[verdict.server].take(archived(verdict, row), settled[verdict.server])
        if progress and (minute - first) % PATHS_EVERY_MIN == 0:
            progress(minute - first, stop - first)
    return [replayed for _, replayed in desks]


def _take(
    desk: Desk,
    replayed: Replayed,
    minute: int,
    said: Sequence[Mapping[str, Any]],
    metrics: Sequence[Mapping[str, float]],
    roles: Sequence[str],
) -> None:
    predictive = {rule.id: rule.predictive for rule in desk.config.rules}
    for t in desk.minute(minute, said, metrics, roles):
        replayed.happened.append({"what": t.what, "at": t.minute * 60, "alert": t.alert.as_dict()})
        if t.notice:
            replayed.notices.append(_told(t.minute, t.notice, t.alert.as_dict(), predictive.get(t.alert.rule, False)))
    for verdict in said:
        replayed.models_absent |= set(verdict["missing"].get("models", ()))
        for metric, end in verdict["exhaustion"].items():
            if end["outcome"] == "crosses" and end["skilled"]:
                replayed.forecast_ends.append({"at": minute * 60, "server": verdict["server"], "metric": metric} | end)


def _told(minute: int, event: str, alert: Mapping[str, Any], predictive: bool) -> dict[str, Any]:
    kept = ("server", "rule", "severity", "value", "limit", "incident", "facts")
    return {"at": minute * 60, "event": event, "predictive": predictive} | {name: alert[name] for name in kept}
