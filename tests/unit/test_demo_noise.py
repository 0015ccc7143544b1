"""Keyed random numbers: the same for an instant whoever asks for which range, and shaped as promised."""

import numpy as np
from hypothesis import given
from hypothesis import strategies as st
from openmanager.demo.noise import bursts, damped, normals, uniforms, wander

FIRST = 29_892_960
SHARES = {1: 0.12, 8: 0.26, 60: 0.32, 360: 0.3}
seeds = st.integers(0, 2**32 - 1)


@given(seed=seeds, server=st.integers(0, 100), start=st.integers(0, 2000), length=st.integers(1, 500))
def test_a_minute_has_the_same_bits_in_every_range_that_holds_it(
    seed: int, server: int, start: int, length: int
) -> None:
    whole = np.arange(FIRST, FIRST + 3000)
    part = whole[start : start + length]
    assert np.array_equal(
        wander(seed, server, 1, whole, SHARES)[start : start + length], wander(seed, server, 1, part, SHARES)
    )
    everywhere = bursts(seed, server, 2, whole, 60, 0.3, 1.5)
    assert np.array_equal(everywhere[start : start + length], bursts(seed, server, 2, part, 60, 0.3, 1.5))


def test_seeds_servers_and_channels_have_nothing_in_common() -> None:
    minutes = np.arange(FIRST, FIRST + 20_000)
    rows = [wander(*key, minutes, {1: 1.0})[:, 0] for key in ((1, 0, 1), (2, 0, 1), (1, 1, 1), (1, 0, 2))]
    rows.append(wander(1, 0, 1, minutes, {1: 1.0})[:, 1])
    between = np.corrcoef(rows) - np.eye(len(rows))
    assert np.abs(between).max() < 0.03


def test_numbers_are_uniform_and_normal() -> None:
    u = uniforms(7, 0, 0, FIRST, 50_000)
    assert 0 < u.min() < 1e-4
    assert 1 - 1e-4 < u.max() < 1
    assert np.abs(np.histogram(u, 10, (0, 1))[0] / u.size - 0.1).max() < 0.003
    x = normals(7, 0, 0, FIRST, 50_000)
    assert np.abs(x.mean(axis=0)).max() < 0.02
    assert np.abs(x.std(axis=0) - 1).max() < 0.02
    assert abs((np.abs(x) > 1.96).mean() - 0.05) < 0.003


def test_what_wanders_keeps_its_variance_and_remembers_as_long_as_its_scales() -> None:
    x = wander(3, 0, 1, np.arange(FIRST, FIRST + 100_000), SHARES)
    assert np.abs(x.std(axis=0) - 1).max() < 0.15

    def remembered(lag: int) -> float:
        return float((x[:-lag] * x[lag:]).mean() / (x * x).mean())

    assert 0.82 < remembered(1) < 0.92
    assert 0.6 < remembered(5) < 0.85
    assert 0.15 < remembered(60) < 0.5
    assert abs(remembered(2000)) < 0.15


def test_bursts_are_rare_heavy_tailed_and_fade() -> None:
    x = bursts(5, 0, 2, np.arange(FIRST, FIRST + 60 * 5000), 60, 0.2, 1.1)
    begun = x[1:][(x[1:] > 0) & (x[:-1] == 0)]
    assert abs(len(begun) / 5000 - 0.2) < 0.02
    assert begun.min() >= 1
    assert x.max() == 12
    assert (begun > 6).mean() > 0.1
    assert np.median(begun) < 2.5
    assert (x > 0).mean() < 0.1


def test_damping_forgets_as_a_load_average_does() -> None:
    step = np.concatenate((np.zeros(100), np.ones(100)))[None, :]
    for minutes in (1, 5, 15):
        damping = damped(step, minutes, 76)[0]
        assert damping[99] == 0
        assert abs(damping[99 + minutes] - (1 - np.exp(-1))) < 0.01
        assert np.all(np.diff(damping[99:]) >= -1e-12)
        assert abs(damping[-1] - 1) < 0.01
