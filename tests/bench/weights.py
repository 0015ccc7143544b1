"""A shipped file's weights, read out of it, and its network in plain numpy: what the interpreter is held against."""

from collections.abc import Mapping
from dataclasses import dataclass, field
from typing import Any

import numpy as np
from numpy.typing import NDArray
from openmanager.inference.runtime import Array, Model

Layer = tuple[Array, Array]


def layers(model: Model) -> list[Layer]:
    """(matrix (outputs, inputs), bias (outputs,)) of each fully connected operator, in order, as float32."""
    interpreter = model._interpreter
    details = {d["index"]: d for d in interpreter.get_tensor_details()}
    operators = interpreter._get_ops_details()
    # float16 weights pass an operator of their own on the way to float32:
    stored = {int(o["outputs"][0]): int(o["inputs"][0]) for o in operators if o["op_name"] == "DEQUANTIZE"}

    def read(index: int) -> Array:
        index = stored.get(index, index)
        value = interpreter.get_tensor(index).astype(np.float32)
        scales = np.asarray(details[index]["quantization_parameters"]["scales"], np.float32)
        # A scale for each output, zero points are 0 in weights and biases.
        return np.asarray(value * scales.reshape(-1, *[1] * (value.ndim - 1)) if scales.size else value)

    dense = [o for o in operators if o["op_name"] == "FULLY_CONNECTED"]
    return [(read(int(o["inputs"][1])), read(int(o["inputs"][2]))) for o in dense]


@dataclass(frozen=True)
class Dense:
    """ReLU between the layers, after the last nothing or a sigmoid."""

    layers: list[Layer]
    squash: bool = False
    constants: Mapping[str, Any] = field(default_factory=dict)

    def run(self, *arrays: Array) -> tuple[Array, ...]:
        """(n, width) from (n, width)."""
        x = arrays[0]
        for i, (weight, bias) in enumerate(self.layers):
            x = x @ weight.T + bias
            if i < len(self.layers) - 1:
                x = np.maximum(x, 0)
        return (sigmoid(x) if self.squash else x,)


@dataclass(frozen=True)
class Recurrent:
    """One step of two LSTM layers and a dense one; gates in the order input, forget, cell, output."""

    layers: list[Layer]
    constants: Mapping[str, Any] = field(default_factory=dict)

    def run(self, *arrays: Array) -> tuple[Array, ...]:
        """y, h1, c1, h2, c2 from x, h1, c1, h2, c2."""
        out = arrays[0]
        state: list[Array] = []
        for (weight, bias), h, c in zip(self.layers[:2], arrays[1::2], arrays[2::2], strict=True):
            gates = np.concatenate([out, h], axis=1) @ weight.T + bias
            enter, forget, cell, leave = np.split(gates, 4, axis=1)
            c = sigmoid(forget) * c + sigmoid(enter) * np.tanh(cell)
            out = sigmoid(leave) * np.tanh(c)
            state += [out, c]
        weight, bias = self.layers[2]
        return (out @ weight.T + bias, *state)


def in_numpy(model: Model) -> Dense | Recurrent:
    """The model's network in plain numpy, float32."""
    found = layers(model)
    if model.entry.name == "forecast":
        return Recurrent(found, model.constants)
    return Dense(found, model.entry.name == "failure", model.constants)


def sigmoid(x: NDArray[np.float32]) -> Array:
    return np.asarray(1 / (1 + np.exp(-x)), np.float32)
