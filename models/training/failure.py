"""The failure network 5-64-32-1: the probability that an incident is active or starts within 30 minutes."""

import numpy as np
import tensorflow as tf
from openmanager.catalog import FAILURE_INPUTS, MODEL_METRICS

from models.training import dense
from models.training.data import Floats, Server, soon

SIZES = (5, 64, 32, 1)
HORIZON = 30
INPUT_CLIP, INPUT_SCALE = 20.0, 5.0
RECIPE = dense.Recipe(epochs=3, peak_rate=2e-3, batch=512, decay=0.02, dropout=0.2)
_COLUMNS = [[MODEL_METRICS.index(key) for key in keys] for keys in FAILURE_INPUTS.values()]


def inputs(z: Floats) -> Floats:
    """The five deviations (n, 5) in sigma, before smoothing."""
    size = np.minimum(np.abs(np.nan_to_num(z)), np.float32(INPUT_CLIP))
    return np.stack([size[:, columns].mean(axis=1) for columns in _COLUMNS], axis=1)


def train(fleet: list[Server], seed: int, recipe: dense.Recipe = RECIPE) -> dense.Layers:
    """Fit on the labelled parts of `fleet`, the five inputs in random order to keep the network from learning
    which input belongs to which server's incidents."""
    from models.training.anomaly import smoothed

    x = np.concatenate([smoothed(inputs(s.z))[s.labelled :] for s in fleet]) / np.float32(INPUT_SCALE)
    y = np.concatenate([soon(s.label[s.labelled :], HORIZON) for s in fleet]).astype(np.float32)[:, None]

    def loss(target: tf.Tensor, out: tf.Tensor) -> tf.Tensor:
        return tf.reduce_mean(tf.nn.sigmoid_cross_entropy_with_logits(target, out))

    def shuffled(rows: Floats, rng: np.random.Generator) -> Floats:
        return rng.permuted(rows, axis=1)

    return dense.fit(SIZES, x, y, loss, recipe, seed, shuffled)
