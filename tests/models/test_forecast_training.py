"""What the forecaster learns from and is measured beside: old methods on known series, draws, generated series."""

import importlib

import numpy as np
import pytest
from numpy.typing import NDArray
from openmanager.inference import forecast

baselines = importlib.import_module("models.training.baselines")
draws = importlib.import_module("models.training.draws")
generated = importlib.import_module("models.training.generated")
path_errors = importlib.import_module("models.training.path_errors")
Series = importlib.import_module("models.training.data").Series

AHEAD = np.arange(1, forecast.STEPS + 1)


def series(values: NDArray[np.float64], test: int) -> object:
    """A minute series of one server."""
    return Series("smd", "a", values, 0.001, test, metric="cpu")


def noise(n: int) -> NDArray[np.float64]:
    """White noise of deviation 1."""
    return np.random.default_rng(0).normal(size=n)


def test_autoregression_carries_a_sine_on_and_theil_sen_a_line() -> None:
    t = np.arange(3000.0)
    at = np.array([2000, 2500])
    after = at[:, None] + 59 + AHEAD
    assert np.allclose(baselines.paths(series(np.sin(t / 9), 2000), at)["ar5"], np.sin(t / 9)[after], atol=1e-4)
    line = 3 + 0.25 * t
    line[2030] = 1e6
    assert np.allclose(baselines.paths(series(line, 2000), at)["theil_sen"], 3 + 0.25 * after)


def test_holt_follows_a_line_until_its_trend_is_damped() -> None:
    path = baselines.holt(np.arange(60.0)[None], weight=1.0, trend=0.3, damping=0.9)[0]
    assert (np.diff(path) > 0).all()
    assert (np.diff(path, 2) < 0).all()
    assert 59 < path[-1] < 59 + 0.9 / 0.1


def test_the_ewma_smooths_noise_and_holds_the_last_value_of_a_random_walk() -> None:
    at = np.array([3000])
    calm, walk = noise(4000), np.cumsum(noise(4000))
    assert abs(baselines.paths(series(calm, 3000), at)["ewma"]).max() < 0.6 < abs(calm).max()
    assert np.allclose(baselines.paths(series(walk, 3000), at)["ewma"], walk[3059], atol=1)


def test_the_seasonal_path_is_yesterdays_and_unknown_on_the_first_day() -> None:
    values = noise(4000)
    paths = baselines.paths(series(values, 2000), np.array([2000, 1360]))["seasonal"]
    assert np.array_equal(paths[0], values[2060 - 1440 : 2090 - 1440])
    assert np.isnan(paths[1, :20]).all()
    assert np.array_equal(paths[1, 20:], values[:10])


def test_no_baseline_looks_ahead() -> None:
    values = np.cumsum(noise(4000))
    at = np.array([3000, 3100])
    changed = values.copy()
    changed[3100 + forecast.WINDOW :] += 50
    before = baselines.paths(series(values, 3000), at)
    for name, paths in baselines.paths(series(changed, 3000), at).items():
        assert np.array_equal(paths, before[name]), name


def test_the_last_value_itself_scores_one_and_a_still_series_is_left_out() -> None:
    moving, still = series(np.cumsum(noise(3000)), 1500), series(np.ones(3000), 1500)
    table = path_errors.ratios(
        [moving, still], lambda s, at: np.repeat(s.values[at + forecast.WINDOW - 1, None], forecast.STEPS, 1)
    )
    assert table[0].tolist() == [1, 1]
    assert np.isnan(table[1]).all()
    assert path_errors.summary(table) == {
        "mae_over_naive_next": 1,
        "mae_over_naive_path": 1,
        "series": 1,
        "beats_naive_next": 0,
        "beats_naive_path": 0,
    }


def test_half_the_error_on_one_series_and_twice_on_another_is_no_gain() -> None:
    score = path_errors.summary(np.array([[0.5, 0.5], [2, 2]]))
    assert score["mae_over_naive_next"] == pytest.approx(1)
    assert score["beats_naive_path"] == 0.5


def test_the_interval_is_as_wide_as_servers_differ_not_as_series_do() -> None:
    owned = [Series("smd", name, np.empty(0), 0.001, 0) for name in "abcd" for _ in range(25)]
    alike = np.tile(np.geomspace(0.5, 2, 25)[:, None], (4, 2))
    bounds = path_errors.interval(owned, alike)
    assert bounds["next_low"] == pytest.approx(1)
    assert bounds["next_high"] == pytest.approx(1)
    unlike = alike * np.repeat([0.5, 1, 1, 2], 25)[:, None]
    assert path_errors.interval(owned, unlike)["path_low"] < 0.75
    assert path_errors.interval(owned, unlike)["path_high"] > 1.3


def test_draws_come_from_train_parts_scaled_as_the_live_round_scales() -> None:
    values = noise(4000)
    values[2000:] = 1e6
    x, target, weight = draws.Draws([series(values, 2000)]).draw(np.random.default_rng(0), 500)
    assert x.shape == (500, forecast.WINDOW)
    assert (x[:, -1] == 0).all()
    # A step of a million would be some fourteen in units of noise.
    assert abs(target).max() < 4
    assert 0 < weight.min() <= weight.max() <= draws.MOST


def test_an_hour_of_large_steps_weighs_more_than_a_quiet_one() -> None:
    values = noise(4000) * np.where(np.arange(4000) % 1000 < 500, 1, 0.01)
    _, _, weight = draws.Draws([series(values, 4000)]).draw(np.random.default_rng(0), 500)
    assert weight.max() > 5 * weight.min()


def test_generated_series_do_what_they_are_named_after() -> None:
    made = generated.generate(6, np.random.default_rng(0))
    by_kind = {kind: [s.values for s in made if s.metric == kind] for kind in generated.KINDS}
    assert all(len(rows) == 6 and np.isfinite(rows).all() for rows in by_kind.values())
    assert all(row[-500:].mean() > row[:500].mean() for row in by_kind["filling"])
    assert all(np.diff(row).min() < -0.4 * np.ptp(row) for row in by_kind["sawtooth"])
    again = generated.generate(6, np.random.default_rng(0))
    assert all(np.array_equal(a.values, b.values) for a, b in zip(made, again, strict=True))
