"""Rollups: what a bucket says of its samples, and that coarser ones follow from finer ones."""

import math

import numpy as np
import pytest
from hypothesis import given
from hypothesis import strategies as st
from openmanager.catalog import COLUMN
from openmanager.errors import DamagedFrame
from openmanager.telemetry import rollup_codec, windows
from openmanager.telemetry.rollups import (
    LEVELS,
    NO_VERDICTS,
    STATS,
    Judged,
    Rollup,
    blank,
    compute,
    fill,
    join,
    regroup,
)
from openmanager.telemetry.samples import MINUTE_MS, Samples, from_points

DAY_MS = 86_400_000
START = 1_764_028_800_000
CPU, READS = COLUMN["cpu_utilization"], COLUMN["disk_reads"]

# A few hours at any cadence: offsets in seconds and values at the metric's precision.
hours = st.lists(
    st.tuples(st.integers(0, 4 * 3600 - 1), st.integers(0, 1000)), min_size=1, max_size=120, unique_by=lambda p: p[0]
)


def gauges(points: list[tuple[int, int]]) -> Samples:
    return from_points(("cpu_utilization", START + at * 1000, v / 10) for at, v in points)


def of(samples: Samples, bucket_ms: int, stop_ms: int = START + 4 * 3_600_000, judged: Judged = NO_VERDICTS) -> Rollup:
    return compute(samples, judged, START, stop_ms, [bucket_ms])[0]


def same(a: Rollup, b: Rollup, *names: str) -> bool:
    return all(np.array_equal(getattr(a, n), getattr(b, n), equal_nan=True) for n in names or (*STATS, "count", "late"))


@given(hours)
def test_a_gauge_s_bucket_is_the_statistics_of_its_samples(points: list[tuple[int, int]]) -> None:
    rollup = of(gauges(points), 300_000)
    for bucket in range(len(rollup)):
        inside = [(at, v / 10) for at, v in sorted(points) if at // 300 == bucket]
        if not inside:
            assert rollup.count[bucket, CPU] == 0
            assert all(np.isnan(getattr(rollup, name)[bucket, CPU]) for name in STATS)
            continue
        values = sorted(v for _, v in inside)
        rank = math.ceil(0.95 * len(values))
        assert rollup.count[bucket, CPU] == len(values)
        assert rollup.mean[bucket, CPU] == pytest.approx(sum(values) / len(values), abs=0.006)
        assert (rollup.min[bucket, CPU], rollup.max[bucket, CPU]) == (values[0], values[-1])
        assert (rollup.last[bucket, CPU], rollup.p95[bucket, CPU]) == (inside[-1][1], values[rank - 1])


@given(hours)
def test_coarser_buckets_follow_from_finer_ones(points: list[tuple[int, int]]) -> None:
    minute, hour = of(gauges(points), 60_000), of(gauges(points), 3_600_000)
    merged = regroup(minute, START, START + 4 * 3_600_000, 3_600_000)
    assert same(merged, hour, "min", "max", "last", "count", "late")
    known = hour.count > 0
    assert np.allclose(merged.mean[known], hour.mean[known], atol=0.011)
    assert (merged.p95[known] >= hour.p95[known]).all()
    assert (merged.p95[known] <= hour.max[known]).all()


@given(hours, st.sampled_from([2, 3, 6]))
def test_merging_in_two_stages_is_merging_at_once(points: list[tuple[int, int]], factor: int) -> None:
    stop = START + 4 * 3_600_000
    minute = of(gauges(points), 60_000)
    between = regroup(minute, START, stop, factor * 60_000)
    assert same(
        regroup(between, START, stop, 12 * 60_000),
        regroup(minute, START, stop, 12 * 60_000),
        *("min", "max", "last", "p95", "count", "late"),
    )


@given(hours, st.integers(1, 239))
def test_parts_joined_are_the_whole(points: list[tuple[int, int]], cut: int) -> None:
    stop = START + 4 * 3_600_000
    samples = gauges(points)
    middle = START + cut * MINUTE_MS
    parts = [
        *compute(samples, NO_VERDICTS, middle, stop, [60_000]),
        *compute(samples, NO_VERDICTS, START, middle, [60_000]),
    ]
    assert same(join(parts, START, stop, 60_000), of(samples, 60_000))


@given(st.lists(st.tuples(st.integers(-290, 7200), st.integers(0, 10**12)), max_size=80, unique_by=lambda p: p[0]))
def test_a_counter_s_mean_is_its_rate_on_the_grid_and_its_points_are_its_rates(points: list[tuple[int, int]]) -> None:
    samples = from_points(("disk_reads_total/sda", START + at * 1000, float(v)) for at, v in points)
    stop = START + 7_200_000
    rollup = of(samples, 600_000, stop)
    grid = windows.metrics(samples, START, stop, 600_000)[:, READS]
    assert np.array_equal(np.round(rollup.mean[:, READS], 1), np.round(grid, 1), equal_nan=True) or np.allclose(
        rollup.mean[:, READS], grid, rtol=1e-9, atol=0.006, equal_nan=True
    )
    known = rollup.count[:, READS] > 0
    assert np.array_equal(known, ~np.isnan(grid))
    assert (rollup.min[known, READS] <= rollup.mean[known, READS] + 0.051).all()
    assert (rollup.mean[known, READS] <= rollup.max[known, READS] + 0.051).all()


def test_a_rate_belongs_to_the_bucket_it_ends_in_and_begins_before_it() -> None:
    points = [(-30, 100.0), (30, 160.0), (90, 400.0)]
    rollup = of(from_points(("disk_reads_total/sda", START + at * 1000, v) for at, v in points), 60_000)
    assert rollup.last[:3, READS].tolist()[:2] == [1.0, 4.0]
    assert rollup.count[:3, READS].tolist() == [1, 1, 0]


def test_a_metric_whose_ingredients_never_share_an_instant_has_one_point_a_bucket() -> None:
    points = [("memory_total_bytes", START + 1000, 1000.0), ("memory_free_bytes", START + 2000, 250.0)]
    rollup = of(from_points(points), 60_000)
    memory = COLUMN["memory_used"]
    assert [getattr(rollup, name)[0, memory] for name in STATS] == [75.0] * 5
    assert rollup.count[0, memory] == 1


def test_anomalous_minutes_and_late_buckets_are_counted() -> None:
    judged = Judged(START + np.arange(10) * MINUTE_MS, np.arange(10) % 5 == 0)
    samples = gauges([(0, 1), (400, 2)])
    samples.late[1] = True
    rollup = of(samples, 300_000, judged=judged)
    assert (rollup.judged[:3].tolist(), rollup.anomalous[:3].tolist()) == ([5, 5, 0], [1, 1, 0])
    assert rollup.late[:3].tolist() == [False, True, False]
    merged = regroup(rollup, START, START + 3_600_000, 600_000)
    assert (merged.judged[0], merged.anomalous[0], merged.late[0]) == (10, 2, True)


@given(hours, hours)
def test_filling_keeps_what_is_known_and_doubles_nothing(a: list[tuple[int, int]], b: list[tuple[int, int]]) -> None:
    known, more = of(gauges(a), 60_000), of(gauges(b), 60_000)
    once = fill(known, more)
    there = known.count > 0
    assert np.array_equal(once.mean[there], known.mean[there])
    assert np.array_equal(once.count[~there], more.count[~there])
    assert same(fill(once, more), once)


@given(hours, st.sampled_from(sorted(LEVELS.values())[:3]))
def test_a_stored_rollup_reads_back_the_same(points: list[tuple[int, int]], bucket_ms: int) -> None:
    rollup = of(gauges(points), bucket_ms, judged=Judged(START + np.arange(9) * MINUTE_MS, np.arange(9) % 2 == 0))
    data = rollup_codec.encode(rollup)
    back = rollup_codec.decode(data)
    assert (back.start_ms, back.bucket_ms) == (rollup.start_ms, rollup.bucket_ms)
    assert same(back, rollup, *STATS, "count", "late", "judged", "anomalous")
    assert rollup_codec.encode(back) == data


def test_an_empty_rollup_says_so_and_survives() -> None:
    rollup = blank(START, 24, 3_600_000)
    assert rollup.empty
    assert rollup_codec.decode(rollup_codec.encode(rollup)).empty


@given(st.data())
def test_a_damaged_rollup_is_an_error_and_never_a_wrong_number(data: st.DataObject) -> None:
    sound = of(gauges([(i * 60, i % 7) for i in range(200)]), 60_000)
    octets = bytearray(rollup_codec.encode(sound))
    if data.draw(st.booleans()):
        at = data.draw(st.integers(0, len(octets) - 1))
        octets[at] ^= data.draw(st.integers(1, 255))
    else:
        del octets[data.draw(st.integers(0, len(octets) - 1)) :]
    try:
        read = rollup_codec.decode(bytes(octets))
    except DamagedFrame:
        return
    # A bit that deflate does not look at changes nothing.
    assert same(read, sound)
