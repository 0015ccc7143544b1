"""The scaling: causal, robust, of constant memory, and the same for a row alone as in a batch."""

import numpy as np
from hypothesis import given
from hypothesis import strategies as st
from hypothesis.extra import numpy as hnp
from openmanager.telemetry.scaling import HALF_LIFE, Array, Scaler, step

NO_END = np.array([np.nan], np.float32)
readings = st.one_of(st.floats(-1e9, 1e9, width=32), st.just(0.0), st.just(float("nan")), st.floats(0, 100, width=32))


def scaled(x: Array, high: Array = NO_END) -> tuple[Scaler, Array]:
    """z (time, n, k) of readings (time, n, k), and what was learnt."""
    scaler = Scaler.new(*x.shape[1:])
    return scaler, np.stack([step(scaler, row, high) for row in x])


def column(values: Array) -> Array:
    return np.asarray(values, np.float32)[:, None, None]


def test_the_first_sample_says_nothing_and_a_missing_one_stays_missing() -> None:
    _, z = scaled(column([5, np.nan, 5, 6]))
    assert np.isnan(z[:2]).all()
    assert z[2] == 0
    assert z[3] > 0


def test_z_does_not_depend_on_what_comes_later() -> None:
    rng = np.random.default_rng(1)
    x = rng.normal(50, 5, (300, 2, 3)).astype(np.float32)
    other = x.copy()
    other[200:] = 1e6
    high = np.full(3, np.nan, np.float32)
    assert np.array_equal(scaled(x, high)[1][:200], scaled(other, high)[1][:200], equal_nan=True)


def test_ordinary_readings_come_out_with_unit_deviation() -> None:
    x = np.random.default_rng(2).normal(1000, 30, (3 * HALF_LIFE, 8, 1)).astype(np.float32)
    z = scaled(x)[1][HALF_LIFE:]
    assert abs(z.std() - 1) < 0.1
    assert abs(z.mean()) < 0.1


def test_an_incident_of_hours_does_not_become_the_baseline() -> None:
    rng = np.random.default_rng(3)
    calm = rng.normal(20, 1, 2 * HALF_LIFE)
    incident = rng.normal(95, 1, 120)
    _, z = scaled(column(np.r_[calm, incident]), np.array([100], np.float32))
    assert z[-1, 0, 0] > 15


def test_a_change_for_good_is_accepted_within_days() -> None:
    rng = np.random.default_rng(4)
    _, z = scaled(column(np.r_[rng.normal(20, 1, 2 * HALF_LIFE), rng.normal(40, 1, 5 * HALF_LIFE)]))
    assert abs(z[-60:]).mean() < 3


def test_a_metric_that_never_moved_is_not_alarmed_by_a_small_step() -> None:
    _, z = scaled(column([50] * 500 + [51]), np.array([100], np.float32))
    assert 0 < z[-1, 0, 0] < 1


def test_one_bogus_reading_does_not_blind_a_metric_for_good() -> None:
    rng = np.random.default_rng(5)
    x = rng.normal(100, 1, 30 * HALF_LIFE)
    x[1000] = 1e6
    scaler, _ = scaled(column(x))
    assert scaler.peak[0, 0] < 1e6 / 10
    assert step(scaler, np.array([[1e5]], np.float32), NO_END)[0, 0] > 10


@given(
    hnp.arrays(np.float32, st.tuples(st.integers(1, 40), st.integers(1, 7), st.just(3)), elements=readings),
    st.randoms(use_true_random=False),
)
def test_a_row_gives_the_same_bits_alone_and_in_any_batch(x: Array, random: object) -> None:
    high = np.array([100, np.nan, np.nan], np.float32)
    together, z = scaled(x, high)
    order = list(range(x.shape[1]))
    random.shuffle(order)  # type: ignore[attr-defined]
    _, shuffled = scaled(x[:, order], high)
    assert z[:, order].tobytes() == shuffled.tobytes()
    for i in range(x.shape[1]):
        alone, lonely = scaled(x[:, i : i + 1], high)
        assert lonely[:, 0].tobytes() == z[:, i].tobytes()
        for field in ("mean", "deviation", "peak", "count"):
            assert getattr(alone, field)[0].tobytes() == getattr(together, field)[i].tobytes()


@given(hnp.arrays(np.float32, (30, 2, 2), elements=readings))
def test_whatever_comes_the_state_stays_finite_float32_and_z_is_known_or_missing(x: Array) -> None:
    scaler, z = scaled(x, np.full(2, np.nan, np.float32))
    for field in (scaler.mean, scaler.deviation, scaler.peak, scaler.count):
        assert field.dtype == np.float32
        assert np.isfinite(field).all()
    assert z.dtype == np.float32
    assert not np.isinf(z).any()
    assert np.isnan(z[np.isnan(x)]).all()
