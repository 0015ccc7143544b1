"""The training's own parts: metrics against known values, targets, and what it says without data."""

import importlib
from pathlib import Path

import numpy as np
import pytest

from tests.models.shipped import DATA

data = importlib.import_module("models.training.data")
metrics = importlib.import_module("models.training.metrics")


def test_without_data_the_missing_folder_is_named(tmp_path: Path) -> None:
    with pytest.raises(data.DataMissing, match=r"smd: no such folder; --data names the folder"):
        data.servers(tmp_path)


def test_a_perfect_and_a_random_score_get_what_they_deserve() -> None:
    label = np.arange(20_000) % 50 < 5
    assert metrics.average_precision(label, label.astype(float)) == 1
    assert metrics.roc(label, label.astype(float)) == 1
    chance = np.random.default_rng(0).random(20_000)
    assert abs(metrics.roc(label, chance) - 0.5) < 0.02
    assert abs(metrics.average_precision(label, chance) - 0.1) < 0.02
    assert metrics.vus_pr(label, label.astype(float), (0,)) > 0.95


def test_ties_are_one_threshold() -> None:
    label = np.array([True, False, True, False])
    assert metrics.average_precision(label, np.zeros(4)) == 0.5
    assert metrics.roc(label, np.zeros(4)) == 0.5


def test_a_stuck_alarm_pages_every_hour_and_one_in_an_incident_is_not_false() -> None:
    label = np.zeros(600, bool)
    label[100:110] = True
    alarm = np.zeros(600, bool)
    alarm[105:124] = True
    assert metrics.pages(label, alarm) == (1, 0)
    alarm[200:380] = True
    assert metrics.pages(label, alarm) == (1, 3)


def test_the_operational_target_covers_the_incident_and_the_half_hour_before() -> None:
    label = np.zeros(100, bool)
    label[50:55] = True
    assert np.flatnonzero(data.soon(label, 30)).tolist() == list(range(20, 55))


def test_calibration_error_of_honest_probabilities_is_small_and_of_boasts_is_not() -> None:
    rng = np.random.default_rng(0)
    p = rng.random(30_000)
    label = rng.random(30_000) < p
    assert metrics.calibration_error(label, p) < 0.02
    assert metrics.calibration_error(label, p**3) > 0.1


@pytest.mark.skipif(not (DATA / "smd").is_dir(), reason=f"needs the recordings in {DATA.name}/smd")
def test_folds_test_each_server_once_and_never_train_on_it() -> None:
    fleet = data.servers(DATA)
    folds = data.folds(fleet)
    assert sorted(s.name for _, unseen in folds for s in unseen) == sorted(s.name for s in fleet)
    assert all(not {s.name for s in learn} & {s.name for s in unseen} for learn, unseen in folds)
    assert all(np.isfinite(s.z[1:]).all() for s in fleet)
