"""The forecaster's teacher: a wide network that answers the whole path at once, learnt in seconds, never shipped.

The LSTM learns from its paths beside the true ones (Hinton, Vinyals and Dean 2015): what follows a window is mostly
chance, and the teacher has averaged much of it away already.
"""

from collections.abc import Callable

import numpy as np
import tensorflow as tf

from models.training.data import Floats
from models.training.draws import STEPS, WINDOW, Draws
from models.training.muon import Muon

WIDTH = 256
BATCH, STEPS_OF_TRAINING = 1024, 2000
PEAK_RATE, CLIP_NORM = 0.05, 1.0
WARM_UP = 100
Path = Callable[[tf.Tensor], tf.Tensor]


def train(draws: Draws, rng: np.random.Generator, loss: Callable[[tf.Tensor, tf.Tensor], tf.Tensor]) -> Path:
    """The path (n, 30) after windows (n, 60), both scaled; fitted to `loss` of its distances and the weights (n,)."""
    weights = [tf.Variable(w) for w in _initial(rng)]
    optimiser = Muon(weights, (0, 2, 4), 1, PEAK_RATE)

    @tf.function
    def update(x: tf.Tensor, target: tf.Tensor, weight: tf.Tensor) -> None:
        with tf.GradientTape() as tape:
            value = loss(tf.abs(_path(weights, x) - target), weight)
        gradients, _ = tf.clip_by_global_norm(tape.gradient(value, weights), CLIP_NORM)
        optimiser.apply(gradients)

    for n in range(STEPS_OF_TRAINING):
        optimiser.schedule(min(1, n / WARM_UP) * (0.5 + 0.5 * float(np.cos(np.pi * n / STEPS_OF_TRAINING))))
        update(*map(tf.constant, draws.draw(rng, BATCH)))
    return lambda x: _path(weights, x)


def _initial(rng: np.random.Generator) -> list[Floats]:
    sizes = [(2 * WINDOW - 1, WIDTH), (WIDTH, WIDTH), (WIDTH, WIDTH), (WIDTH, STEPS)]
    scales = [*(np.sqrt(2 / a) for a, _ in sizes[:-1]), 0.01]
    out = []
    for (a, b), scale in zip(sizes, scales, strict=True):
        out += [(rng.normal(size=(a, b)) * scale).astype(np.float32), np.zeros(b, np.float32)]
    return out


def _path(weights: list[tf.Tensor], x: tf.Tensor) -> tf.Tensor:
    w1, b1, w2, b2, w3, b3, w4, b4 = weights
    x = tf.concat([x, x[:, 1:] - x[:, :-1]], 1) / 3
    h = tf.nn.gelu(x @ w1 + b1)
    h = h + tf.nn.gelu(h @ w2 + b2)
    h = h + tf.nn.gelu(h @ w3 + b3)
    return h @ w4 + b4
