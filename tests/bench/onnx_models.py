"""The shipped weights as ONNX graphs behind ONNX Runtime, where both are installed (`make bench-onnx`)."""

import importlib
from typing import Any

import numpy as np
from openmanager.inference.runtime import Array, Model

from tests.bench.weights import Layer, layers

# Read by every ONNX Runtime since 1.14; Split needs no count of its outputs before opset 18.
OPSET, IR_VERSION = 17, 8


class Session:
    """A network in ONNX Runtime, one thread, float32, in the place of a model."""

    def __init__(self, model: Model) -> None:
        """Raises ImportError where a package is missing."""
        runtime = importlib.import_module("onnxruntime")
        options = runtime.SessionOptions()
        options.intra_op_num_threads = options.inter_op_num_threads = 1
        content = _Graph(layers(model)).serialized(model)
        self.bytes = len(content)
        self.constants = model.constants
        self._session = runtime.InferenceSession(content, options, providers=["CPUExecutionProvider"])
        self._names = [t.name for t in model.entry.inputs]

    def run(self, *arrays: Array) -> tuple[Array, ...]:
        """As `Model.run`."""
        return tuple(self._session.run(None, dict(zip(self._names, arrays, strict=True))))


class _Graph:
    def __init__(self, weights: list[Layer]) -> None:
        self.helper = importlib.import_module("onnx.helper")
        self.numpy = importlib.import_module("onnx.numpy_helper")
        self.nodes: list[Any] = []
        self.constants: list[Any] = []
        self.weights = weights

    def serialized(self, model: Model) -> bytes:
        entry, float32 = model.entry, importlib.import_module("onnx").TensorProto.FLOAT
        made = self.recurrent() if entry.name == "forecast" else self.dense(squash=entry.name == "failure")
        for name, tensor in zip(made, entry.outputs, strict=True):
            self.nodes.append(self.helper.make_node("Identity", [name], [tensor.name]))
        inputs, outputs = (
            [self.helper.make_tensor_value_info(t.name, float32, ["n", t.width]) for t in tensors]
            for tensors in (entry.inputs, entry.outputs)
        )
        graph = self.helper.make_graph(self.nodes, entry.name, inputs, outputs, self.constants)
        made_model = self.helper.make_model(graph, opset_imports=[self.helper.make_opsetid("", OPSET)])
        made_model.ir_version = IR_VERSION
        return bytes(made_model.SerializeToString())

    def node(self, kind: str, *inputs: str, outputs: int = 1, **attributes: Any) -> list[str]:
        names = [f"{kind.lower()}_{len(self.nodes)}_{i}" for i in range(outputs)]
        self.nodes.append(self.helper.make_node(kind, list(inputs), names, **attributes))
        return names

    def layer(self, x: str, number: int) -> str:
        for kind, value in zip("wb", self.weights[number], strict=True):
            self.constants.append(self.numpy.from_array(np.ascontiguousarray(value), f"{kind}{number}"))
        return self.node("Gemm", x, f"w{number}", f"b{number}", transB=1)[0]

    def dense(self, squash: bool) -> list[str]:
        x = "x"
        for i in range(len(self.weights)):
            x = self.layer(x, i)
            if i < len(self.weights) - 1:
                (x,) = self.node("Relu", x)
        return self.node("Sigmoid", x) if squash else [x]

    def recurrent(self) -> list[str]:
        out, state = "x", []
        for number, (h, c) in enumerate((("h1", "c1"), ("h2", "c2"))):
            gates = self.layer(self.node("Concat", out, h, axis=1)[0], number)
            enter, forget, cell, leave = self.node("Split", gates, outputs=4, axis=1)
            enter, forget, leave = (self.node("Sigmoid", gate)[0] for gate in (enter, forget, leave))
            kept = self.node("Mul", forget, c)[0]
            new = self.node("Mul", enter, self.node("Tanh", cell)[0])[0]
            (carried,) = self.node("Add", kept, new)
            (out,) = self.node("Mul", leave, self.node("Tanh", carried)[0])
            state += [out, carried]
        return [self.layer(out, 2), *state]
