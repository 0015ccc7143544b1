"""The forecaster's network, LSTM 50 → LSTM 50 → Dense 1: one step with explicit state, and how it learns."""

import sys
import time

import numpy as np
import tensorflow as tf

from models.training import teacher
from models.training.data import Floats, Series
from models.training.draws import STEPS, WINDOW, Draws
from models.training.muon import Muon

UNITS = 50
BATCH = 256
PEAK_RATE, CLIP_NORM = 0.03, 1.0
WARM_UP = 100
# The next value's share of the loss; within the path's mean alone it is a thirtieth and is learnt badly.
FIRST_STEP = 0.5
# The teacher's share of what a path is compared with; the rest is what really followed.
TAUGHT = 0.75
# What is shipped is a running mean of the weights over about fifty steps.
KEEP = 0.98
State = tuple[tf.Tensor, tf.Tensor, tf.Tensor, tf.Tensor]
Weights = list[Floats]


def step(weights: list[tf.Tensor], x: tf.Tensor, state: State) -> tuple[tf.Tensor, State]:
    """Next value (n, 1) and state from x (n, 1) and state; `weights` are w, b of each layer in turn."""
    w1, b1, w2, b2, w3, b3 = weights
    h1, c1, h2, c2 = state
    h1, c1 = _cell(w1, b1, x, h1, c1)
    h2, c2 = _cell(w2, b2, h1, h2, c2)
    return tf.matmul(h2, w3) + b3, (h1, c1, h2, c2)


def _cell(w: tf.Tensor, b: tf.Tensor, x: tf.Tensor, h: tf.Tensor, c: tf.Tensor) -> tuple[tf.Tensor, tf.Tensor]:
    """Gates in the order input, forget, candidate, output (Gers, Schmidhuber and Cummins 2000)."""
    i, f, g, o = tf.split(tf.matmul(tf.concat([x, h], 1), w) + b, 4, axis=1)
    c = tf.sigmoid(f) * c + tf.sigmoid(i) * tf.tanh(g)
    return tf.sigmoid(o) * tf.tanh(c), c


def train(series: list[Series], seed: int, steps: int, name: str = "forecast") -> Weights:
    """Fit on random windows of the series' train parts, beside a teacher fitted on the same series first."""
    rng = np.random.default_rng(seed)
    draws = Draws(series)
    taught = teacher.train(draws, rng, path_loss)
    weights = [tf.Variable(w) for w in _initial(rng)]
    mean = [tf.Variable(w) for w in weights]
    # The cells' matrices, gate by gate.
    optimiser = Muon(weights, (0, 2), 4, PEAK_RATE)

    @tf.function
    def update(x: tf.Tensor, target: tf.Tensor, weight: tf.Tensor) -> tf.Tensor:
        with tf.GradientTape() as tape:
            path = unroll(weights, x)
            off = (1 - TAUGHT) * tf.abs(path - target) + TAUGHT * tf.abs(path - taught(x))
            loss = path_loss(off, weight)
        gradients, _ = tf.clip_by_global_norm(tape.gradient(loss, weights), CLIP_NORM)
        optimiser.apply(gradients)
        for kept, new in zip(mean, weights, strict=True):
            kept.assign(KEEP * kept + (1 - KEEP) * new)
        return loss

    started, running = time.monotonic(), 0.0
    for n in range(steps):
        optimiser.schedule(min(1, (n + 1) / WARM_UP) * (0.5 + 0.5 * float(np.cos(np.pi * n / steps))))
        loss = float(update(*map(tf.constant, draws.draw(rng, BATCH))))
        running = loss if n == 0 else running + 0.01 * (loss - running)
        if n % 100 == 99 or n + 1 == steps:
            spent = time.monotonic() - started
            sys.stderr.write(f"\r{name}: step {n + 1}/{steps}, loss {running:.4f}, {spent:.0f} s")
    sys.stderr.write("\n")
    return [w.numpy() for w in mean]


def path_loss(off: tf.Tensor, weight: tf.Tensor) -> tf.Tensor:
    """The mean distance of paths from distances (n, 30) and the weights (n,) of their windows."""
    by_step = tf.reduce_mean(off * weight[:, None], axis=0)
    return FIRST_STEP * by_step[0] + (1 - FIRST_STEP) * tf.reduce_mean(by_step)


def unroll(weights: list[tf.Tensor], x: tf.Tensor) -> tf.Tensor:
    """The path (n, 30) after windows (n, 60), each prediction fed back as the next input."""
    state = tuple(tf.zeros((tf.shape(x)[0], UNITS)) for _ in range(4))
    for t in range(WINDOW):
        y, state = step(weights, x[:, t : t + 1], state)
    path = [y]
    for _ in range(STEPS - 1):
        y, state = step(weights, y, state)
        path.append(y)
    return tf.concat(path, 1)


def _initial(rng: np.random.Generator) -> Weights:
    """Fresh weights; the forget gates start open."""
    out: Weights = []
    for width in (1, UNITS):
        out.append(rng.normal(0, (width + UNITS) ** -0.5, (width + UNITS, 4 * UNITS)).astype(np.float32))
        bias = np.zeros(4 * UNITS, np.float32)
        bias[UNITS : 2 * UNITS] = 1
        out.append(bias)
    return [*out, rng.normal(0, UNITS**-0.5, (UNITS, 1)).astype(np.float32), np.zeros(1, np.float32)]
