"""How unusual a server's minute is, and because of which metrics. Pure and causal.

The network sees z within ±3 and so learns ordinary behaviour; the error is taken against z within ±20, so that it
cannot explain a large deviation away.
"""

import numpy as np

from openmanager.inference.runtime import Array, model

# Half of what the error was five samples ago still counts: incidents last, spikes do not.
HALF_LIFE = 5
# A server that sends few of the 20 metrics must not be judged by one of them alone.
FEWEST_METRICS = 10

_WEIGHT = np.float32(1 - 0.5 ** (1 / HALF_LIFE))


def score(z: Array) -> tuple[Array, Array]:
    """Reconstruction error and its parts.

    `z` (n, 20) scaled metrics in the order of `catalog.MODEL_METRICS`; NaN counts as expected and contributes
    0. Returns the error (n,), a mean of squares in sigma², and contributions (n, 20) that sum to it. The mean
    is over the metrics present, at least 10.
    """
    network = model("anomaly")
    c = network.constants
    present = ~np.isnan(z)
    z = np.where(present, z, np.float32(0)).astype(np.float32)
    scale = np.float32(c["input_scale"])
    seen = np.clip(z, -np.float32(c["input_clip"]), np.float32(c["input_clip"])) / scale
    (rebuilt,) = network.run(seen)
    off = np.clip(z, -np.float32(c["error_clip"]), np.float32(c["error_clip"])) - rebuilt * scale
    among = np.maximum(present.sum(axis=1, keepdims=True), FEWEST_METRICS).astype(np.float32)
    contributions = np.where(present, off * off / among, np.float32(0)).astype(np.float32)
    return _row_sums(contributions), contributions


def smooth(previous: Array, error: Array) -> Array:
    """The error's moving average (n,), half-life five samples; it starts where `previous` is NaN."""
    previous = np.where(np.isnan(previous), error, previous).astype(np.float32)
    return previous + _WEIGHT * (error - previous)


def update_quantile(quantile: Array, smoothed: Array) -> Array:
    """The server's own high quantile (n,) of its smoothed error, one sample on; NaN starts at the global
    threshold.

    Stochastic approximation on a logarithmic scale: up by `quantile_gain`·p when exceeded, else down by
    `quantile_gain`·(1 − p), so that it rests where a share p of the samples lies below.
    """
    c = model("anomaly").constants
    gain, p = c["quantile_gain"], c["quantile"]
    start = np.where(np.isnan(quantile), np.float32(c["quantile_start"]), quantile).astype(np.float32)
    up, down = np.float32(1 + gain * p), np.float32(1 - gain * (1 - p))
    return np.where(smoothed > start, start * up, start * down)


def threshold(quantile: Array) -> Array:
    """The smoothed error (n,) above which a minute is anomalous: the global one, or the own if higher."""
    c = model("anomaly").constants
    own = np.where(np.isnan(quantile), np.float32(0), quantile)
    return np.maximum(np.float32(c["threshold"]), own).astype(np.float32)


def _row_sums(a: Array) -> Array:
    # numpy chooses the order of a row's additions by the array's shape; column by column it is always the
    # same.
    total = a[:, 0].copy()
    for column in a.T[1:]:
        total += column
    return total
