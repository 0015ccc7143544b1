"""Failure: the five inputs, their smoothing, and a probability that grows with trouble."""

import numpy as np
import pytest
from openmanager.catalog import FAILURE_INPUTS, MODEL_METRICS
from openmanager.inference import failure

from tests.models.shipped import shipped_models as shipped_models

pytestmark = pytest.mark.usefixtures("shipped_models")


def test_inputs_are_the_mean_squares_of_the_catalogues_metrics() -> None:
    z = np.zeros((1, 20), np.float32)
    z[0, MODEL_METRICS.index("cpu_utilization")] = -3
    z[0, MODEL_METRICS.index("network_receive_bytes")] = 2
    z[0, MODEL_METRICS.index("network_transmit_bytes")] = 4
    five = dict(zip(FAILURE_INPUTS, failure.inputs(z)[0].tolist(), strict=True))
    assert five == {"cpu": 9, "memory": 0, "disk": 0, "network": 10, "load": 0}


def test_a_missing_metric_is_left_out_and_a_missing_input_is_as_expected() -> None:
    z = np.full((1, 20), np.nan, np.float32)
    z[0, MODEL_METRICS.index("network_receive_bytes")] = 2
    assert failure.inputs(z)[0].tolist() == [0, 0, 0, 4, 0]


def test_one_wild_metric_counts_only_up_to_the_clip() -> None:
    z = np.zeros((1, 20), np.float32)
    z[0, MODEL_METRICS.index("load_5m")] = 1e6
    assert failure.inputs(z).max() == 20**2


def test_smoothing_starts_at_the_first_value_and_halves_the_way_in_five() -> None:
    five = np.full((1, 5), 8, np.float32)
    state = failure.smooth(np.full((1, 5), np.nan, np.float32), five)
    assert (state == 8).all()
    for _ in range(failure.HALF_LIFE):
        state = failure.smooth(state, five * 0)
    assert np.allclose(state, 4)


def test_a_calm_server_is_near_the_base_rate_and_a_troubled_one_far_above() -> None:
    calm, troubled = failure.probability(np.array([[0.5] * 5, [100] * 5], np.float32))
    assert 0 < calm < 0.1
    assert troubled > 0.4


def test_every_step_gives_the_same_bits_alone_and_in_a_batch() -> None:
    z = np.random.default_rng(0).normal(0, 3, (41, 20)).astype(np.float32)
    five = failure.inputs(z)
    smoothed = failure.smooth(five * 2, five)
    chance = failure.probability(smoothed)
    for i in range(41):
        row = slice(i, i + 1)
        alone = failure.inputs(z[row])
        assert np.array_equal(alone, five[row])
        assert np.array_equal(failure.smooth(alone * 2, alone), smoothed[row])
        assert failure.probability(smoothed[row]) == chance[row]
