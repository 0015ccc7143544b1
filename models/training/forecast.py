"""The forecaster: one network for every series, trained on the path it will be asked for."""

import sys
import time

import numpy as np
import tensorflow as tf
from numpy.typing import NDArray

from models.training.data import Floats, Series
from models.training.lstm import UNITS, step

WINDOW, STEPS, BATCH = 60, 30, 256
PEAK_RATE, LAST_RATE, CLIP_NORM = 2e-3, 1e-4, 1.0
Weights = list[Floats]


def scaled(windows: NDArray[np.float64], floor: NDArray[np.float64]) -> tuple[Floats, NDArray[np.float64]]:
    """Windows (n, 60 + any) in units of their own first 60 values' step, and that step (n,)."""
    size = np.maximum(np.abs(np.diff(windows[:, :WINDOW], axis=1)).mean(axis=1), floor)
    last = windows[:, WINDOW - 1 : WINDOW]
    return np.arcsinh((windows - last) / size[:, None]).astype(np.float32), size


def initial(rng: np.random.Generator) -> Weights:
    """Fresh weights; the forget gates start open."""
    out: Weights = []
    for width in (1, UNITS):
        out.append(rng.normal(0, (width + UNITS) ** -0.5, (width + UNITS, 4 * UNITS)).astype(np.float32))
        bias = np.zeros(4 * UNITS, np.float32)
        bias[UNITS : 2 * UNITS] = 1
        out.append(bias)
    return [*out, rng.normal(0, UNITS**-0.5, (UNITS, 1)).astype(np.float32), np.zeros(1, np.float32)]


def train(series: list[Series], seed: int, steps: int, name: str = "forecast") -> Weights:
    """Fit on random windows of the series' train parts; every source gets an equal share of the draws."""
    rng = np.random.default_rng(seed)
    weights = [tf.Variable(w) for w in initial(rng)]
    adam = tf.keras.optimizers.Adam(PEAK_RATE)
    adam.build(weights)

    @tf.function
    def update(x: tf.Tensor, target: tf.Tensor) -> tf.Tensor:
        with tf.GradientTape() as tape:
            loss = tf.reduce_mean(tf.abs(_unroll(weights, x) - target))
        gradients, _ = tf.clip_by_global_norm(tape.gradient(loss, weights), CLIP_NORM)
        adam.apply_gradients(zip(gradients, weights, strict=True))
        return loss

    draw = _drawer(series, rng)
    started, running = time.monotonic(), 0.0
    for n in range(steps):
        adam.learning_rate.assign(
            LAST_RATE + (PEAK_RATE - LAST_RATE) * (0.5 + 0.5 * float(np.cos(np.pi * n / steps)))
        )
        windows = draw()
        loss = float(update(tf.constant(windows[:, :WINDOW]), tf.constant(windows[:, WINDOW:])))
        running = loss if n == 0 else running + 0.01 * (loss - running)
        if n % 100 == 99 or n + 1 == steps:
            spent = time.monotonic() - started
            sys.stderr.write(f"\r{name}: step {n + 1}/{steps}, loss {running:.4f}, {spent:.0f} s")
    sys.stderr.write("\n")
    return [w.numpy() for w in weights]


def _unroll(weights: list[tf.Tensor], x: tf.Tensor) -> tf.Tensor:
    """The path (n, 30) after windows (n, 60), each prediction fed back as the next input."""
    state = tuple(tf.zeros((tf.shape(x)[0], UNITS)) for _ in range(4))
    for t in range(WINDOW):
        y, state = step(weights, x[:, t : t + 1], state)
    path = [y]
    for _ in range(STEPS - 1):
        y, state = step(weights, y, state)
        path.append(y)
    return tf.concat(path, 1)


def _drawer(series: list[Series], rng: np.random.Generator):  # type: ignore[no-untyped-def]
    sources = sorted({s.server.split("/")[0] for s in series})
    pools = [[s for s in series if s.server.startswith(f"{name}/")] for name in sources]
    length = WINDOW + STEPS

    def draw() -> Floats:
        rows, floors = [], []
        for _ in range(BATCH):
            pool = pools[rng.choice(len(pools), p=_SHARE[len(pools)])]
            s = pool[rng.integers(len(pool))]
            at = rng.integers(s.test - length + 1)
            rows.append(s.values[at : at + length])
            floors.append(s.floor)
        return scaled(np.array(rows), np.array(floors))[0]

    return draw


# asd, nab, smd: most draws from the minute data that the product sees.
_SHARE = {3: [0.2, 0.2, 0.6], 2: [0.25, 0.75], 1: [1.0]}
