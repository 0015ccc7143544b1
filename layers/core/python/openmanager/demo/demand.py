"""How much work reaches each server of the demo fleet: day and week, crowds, attackers, and who takes whose share."""

import numpy as np
from numpy.typing import NDArray

from openmanager.demo.effects import Effects
from openmanager.demo.fleet import Server
from openmanager.demo.noise import Array, bursts, uniforms, wander

DAY_MIN = 1440
# The whole fleet's own random numbers, beside those of servers 0, 1, 2, …
COMMON = 1 << 32

# Visitors by hour of a weekday in shares of its peak (busiest at 9 to 11 and 14 to 16, a seventh of that before dawn),
# and how many of them come on each day, Monday first.
# fmt: off
_HOURS = np.array((
    0.24, 0.19, 0.16, 0.14, 0.14, 0.17, 0.26, 0.42, 0.66, 0.92, 1.0, 0.95,
    0.84, 0.86, 0.97, 1.0, 0.93, 0.82, 0.72, 0.66, 0.62, 0.52, 0.42, 0.32,
))
# fmt: on
_DAYS = np.array((1.0, 0.99, 1.0, 0.98, 0.95, 0.6, 0.57))
_WEEK = (_DAYS[:, None] * _HOURS).ravel()
# 1 January 1970 was a Thursday.
_THURSDAY = 3
# Even on a quiet night a crowd is one.
_LEAST_CROWD = 0.45
_WANDERS = {6: 0.3, 60: 0.4, 360: 0.3}


def visitors(minutes: NDArray[np.int64]) -> Array:
    """Visitors expected at these minutes (UTC), 1 at a weekday's peak."""
    hour, part = np.divmod(minutes + _THURSDAY * DAY_MIN, 60)
    fraction = part / 60
    expected: Array = _WEEK[hour % 168] * (1 - fraction) + _WEEK[(hour + 1) % 168] * fraction
    return expected


def work(fleet: tuple[Server, ...], seed: int, minutes: NDArray[np.int64], fx: Effects, sick: Array) -> Array:
    """What each server has to do, (servers, minutes): 1 at a weekday's peak. `sick` (same shape) lose their share."""
    expected = visitors(minutes)
    together = np.exp(0.09 * wander(seed, COMMON, 1, minutes, _WANDERS)[:, 0])
    crowds = np.minimum(0.05 * bursts(seed, COMMON, 2, minutes, 90, 0.15, 2.5), 0.4)
    come = expected * together * (1 + crowds) + (fx.traffic - 1) * np.maximum(expected, _LEAST_CROWD)
    # Where attackers crowd the door, fewer visitors get in:
    come = come / (1 + 0.02 * fx.attack)
    rows = [_one(server, i, seed, minutes, come) for i, server in enumerate(fleet)]
    return np.array(rows) * _shares(fleet, sick)


def _one(server: Server, number: int, seed: int, minutes: NDArray[np.int64], come: Array) -> Array:
    steady = 0.55 * (1 - server.profile.daily)
    level = steady + server.profile.daily * come
    if server.tier == "worker":
        level = level + 0.45 * nightly(seed, number, minutes, hour=1, lasts=150)
    return level


def nightly(seed: int, number: int, minutes: NDArray[np.int64], hour: float, lasts: int) -> Array:
    """A server's nightly job, (n,): 1 while it runs, for about `lasts` minutes from about `hour` on, 0 otherwise."""
    day, minute = np.divmod(minutes, DAY_MIN)
    low = int(day[0])
    drawn = uniforms(seed, number, 3, low, int(day[-1]) - low + 1)[day - low]
    begins = hour * 60 + 10 * drawn[:, 0]
    ends = begins + lasts * (0.8 + 0.4 * drawn[:, 1])
    running: Array = np.clip((minute - begins) / 3, 0, 1) * np.clip((ends - minute) / 3, 0, 1)
    return running


def _shares(fleet: tuple[Server, ...], sick: Array) -> Array:
    """How much of its usual share each server gets: what a sick one cannot take goes to the others of its tier."""
    able = 1 - sick
    shares = np.ones_like(able)
    for tier in {server.tier for server in fleet}:
        rows = [i for i, server in enumerate(fleet) if server.tier == tier]
        left = np.maximum(able[rows].mean(axis=0), 0.5)
        shares[rows] = able[rows] / left
    return shares
