"""How unusual a server's minute is, and because of which metrics. Pure and causal.

The network sees a narrowly clipped z and so learns ordinary behaviour; the error is taken against z within ±20, so
that it cannot explain a large deviation away.
"""

from itertools import pairwise

import numpy as np

from openmanager.catalog import MODEL_METRICS
from openmanager.inference.runtime import Array, Network, model

# Half-lives in samples while the error is above its average and below: what begins shows soon, and an incident
# that pauses for a moment is still the same one. Chosen with the rest of the recipe: models/cards/anomaly.md.
RISE, FALL = 2, 8
# The widths of the layers down to the narrowest.
ENCODER = (20, 10, 4)
# A server that sends few of the 20 metrics must not be judged by one of them alone.
FEWEST_METRICS = 10
# The own quantile: the share of samples below it, and the step by which it follows. It climbs 5 % a sample and
# falls by half in 12 hours. Chosen with the rule in `threshold`, by cross-validation on the development servers.
QUANTILE = 0.98
QUANTILE_GAIN = 0.05

_RISING, _FALLING = (np.float32(1 - 0.5 ** (1 / half_life)) for half_life in (RISE, FALL))
_UP = np.float32(1 + QUANTILE_GAIN * QUANTILE)
_DOWN = np.float32(1 - QUANTILE_GAIN * (1 - QUANTILE))
# Below this an error is rounding; a quantile at 0 could never climb again.
_LEAST = np.float32(1e-3)


def score(z: Array, network: Network | None = None) -> tuple[Array, Array]:
    """Reconstruction error and its parts.

    `z` (n, 20) scaled metrics in the order of `catalog.MODEL_METRICS`; NaN counts as expected, contributes 0.
    Returns the error (n,), a weighted mean of squares in sigma², and contributions (n, 20) that sum to it.
    The mean is over the metrics present, at least 10; the weights `weight.KEY` have the mean 1, and only the share
    `explained` of what the network rebuilds is taken off. `network` replaces the shipped one.
    """
    network = network or model("anomaly")
    scale, seen_clip, error_clip, explained = (
        np.float32(network.constants[key]) for key in ("input_scale", "input_clip", "error_clip", "explained")
    )
    weight = np.array([network.constants[f"weight.{key}"] for key in MODEL_METRICS], np.float32)
    present = ~np.isnan(z)
    z = np.where(present, z, np.float32(0)).astype(np.float32)
    (rebuilt,) = network.run(np.clip(z, -seen_clip, seen_clip) / scale)
    off = np.clip(z, -error_clip, error_clip) - rebuilt * (scale * explained)
    among = np.maximum(present.sum(axis=1, keepdims=True), FEWEST_METRICS).astype(np.float32)
    contributions = np.where(present, weight * off * off / among, np.float32(0))
    return _row_sums(contributions), contributions


def code(z: Array, network: Network | None = None) -> Array:
    """The four numbers (n, 4) that the network's narrowest layer makes of z (n, 20): alike minutes lie near each other.

    The file gives only what is rebuilt from them; the encoder's weights stand in the manifest as `encoder`, matrix and
    bias of either layer, row by row.
    """
    network = network or model("anomaly")
    flat = np.array(network.constants["encoder"], np.float32)
    x = np.clip(np.nan_to_num(z), -network.constants["input_clip"], network.constants["input_clip"]).astype(np.float32)
    x = x / np.float32(network.constants["input_scale"])
    at = 0
    for wide, narrow in pairwise(ENCODER):
        weight = flat[at : at + wide * narrow].reshape(wide, narrow)
        at += wide * narrow
        # Column by column: a row's bits must not depend on its batch.
        total = np.repeat(flat[None, at : at + narrow], len(x), axis=0)
        for column, row in zip(x.T, weight, strict=True):
            total = total + column[:, None] * row
        x = np.maximum(total, np.float32(0))
        at += narrow
    return x


def smooth(previous: Array, error: Array) -> Array:
    """The error's moving average (n,), quicker up than down; it starts where `previous` is NaN."""
    previous = np.where(np.isnan(previous), error, previous)
    weight: Array = np.where(error > previous, _RISING, _FALLING)
    return previous + weight * (error - previous)


def update_quantile(quantile: Array, smoothed: Array, network: Network | None = None) -> Array:
    """The server's own high quantile (n,) of its smoothed error, one sample on.

    Stochastic approximation on a logarithmic scale: up by gain·p when exceeded, else down by gain·(1 − p), so that
    it rests where a share p of the samples lies below. NaN starts at the fleet's usual quantile.
    """
    if np.isnan(quantile).any():
        usual = np.float32((network or model("anomaly")).constants["quantile_start"])
        quantile = np.where(np.isnan(quantile), usual, quantile)
    return np.maximum(np.where(smoothed > quantile, quantile * _UP, quantile * _DOWN), _LEAST)


def threshold(quantile: Array, network: Network | None = None) -> Array:
    """The smoothed error (n,) above which a minute is anomalous, from the quantile before that minute.

    factor · sqrt(quantile + offset): half-way between one threshold for all and each server's own, for one false
    alarm a server and day. The root lets a noisy server page less without making a large incident the new normal.
    A server without a quantile (NaN) gets the global threshold.
    """
    c = (network or model("anomaly")).constants
    own = np.float32(c["threshold_factor"]) * np.sqrt(quantile + np.float32(c["threshold_offset"]))
    return np.where(np.isnan(quantile), np.float32(c["global_threshold"]), own)


def _row_sums(a: Array) -> Array:
    # numpy picks the order of a row's additions by the array's shape; column by column it is always the same.
    total = a[:, 0].copy()
    for column in a.T[1:]:
        total += column
    return total
