"""A fleet of any size made of several demo fleets, each with its own trouble, and now is in the middle of it.

The samples are the demo generator's, one a minute; names, sites and a little noise of each server's own are added.
"""

from collections.abc import Iterator
from dataclasses import dataclass, replace
from itertools import islice
from typing import Any

import numpy as np
from openmanager.catalog import DEMO_PREFIX, METRIC
from openmanager.demo.fleet import fleet
from openmanager.demo.generator import pushes
from openmanager.demo.scenarios import truth
from openmanager.telemetry.samples import MINUTE_MS, Samples

# What a baseline takes to be trusted, and a little; what sparklines and charts show; what is too little for the models.
PAST_MIN, SHORT_MIN, YOUNG_MIN = 250, 125, 35
# Of large fleets, whose many healthy servers are never looked at one by one.
ALIKE_MIN = 65
# Minutes that the live sender has in store.
AHEAD_MIN = 90


@dataclass(frozen=True, slots=True)
class Story:
    """A demo fleet at a site: what happens there, and at which share of its course (onset to exhaustion) we are now."""

    site: str
    scenario: str
    seed: int
    servers: int
    share: float = 0.0
    speed: float = 0.5


# No victim and nobody silent is a database: what fails behind one is taken for its doing, and is told with it.
TROUBLED = (
    Story("icn1", "disk_full", 5, 5, 0.6),
    Story("icn2", "disk_full", 8, 5, 0.9),
    Story("icn3", "disk_full", 21, 5, 0.75),
    Story("nrt1", "memory_leak", 5, 5, 0.7),
    Story("nrt2", "memory_leak", 11, 5, 0.85),
    Story("nrt3", "memory_leak", 4, 5, 0.97),
    Story("nrt4", "memory_leak", 6, 5, 0.5),
    Story("iad1", "ddos", 2, 5, 0.6),
    Story("iad2", "performance_degradation", 9, 5, 0.9),
    Story("iad3", "spike", 7, 5, 0.8),
    Story("fra1", "disk_full", 14, 5, 0.98),
    Story("fra2", "memory_leak", 17, 5, 0.9),
)
QUIET = (Story("sin1", "normal", 100, 70), Story("lhr1", "normal", 101, 70))
# Larger fleets have these sites too, whose servers are like those of the quiet ones.
_ALIKE = ("hkg1", "syd1", "cdg1", "sfo1", "bom1", "arn1", "cpt1", "yyz1", "dub1", "mad1", "osl1", "waw1")
# Servers that fell silent so many minutes ago, by their place among the quiet; one that sends seldom enough not to be
# called down for it yet; and how many are new.
_SILENT = {5: 9, 15: 7, 29: 5}
_SELDOM, _SELDOM_MIN, _SELDOM_SILENT_MIN = 40, 10, 7
_YOUNG = 3


@dataclass(frozen=True, slots=True, eq=False)
class Member:
    """One server: its attributes and samples of PAST_MIN minutes before now and AHEAD_MIN after it.

    Of its past `sent_min` minutes are sent. `alike` is the place of the server whose record it may share.
    """

    name: str
    attributes: dict[str, Any]
    samples: Samples
    sent_min: int
    troubled: bool = False
    silent_min: int = 0
    alike: int | None = None


def members(size: int, now_min: int) -> list[Member]:
    """A fleet of `size` servers (at least 70), now being minute `now_min` (since 1970)."""
    noise = np.random.default_rng(size)
    distinct = [member for story in (*TROUBLED, *QUIET) for member in _site(story, now_min, noise)][:size]
    quiet = [i for i, member in enumerate(distinct) if not member.troubled]
    for place, ago in _SILENT.items():
        if place < len(quiet):
            distinct[quiet[place]] = replace(distinct[quiet[place]], silent_min=ago)
    if len(quiet) > _SELDOM:
        seldom = distinct[quiet[_SELDOM]]
        often = np.arange(len(seldom.samples)) % _SELDOM_MIN == (PAST_MIN - _SELDOM_SILENT_MIN - 1) % _SELDOM_MIN
        distinct[quiet[_SELDOM]] = replace(
            seldom, samples=seldom.samples.rows(often), silent_min=_SELDOM_SILENT_MIN, sent_min=PAST_MIN
        )
    for i in quiet[-_YOUNG:]:
        distinct[i] = replace(distinct[i], sent_min=YOUNG_MIN)
    models = [i for i in quiet if not distinct[i].silent_min and distinct[i].sent_min != YOUNG_MIN]
    copies = islice(((site, i) for site in _ALIKE for i in models), size - len(distinct))
    return distinct + [_copy(distinct[i], i, site, noise) for site, i in copies]


def young(size: int) -> str:
    """The name of a server that is new, in a fleet of this size."""
    return next(member.name for member in members(size, 30_000_000) if member.sent_min == YOUNG_MIN)


def _site(story: Story, now_min: int, noise: np.random.Generator) -> Iterator[Member]:
    told = truth(story.scenario, story.seed, story.servers, story.speed)
    into_min = 0
    if told.onset_s is not None:
        until = told.exhaustion_s or told.release_s or told.onset_s
        into_min = int((told.onset_s + story.share * (until - told.onset_s)) // 60)
    started_ms = (now_min - into_min) * MINUTE_MS
    made = pushes(
        fleet(story.servers),
        story.scenario,
        story.seed,
        started_ms,
        into_min - PAST_MIN,
        PAST_MIN + AHEAD_MIN,
        story.speed,
    )
    for push in made:
        kind, _, number = push.server.removeprefix(DEMO_PREFIX).rpartition("-")
        troubled = told.onset_s is not None
        yield Member(
            f"{kind}-{story.site}-{number}",
            _about(f"{kind}-{story.site}-{number}", push.attributes["role"], story.site),
            _with_noise(push.samples, noise),
            PAST_MIN if troubled else SHORT_MIN,
            troubled,
        )


def _copy(member: Member, place: int, site: str, noise: np.random.Generator) -> Member:
    kind, old, number = member.name.split("-")
    # Two quiet sites feed one, so that the numbers of the second go on where no first one is.
    name = f"{kind}-{site}-{number if old == QUIET[0].site else 50 + int(number)}"
    return Member(
        name, _about(name, member.attributes["role"], site), _with_noise(member.samples, noise), ALIKE_MIN, alike=place
    )


def _about(name: str, role: str, site: str) -> dict[str, Any]:
    return {
        "hostname": f"{name}.example.net",
        "role": role,
        "environment": "aws" if site < "j" else "on-premise",
        "labels": {"site": site, "rack": f"r{1 + sum(map(ord, name)) % 8}"},
    }


def _with_noise(samples: Samples, noise: np.random.Generator) -> Samples:
    values = samples.values * (1 + noise.normal(0, 0.01, samples.values.shape))
    for i, key in enumerate(samples.series):
        values[:, i] = np.round(np.clip(values[:, i], 0, METRIC[key].high), METRIC[key].decimals)
    return Samples(samples.series, samples.times, values, samples.late)
