"""The files in models/: what they answer, what they are made of, and that the card says so."""

import json
from typing import Any

import numpy as np
import pytest
from openmanager.inference import runtime

from models.training import card
from tests.models.shipped import FOLDER, NAMES, load

MANIFEST: dict[str, Any] = json.loads((FOLDER / "manifest.json").read_text())["models"]
SCORES: dict[str, Any] = json.loads((FOLDER / "scores.json").read_text())
LAYERS = {
    "failure": [(64, 5), (32, 64), (1, 32)],
    "anomaly": [(10, 20), (4, 10), (10, 4), (20, 10)],
    "forecast": [(200, 51), (200, 100), (1, 50)],
}
WEIGHTS = {"int8": np.int8, "float16": np.float16}
# Interpreters differ by the order of additions.
FLOAT_NOISE = 1e-5


@pytest.mark.parametrize("name", NAMES)
def test_golden_outputs_reproduce_on_the_installed_interpreter(name: str) -> None:
    network = load(name)
    with np.load(FOLDER / "golden.npz") as golden:
        outputs = network.run(*(golden[f"{name}.in.{t.name}"] for t in network.entry.inputs))
        for tensor, output in zip(network.entry.outputs, outputs, strict=True):
            expected = golden[f"{name}.out.{tensor.name}"]
            assert np.ptp(expected) > 0
            assert np.abs(output - expected).max() <= FLOAT_NOISE


@pytest.mark.parametrize("name", NAMES)
def test_every_weight_matrix_has_the_type_that_the_manifest_says(name: str) -> None:
    network = load(name)
    said = MANIFEST[name]["weights"]
    found = [
        (tuple(d["shape_signature"]), d["dtype"])
        for d in network._interpreter.get_tensor_details()
        if tuple(d["shape_signature"]) in LAYERS[name]
    ]
    assert sorted(shape for shape, kind in found if kind is WEIGHTS[said]) == sorted(LAYERS[name])
    # float16 is unpacked to float32 when loaded, so that a float32 weight shows in the file's size only.
    assert said == "float16" or all(kind is np.int8 for _, kind in found)
    parameters = sum(rows * (columns + 1) for rows, columns in LAYERS[name])
    overhead = MANIFEST[name]["bytes"] - parameters * np.dtype(WEIGHTS[said]).itemsize
    assert overhead < 8_000
    if name == "forecast":
        assert MANIFEST[name]["bytes"] < 0.6 * parameters * 4


def test_the_batch_is_open_and_the_widths_are_the_products() -> None:
    widths = {n: [t.width for t in e.inputs] for n, e in runtime.read_manifest(FOLDER).items()}
    assert widths == {"anomaly": [20], "failure": [5], "forecast": [1, 50, 50, 50, 50]}
    for name in NAMES:
        assert all(d["shape_signature"][0] == -1 for d in load(name)._interpreter.get_input_details())


def test_the_cards_quote_the_training_run() -> None:
    """Every number that a card marks with a path, as `.535<!-- anomaly.no_model.roc -->`, is the run's."""
    text = "".join(place.read_text() for place in card.cards(FOLDER))
    assert len(card.MARKED.findall(text)) > 60
    wrong = []
    for match in card.MARKED.finditer(text):
        value = card.look_up(SCORES, match["path"]) * (100 if match["percent"] else 1)
        decimals = len(match["figure"].partition(".")[2])
        if abs(float(match["figure"]) - value) > 0.501 * 10**-decimals:
            wrong.append((match[0], value))
    assert wrong == []
    assert all(f"| {m['bytes']:,} |" in text for m in MANIFEST.values())


def test_quantization_costs_less_than_a_hundredth() -> None:
    assert all(SCORES[name]["cost_of_format"] < 0.01 for name in NAMES)
    assert all(SCORES[name]["shipped"] == MANIFEST[name]["weights"] for name in NAMES)


def test_each_model_is_at_least_as_good_as_no_model_on_servers_it_never_saw() -> None:
    anomaly, failure, forecast = (SCORES[name] for name in NAMES)
    assert all(anomaly["unseen_servers"][k] > anomaly["no_model"][k] for k in ("auc_pr", "roc", "vus_pr"))
    assert all(failure["unseen_servers"][k] > failure["no_model"][k] for k in ("roc", "pr"))
    assert failure["unseen_servers"]["brier"] < failure["no_model"]["brier"]
    for unseen in (forecast["unseen_servers"], forecast["unseen_cloudwatch"]):
        assert unseen["mae_over_naive_next"] < 0.95
        assert unseen["mae_over_naive_path"] < 0.95
