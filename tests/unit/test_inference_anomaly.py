"""Anomaly: error, contributions, smoothing, the server's own quantile and threshold."""

import numpy as np
import pytest
from openmanager.catalog import MODEL_METRICS
from openmanager.inference import anomaly
from openmanager.inference.runtime import Array

from tests.models.shipped import shipped_models as shipped_models

pytestmark = pytest.mark.usefixtures("shipped_models")
UNKNOWN = np.full(1, np.nan, np.float32)


def ordinary(n: int, seed: int = 0) -> Array:
    return np.random.default_rng(seed).normal(0, 0.5, (n, 20)).astype(np.float32)


def test_contributions_sum_to_the_error_and_name_the_deviant() -> None:
    z = ordinary(4)
    z[2, MODEL_METRICS.index("disk_busy")] = 15
    error, contributions = anomaly.score(z)
    assert np.allclose(contributions.sum(axis=1), error, rtol=1e-5)
    assert error.argmax() == 2
    assert MODEL_METRICS[contributions[2].argmax()] == "disk_busy"
    assert contributions[2].max() > error[2] / 2


def test_a_missing_metric_counts_as_expected() -> None:
    z = ordinary(1)
    z[0, 3] = np.nan
    expected = z.copy()
    expected[0, 3] = 0
    _, contributions = anomaly.score(z)
    assert contributions[0, 3] == 0
    assert np.isfinite(contributions).all()
    others = np.arange(20) != 3
    # The same squares over 19 metrics instead of 20.
    assert np.allclose(contributions[0, others] * 19, anomaly.score(expected)[1][0, others] * 20, rtol=1e-5)


def test_a_server_that_sends_one_metric_is_not_judged_by_it_alone() -> None:
    z = np.full((1, 20), np.nan, np.float32)
    z[0, 0] = 5
    assert anomaly.score(z)[0][0] < 25 / 5


def test_nothing_known_is_no_error() -> None:
    assert anomaly.score(np.full((2, 20), np.nan, np.float32))[0].tolist() == [0, 0]


def test_a_single_spike_is_damped_and_a_lasting_one_is_not() -> None:
    calm = anomaly.smooth(UNKNOWN, np.ones(1, np.float32))
    assert calm == 1
    spike = anomaly.smooth(calm, np.full(1, 101, np.float32))
    assert spike[0] < 31
    lasting = spike
    for _ in range(anomaly.RISE - 1):
        lasting = anomaly.smooth(lasting, np.full(1, 101, np.float32))
    assert np.allclose(lasting, 51)


def test_what_has_begun_fades_more_slowly_than_it_came() -> None:
    score = np.full(1, 100, np.float32)
    for _ in range(anomaly.FALL):
        score = anomaly.smooth(score, np.zeros(1, np.float32))
    assert np.allclose(score, 50)
    assert anomaly.FALL > anomaly.RISE


def test_weights_and_the_share_explained_are_the_manifests() -> None:
    class Rebuilds:
        def __init__(self, explained: float, cpu: float) -> None:
            weights = {f"weight.{key}": 1.0 for key in MODEL_METRICS} | {f"weight.{MODEL_METRICS[0]}": cpu}
            scaling = {"input_clip": 3.0, "error_clip": 20.0, "input_scale": 10.0, "explained": explained}
            self.constants = scaling | weights

        def run(self, *arrays: Array) -> tuple[Array, ...]:
            return arrays

    z = np.full((1, 20), 2, np.float32)
    assert np.allclose(anomaly.score(z, Rebuilds(1, 1))[0], 0)
    assert np.allclose(anomaly.score(z, Rebuilds(0.5, 1))[0], 1)
    error, contributions = anomaly.score(z, Rebuilds(0, 5))
    assert np.allclose(contributions[0], [1.0, *[0.2] * 19])
    assert np.allclose(error, 4.8)


def test_the_quantile_rests_where_its_share_of_samples_lies_below() -> None:
    rng = np.random.default_rng(3)
    samples = rng.lognormal(0, 1, (40_000, 1)).astype(np.float32)
    quantile, below = UNKNOWN, 0
    for i, sample in enumerate(samples):
        below += i >= 20_000 and bool(sample[0] <= quantile[0])
        quantile = anomaly.update_quantile(quantile, sample)
    assert abs(below / 20_000 - anomaly.QUANTILE) < 0.005


def test_a_quantile_at_rest_can_climb_again() -> None:
    quantile = np.full(1, 1e-3, np.float32)
    for _ in range(20_000):
        quantile = anomaly.update_quantile(quantile, np.zeros(1, np.float32))
    assert quantile[0] > 0
    for _ in range(400):
        quantile = anomaly.update_quantile(quantile, np.full(1, 50, np.float32))
    assert quantile[0] > 45


def test_a_noisy_server_needs_a_larger_error_but_not_in_proportion() -> None:
    calm, noisy, unknown = anomaly.threshold(np.array([1, 100, np.nan], np.float32))
    assert calm < noisy < 20 * calm
    assert unknown > 0


def test_every_step_gives_the_same_bits_alone_and_in_a_batch() -> None:
    z = ordinary(37, seed=4)
    z[5, 7] = np.nan
    error, contributions = anomaly.score(z)
    smoothed = anomaly.smooth(error * 2, error)
    quantile = anomaly.update_quantile(error * 3, smoothed)
    limit = anomaly.threshold(quantile)
    for i in range(37):
        row = slice(i, i + 1)
        alone, parts = anomaly.score(z[row])
        assert alone == error[row]
        assert np.array_equal(parts, contributions[row])
        s = anomaly.smooth(alone * 2, alone)
        q = anomaly.update_quantile(alone * 3, s)
        assert (s, q, anomaly.threshold(q)) == (smoothed[row], quantile[row], limit[row])
