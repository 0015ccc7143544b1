"""The probability that an incident is active or starts within 30 minutes, from five metrics. Pure."""

import numpy as np

from openmanager.catalog import FAILURE_INPUTS, MODEL_METRICS
from openmanager.inference.runtime import Array, model

HALF_LIFE = 5
HORIZON_MIN = 30

_WEIGHT = np.float32(1 - 0.5 ** (1 / HALF_LIFE))
_COLUMNS = tuple(tuple(MODEL_METRICS.index(key) for key in keys) for keys in FAILURE_INPUTS.values())


def inputs(z: Array) -> Array:
    """The five deviations (n, 5), in the order of `catalog.FAILURE_INPUTS`, from scaled metrics `z` (n, 20).

    Each is the mean of its metrics' |z|, clipped; a missing metric is left out, an input without any counts
    as expected (0).
    """
    clip = np.float32(model("failure").constants["input_clip"])
    size = np.minimum(np.abs(z), clip)
    five = np.zeros((len(z), len(_COLUMNS)), np.float32)
    for i, columns in enumerate(_COLUMNS):
        total = np.zeros(len(z), np.float32)
        among = np.zeros(len(z), np.float32)
        for column in columns:
            present = ~np.isnan(size[:, column])
            total += np.where(present, size[:, column], np.float32(0))
            among += present
        five[:, i] = total / np.maximum(among, np.float32(1))
    return five


def smooth(previous: Array, five: Array) -> Array:
    """The moving average (n, 5) of the five, half-life five samples; it starts where `previous` is NaN."""
    previous = np.where(np.isnan(previous), five, previous).astype(np.float32)
    return previous + _WEIGHT * (five - previous)


def probability(smoothed: Array) -> Array:
    """The calibrated probability (n,) for smoothed deviations (n, 5)."""
    network = model("failure")
    c = network.constants
    (raw,) = network.run(smoothed / np.float32(c["input_scale"]))
    # In float64 and back, so that the last bits of exp and log do not reach the answer.
    p = np.clip(raw[:, 0].astype(np.float64), 1e-6, 1 - 1e-6)
    logit = c["calibration_slope"] * np.log(p / (1 - p)) + c["calibration_intercept"]
    return np.asarray(1 / (1 + np.exp(-logit)), np.float32)
