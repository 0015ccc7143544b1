"""The autoencoder 20-10-4-10-20: learns ordinary minutes, is judged on incidents of unseen servers."""

import numpy as np
import tensorflow as tf

from models.training import dense, metrics
from models.training.data import Floats, Server

SIZES = (20, 10, 4, 10, 20)
INPUT_CLIP, ERROR_CLIP, INPUT_SCALE = 3.0, 20.0, 10.0
RECIPE = dense.Recipe(epochs=6, peak_rate=9e-3)


def known(z: Floats) -> Floats:
    """z with missing values as expected."""
    return np.nan_to_num(z)


def train(fleet: list[Server], seed: int, recipe: dense.Recipe = RECIPE) -> dense.Layers:
    """Fit on the train parts of `fleet`, which are taken as normal."""
    z = np.concatenate([known(s.z[: s.labelled]) for s in fleet])
    x = np.clip(z, -INPUT_CLIP, INPUT_CLIP) / np.float32(INPUT_SCALE)

    def loss(y: tf.Tensor, out: tf.Tensor) -> tf.Tensor:
        return tf.reduce_mean(tf.square(y - out))

    return dense.fit(SIZES, x, x, loss, recipe, seed)


def errors(layers: dense.Layers, z: Floats) -> Floats:
    """Reconstruction error (n,) of the float32 network."""
    z = known(z)
    out = dense.predict(layers, np.clip(z, -INPUT_CLIP, INPUT_CLIP) / np.float32(INPUT_SCALE))
    return np.asarray(
        ((np.clip(z, -ERROR_CLIP, ERROR_CLIP) - out * np.float32(INPUT_SCALE)) ** 2).mean(axis=1)
    )


def no_model(z: Floats) -> Floats:
    """The line to beat: the mean squared deviation, clipped likewise, without any network."""
    return np.asarray((np.clip(known(z), -ERROR_CLIP, ERROR_CLIP) ** 2).mean(axis=1))


def smoothed(error: Floats, half_life: int = 5) -> Floats:
    """The moving average that the live round keeps."""
    weight = np.float32(1 - 0.5 ** (1 / half_life))
    out = np.empty_like(error)
    state = error[0]
    for t, e in enumerate(error):
        state = state + weight * (e - state)
        out[t] = state
    return out


def judge(server: Server, score: Floats) -> dict[str, float]:
    """Scores over a server's labelled part; `score` (n,) covers all its minutes."""
    y, s = server.label[server.labelled :], score[server.labelled :]
    return {
        "auc_pr": metrics.average_precision(y, s),
        "roc": metrics.roc(y, s),
        "vus_pr": metrics.vus_pr(y, s),
    }
