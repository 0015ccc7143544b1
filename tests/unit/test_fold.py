"""Folding: ingredients become the metrics people know, and what is absent is not a zero."""

from pathlib import Path

import numpy as np
import pytest
from hypothesis import given
from hypothesis import strategies as st
from openmanager.catalog import COLUMN, METRIC, METRIC_KEYS, METRICS, part_of
from openmanager.sources import prometheus
from openmanager.telemetry.fold import fold
from openmanager.telemetry.samples import merge

CAPTURES = Path(__file__).parents[1] / "captures"
NAN = float("nan")


def folded(key: str, series: dict[str, list[float]], times_ms: list[int] | None = None) -> list[float]:
    n = len(next(iter(series.values())))
    times = np.array(times_ms or range(n), np.int64)
    column = fold({k: np.array(v, float) for k, v in series.items()}, times)[:, COLUMN[key]]
    return [round(float(v), 6) for v in column]


def same(found: list[float], expected: list[float]) -> None:
    np.testing.assert_allclose(found, expected, atol=1e-6)


def test_nothing_known_is_nan_everywhere() -> None:
    out = fold({}, np.arange(3, dtype=np.int64))
    assert out.shape == (3, len(METRIC_KEYS))
    assert np.isnan(out).all()


def test_no_buckets_fold_to_no_rows() -> None:
    assert fold({"load_1m": np.empty(0)}, np.empty(0, np.int64)).shape == (0, len(METRIC_KEYS))


def test_processor_time_is_what_is_neither_idle_nor_waiting() -> None:
    same(
        folded(
            "cpu_utilization",
            {
                "cpu_idle_total/0": [0.5, 1.0, NAN],
                "cpu_iowait_total/0": [0.1, 0.0, NAN],
                "cpu_idle_total/1": [0.8, NAN, NAN],
                "cpu_iowait_total/1": [0.0, NAN, NAN],
            },
        ),
        [30, 0, NAN],
    )


def test_processor_time_without_iowait_or_with_clocks_that_disagree() -> None:
    same(folded("cpu_utilization", {"cpu_idle_total/0": [0.25, 1.02], "cpu_idle_total/1": [0.25, 0.5]}), [75, 25])


@pytest.mark.parametrize(
    ("key", "total", "free", "expected"),
    [
        ("memory_used", "memory_total_bytes", "memory_free_bytes", [75, NAN, NAN]),
        ("memory_used_effective", "memory_total_bytes", "memory_available_bytes", [75, NAN, NAN]),
        ("swap_utilization", "swap_total_bytes", "swap_free_bytes", [75, 0, NAN]),
    ],
)
def test_used_shares(key: str, total: str, free: str, expected: list[float]) -> None:
    same(folded(key, {total: [400, 0, NAN], free: [100, 0, 5]}), expected)


def test_the_fullest_filesystem_counts_as_df_counts_it() -> None:
    same(
        folded(
            "filesystem_utilization",
            {
                # 5 % of / are reserved: 60 used of 95 that are to be had.
                "filesystem_size_bytes//": [100, 100, NAN],
                "filesystem_free_bytes//": [40, 40, 40],
                "filesystem_available_bytes//": [35, 35, 35],
                "filesystem_size_bytes//var": [100, NAN, NAN],
                "filesystem_free_bytes//var": [10, 10, NAN],
                "filesystem_available_bytes//var": [10, 10, NAN],
                "filesystem_size_bytes//proc": [0, 0, 0],
                "filesystem_free_bytes//proc": [0, 0, 0],
            },
        ),
        [90, 100 * 60 / 95, NAN],
    )


def test_a_filesystem_with_only_one_kind_of_free_space() -> None:
    for part, expected in (("filesystem_free_bytes//", 60), ("filesystem_available_bytes//", 60), ("load_1m", NAN)):
        same(folded("filesystem_utilization", {"filesystem_size_bytes//": [100], part: [40]}), [expected])


def test_counters_fold_over_devices_each_in_its_way() -> None:
    devices = {"a": [1.0, NAN, NAN], "b": [2.0, 5.0, NAN]}
    for key, expected in (("disk_reads", [3, 5, NAN]), ("disk_busy", [2, 5, NAN])):
        same(folded(key, {f"{key}_total/{d}": v for d, v in devices.items()}), expected)


def test_disk_times_are_per_completed_request() -> None:
    series: dict[str, list[float]] = {
        "disk_reads_total/a": [30, 0, NAN],
        "disk_writes_total/a": [10, 0, NAN],
        "disk_busy_total/a": [20, 0, NAN],
        "disk_read_time_total/a": [60, 0, NAN],
        "disk_write_time_total/a": [40, 0, NAN],
        "disk_reads_total/b": [10, 10, NAN],
        "disk_writes_total/b": [0, 0, NAN],
        "disk_busy_total/b": [5, 1, NAN],
        "disk_read_time_total/b": [0, 5, NAN],
        "disk_write_time_total/b": [0, 0, NAN],
    }
    same(folded("disk_service_time", series), [10 * 25 / 50, 10 * 1 / 10, NAN])
    same(folded("disk_wait", series), [100 / 50, 5 / 10, NAN])


def test_a_disk_without_requests_neither_serves_nor_waits() -> None:
    parts = ("reads", "writes", "busy", "read_time", "write_time")
    idle: dict[str, list[float]] = {f"disk_{part}_total/a": [0] for part in parts}
    same(folded("disk_service_time", idle), [0])
    same(folded("disk_wait", idle), [0])


def test_disk_times_from_totals_where_no_disk_is_named() -> None:
    same(folded("disk_service_time", {"disk_busy": [20], "disk_reads": [30], "disk_writes": [10]}), [5])
    same(
        folded(
            "disk_wait",
            {
                "disk_reads": [30],
                "disk_writes": [10],
                "disk_read_time_total": [60],
                "disk_write_time_total": [40],
            },
        ),
        [2.5],
    )


def test_a_disk_with_an_ingredient_missing_is_left_out_of_the_quotient() -> None:
    same(
        folded(
            "disk_service_time",
            {
                "disk_reads_total/a": [10],
                "disk_writes_total/a": [10],
                "disk_busy_total/a": [10],
                "disk_reads_total/b": [1000],
                "disk_writes_total/b": [1000],
                "disk_busy_total/b": [NAN],
            },
        ),
        [5],
    )


def test_network_errors_are_those_of_both_directions() -> None:
    same(
        folded(
            "network_errors",
            {
                "network_receive_errors_total/a": [1, 1],
                "network_transmit_errors_total/a": [2, NAN],
                "network_receive_errors_total/b": [4, NAN],
            },
        ),
        [7, 1],
    )


def test_uptime_is_counted_from_the_boot() -> None:
    same(folded("uptime", {"boot_time": [1000, 1000, NAN]}, [1_060_000, 999_000, 1_060_000]), [60, 0, NAN])


def test_the_most_direct_way_to_a_metric_wins_bucket_by_bucket() -> None:
    same(
        folded(
            "network_errors",
            {
                "network_errors": [1, NAN, NAN, NAN],
                "network_errors_total": [2, 2, NAN, NAN],
                "network_receive_errors_total/a": [3, 3, 3, NAN],
            },
        ),
        [1, 2, 3, NAN],
    )


def test_a_value_without_instance_wins_over_its_instances() -> None:
    same(
        folded(
            "cpu_utilization",
            {"cpu_utilization": [9, NAN], "cpu_utilization/0": [20, 20], "cpu_utilization/1": [40, 40]},
        ),
        [9, 30],
    )


def test_shares_are_clipped_to_their_range() -> None:
    same(folded("disk_busy", {"disk_busy_total/a": [101.3, -0.2, 50]}), [100, 0, 50])
    same(folded("cpu_utilization", {"cpu_utilization": [103.0]}), [100])


@given(
    st.permutations(
        [
            ("cpu_idle_total/0", 0.5),
            ("cpu_idle_total/1", 0.25),
            ("disk_reads_total/a", 3.0),
            ("disk_reads_total/b", 4.0),
            ("disk_writes_total/b", 1.0),
            ("disk_busy_total/b", 7.0),
            ("disk_reads", 11.0),
            ("network_errors_total", 2.0),
        ]
    )
)
def test_the_order_of_series_does_not_matter(series: list[tuple[str, float]]) -> None:
    out = fold({name: np.array([value]) for name, value in series}, np.array([0]))
    again = fold({name: np.array([value]) for name, value in sorted(series)}, np.array([0]))
    np.testing.assert_array_equal(out, again)


def test_real_scrapes_fold_to_sane_metrics() -> None:
    """Four scrapes of a nearly idle machine with two cores, one disk and no swap."""
    scrapes = merge(
        [
            push.samples
            for path in sorted((CAPTURES / "remote_write").glob("*.body"))
            for push in prometheus.parse(path.read_bytes(), 1_795_429_300_000).pushes
        ]
    )
    span_s = np.diff(scrapes.times) / 1000
    series = {
        name: column[1:] if part_of(name).kind == "gauge" else np.diff(column) / span_s
        for name, column in zip(scrapes.series, scrapes.values.T, strict=True)
    }
    out = fold(series, scrapes.times[1:])
    got = {key: out[:, COLUMN[key]] for key in METRIC_KEYS}
    supplied = {key for key in METRIC_KEYS if not np.isnan(got[key]).any()}
    # This node_exporter ran without netstat, sockstat and processes; probes are not its business.
    assert set(METRIC_KEYS) - supplied == {"tcp_time_wait", "tcp_established", "processes", "response_time"}
    assert (got["cpu_utilization"] < 10).all()
    assert (abs(got["memory_used"] - 6.3) < 0.2).all()
    assert (got["memory_used"] > got["memory_used_effective"]).all()
    assert (abs(got["filesystem_utilization"] - 39.4) < 0.1).all()
    assert (got["swap_utilization"] == 0).all()
    assert (got["disk_wait"] < 5).all()
    np.testing.assert_allclose(np.diff(got["uptime"]), 5, atol=0.01)


def test_every_metric_of_natural_range_is_bounded_after_folding() -> None:
    out = fold({m.key: np.array([1e6]) for m in METRICS}, np.array([0]))
    assert all(out[0, COLUMN[m.key]] <= m.high for m in METRICS if m.high is not None)
    assert METRIC["cpu_utilization"].fold == "mean"


def test_rates_stand_in_for_the_counters_that_a_sender_of_differences_has_not() -> None:
    same(folded("cpu_utilization", {"cpu_idle/0": [0.5, NAN], "cpu_iowait/0": [0.25, NAN]}), [25, NAN])
    # Bucket by bucket, and core by core.
    mixed = {"cpu_idle/0": [0.5, NAN], "cpu_idle_total/0": [0.9, 0.75], "cpu_idle_total/1": [0.5, 0.75]}
    same(folded("cpu_utilization", mixed), [50, 25])
    same(folded("network_errors", {"network_receive_errors/eth0": [1], "network_transmit_errors/eth0": [0.5]}), [1.5])
    disk = {
        "disk_reads/sda": [3.0],
        "disk_writes/sda": [1.0],
        "disk_read_time/sda": [30.0],
        "disk_write_time/sda": [10.0],
    }
    same(folded("disk_wait", disk), [10])
    same(folded("disk_service_time", {**disk, "disk_busy/sda": [2.0]}), [5])


def test_a_rate_of_the_whole_machine_is_no_further_disk() -> None:
    series = {
        "disk_reads": [50.0],
        "disk_writes": [50.0],
        "disk_reads_total/sda": [2.0],
        "disk_writes_total/sda": [2.0],
        "disk_read_time_total/sda": [8.0],
        "disk_write_time_total/sda": [8.0],
    }
    same(folded("disk_wait", series), [4])
    same(folded("disk_reads", series), [50])


def test_memory_without_a_total_is_the_sum_of_its_states() -> None:
    states = {
        "memory_used_bytes": [40, 40, NAN],
        "memory_free_bytes": [20, 40, 20],
        "memory_cached_bytes": [30, NAN, 30],
        "memory_buffered_bytes": [10, NAN, 10],
    }
    same(folded("memory_used", states), [80, 50, NAN])
    same(folded("memory_used_effective", states), [40, 50, NAN])
    # A total that was sent is better, and so is what is available.
    same(folded("memory_used_effective", {**states, "memory_total_bytes": [200] * 3}), [20, 20, NAN])
    told = {**states, "memory_available_bytes": [70] * 3, "memory_total_bytes": [100] * 3}
    same(folded("memory_used_effective", told), [30, 30, 30])


def test_swap_and_filesystems_without_a_size_are_the_sum_of_their_states() -> None:
    same(folded("swap_utilization", {"swap_used_bytes/a": [10, NAN], "swap_free_bytes/a": [30, 5]}), [25, NAN])
    same(folded("swap_utilization", {"swap_used_bytes": [0.0], "swap_free_bytes": [0.0]}), [0])
    mounts = {
        "filesystem_used_bytes//": [60, NAN],
        "filesystem_available_bytes//": [20, 20],
        "filesystem_used_bytes//var": [5, 5],
        "filesystem_available_bytes//var": [5, 5],
    }
    same(folded("filesystem_utilization", mounts), [75, 50])
