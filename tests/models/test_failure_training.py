"""The failure network's lessons and training on a small invented fleet: no server leaks, a seed repeats itself."""

import json
import os
import subprocess
from typing import Any

import numpy as np
import pytest

from tests.models.shipped import FOLDER

PYTHON = FOLDER.parent / ".venv-train" / "bin" / "python"
# What the card promises.
TOLERANCE = 0.002
RUN = """
import json
import numpy as np
import tensorflow as tf
from models.training import failure, simulated
from models.training import failure_scores as scoring
from models.training.data import Server, scaled
tf.config.threading.set_intra_op_parallelism_threads(1)
tf.config.threading.set_inter_op_parallelism_threads(1)
tf.config.experimental.enable_op_determinism()

def server(i):
    rng = np.random.default_rng(i)
    values = rng.uniform(0.1, 0.4, 20) + rng.normal(0, 0.02, (5000, 20))
    label = np.zeros(5000, bool)
    for start in rng.integers(2600, 4900, 2 + 3 * i):
        label[start : start + 30] = True
    values[label] += rng.uniform(0.1, 0.3)
    values = values.clip(0, 1).astype(np.float32)
    return Server(f"s{i}", values, scaled([values])[0], label, 2500)

fleet = [server(i) for i in range(4)]
five = failure.smoothed(fleet)
learnt = failure.with_inputs(simulated.episodes(fleet, 0, (60.0, 120.0), each=1))
asked = failure.with_inputs(simulated.episodes(fleet, 1, (45.0, 180.0), each=1))
x, label, weight = failure.lesson(fleet[:3], five, learnt)
parts = np.split(np.arange(7500), 3)

def trained(seed):
    real, faults = failure.cross_validated(fleet, five, learnt, asked, failure.network(seed))
    told = scoring.judge(fleet, real, failure.calibrated(fleet, real))
    return {key: told[key] for key in ("roc", "pr", "brier", "strict_roc")} | {"faults": len(faults)}

print(json.dumps({
    "rows": len(x),
    "simulated_rows": sum(e.server != "s3" for e, _ in learnt) * (failure.CALM_MIN + 31),
    "troubled": [float(weight[p][label[p]].sum()) for p in parts],
    "simulated_weight": sorted(set(np.round(weight[7500:], 6).tolist())),
    "figures": [trained(1), trained(1), trained(2)],
}))
"""


@pytest.fixture(scope="module")
def told() -> dict[str, Any]:
    done = subprocess.run(
        [PYTHON, "-c", RUN],
        cwd=FOLDER.parent,
        env=os.environ | {"TF_CPP_MIN_LOG_LEVEL": "3", "PYTHONPATH": str(FOLDER.parent)},
        capture_output=True,
        text=True,
        check=False,
    )
    assert done.returncode == 0, done.stderr[-2000:]
    found: dict[str, Any] = json.loads(done.stdout.splitlines()[-1])
    return found


needs_tensorflow = pytest.mark.skipif(not PYTHON.exists(), reason="needs TensorFlow in .venv-train (make train)")


@needs_tensorflow
def test_a_lesson_holds_its_own_servers_minutes_and_faults_only(told: dict[str, Any]) -> None:
    assert told["rows"] == 3 * 2500 + told["simulated_rows"]
    assert told["simulated_rows"] == 3 * 5 * 62


@needs_tensorflow
def test_every_servers_troubled_minutes_weigh_the_same(told: dict[str, Any]) -> None:
    assert np.allclose(told["troubled"], 0.07 * 2500, rtol=1e-4)
    assert np.allclose(told["simulated_weight"], 0.3)


@needs_tensorflow
def test_a_seed_gives_the_same_figures_twice_and_another_seed_others(told: dict[str, Any]) -> None:
    once, again, other = told["figures"]
    assert all(abs(once[key] - again[key]) <= TOLERANCE for key in once)
    assert once["brier"] != other["brier"]
    assert once["faults"] == 4 * 5
