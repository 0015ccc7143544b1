"""Weights to a .tflite file: `python -m models.training.convert KIND FORMAT IN.npz OUT.tflite`.

Its own process, because the converter keeps what it allocates and prints what it likes. IN.npz holds `w0, b0,
w1, …` and, for int8, `sample`: rows that show the range of the activations. KIND is mlp, autoencoder or
lstm_step; FORMAT is float32, float16 or int8.
"""

import os
import sys
from collections.abc import Callable
from pathlib import Path

os.environ.setdefault("TF_CPP_MIN_LOG_LEVEL", "3")

import numpy as np
import tensorflow as tf

from models.training.dense import forward
from models.training.lstm import UNITS, step

State = tf.TensorSpec((None, UNITS), tf.float32)


def concrete(kind: str, weights: list[tf.Tensor]) -> tuple[tf.Module, Callable[..., object]]:
    """The network as a function of named inputs, with its batch left open."""
    module = tf.Module()
    pairs = list(zip(weights[::2], weights[1::2], strict=True))
    width = int(weights[0].shape[0])
    if kind == "lstm_step":

        @tf.function(
            input_signature=[
                tf.TensorSpec((None, 1), tf.float32, name="x"),
                *(tf.TensorSpec((None, UNITS), tf.float32, name=n) for n in ("h1", "c1", "h2", "c2")),
            ]
        )
        def serve(x: tf.Tensor, h1: tf.Tensor, c1: tf.Tensor, h2: tf.Tensor, c2: tf.Tensor) -> dict[str, tf.Tensor]:
            y, state = step(weights, x, (h1, c1, h2, c2))
            return {"y": y} | dict(zip(("h1_next", "c1_next", "h2_next", "c2_next"), state, strict=True))

    else:

        @tf.function(input_signature=[tf.TensorSpec((None, width), tf.float32, name="x")])
        def serve(x: tf.Tensor) -> dict[str, tf.Tensor]:
            y = forward(pairs, x)
            return {"y": tf.sigmoid(y) if kind == "mlp" else y}

    module.serve = serve
    return module, serve


def main(kind: str, form: str, source: str, target: str) -> None:
    """Convert one file."""
    with np.load(source) as file:
        count = sum(key.startswith("w") for key in file.files)
        weights = [tf.constant(file[f"{letter}{i}"]) for i in range(count) for letter in "wb"]
        sample = file["sample"] if "sample" in file.files else None
    module, serve = concrete(kind, weights)
    converter = tf.lite.TFLiteConverter.from_concrete_functions([serve.get_concrete_function()], module)
    if form != "float32":
        converter.optimizations = [tf.lite.Optimize.DEFAULT]
    if form == "float16":
        converter.target_spec.supported_types = [tf.float16]
    if form == "int8":
        converter.representative_dataset = lambda: ([row[None]] for row in sample)
        converter.target_spec.supported_ops = [tf.lite.OpsSet.TFLITE_BUILTINS_INT8]
    Path(target).write_bytes(converter.convert())


if __name__ == "__main__":
    main(*sys.argv[1:])
