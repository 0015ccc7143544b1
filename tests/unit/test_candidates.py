"""The candidates beside the network: known paths on known series, the same bits alone and in a batch."""

import numpy as np
import pytest
from openmanager.inference import candidates, forecast

from tests.models.shipped import shipped_models as shipped_models

FLOOR = 0.1


def climb(slope: float) -> np.ndarray:
    """One straight window (1, 60)."""
    return (np.arange(60.0) * slope)[None]


def test_the_last_value_is_held() -> None:
    assert candidates.last_value(climb(2), 4).tolist() == [[118, 118, 118, 118]]


def test_smoothing_follows_a_level_and_forgets_a_spike() -> None:
    window = np.full((1, 60), 10.0)
    window[0, 20] = 1000
    assert abs(candidates.level(window, 3)[0] - 10).max() < 0.1


def test_the_damped_trend_goes_on_but_ever_more_slowly() -> None:
    steps = np.diff(candidates.damped_trend(climb(1), 30)[0])
    assert (steps > 0).all()
    assert np.allclose(steps[1:] / steps[:-1], candidates.DAMPING)


@pytest.mark.parametrize("slope", [2.0, -0.5])
def test_the_line_continues_a_straight_window_exactly(slope: float) -> None:
    assert np.allclose(candidates.theil_sen(climb(slope), 30)[0], slope * np.arange(60, 90))


def test_the_line_bears_a_fifth_of_outliers() -> None:
    window = climb(1.0)
    window[0, 3::5] += 500
    assert np.abs(candidates.theil_sen(window, 1)[0, 0] - 60) < 5


def test_the_season_repeats_from_its_own_place() -> None:
    window = (np.arange(60.0) % 24)[None]
    assert candidates.seasonal_naive(window, 30, 24)[0].tolist() == (np.arange(60, 90) % 24).tolist()


@pytest.mark.usefixtures("shipped_models")
@pytest.mark.parametrize("season", [None, 61])
def test_a_season_that_does_not_fit_is_no_candidate(season: int | None) -> None:
    paths = candidates.paths(climb(1), np.array([FLOOR]), season=season)
    missing = np.isnan(paths).all(axis=2)[0]
    assert [name for name, gone in zip(candidates.NAMES, missing, strict=True) if gone] == ["seasonal"]


@pytest.mark.usefixtures("shipped_models")
def test_the_network_stands_beside_them_under_its_name() -> None:
    window = np.random.default_rng(0).normal(50, 5, (2, 60))
    paths = candidates.paths(window, np.full(2, FLOOR))
    assert np.array_equal(paths[:, candidates.NAMES.index("lstm")], forecast.path(window, np.full(2, FLOOR)))
    assert np.array_equal(paths[:, candidates.LAST], candidates.last_value(window, 30))


@pytest.mark.usefixtures("shipped_models")
def test_every_candidate_gives_the_same_bits_alone_and_in_a_batch() -> None:
    rng = np.random.default_rng(3)
    windows = rng.normal(50, 5, (23, 60)) * rng.lognormal(0, 3, (23, 1))
    floor = np.full(23, FLOOR)
    together = candidates.paths(windows, floor, season=24)
    for i in range(23):
        alone = candidates.paths(windows[i : i + 1], floor[i : i + 1], season=24)[0]
        assert alone.tobytes() == together[i].tobytes()


@pytest.mark.usefixtures("shipped_models")
def test_no_series_have_no_paths() -> None:
    assert candidates.paths(np.empty((0, 60)), np.empty(0)).shape == (0, len(candidates.NAMES), 30)
