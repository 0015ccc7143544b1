"""From weights to shipped files: conversion, the manifest, and golden inputs and outputs."""

import hashlib
import json
import subprocess
import sys
from pathlib import Path
from typing import Any

import numpy as np
from ai_edge_litert.interpreter import Interpreter
from openmanager.inference.runtime import Entry, Model, Tensor

from models.training import ROOT
from models.training.data import Floats

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
    constants: dict[str, float],
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


def ship(chosen: dict[str, tuple[str, Model]], source: Path, target: Path, about: dict[str, Any]) -> None:
    """Copy the chosen files and write manifest.json and golden.npz beside them."""
    models: dict[str, Any] = {}
    golden: dict[str, Floats] = {}
    rng = np.random.default_rng(7)
    for name, (form, model) in sorted(chosen.items()):
        entry = model.entry
        content = (source / entry.file).read_bytes()
        (target / f"{name}.tflite").write_bytes(content)
        models[name] = {
            "file": f"{name}.tflite",
            "sha256": entry.sha256,
            "bytes": len(content),
            "weights": form,
            "inputs": [{"name": t.name, "tensor": t.tensor, "width": t.width} for t in entry.inputs],
            "outputs": [{"name": t.name, "tensor": t.tensor, "width": t.width} for t in entry.outputs],
            "constants": dict(entry.constants),
        }
        # About as wide as what the inputs are scaled to in service.
        given = [
            np.abs(rng.normal(0, 0.3, (24, t.width))) if name == "failure" else rng.normal(0, 0.3, (24, t.width))
            for t in entry.inputs
        ]
        given = [g.astype(np.float32) for g in given]
        golden |= {f"{name}.in.{t.name}": g for t, g in zip(entry.inputs, given, strict=True)}
        golden |= {f"{name}.out.{t.name}": g for t, g in zip(entry.outputs, model.run(*given), strict=True)}
    (target / "manifest.json").write_text(json.dumps({"schema": 1, **about, "models": models}, indent=1) + "\n")
    np.savez_compressed(target / "golden.npz", **golden)


def commit() -> str:
    """The commit that training ran from, marked + where the tree held changes of ours."""

    def git(*args: str) -> str:
        return subprocess.run(["git", *args], cwd=ROOT, capture_output=True, text=True, check=True).stdout.strip()

    core = "layers/core/python/openmanager"
    dirty = git("status", "--porcelain", "--", "models/training", f"{core}/inference", f"{core}/telemetry/scaling.py")
    return git("rev-parse", "HEAD") + ("+" if dirty else "")
