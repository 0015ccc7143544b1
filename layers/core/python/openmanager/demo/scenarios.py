"""What goes wrong in a run of the demo fleet, to whom, when and how fast: drawn from the seed, known as data.

A scenario is told in story seconds, of which an hour holds all of it; at speed 2 that hour passes in half an hour.
Plain Python, so that the function that starts a run can say what will happen without loading numpy.
"""

import random

from openmanager.demo.fleet import Server, fleet
from openmanager.values import frozen

SCENARIOS = ("normal", "spike", "memory_leak", "ddos", "performance_degradation", "disk_full")
STORY_MIN = 60
SLOWEST, FASTEST = 0.02, 20.0
# After its memory ran out a machine thrashes until its kernel kills the process, which then takes this long to return.
# These are a machine's own times, whatever the speed of the story.
THRASH_S = 180
RESTART_S = 120

_FRONT = ("load-balancer", "web")
_PATH = ("load-balancer", "web", "api", "primary", "replica", "cache")
_LEAKING = ("api", "worker", "web")
_FILLING = ("primary", "worker", "web")


@frozen
class Truth:
    """What a run does. Times are real seconds after its start.

    It begins at `onset_s`, is felt in full from `peak_s`, recedes from `release_s` and is over at `end_s`, both None
    where only the end of the run ends it. `servers` are those where it starts, `affected` all that feel it; `metric`
    is where it shows first. A bounded metric reaches its `limit` on `servers` at `exhaustion_s`. `strength` is how
    many times the usual it is, `bend` and `phase` the course of an exhaustion (see `effects.progress`).
    """

    scenario: str
    onset_s: float | None = None
    peak_s: float | None = None
    release_s: float | None = None
    end_s: float | None = None
    servers: tuple[str, ...] = ()
    affected: tuple[str, ...] = ()
    metric: str | None = None
    exhaustion_s: float | None = None
    limit: float | None = None
    strength: float = 1.0
    bend: float = 1.0
    phase: float = 0.0


def truth(scenario: str, seed: int, servers: int = 12, speed: float = 1.0) -> Truth:
    """What happens in a scenario with this seed to a fleet of so many servers. Raises ValueError."""
    if scenario not in SCENARIOS:
        raise ValueError(f"scenario: {scenario!r} is not one of {', '.join(SCENARIOS)}")
    if not SLOWEST <= speed <= FASTEST:
        raise ValueError(f"speed: {speed:g} is outside {SLOWEST:g} to {FASTEST:g}")
    if scenario == "normal":
        return Truth(scenario)
    # A text seeds through SHA-512, the same in every version of Python.
    return _TOLD[scenario](random.Random(f"{scenario}/{seed}"), fleet(servers), 60 / speed)


def _of(members: tuple[Server, ...], *tiers: str) -> tuple[str, ...]:
    return tuple(s.name for s in members if s.tier in tiers)


def _spike(draw: random.Random, members: tuple[Server, ...], unit: float) -> Truth:
    """Many more visitors than usual, who come within minutes and leave again."""
    onset = draw.uniform(5, 15)
    peak = onset + draw.uniform(2, 5)
    release = peak + draw.uniform(15, 22)
    end = release + draw.uniform(5, 8)
    path = _of(members, *_PATH)
    front = _of(members, *_FRONT)
    times = (onset * unit, peak * unit, release * unit, end * unit)
    return Truth("spike", *times, front, path, "network_receive_bytes", strength=draw.uniform(2.2, 3.2))


def _ddos(draw: random.Random, members: tuple[Server, ...], unit: float) -> Truth:
    """Floods of small requests in waves, which leave as suddenly as they came."""
    onset = draw.uniform(5, 14)
    peak = onset + draw.uniform(1, 2)
    release = peak + draw.uniform(18, 28)
    end = release + draw.uniform(1, 3)
    front = _of(members, *_FRONT)
    path = _of(members, *_PATH)
    times = (onset * unit, peak * unit, release * unit, end * unit)
    strength, phase = draw.uniform(8, 20), draw.uniform(0, 6.28)
    return Truth("ddos", *times, front, path, "network_receive_packets", strength=strength, phase=phase)


def _degradation(draw: random.Random, members: tuple[Server, ...], unit: float) -> Truth:
    """The primary database reads more and more for every query; whoever waits for it slows down with it."""
    onset = draw.uniform(4, 12)
    peak = onset + draw.uniform(12, 22)
    release = draw.uniform(50, 54)
    end = release + draw.uniform(2, 5)
    path = _of(members, "load-balancer", "web", "api", "primary")
    times = (onset * unit, peak * unit, release * unit, end * unit)
    strength = draw.uniform(4, 8)
    return Truth("performance_degradation", *times, _of(members, "primary"), path, "disk_wait", strength=strength)


def _memory_leak(draw: random.Random, members: tuple[Server, ...], unit: float) -> Truth:
    """A process takes memory until there is none, and is killed; its neighbours take over its work."""
    victim = draw.choice([s for s in members if s.tier in _LEAKING])
    onset, exhaustion, bend, phase = _course(draw)
    out = exhaustion * unit
    return Truth(
        "memory_leak",
        onset * unit,
        out,
        out + THRASH_S,
        out + THRASH_S + RESTART_S,
        (victim.name,),
        _of(members, victim.tier) if victim.tier != "worker" else (victim.name,),
        "memory_used_effective",
        out,
        100,
        bend=bend,
        phase=phase,
    )


def _disk_full(draw: random.Random, members: tuple[Server, ...], unit: float) -> Truth:
    """Something writes without end; nobody clears the disk."""
    victim = draw.choice([s for s in members if s.tier in _FILLING])
    onset, exhaustion, bend, phase = _course(draw)
    feels = _of(members, "primary", "api", "web", "load-balancer") if victim.tier == "primary" else (victim.name,)
    return Truth(
        "disk_full",
        onset * unit,
        exhaustion * unit,
        None,
        None,
        (victim.name,),
        feels,
        "filesystem_utilization",
        exhaustion * unit,
        100,
        bend=bend,
        phase=phase,
    )


def _course(draw: random.Random) -> tuple[float, float, float, float]:
    """(onset, exhaustion, bend, phase) of something that runs out, in story minutes."""
    return draw.uniform(4, 10), draw.uniform(38, 56), draw.uniform(0.9, 1.15), draw.uniform(0, 6.28)


_TOLD = {
    "spike": _spike,
    "ddos": _ddos,
    "performance_degradation": _degradation,
    "memory_leak": _memory_leak,
    "disk_full": _disk_full,
}
