"""Series of kinds that the recordings hold few of: filling disks, rotated logs, levels that jump, days.

They are a small share of what the forecaster learns from and are judged apart: no figure on them is a figure on a real
server.
"""

import numpy as np
from numpy.typing import NDArray

from models.training.data import Series

KINDS = ("filling", "sawtooth", "steps", "daily")
LENGTH = 4000
TEST = 3000
Walk = NDArray[np.float64]


def generate(count: int, rng: np.random.Generator) -> list[Series]:
    """`count` series of each kind, in percent of a capacity."""
    return [_series(kind, rng) for kind in KINDS for _ in range(count)]


def _series(kind: str, rng: np.random.Generator) -> Series:
    shape = {"filling": _filling, "sawtooth": _sawtooth, "steps": _steps, "daily": _daily}[kind](rng)
    values = shape + _noise(rng) * rng.choice([0.0, 0.02, 0.2, 1.0])
    # Filesystems and many gauges are read in whole hundredths or tenths.
    grain = rng.choice([0.001, 0.01, 0.1])
    return Series("generated", kind, np.round(values / grain) * grain, 0.1, TEST, metric=kind)


def _noise(rng: np.random.Generator) -> Walk:
    """Autocorrelated noise of deviation 1 with bursts: shocks are Student's with four degrees of freedom."""
    memory = rng.uniform(0, 0.95)
    shocks = rng.standard_t(4, LENGTH) * np.sqrt((1 - memory**2) / 2)
    out = np.empty(LENGTH)
    level = 0.0
    for t, shock in enumerate(shocks):
        level = memory * level + shock
        out[t] = level
    return out


def _pace(rng: np.random.Generator) -> Walk:
    """How much is written each step: a mean, a day in it, and hours busier than others."""
    busy = np.repeat(rng.lognormal(0, 0.5, LENGTH // 50), 50)
    day = 1 + rng.uniform(0, 0.8) * np.sin(2 * np.pi * np.arange(LENGTH) / 1440 + rng.uniform(0, 6))
    return np.asarray(busy * day)


def _filling(rng: np.random.Generator) -> Walk:
    written = np.cumsum(_pace(rng))
    return np.asarray(rng.uniform(5, 60) + rng.uniform(1, 80) * written / written[-1])


def _sawtooth(rng: np.random.Generator) -> Walk:
    written = np.cumsum(_pace(rng))
    rotated = written[-1] / rng.uniform(4, 60)
    return np.asarray(rng.uniform(0, 50) + rng.uniform(1, 40) * (written % rotated) / rotated)


def _steps(rng: np.random.Generator) -> Walk:
    jumps = rng.random(LENGTH) < 1 / rng.uniform(15, 300)
    levels = rng.uniform(5, 95, LENGTH)
    return np.asarray(levels[np.maximum.accumulate(np.where(jumps, np.arange(LENGTH), 0))])


def _daily(rng: np.random.Generator) -> Walk:
    phase = 2 * np.pi * np.arange(LENGTH) / rng.choice([48, 144, 288, 1440]) + rng.uniform(0, 6)
    second = rng.uniform(0, 0.5) * np.sin(2 * phase + rng.uniform(0, 6))
    return np.asarray(50 + rng.uniform(3, 35) * (np.sin(phase) + second) / 1.5)
