"""How a score ranks among a server's own: a fading histogram of its past, and the p-value that follows. Pure."""

import numpy as np
from numpy.typing import NDArray

Array = NDArray[np.float32]

# Bins are equal on a logarithmic scale, from 2**-6 to 2**10, half an octave each; the outer ones are open.
BINS = 32
_LOWEST, _A_BIN = -6.0, 0.5
# What was seen a week ago counts half.
_FADE = np.float32(0.5 ** (1 / (7 * 1440)))


def p_values(past: Array, score: Array) -> Array:
    """The share (n,) of a server's past minutes that were at least as unusual as `score` (n,).

    `past` (n, BINS) as `learn` leaves it. Within a bin minutes count as evenly spread. With a past of m minutes no
    p-value is below 1 / (m + 1); without one it is 1.
    """
    place, share = _place(score)
    # Summed from the far end, column by column: a row's result does not depend on its batch.
    above = np.zeros((BINS + 1, len(score)), np.float32)
    for i in range(BINS - 1, -1, -1):
        above[i] = above[i + 1] + past[:, i]
    rows = np.arange(len(score))
    worse = above[place + 1, rows] + past[rows, place] * (1 - share)
    return np.asarray((worse + 1) / (above[0] + 1), np.float32)


def learn(past: Array, score: Array) -> Array:
    """`past` (n, BINS) one minute on, with `score` (n,) in it."""
    place, _ = _place(score)
    past = past * _FADE
    past[np.arange(len(score)), place] += 1
    return np.asarray(past, np.float32)


def _place(score: Array) -> tuple[NDArray[np.int64], Array]:
    """(bin, how far into it)."""
    at = (np.log2(np.maximum(score, np.float32(1e-9)).astype(np.float64)) - _LOWEST) / _A_BIN
    at = np.clip(np.round(at, 6), 0, BINS - 1e-6)
    place = at.astype(np.int64)
    return place, np.asarray(at - place, np.float32)
