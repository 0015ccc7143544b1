"""The forecaster's cell, LSTM 50 → LSTM 50 → Dense 1, as one step with explicit state."""

import tensorflow as tf

UNITS = 50
State = tuple[tf.Tensor, tf.Tensor, tf.Tensor, tf.Tensor]


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
