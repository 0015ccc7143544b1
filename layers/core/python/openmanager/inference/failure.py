"""The probability that an incident is active or starts within 30 minutes, from five metrics. Pure."""

import numpy as np

from openmanager.catalog import FAILURE_INPUTS, MODEL_METRICS
from openmanager.inference.runtime import Array, Network, model

HALF_LIFE = 5
HORIZON_MIN = 30
# The network answers in steps of 1/256 where it is int8: nearer to 0 and 1 than half a step it cannot tell.
NEAREST = 1 / 512

_WEIGHT = np.float32(1 - 0.5 ** (1 / HALF_LIFE))
_COLUMNS = tuple(tuple(MODEL_METRICS.index(key) for key in keys) for keys in FAILURE_INPUTS.values())


def inputs(z: Array, network: Network | None = None) -> Array:
    """The five squared deviations (n, 5), in the order of `catalog.FAILURE_INPUTS`, from z (n, 20).

    Each is the mean of its metrics' clipped z². A missing metric is left out; without any the input counts as
    expected (0).
    """
    clip = np.float32((network or model("failure")).constants["input_clip"])
    five = np.zeros((len(z), len(_COLUMNS)), np.float32)
    for i, columns in enumerate(_COLUMNS):
        among = np.zeros(len(z), np.float32)
        for column in columns:
            size = np.clip(z[:, column], -clip, clip)
            present = ~np.isnan(size)
            five[:, i] += np.where(present, size * size, np.float32(0))
            among += present
        five[:, i] /= np.maximum(among, np.float32(1))
    return five


def smooth(previous: Array, five: Array) -> Array:
    """The moving average (n, 5) of the five, half-life five samples; it starts where `previous` is NaN."""
    previous = np.where(np.isnan(previous), five, previous)
    return previous + _WEIGHT * (five - previous)


def features(smoothed: Array, network: Network | None = None) -> Array:
    """What the network sees (n, 5): the root of the smoothed squares, in units of `input_scale` sigma."""
    return np.sqrt(smoothed) / np.float32((network or model("failure")).constants["input_scale"])


def probability(smoothed: Array, network: Network | None = None) -> Array:
    """The calibrated probability (n,) for smoothed squared deviations (n, 5).

    The network's logit goes through a line (Platt scaling) fitted on servers the network was not trained on.
    """
    network = network or model("failure")
    (raw,) = network.run(features(smoothed, network))
    p = np.clip(raw[:, 0].astype(np.float64), NEAREST, 1 - NEAREST)
    c = network.constants
    logit = c["calibration_slope"] * np.log(p / (1 - p)) + c["calibration_intercept"]
    # In float64 and rounded, so that the last bits of exp and log do not reach the answer.
    return np.asarray(np.round(1 / (1 + np.exp(-logit)), 6), np.float32)
