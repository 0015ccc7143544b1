"""How well the time to a limit is told: disks that fill, memory that leaks and logs that are rotated, generated on the
recorded wiggle of servers that the network never saw; and how often an ordinary server is told to run full.

Generated ramps on real background are no recorded failures: the figures say what the method does with a steady climb.
"""

from collections.abc import Sequence
from dataclasses import dataclass, field
from typing import Any

import numpy as np
from numpy.typing import NDArray
from openmanager.inference import backtest
from openmanager.inference.exhaustion import Exhaustion, View, exhaustion
from openmanager.inference.runtime import Network

from models.training.data import Series

# Minutes in a step, minutes between back-tests, a day in steps where it fits the window.
GRIDS = ((1, 15, None), (5, 60, None), (60, 60, 24))
EVERY = 15
DAY = 1440
LIMIT, FLOOR = 100.0, 0.1
# Minutes: how long a case lasts, when its ramp starts, when watching starts.
LENGTH, ONSET, START = 7 * DAY, 5 * DAY, 3 * DAY
CASES = {"disk": 32, "leak": 32, "rotation": 16}
# A server that is ordinary: its busiest minute on record stays this far below the limit.
ORDINARY_PEAK = 95.0
ORDINARY_DAYS = 9
# The fullest warning of a common Prometheus rule (node-mixin, NodeFilesystemSpaceFillingUp): a line through six hours,
# 24 hours ahead, if less than 40 % is left.
LINE_WINDOW, LINE_HORIZON, LINE_FULL = 6 * 60, 24 * 60, 60.0
MUTE = 60
Floats = NDArray[np.float64]


@dataclass(eq=False)
class Watch:
    """n series watched minute by minute on every grid, as a round would: only closed steps, each with its record."""

    n: int
    network: Network
    records: list[backtest.Records] = field(default_factory=list)
    views: list[View | None] = field(default_factory=lambda: [None] * len(GRIDS))

    def __post_init__(self) -> None:
        """Start with what is known of no series."""
        self.records = [backtest.new(self.n) for _ in GRIDS]

    def at(self, values: Floats, now: int, look: bool = True) -> list[View]:
        """Views of values (n, minutes) as known before minute `now`, a multiple of 15 that only grows; none are made
        unless one is to `look`."""
        floor = np.full(self.n, FLOOR)
        for g, (size, every, season) in enumerate(GRIDS):
            closed = now // size * size
            reach = backtest.HISTORY * size
            if closed < reach:
                continue
            if closed == now:
                history = values[:, closed - reach : closed].reshape(self.n, -1, size).mean(axis=2)
                if now % every == 0:
                    self.records[g] = backtest.learn(self.records[g], history, floor, season, self.network)
                if not look:
                    continue
                recent = history[:, -backtest.forecast.WINDOW :]
                ahead = backtest.ahead(self.records[g], recent, floor, 0, LIMIT, season, self.network)
                self.views[g] = View(size * 60.0, history, ahead)
            elif (view := self.views[g]) is not None:
                self.views[g] = View(view.step_s, view.history, view.ahead, (now - closed) * 60.0)
        return [v for v in self.views if v is not None]


def report(judged: Sequence[tuple[list[Series], Network]], seed: int = 0) -> dict[str, Any]:
    """Figures of the generated cases and of ordinary servers, over the minute series and the networks given."""
    rng = np.random.default_rng(seed)
    rows = [row for series, network in judged for row in _play(series, network, rng, len(judged))]
    quiet = [_ordinary(series, network) for series, network in judged]
    days = sum(q["days"] for q in quiet)
    kinds = {name: [r for r in rows if r["kind"] == name] for name in CASES}
    out: dict[str, Any] = {name: _judge(kinds[name]) for name in ("disk", "leak") if kinds[name]}
    if kinds["rotation"]:
        out["rotation"] = _judge_rotation(kinds["rotation"])
    if days:
        totals = {k: sum(q[k] for q in quiet) for k in ("ours", "line", "line_full")}
        out["ordinary"] = {"server_days": days} | {f"{k}_false_a_day": v / days for k, v in totals.items()}
    return out


def generate(name: str, background: Floats, rng: np.random.Generator) -> tuple[Floats, int]:
    """One case in percent (minutes,) and the minute of its crossing (LENGTH if it never comes).

    `background` (LENGTH,) recorded values, shares of the series' largest. Ramps start at ONSET and reach the limit
    between 40 minutes and 30 hours later, evenly on a logarithmic scale.
    """
    wiggle = background - np.median(background)
    if name == "rotation":
        period = int(rng.uniform(4, 20) * 60)
        low, high = rng.uniform(20, 50), rng.uniform(70, 92)
        phase = (np.arange(LENGTH) + rng.integers(period)) % period / period
        return np.clip(low + (high - low) * phase + 2 * wiggle, 0, 99), LENGTH
    start = rng.uniform(30, 80)
    minutes = float(np.exp(rng.uniform(np.log(40), np.log(30 * 60))))
    ramp = np.maximum(np.arange(LENGTH) - ONSET, 0) * (LIMIT - start) / minutes
    values = start + ramp + (10 if name == "leak" else 1) * wiggle
    full = np.flatnonzero(values >= LIMIT)
    return np.clip(values, 0, LIMIT), int(full[0]) if len(full) else LENGTH


def line(values: Floats, now: int) -> Floats:
    """Minutes (n,) until a least-squares line through the last six hours meets the limit, as PromQL's
    predict_linear would draw it; infinite where it does not climb."""
    y = values[:, now - LINE_WINDOW : now]
    t = np.arange(LINE_WINDOW) - (LINE_WINDOW - 1.0)
    slope = ((t - t.mean()) * (y - y.mean(axis=1, keepdims=True))).sum(axis=1) / ((t - t.mean()) ** 2).sum()
    level = y.mean(axis=1) - slope * t.mean()
    with np.errstate(divide="ignore"):
        return np.where(slope > 1e-9, np.maximum(LIMIT - level, 0) / np.maximum(slope, 1e-9), np.inf)


def _play(series: list[Series], network: Network, rng: np.random.Generator, share: int) -> list[dict[str, Any]]:
    """One row for each case and moment after onset: what was said, what the line said, and what came (minutes).

    A network plays a `share`-th of the cases, on the wiggle of its own unseen series.
    """
    cases = []
    for name, count in CASES.items():
        metric = "memory" if name == "leak" else "network"
        pool = [s for s in series if s.metric == metric and len(s.values) > LENGTH]
        for _ in range(-(-count // share) if pool else 0):
            s = pool[rng.integers(len(pool))]
            at = rng.integers(len(s.values) - LENGTH)
            cases.append((name, *generate(name, s.values[at : at + LENGTH], rng)))
    if not cases:
        return []
    values = np.stack([v for _, v, _ in cases])
    watch = Watch(len(cases), network)
    rows = []
    for now in range(START, LENGTH, EVERY):
        views = watch.at(values, now, look=now > ONSET)
        if now <= ONSET:
            continue
        said, drawn = exhaustion(views, LIMIT), line(values, now)
        rows += [
            {
                "case": (series[0].server, i),
                "kind": name,
                "said": said[i],
                "line": drawn[i],
                "left": end - now,
                "after": now - ONSET,
            }
            for i, (name, _, end) in enumerate(cases)
            if now < end
        ]
    return rows


def _judge(rows: list[dict[str, Any]]) -> dict[str, Any]:
    """Over all moments between onset and crossing; the middle of a bounded interval is compared with the line."""
    told = [r for r in rows if r["said"].reason == "crosses"]
    bounded = [r for r in told if r["said"].latest_s is not None]
    holds = [_holds(r["said"], r["left"]) for r in told]
    error = [abs((r["said"].earliest_s + r["said"].latest_s) / 120 - r["left"]) / r["left"] for r in bounded]
    lines = [abs(min(r["line"], LINE_HORIZON * 2) - r["left"]) / r["left"] for r in bounded]
    cases = {r["case"] for r in rows}
    lead = {c: max((r["left"] for r in told if r["case"] == c), default=0) for c in cases}
    total = {c: max(r["left"] + r["after"] for r in rows if r["case"] == c) for c in cases}
    return {
        "cases": len(cases),
        "told_cases": float(np.mean([lead[c] > 0 for c in cases])),
        "moments": len(rows),
        "told": len(told) / len(rows),
        "covered": float(np.mean(holds)),
        "too_late": float(np.mean([r["left"] * 60 < r["said"].earliest_s for r in told])),
        "too_early": float(np.mean([not h for h in holds]))
        - float(np.mean([r["left"] * 60 < r["said"].earliest_s for r in told])),
        "bounded": len(bounded) / max(len(told), 1),
        "median_error": float(np.median(error)),
        "line_median_error": float(np.median(lines)),
        "lead_share": float(np.median([lead[c] / total[c] for c in cases])),
        "line_told": float(np.mean([r["line"] <= LINE_HORIZON for r in rows])),
    }


def _holds(said: Exhaustion, left: int) -> bool:
    late = np.inf if said.latest_s is None else said.latest_s
    return bool(said.earliest_s is not None and said.earliest_s <= left * 60 <= late)


def _judge_rotation(rows: list[dict[str, Any]]) -> dict[str, Any]:
    """Logs that never fill the disk: each crossing told is false."""
    return {
        "cases": len({r["case"] for r in rows}),
        "moments": len(rows),
        "false": float(np.mean([r["said"].reason == "crosses" for r in rows])),
        "known_to_reset": float(np.mean([r["said"].reason == "resets_before_limit" for r in rows])),
        "line_false": float(np.mean([r["line"] <= LINE_HORIZON for r in rows])),
    }


def _ordinary(series: list[Series], network: Network) -> dict[str, float]:
    """Crossings told of recorded percent metrics that never come to the limit, and the server-days watched."""
    watched = [s for s in series if s.metric in ("cpu", "memory", "disk")]
    out = {"days": 0.0, "ours": 0, "line": 0, "line_full": 0}
    if not watched:
        return {k: float(v) for k, v in out.items()}
    minutes = min(ORDINARY_DAYS * DAY, *(len(s.values) - s.test for s in watched))
    values = ORDINARY_PEAK * np.stack([s.values[s.test : s.test + minutes] for s in watched])
    watch = Watch(len(watched), network)
    quiet_until = {kind: np.zeros(len(watched)) for kind in ("ours", "line", "line_full")}
    for now in range(EVERY * 6, minutes, EVERY):
        views = watch.at(values, now)
        told = np.array([e.reason == "crosses" for e in exhaustion(views, LIMIT)])
        drawn = line(values, now) <= LINE_HORIZON if now >= LINE_WINDOW else np.zeros(len(watched), bool)
        full = drawn & (values[:, now - 1] > LINE_FULL)
        for kind, alarm in (("ours", told), ("line", drawn), ("line_full", full)):
            out[kind] += int((alarm & (now >= quiet_until[kind])).sum())
            quiet_until[kind][alarm] = now + MUTE
    out["days"] = len({s.server for s in watched}) * minutes / DAY
    return {k: float(v) for k, v in out.items()}
