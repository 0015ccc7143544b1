"""Muon for the inner matrices, Adam for the rest: the forecaster needs several times fewer steps than with Adam alone.

Muon (Jordan et al. 2024, https://kellerjordan.github.io/posts/muon/) makes the momentum of a weight matrix orthogonal
before it is applied, so that rare directions are learnt as fast as common ones.
"""

import tensorflow as tf

MOMENTUM = 0.95
REST_RATE = 3e-3
# Newton-Schulz coefficients and rounds of the source: singular values end between .7 and 1.2.
A, B, C, ROUNDS = 3.4445, -4.7750, 2.0315, 5


class Muon:
    """An optimiser of `weights`; those at the indices `matrices` stand for `parts` matrices side by side and
    learn at most at `rate`, the others at `REST_RATE`.
    """

    def __init__(self, weights: list[tf.Variable], matrices: tuple[int, ...], parts: int, rate: float) -> None:
        """Start with no momentum."""
        self.weights, self.matrices, self.parts, self.peak = weights, matrices, parts, rate
        self.rest = [i for i in range(len(weights)) if i not in matrices]
        self.momentum = [tf.Variable(tf.zeros_like(weights[i])) for i in matrices]
        self.rate = tf.Variable(0.0)
        self.adam = tf.keras.optimizers.Adam(REST_RATE)
        self.adam.build([weights[i] for i in self.rest])

    def schedule(self, share: float) -> None:
        """Set both learning rates to a share of their peaks."""
        self.rate.assign(self.peak * share)
        self.adam.learning_rate.assign(REST_RATE * share)

    def apply(self, gradients: list[tf.Tensor]) -> None:
        """One step downhill."""
        self.adam.apply_gradients([(gradients[i], self.weights[i]) for i in self.rest])
        for momentum, i in zip(self.momentum, self.matrices, strict=True):
            momentum.assign(MOMENTUM * momentum + (1 - MOMENTUM) * gradients[i])
            ahead = MOMENTUM * momentum + (1 - MOMENTUM) * gradients[i]
            step = tf.concat([orthogonal(part) for part in tf.split(ahead, self.parts, axis=1)], 1)
            self.weights[i].assign_sub(self.rate * step)


def orthogonal(matrix: tf.Tensor) -> tf.Tensor:
    """The matrix with its singular values brought near 1, its singular vectors kept."""
    tall = matrix.shape[0] > matrix.shape[1]
    wide = tf.transpose(matrix) if tall else matrix
    wide = wide / (tf.norm(wide) + 1e-7)
    for _ in range(ROUNDS):
        square = wide @ tf.transpose(wide)
        wide = A * wide + (B * square + C * square @ square) @ wide
    return tf.transpose(wide) if tall else wide
