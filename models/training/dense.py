"""Small dense networks: training in TensorFlow, weights in and out as numpy arrays."""

from collections.abc import Callable, Mapping
from dataclasses import dataclass
from itertools import pairwise

import numpy as np
import tensorflow as tf
from numpy.typing import NDArray

Floats = NDArray[np.float32]
Layers = list[tuple[Floats, Floats]]


@dataclass(frozen=True)
class Recipe:
    """How to train: Adam with decoupled weight decay, one-cycle learning rate with its peak at 30 %."""

    epochs: int
    peak_rate: float
    batch: int = 1024
    decay: float = 0.0
    dropout: float = 0.0


def forward(layers: list[tuple[tf.Tensor, tf.Tensor]], x: tf.Tensor, dropout: float = 0.0) -> tf.Tensor:
    """ReLU between the layers, none after the last."""
    for i, (weight, bias) in enumerate(layers):
        x = tf.matmul(x, weight) + bias
        if i < len(layers) - 1:
            x = tf.nn.relu(x)
            x = tf.nn.dropout(x, dropout) if dropout else x
    return x


def predict(layers: Layers, x: Floats) -> Floats:
    """The network's output in numpy float32, before any sigmoid."""
    for i, (weight, bias) in enumerate(layers):
        x = x @ weight + bias
        if i < len(layers) - 1:
            x = np.maximum(x, 0)
    return np.asarray(x, np.float32)


@dataclass(frozen=True)
class NumpyNetwork:
    """A float32 network, not yet converted, in the place of a model file. `squash` ends it in a sigmoid."""

    layers: Layers
    constants: Mapping[str, float]
    squash: bool = False

    def run(self, *arrays: Floats) -> tuple[Floats, ...]:
        """The network's output (n, width)."""
        out = predict(self.layers, arrays[0])
        return (1 / (1 + np.exp(-out)) if self.squash else out,)


def fit(
    sizes: tuple[int, ...],
    x: Floats,
    y: Floats,
    loss: Callable[[tf.Tensor, tf.Tensor], tf.Tensor],
    recipe: Recipe,
    seed: int,
) -> Layers:
    """Layers of a network `sizes` that minimises `loss(y, output)` over rows of `x`."""
    rng = np.random.default_rng(seed)
    tf.random.set_seed(seed)
    layers = [
        (
            tf.Variable(rng.normal(0, np.sqrt(2 / (a + b)), (a, b)).astype(np.float32)),
            tf.Variable(np.zeros(b, np.float32)),
        )
        for a, b in pairwise(sizes)
    ]
    variables = [v for pair in layers for v in pair]
    steps = recipe.epochs * (len(x) // recipe.batch)
    adam = tf.keras.optimizers.AdamW(learning_rate=recipe.peak_rate, weight_decay=recipe.decay)
    adam.build(variables)

    @tf.function(reduce_retracing=True)
    def update(xs: tf.Tensor, ys: tf.Tensor) -> tf.Tensor:
        with tf.GradientTape() as tape:
            value = loss(ys, forward(layers, xs, recipe.dropout))
        adam.apply_gradients(zip(tape.gradient(value, variables), variables, strict=True))
        return value

    done = 0
    for _ in range(recipe.epochs):
        order = rng.permutation(len(x))
        for at in range(0, len(x) - recipe.batch + 1, recipe.batch):
            rows = order[at : at + recipe.batch]
            adam.learning_rate.assign(recipe.peak_rate * one_cycle(done / steps))
            update(tf.constant(x[rows]), tf.constant(y[rows]))
            done += 1
    return [(w.numpy(), b.numpy()) for w, b in layers]


def one_cycle(done: float) -> float:
    """Learning rate as a share of its peak after a share `done` of the steps."""
    if done < 0.3:
        return 0.04 + 0.96 * (0.5 - 0.5 * float(np.cos(np.pi * done / 0.3)))
    return 0.5 + 0.5 * float(np.cos(np.pi * (done - 0.3) / 0.7))
