"""The autoencoder's training on a small invented fleet: the same seed gives the same figures."""

import importlib
import json
import os
import subprocess
from pathlib import Path

import numpy as np
import pytest
from openmanager.catalog import METRIC, MODEL_METRICS

from tests.models import anomaly_fleet
from tests.models.shipped import FOLDER

PYTHON = FOLDER.parent / ".venv-train" / "bin" / "python"
# What the card promises.
TOLERANCE = 0.001
RUN = """
import json, sys
from pathlib import Path
import tensorflow as tf
from models.training import anomaly
from models.training.data import servers
tf.config.threading.set_intra_op_parallelism_threads(1)
tf.config.threading.set_inter_op_parallelism_threads(1)
tf.config.experimental.enable_op_determinism()
fleet = servers(Path(sys.argv[1]))
for seed in sys.argv[2:]:
    networks = anomaly.cross_trained(fleet, int(seed))
    print(json.dumps([anomaly.judge(fleet, anomaly.cross_validated(fleet, networks)), networks[0].constants]))
"""


@pytest.fixture(scope="module")
def invented(tmp_path_factory: pytest.TempPathFactory) -> Path:
    """A data folder with eight servers that differ by their numbers."""
    folder = tmp_path_factory.mktemp("fleet") / "data"
    anomaly_fleet.write(folder)
    return folder


def trained(folder: Path, *seeds: int) -> list[tuple[dict[str, float], dict[str, float]]]:
    """(figures on unseen servers, the first fold's constants) of each seed, in a process of its own."""
    done = subprocess.run(
        [PYTHON, "-c", RUN, str(folder), *map(str, seeds)],
        cwd=FOLDER.parent,
        env=os.environ | {"TF_CPP_MIN_LOG_LEVEL": "3", "PYTHONPATH": str(FOLDER.parent)},
        capture_output=True,
        text=True,
        check=True,
    )
    return [tuple(json.loads(line)) for line in done.stdout.splitlines()]


@pytest.mark.skipif(not PYTHON.exists(), reason="needs TensorFlow in .venv-train (make train)")
def test_a_seed_gives_the_same_figures_twice_and_weights_of_mean_one(invented: Path) -> None:
    ((figures, constants),) = trained(invented, 1)
    (again, constants_again), (_, other) = trained(invented, 1, 2)
    assert all(abs(figures[key] - again[key]) <= TOLERANCE for key in figures)
    weights = np.array([constants[f"weight.{key}"] for key in MODEL_METRICS])
    weights_again = np.array([constants_again[f"weight.{key}"] for key in MODEL_METRICS])
    assert np.allclose(weights, weights_again, rtol=TOLERANCE)
    assert abs(weights.mean() - 1) < TOLERANCE
    assert (weights > 0).all()
    # Eight columns jump in an incident: a scorer that missed it would stay near its share of the minutes.
    assert figures["auc_pr"] > 0.5
    assert other != constants


def test_the_invented_fleet_has_one_incident_a_server_and_reads_as_the_recordings_do(invented: Path) -> None:
    fleet = importlib.import_module("models.training.data").servers(invented)
    assert len(fleet) == anomaly_fleet.SERVERS
    assert all(s.values.shape[1] == len(MODEL_METRICS) for s in fleet)
    assert all(s.label.sum() == anomaly_fleet.INCIDENT_MIN and not s.label[: s.labelled].any() for s in fleet)
    columns = json.loads((invented / "smd" / "columns.json").read_text())
    assert {METRIC[key].smd for key in MODEL_METRICS} <= set(columns)
