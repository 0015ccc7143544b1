"""From weights to shipped files: conversion, the manifest, and golden inputs and outputs."""

import hashlib
import json
import subprocess
import sys
from collections.abc import Mapping
from pathlib import Path
from typing import Any

import numpy as np
from ai_edge_litert.interpreter import Interpreter
from openmanager.inference.runtime import Entry, Model, Tensor

from models.training import ROOT, dense
from models.training.data import Floats

# A model in one format.
Shipped = tuple[str, Model]
# int8 is shipped where it costs less than this and is smaller, float16 otherwise: of networks this small int8 files are
# mostly their own descriptions, and the two interpreters differ by a step or two of them.
TOLERANCE = 0.01

FORMATS = {
    "failure": ("float32", "float16", "int8"),
    "anomaly": ("float32", "float16", "int8"),
    "forecast": ("float32", "float16"),
}
KIND = {"failure": "mlp", "anomaly": "autoencoder", "forecast": "lstm_step"}
INPUTS = {"failure": ("x",), "anomaly": ("x",), "forecast": ("x", "h1", "c1", "h2", "c2")}
OUTPUTS = {
    "failure": ("y",),
    "anomaly": ("y",),
    "forecast": ("y", "h1_next", "c1_next", "h2_next", "c2_next"),
}


def convert(
    name: str,
    form: str,
    weights: list[Floats],
    folder: Path,
    sample: Floats | None,
    constants: Mapping[str, Any],
) -> Model:
    """The model `name` in one format, written to `folder` and loaded through the code that serves it."""
    folder.mkdir(exist_ok=True)
    target = folder / f"{name}-{form}.tflite"
    source = folder / f"{name}.npz"
    extra = {} if sample is None else {"sample": sample}
    np.savez(source, **{f"{'wb'[i % 2]}{i // 2}": w for i, w in enumerate(weights)}, **extra)
    done = subprocess.run(
        [sys.executable, "-m", "models.training.convert", KIND[name], form, str(source), str(target)],
        cwd=ROOT,
        capture_output=True,
        text=True,
        check=False,
    )
    if done.returncode:
        raise RuntimeError(f"the converter failed on {name} in {form}:\n{done.stderr[-2000:]}")
    content = target.read_bytes()
    inputs, outputs = _tensors(content, name)
    digest = hashlib.sha256(content).hexdigest()
    return Model(folder, Entry(name, target.name, digest, inputs, outputs, constants))


def formats(
    name: str, layers: dense.Layers, sample: Floats, constants: Mapping[str, Any], work: Path
) -> dict[str, Model]:
    """A dense network in every format it may be shipped in."""
    weights = [w for pair in layers for w in pair]
    return {f: convert(name, f, weights, work, sample, constants) for f in FORMATS[name]}


def pick(judged: dict[str, dict[str, float]], sizes: Mapping[str, int], *measures: str) -> tuple[str, float]:
    """(int8 if it is smaller and costs less than the tolerance by every measure, else float16; what that costs)."""
    costs = {f: max(cost(judged, m)[f] for m in measures) for f in judged}
    form = "int8" if costs["int8"] < TOLERANCE and sizes["int8"] < sizes["float16"] else "float16"
    return form, costs[form]


def sizes(formats: Mapping[str, Model], work: Path) -> dict[str, int]:
    """The octets of each format's file."""
    return {form: (work / model.entry.file).stat().st_size for form, model in formats.items()}


def cost(judged: dict[str, dict[str, float]], measure: str) -> dict[str, float]:
    """How far each format lies from float32 by one measure, either way."""
    return {f: abs(scores[measure] - judged["float32"][measure]) for f, scores in judged.items()}


def _tensors(content: bytes, name: str) -> tuple[tuple[Tensor, ...], tuple[Tensor, ...]]:
    """Our names beside the file's, which only numbers its outputs: they are told apart by their values."""
    interpreter = Interpreter(model_content=content)
    rng = np.random.default_rng(0)
    given: dict[str, Floats] = {}
    inputs: dict[str, Tensor] = {}
    for detail in interpreter.get_input_details():
        short = detail["name"].removeprefix("serving_default_").removesuffix(":0")
        width = int(detail["shape_signature"][1])
        inputs[short] = Tensor(short, detail["name"], width)
        given[short] = rng.normal(0, 0.3, (1, width)).astype(np.float32)
    expected = interpreter.get_signature_runner()(**given)
    interpreter.allocate_tensors()
    for detail in interpreter.get_input_details():
        short = detail["name"].removeprefix("serving_default_").removesuffix(":0")
        interpreter.set_tensor(detail["index"], given[short])
    interpreter.invoke()
    outputs: dict[str, Tensor] = {}
    for detail in interpreter.get_output_details():
        value = interpreter.get_tensor(detail["index"])
        (short,) = [key for key, e in expected.items() if np.array_equal(e, value)]
        outputs[short] = Tensor(short, detail["name"], int(detail["shape_signature"][1]))
    return tuple(inputs[n] for n in INPUTS[name]), tuple(outputs[n] for n in OUTPUTS[name])


def ship(name: str, shipped: Shipped, source: Path, target: Path, about: dict[str, Any]) -> None:
    """Copy the chosen file and write its part of manifest.json and golden.npz beside it; other models' parts stay."""
    form, model = shipped
    entry = model.entry
    content = (source / entry.file).read_bytes()
    (target / f"{name}.tflite").write_bytes(content)
    manifest: dict[str, Any] = {"schema": 1, "models": {}}
    golden: dict[str, Floats] = {}
    if (target / "manifest.json").exists():
        manifest = json.loads((target / "manifest.json").read_text())
        with np.load(target / "golden.npz") as file:
            golden = {key: file[key] for key in file.files if key.partition(".")[0] != name}
    manifest["models"][name] = {
        "file": f"{name}.tflite",
        "sha256": entry.sha256,
        "bytes": len(content),
        "weights": form,
        "trained": about,
        "inputs": [{"name": t.name, "tensor": t.tensor, "width": t.width} for t in entry.inputs],
        "outputs": [{"name": t.name, "tensor": t.tensor, "width": t.width} for t in entry.outputs],
        "constants": dict(entry.constants),
    }
    manifest["models"] = dict(sorted(manifest["models"].items()))
    # About as wide as what the inputs are scaled to in service.
    rng = np.random.default_rng(7)
    given = [rng.normal(0, 0.3, (24, t.width)).astype(np.float32) for t in entry.inputs]
    if name == "failure":
        given = [np.abs(g) for g in given]
    golden |= {f"{name}.in.{t.name}": g for t, g in zip(entry.inputs, given, strict=True)}
    golden |= {f"{name}.out.{t.name}": g for t, g in zip(entry.outputs, model.run(*given), strict=True)}
    (target / "manifest.json").write_text(json.dumps(manifest, indent=1) + "\n")
    np.savez_compressed(target / "golden.npz", **dict(sorted(golden.items())))


def commit() -> str:
    """The commit that training ran from, marked + where the tree held changes of ours."""

    def git(*args: str) -> str:
        return subprocess.run(["git", *args], cwd=ROOT, capture_output=True, text=True, check=True).stdout.strip()

    core = "layers/core/python/openmanager"
    dirty = git("status", "--porcelain", "--", "models/training", f"{core}/inference", f"{core}/telemetry/scaling.py")
    return git("rev-parse", "HEAD") + ("+" if dirty else "")
