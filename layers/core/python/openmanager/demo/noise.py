"""Random numbers that belong to an instant: drawn by (seed, server, channel, minute), never by running through a past.

Philox makes them from a key and a counter (Salmon et al., Parallel random numbers: as easy as 1, 2, 3, SC'11), here the
minute itself. Everything is computed element by element, so a minute has the same bits in whatever range it is asked.
"""

from collections.abc import Mapping

import numpy as np
from numpy.typing import NDArray

Array = NDArray[np.float64]


def uniforms(seed: int, server: int, channel: int, first: int, count: int) -> Array:
    """Four uniform numbers in (0, 1) for each of `count` instants from `first` on: (count, 4)."""
    philox = np.random.Philox(
        key=np.array([seed, server], np.uint64), counter=np.array([first, channel, 0, 0], np.uint64)
    )
    raw = philox.random_raw(4 * count)
    uniform: Array = ((raw >> np.uint64(11)).astype(np.float64) + 0.5) * 2.0**-53
    return uniform.reshape(count, 4)


def normals(seed: int, server: int, channel: int, first: int, count: int) -> Array:
    """Four standard normal numbers for each instant (Box and Muller): (count, 4)."""
    u = uniforms(seed, server, channel, first, count)
    radius = np.sqrt(-2 * np.log(u[:, ::2]))
    angle = 2 * np.pi * u[:, 1::2]
    return np.concatenate((radius * np.cos(angle), radius * np.sin(angle)), axis=1)


def wander(seed: int, server: int, channel: int, minutes: NDArray[np.int64], shares: Mapping[int, float]) -> Array:
    """Four independent series of unit variance that remember: (n, 4) for consecutive minutes (n,).

    `shares` says which share of the variance wanders on which scale (minutes; 1 remembers nothing). Each scale is
    normal numbers at knots that far apart with a cosine between them, kept at unit variance everywhere.
    """
    total = np.zeros((len(minutes), 4))
    for scale, share in shares.items():
        knot, part = np.divmod(minutes, scale)
        low = int(knot[0])
        drawn = normals(seed, server, channel * 10_000 + scale, low, int(knot[-1]) - low + 2)
        if scale == 1:
            total += np.sqrt(share) * drawn[:-1]
            continue
        right = (0.5 - 0.5 * np.cos(np.pi * part / scale))[:, None]
        left = 1 - right
        between = (left * drawn[knot - low] + right * drawn[knot - low + 1]) / np.sqrt(left * left + right * right)
        total += np.sqrt(share) * between
    return total


def bursts(
    seed: int, server: int, channel: int, minutes: NDArray[np.int64], every: int, chance: float, tail: float
) -> Array:
    """Something that happens now and then, (n,): 0 mostly, at least 1 when it begins, and fading.

    Of every `every` minutes a share `chance` holds one, which lasts from 1 minute to `every`, mostly few; sizes are
    Pareto distributed with exponent `tail`, cut off at 12.
    """
    block = minutes // every
    low = int(block[0]) - 1
    drawn = uniforms(seed, server, channel * 10_000, low, int(block[-1]) - low + 1)
    total = np.zeros(len(minutes))
    for back in (0, 1):
        # Rows, because numpy takes one of two powers, a bit apart, for numbers that lie apart in memory.
        happens, when, long, large = np.ascontiguousarray(drawn[block - low - back].T)
        age = minutes - (block - back) * every - np.floor(when * every)
        long = long * long
        lasts = 1 + long * long * (every - 1)
        size = np.minimum((1 - large) ** (-1 / tail), 12)
        total += np.where((happens < chance) & (age >= 0) & (age < lasts), size * (1 - age / lasts), 0)
    return total


def damped(values: Array, minutes: float, reach: int) -> Array:
    """Exponentially weighted mean over the last `reach` values of each row (s, n), as Linux does for load averages.

    The first `reach` − 1 columns lack a past and are not meant to be used.
    """
    keep = np.exp(-1 / minutes)
    weights = keep ** np.arange(reach)
    weights /= weights.sum()
    total: Array = weights[0] * values
    for lag in range(1, reach):
        total[:, lag:] += weights[lag] * values[:, :-lag]
    return total
