"""Forecast: paths in the series' own units, on any grid, the same alone and in a batch."""

import csv
from pathlib import Path

import numpy as np
import pytest
from numpy.typing import NDArray
from openmanager.inference import forecast

from tests.models.shipped import shipped_models as shipped_models

pytestmark = pytest.mark.usefixtures("shipped_models")
# One two-core Linux host under build load, psutil, every second; our own recording.
RECORDING = Path(__file__).resolve().parents[1] / "models/host_cpu.csv"


def recorded(column: str) -> NDArray[np.float64]:
    """One column of a real host's recording, every second."""
    with RECORDING.open() as file:
        return np.array([float(row[column]) for row in csv.DictReader(file)])


def windows_of(series: NDArray[np.float64], every: int) -> tuple[NDArray[np.float64], NDArray[np.float64]]:
    """(windows, what followed)."""
    length = forecast.WINDOW + forecast.STEPS
    rows = np.stack([series[at : at + length] for at in range(0, len(series) - length, every)])
    return rows[:, : forecast.WINDOW], rows[:, forecast.WINDOW :]


@pytest.mark.parametrize("column", ["cpu_user", "cpu_system"])
def test_on_a_real_hosts_recording_it_beats_the_last_value(column: str) -> None:
    windows, truth = windows_of(recorded(column), 7)
    off = np.abs(truth - forecast.path(windows, np.full(len(windows), 0.1)))
    naive = np.abs(truth - windows[:, -1:])
    assert off[:, 0].mean() < naive[:, 0].mean()
    assert off.mean() < naive.mean()


def test_a_series_at_rest_stays_there() -> None:
    path = forecast.path(np.full((1, 60), 42.0), np.array([0.1]))
    assert np.abs(path - 42).max() < 0.5


def test_a_slow_series_is_scaled_by_its_own_step_and_a_resting_one_by_a_share_of_the_floor() -> None:
    slow = 50 + 0.002 * np.arange(60.0)
    size = forecast.step_size(np.stack([slow, np.full(60, 50.0)]), np.full(2, 0.1))
    assert np.allclose(size, [0.002, 0.001])


def test_noise_far_below_the_floor_does_not_move_a_path() -> None:
    window = 42 + 1e-9 * np.random.default_rng(0).normal(size=(1, 60))
    assert np.abs(forecast.path(window, np.array([0.1])) - 42).max() < 0.1


def test_a_steady_climb_goes_on_upward() -> None:
    path = forecast.path((np.arange(60.0) * 2)[None], np.array([0.1]))
    assert path[0, 9] > 119


def test_the_path_moves_and_scales_with_the_series() -> None:
    window = np.random.default_rng(0).normal(50, 5, (1, 60)).round(1)
    path = forecast.path(window, np.array([0.1]))
    moved = forecast.path(window * 1000 + 7, np.array([100.0]))
    assert np.allclose(moved, path * 1000 + 7, rtol=1e-4)


def test_a_shorter_path_is_the_beginning_of_a_longer_one() -> None:
    window = np.random.default_rng(1).normal(50, 5, (3, 60))
    floor = np.full(3, 0.1)
    assert np.array_equal(forecast.path(window, floor, steps=5), forecast.path(window, floor)[:, :5])


def test_a_path_gives_the_same_bits_alone_and_in_a_batch() -> None:
    rng = np.random.default_rng(2)
    windows = rng.normal(50, 5, (29, 60)) * rng.lognormal(0, 3, (29, 1))
    floor = np.full(29, 0.1)
    together = forecast.path(windows, floor)
    for i in range(29):
        assert np.array_equal(forecast.path(windows[i : i + 1], floor[i : i + 1])[0], together[i])


@pytest.mark.parametrize("shape", [(2, 59), (60,), (1, 61)])
def test_a_window_of_another_length_is_refused_with_both_lengths(shape: tuple[int, ...]) -> None:
    with pytest.raises(ValueError, match=r"windows must be \(n, 60\), got"):
        forecast.path(np.zeros(shape), np.ones(1))


def test_a_gap_in_a_window_is_refused() -> None:
    window = np.zeros((1, 60))
    window[0, 30] = np.nan
    with pytest.raises(ValueError, match="finite"):
        forecast.path(window, np.ones(1))


def test_no_series_give_no_paths() -> None:
    assert forecast.path(np.empty((0, 60)), np.empty(0)).shape == (0, 30)
