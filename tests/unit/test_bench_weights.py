"""The bench's reference: a shipped file's weights in plain numpy are the network that the interpreter runs."""

import numpy as np
import pytest

from tests.bench.weights import in_numpy
from tests.models.shipped import FOLDER, NAMES, load

# int8 rounds each layer's values to 256 steps, float16 only the weights, which are read out as they are.
TOLERANCE = {"anomaly": 0.02, "failure": 0.02, "forecast": 1e-5}


@pytest.mark.parametrize("name", NAMES)
def test_numpy_answers_as_the_interpreter_does(name: str) -> None:
    model = load(name)
    with np.load(FOLDER / "golden.npz") as golden:
        given = [golden[f"{name}.in.{t.name}"] for t in model.entry.inputs]
    # int8 saturates beyond what service clips the anomaly model's inputs to.
    if name == "anomaly":
        given = [np.clip(given[0], -0.3, 0.3)]
    expected = model.run(*given)
    assert max(float(np.ptp(array)) for array in expected) > 0.1
    for ours, theirs in zip(in_numpy(model).run(*given), expected, strict=True):
        assert np.abs(ours - theirs).max() < TOLERANCE[name]
