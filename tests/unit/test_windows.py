"""Samples on the grid: means, rates, resets, gaps."""

import numpy as np
from hypothesis import given
from hypothesis import strategies as st
from openmanager.catalog import COLUMN
from openmanager.telemetry import windows
from openmanager.telemetry.samples import MINUTE_MS, Samples, from_points, merge

START = 1_764_000_000_000


def counter(points: list[tuple[int, float]], minutes: int = 3) -> list[float]:
    """Rates a minute of a counter given as (seconds since START, value)."""
    samples = from_points([("disk_reads_total/sda", START + s * 1000, v) for s, v in points])
    table = windows.buckets(samples, START, START + minutes * MINUTE_MS, MINUTE_MS)
    return [None if np.isnan(v) else float(v) for v in table[:, 0]]  # type: ignore[misc]


def test_a_gauge_is_the_mean_of_its_samples_in_the_minute() -> None:
    samples = from_points([("load_1m", START + s * 1000, v) for s, v in ((0, 1.0), (59, 3.0), (60, 7.0))])
    assert windows.buckets(samples, START, START + 3 * MINUTE_MS, MINUTE_MS)[:, 0].tolist()[:2] == [2.0, 7.0]


def test_a_counter_is_its_increase_per_second_measured_from_the_sample_before() -> None:
    assert counter([(-30, 100), (30, 160), (90, 280)]) == [1.0, 2.0, None]


def test_the_first_sample_of_a_counter_says_nothing() -> None:
    assert counter([(30, 160), (90, 280)]) == [None, 2.0, None]


def test_a_counter_that_went_down_was_reset_and_counts_from_zero() -> None:
    assert counter([(0, 1000), (50, 60)]) == [1.2, None, None]


def test_a_counter_set_back_by_a_hair_was_not_reset() -> None:
    assert counter([(0, 1000), (30, 1060), (50, 1059.99)]) == [1.2, None, None]


def test_a_sample_further_back_than_the_look_back_does_not_count() -> None:
    assert counter([(-400, 0), (30, 60)]) == [None, None, None]


def test_series_sampled_at_different_instants_keep_their_own_predecessors() -> None:
    samples = from_points(
        [("disk_reads_total/sda", START + s * 1000, v) for s, v in ((0, 0.0), (40, 40.0))]
        + [("disk_writes_total/sda", START + s * 1000, v) for s, v in ((5, 0.0), (25, 60.0))]
    )
    row = windows.metrics(samples, START, START + MINUTE_MS, MINUTE_MS)[0]
    assert (row[COLUMN["disk_reads"]], row[COLUMN["disk_writes"]]) == (1.0, 3.0)


@given(st.permutations(range(6)), st.integers(1, 5))
def test_how_samples_were_cut_into_pushes_does_not_matter(order: list[int], cut: int) -> None:
    points = [
        (name, START + i * 20_000, float(i * i)) for i in range(6) for name in ("load_1m", "disk_reads_total/sda")
    ]
    whole = from_points(points)
    parts = [from_points([points[2 * i], points[2 * i + 1]]) for i in order]
    joined = merge([merge(parts[:cut]), merge(parts[cut:])])
    a = windows.metrics(whole, START, START + 2 * MINUTE_MS, MINUTE_MS)
    b = windows.metrics(joined, START, START + 2 * MINUTE_MS, MINUTE_MS)
    assert np.array_equal(a, b, equal_nan=True)


def test_of_two_values_for_one_instant_the_larger_stays_whatever_the_order() -> None:
    a, b = from_points([("load_1m", START, 1.0)]), from_points([("load_1m", START, 2.0)])
    assert merge([a, b]).values.tolist() == merge([b, a]).values.tolist() == [[2.0]]


def test_a_row_is_late_only_if_every_copy_of_it_was() -> None:
    on_time = from_points([("load_1m", START, 1.0)])
    late = Samples(on_time.series, on_time.times, on_time.values, np.ones(1, np.bool_))
    assert merge([late, on_time]).late.tolist() == [False]
    assert merge([late, late]).late.tolist() == [True]
