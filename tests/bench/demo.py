"""The demo scenarios: what was said of each, when, and whether intervals of exhaustion held the true time."""

from collections.abc import Sequence
from dataclasses import dataclass
from statistics import median
from typing import Any

import numpy as np
from openmanager.demo.fleet import fleet
from openmanager.demo.generator import MONDAY_MS, table
from openmanager.demo.scenarios import SCENARIOS, Truth, truth
from openmanager.telemetry.samples import MINUTE_MS
from openmanager.watch.replay import Past, replay

from tests.bench.output import say

FIRST = MONDAY_MS // MINUTE_MS
# Ordinary minutes before a story begins, as starting a demo sends them.
PAST_MIN = 240
FLEET = 12
EXHAUSTING = ("memory_leak", "disk_full")
# A story at half speed: two hours, of which a limit is met after 76 to 112 minutes.
SPEED = 0.5


@dataclass(frozen=True, slots=True)
class Said:
    """Of one run, in minutes after its start: when the exhaustion began, was announced and came, and the interval."""

    onset: float
    announced: float | None
    came: float
    earliest: float | None
    latest: float | None

    @property
    def held(self) -> bool:
        """Whether it was announced before it came, by an interval that holds the time."""
        if self.announced is None or self.earliest is None or self.announced >= self.came:
            return False
        return self.earliest <= self.came <= (np.inf if self.latest is None else self.latest)


def main(runs: int = 100, week: bool = True) -> None:
    """Both tables; `runs` seeds of each exhausting scenario, five of the others."""
    say(f"Demo scenarios at speed {SPEED}, after {PAST_MIN} ordinary minutes; of exhaustions the victim alone")
    for scenario in EXHAUSTING:
        said = exhausting(scenario, range(runs))
        told = [s for s in said if s.announced is not None and s.announced < s.came]
        share = sum(s.held for s in said) / len(said)
        lead = median(s.came - s.announced for s in told if s.announced is not None) if told else float("nan")
        say(
            f"  {scenario:14} {runs} runs: announced before it came {len(told) / len(said):.0%}, interval held the time"
            f" {share:.0%} ({sum(s.latest is None for s in said)} of them open at the far end),"
            f" median lead {lead:.0f} of {median(s.came - s.onset for s in said):.0f} min  goal 75 %"
        )
    for scenario in SCENARIOS:
        if scenario in (*EXHAUSTING, "normal"):
            continue
        for seed in range(5):
            say(f"  {scenario:24} seed {seed}: {_story(scenario, seed)}")
    if week:
        for seed in range(1, 4):
            _normal_week(seed)


def exhausting(scenario: str, seeds: Sequence[int]) -> list[Said]:
    """Of each seed what was said of the first victim's exhaustion."""
    told = {seed: truth(scenario, seed, FLEET, SPEED) for seed in seeds}
    minutes = PAST_MIN + int(60 / SPEED)
    pasts = []
    for seed, fact in told.items():
        values = table(scenario, FLEET, seed, -PAST_MIN, minutes, speed=SPEED)[fact.servers[0]]
        pasts.append(Past(f"{seed}", FIRST - PAST_MIN, values, "api"))
    found = replay(pasts)
    return [_said(told[seed], [h for h in found.forecast_ends if h["server"] == str(seed)]) for seed in seeds]


def _said(fact: Truth, ends: Sequence[dict[str, Any]]) -> Said:
    """The first announcement after the onset."""
    assert fact.exhaustion_s is not None
    assert fact.onset_s is not None
    for end in ends:
        at = end["at"] / 60 + 1 - FIRST
        if end["metric"] == fact.metric and at * 60 >= fact.onset_s:
            latest = None if end["latest_s"] is None else at + end["latest_s"] / 60
            return Said(fact.onset_s / 60, at, fact.exhaustion_s / 60, at + end["earliest_s"] / 60, latest)
    return Said(fact.onset_s / 60, None, fact.exhaustion_s / 60, None, None)


def _story(scenario: str, seed: int) -> str:
    fact = truth(scenario, seed, FLEET)
    pasts = [
        Past(s.name, FIRST - PAST_MIN, values, s.role)
        for s, values in zip(fleet(FLEET), table(scenario, FLEET, seed, -PAST_MIN, PAST_MIN + 90).values(), strict=True)
    ]
    pages = [n for n in replay(pasts).notices if n["event"] == "firing" and n["at"] // 60 >= FIRST]
    assert fact.onset_s is not None
    onset = fact.onset_s / 60
    right = [n for n in pages if n["server"] in fact.affected and n["at"] // 60 - FIRST >= onset]
    first = min((n["at"] // 60 - FIRST - onset for n in right), default=None)
    end = "never ends" if fact.end_s is None else f"ends after {(fact.end_s - (fact.onset_s or 0)) / 60:.0f} min"
    when = "nobody was told" if first is None else f"told after {first:.0f} min"
    return (
        f"{len(fact.affected)} servers affected, {end}; {when}, {len(right)} pages of"
        f" {len({n['server'] for n in right})} servers in {len({n['incident'] for n in right})} incidents,"
        f" {len(pages) - len(right)} other pages"
    )


def _normal_week(seed: int) -> None:
    minutes = 7 * 1440
    pasts = [
        Past(s.name, FIRST - PAST_MIN, values, s.role)
        for s, values in zip(
            fleet(FLEET), table("normal", FLEET, seed, -PAST_MIN, PAST_MIN + minutes).values(), strict=True
        )
    ]
    pages = [n for n in replay(pasts).notices if n["event"] == "firing"]
    incidents = {n["incident"] for n in pages}
    say(f"  normal, a week of {FLEET} servers, seed {seed}: {len(pages)} pages in {len(incidents)} incidents")
    for n in pages:
        say(f"    minute {n['at'] // 60 - FIRST:6} {n['server']} {n['rule']} {n['value']}")
