"""The one place that knows the TFLite interpreter: finds, checks, loads and runs the model files.

The interpreter is imported here at the top, so that on Lambda it is paid for in INIT; the files are read at
first use.
"""

import hashlib
import json
import math
import os
import threading
import time
from collections.abc import Mapping, Sequence
from functools import lru_cache
from pathlib import Path
from typing import Any, Protocol

import numpy as np
from numpy.typing import NDArray

from openmanager import meter
from openmanager.errors import ModelUnavailable
from openmanager.settings import models_dir
from openmanager.values import frozen

WHY_NOT = ""
try:
    # Ends at Python 3.11; its successor reads the same files through the same interface.
    from tflite_runtime.interpreter import Interpreter
except ImportError as former:
    try:
        from ai_edge_litert.interpreter import Interpreter
    except ImportError as latter:
        Interpreter = None
        # Installed but built against another numpy or C library also ends here, so the reasons are kept.
        WHY_NOT = f"{former}; {latter}"

Array = NDArray[np.float32]
MANIFEST = "manifest.json"
NAMES = ("failure", "anomaly", "forecast")
SCHEMA = 1


@frozen
class Tensor:
    """An input or output: our name for it, the file's, and its width. Tensors are float32 (batch, width)."""

    name: str
    tensor: str
    width: int


@frozen
class Entry:
    """What the manifest says of one model."""

    name: str
    file: str
    sha256: str
    inputs: tuple[Tensor, ...]
    outputs: tuple[Tensor, ...]
    constants: Mapping[str, Any]


class Constants(dict[str, Any]):
    """A model's constants by name, floats and tuples of floats. Raises ModelUnavailable for one that it lacks."""

    def __init__(self, source: str, values: Mapping[str, Any]) -> None:
        super().__init__({key: _constant(key, value) for key, value in values.items()})
        self._source = source

    def __missing__(self, key: str) -> Any:
        raise ModelUnavailable(f"{self._source} has no constant named {key}")


def read_manifest(folder: Path) -> dict[str, Entry]:
    """The models named in a folder's manifest.

    Raises ModelUnavailable if it is missing, unreadable, of another schema, or lacks something.
    """
    path = folder / MANIFEST
    try:
        content = json.loads(path.read_bytes())
        if content["schema"] != SCHEMA:
            raise ModelUnavailable(f"{path}: its schema is {content['schema']!r}, this version reads {SCHEMA}")
        return {
            name: Entry(
                name,
                str(m["file"]),
                str(m["sha256"]),
                tuple(map(_tensor, m["inputs"])),
                tuple(map(_tensor, m["outputs"])),
                Constants(f"{path}: model {name}", m["constants"]),
            )
            for name, m in content["models"].items()
        }
    except OSError as error:
        raise ModelUnavailable(f"{path}: {error.strerror or error}") from error
    except (ValueError, KeyError, TypeError, AttributeError) as error:
        raise ModelUnavailable(f"{path}: not a manifest of ours ({error!r})") from error


def _tensor(about: Mapping[str, Any]) -> Tensor:
    return Tensor(str(about["name"]), str(about["tensor"]), int(about["width"]))


def _constant(key: str, value: Any) -> float | tuple[float, ...]:
    numbers = value if isinstance(value, list) else [value]
    # bool is an int to Python, and json reads NaN and Infinity, none of which training writes.
    if not numbers or not all(type(n) in (int, float) and math.isfinite(n) for n in numbers):
        raise ValueError(f"constant {key} is {value!r}, not a finite number or a list of them")
    return tuple(map(float, numbers)) if isinstance(value, list) else float(value)


class Network(Protocol):
    """What the functions of this package need of a model."""

    @property
    def constants(self) -> Mapping[str, Any]:
        """Scaling, thresholds and calibration, by name: numbers and tuples of numbers."""

    def run(self, *arrays: Array) -> tuple[Array, ...]:
        """Outputs (batch, width) for inputs (batch, width)."""


class Model:
    """One loaded model. May be shared between threads."""

    def __init__(self, folder: Path, entry: Entry) -> None:
        """Load and check. Raises ModelUnavailable naming the file and what is wrong with it."""
        path = folder / entry.file
        if Interpreter is None:
            raise ModelUnavailable(f"{path}: neither tflite-runtime nor ai-edge-litert can be used ({WHY_NOT})")
        try:
            content = path.read_bytes()
        except OSError as error:
            raise ModelUnavailable(f"{path}: {error.strerror or error}") from error
        # Before the interpreter sees it: a truncated file does not make it raise, it crashes the process.
        digest = hashlib.sha256(content).hexdigest()
        if digest != entry.sha256:
            raise ModelUnavailable(
                f"{path}: damaged or replaced, its checksum is {digest[:12]}… instead of {entry.sha256[:12]}…"
            )
        self.entry = entry
        self.constants = entry.constants
        # The interpreter reads the weights in place: the bytes must live as long as it does.
        self._content = content
        self._lock = threading.Lock()
        try:
            self._interpreter = Interpreter(model_content=content, num_threads=1)
            self._inputs = _indices(path, self._interpreter.get_input_details(), entry.inputs)
            self._outputs = _indices(path, self._interpreter.get_output_details(), entry.outputs)
            self._batch = 0
        except (ValueError, RuntimeError) as error:
            raise ModelUnavailable(f"{path}: the interpreter refuses it ({error})") from error

    def run(self, *arrays: Array) -> tuple[Array, ...]:
        """The outputs, in the manifest's order, for float32 inputs (batch, width) in the manifest's order."""
        tensors = [np.ascontiguousarray(a, np.float32) for a in arrays]
        batch = len(tensors[0]) if tensors else 0
        expected = [(batch, t.width) for t in self.entry.inputs]
        if [a.shape for a in tensors] != expected:
            raise ValueError(f"{self.entry.name} takes {expected}, got {[a.shape for a in tensors]}")
        if not batch:
            return tuple(np.empty((0, t.width), np.float32) for t in self.entry.outputs)
        with self._lock:
            if batch != self._batch:
                self._resize(batch)
            for index, array in zip(self._inputs, tensors, strict=True):
                self._interpreter.set_tensor(index, array)
            began = time.perf_counter()
            self._interpreter.invoke()
            meter.count("inference_us", round((time.perf_counter() - began) * 1e6))
            return tuple(self._interpreter.get_tensor(index) for index in self._outputs)

    def _resize(self, batch: int) -> None:
        self._batch = 0
        for index, tensor in zip(self._inputs, self.entry.inputs, strict=True):
            self._interpreter.resize_tensor_input(index, [batch, tensor.width])
        self._interpreter.allocate_tensors()
        self._batch = batch


def _indices(path: Path, details: Sequence[Mapping[str, Any]], expected: Sequence[Tensor]) -> list[int]:
    found = {d["name"]: d for d in details}
    # -1 is a batch that may be resized; a file with a fixed one would answer for as many rows only.
    have = {name: (np.dtype(d["dtype"]).name, *map(int, d["shape_signature"])) for name, d in found.items()}
    want = {t.tensor: ("float32", -1, t.width) for t in expected}
    if have != want:
        raise ModelUnavailable(f"{path}: its tensors are {have}, the manifest says {want}")
    return [int(found[t.tensor]["index"]) for t in expected]


@lru_cache(maxsize=8)
def _load(folder: Path, name: str) -> Model:
    entry = read_manifest(folder).get(name)
    if entry is None:
        raise ModelUnavailable(f"{folder / MANIFEST}: has no model named {name}")
    return Model(folder, entry)


def model(name: str) -> Model:
    """The model of one of the NAMES, loaded at the first call and kept."""
    return _load(models_dir(os.environ), name)


def overview() -> dict[str, dict[str, str | None]]:
    """Of each model whether this process can use it, and which version: the first 12 digits of its checksum."""
    found: dict[str, dict[str, str | None]] = {}
    for name in NAMES:
        try:
            found[name] = {"state": "ready", "version": model(name).entry.sha256[:12]}
        except ModelUnavailable:
            found[name] = {"state": "unavailable", "version": None}
    return found


def unload() -> None:
    """Forget loaded models, so that the next call reads the files again."""
    _load.cache_clear()
