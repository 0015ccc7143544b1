"""The demo fleet's samples: repeatable, physically possible, calm yet alive, and taken whole by the ordinary door."""

import json
import subprocess
import sys
from pathlib import Path

import numpy as np
import pytest
from hypothesis import given, settings
from hypothesis import strategies as st
from openmanager.catalog import COLUMN, METRIC_KEYS, METRICS
from openmanager.demo.fleet import PROFILES, fleet
from openmanager.demo.generator import MONDAY_MS, pushes, table
from openmanager.demo.scenarios import SCENARIOS
from openmanager.sources import native
from openmanager.telemetry import windows
from openmanager.telemetry.samples import LABEL_PREFIX, MINUTE_MS, Push

DAY = 1440
CAPTURE = Path(__file__).parents[1] / "captures/host/psutil_1s.csv"

runs = st.fixed_dictionaries(
    {
        "scenario": st.sampled_from(SCENARIOS),
        "servers": st.integers(3, 30),
        "seed": st.integers(0, 2**32 - 1),
        "first_minute": st.integers(-300, 70),
        "minutes": st.integers(1, 80),
        "started_ms": st.integers(0, 7 * DAY - 1).map(lambda minute: MONDAY_MS + minute * MINUTE_MS),
        "speed": st.floats(0.02, 20),
    }
)


def document(push: Push) -> dict[str, object]:
    """A push as a sender of our JSON would spell it."""
    labels = {n.removeprefix(LABEL_PREFIX): v for n, v in push.attributes.items() if n.startswith(LABEL_PREFIX)}
    about = {n: v for n, v in push.attributes.items() if not n.startswith(LABEL_PREFIX)}
    samples = [
        {"time": int(at) / 1000, "metrics": dict(zip(push.samples.series, row.tolist(), strict=True))}
        for at, row in zip(push.samples.times, push.samples.values, strict=True)
    ]
    return {"server": push.server, **about, "labels": labels, "samples": samples}


@settings(max_examples=25)
@given(runs)
def test_metrics_agree_with_each_other_whatever_happens(run: dict[str, object]) -> None:
    for values in table(**run).values():  # type: ignore[arg-type]
        m = {key: values[:, COLUMN[key]] for key in METRIC_KEYS}
        for metric in METRICS:
            if metric.key == "response_time":
                continue
            assert not np.isnan(m[metric.key]).any(), metric.key
            assert m[metric.key].min() >= 0, metric.key
            assert m[metric.key].max() <= (metric.high or 1e15), metric.key
        requests = m["disk_reads"] + m["disk_writes"]
        # Each was rounded by itself, to a tenth of a percent, a tenth of a request and a hundredth of a millisecond:
        slack = 0.06 + (0.1 * m["disk_service_time"] + 0.01 * requests) / 10
        assert np.all(np.abs(m["disk_busy"] - requests * m["disk_service_time"] / 10) <= slack)
        slack = 0.006 + (0.1 * m["disk_wait"] + 0.01 * requests) / 1000
        assert np.all(np.abs(m["disk_queue"] - requests * m["disk_wait"] / 1000) <= slack)
        assert np.all(m["disk_wait"] >= m["disk_service_time"])
        assert np.all(m["memory_used"] >= m["memory_used_effective"])
        assert np.all((m["swap_utilization"] < 5) | (m["memory_used_effective"] > 85))
        for way in ("receive", "transmit"):
            size = m[f"network_{way}_bytes"] / np.maximum(m[f"network_{way}_packets"], 1)
            assert np.all((size <= 1520) & ((size >= 40) | (m[f"network_{way}_packets"] < 50)))
        for key in ("tcp_established", "processes", "uptime"):
            assert np.array_equal(m[key], np.round(m[key]))
        assert np.all(np.diff(m["uptime"]) == 60)


@settings(max_examples=15)
@given(runs, st.integers(0, 79))
def test_a_minute_is_the_same_alone_and_in_any_range(run: dict[str, object], offset: int) -> None:
    whole = table(**run)  # type: ignore[arg-type]
    at = offset % int(str(run["minutes"]))
    alone = table(**{**run, "first_minute": int(str(run["first_minute"])) + at, "minutes": 1})  # type: ignore[arg-type]
    for name, values in whole.items():
        assert np.array_equal(values[at], alone[name][0], equal_nan=True)


def test_another_process_makes_the_same_samples() -> None:
    code = (
        "import hashlib; from openmanager.demo.generator import table\n"
        "t = table('ddos', 5, 9, -3, 40, speed=2.0)\n"
        "print(hashlib.sha256(b''.join(n.encode() + v.tobytes() for n, v in t.items())).hexdigest())"
    )
    ran = [
        subprocess.run([sys.executable, "-c", code], capture_output=True, text=True, check=True, env={"PYTHONPATH": p})
        for p in [":".join(sys.path)] * 2
    ]
    assert ran[0].stdout == ran[1].stdout
    assert len(ran[0].stdout.strip()) == 64


def test_pushes_are_the_table_as_the_round_sees_it() -> None:
    members = fleet(7)
    tables = table("memory_leak", 7, 11, 20, 9)
    for push in pushes(members, "memory_leak", 11, MONDAY_MS, 20, 9):
        start = MONDAY_MS + 20 * MINUTE_MS
        grid = windows.metrics(push.samples, start, start + 9 * MINUTE_MS, MINUTE_MS)
        assert np.array_equal(grid, tables[push.server], equal_nan=True)


@pytest.mark.parametrize("scenario", SCENARIOS)
def test_the_ordinary_door_takes_every_sample(scenario: str) -> None:
    sent = pushes(fleet(12), scenario, 6, MONDAY_MS, 0, 66)
    now_ms = MONDAY_MS + 66 * MINUTE_MS
    parsed = native.parse(json.dumps({"servers": [document(p) for p in sent]}).encode(), now_ms)
    assert parsed.rejected == []
    assert parsed.accepted == sum(p.samples.count for p in sent) == 66 * (12 * len(METRICS) - 1)
    for before, after in zip(sent, parsed.pushes, strict=True):
        assert after.attributes == before.attributes
        assert after.attributes[f"{LABEL_PREFIX}demo"] == "true"
        assert np.array_equal(after.samples.times, before.samples.times)
        assert np.array_equal(after.samples.values, before.samples.values)


@pytest.fixture(scope="module")
def fortnight() -> dict[str, np.ndarray]:
    return table("normal", 12, 2, 0, 14 * DAY)


def by_day(fortnight: dict[str, np.ndarray], server: str, metric: str) -> np.ndarray:
    """(14 days from a Monday, 24 hours), mean of the hour."""
    return fortnight[server][:, COLUMN[metric]].reshape(14, 24, 60).mean(axis=2)


def test_days_and_weeks_have_their_shape(fortnight: dict[str, np.ndarray]) -> None:
    for server in ("demo-web-01", "demo-api-02", "demo-lb-01"):
        traffic = by_day(fortnight, server, "network_receive_bytes")
        weekdays, weekend = traffic[[0, 1, 2, 3, 4, 7, 8, 9, 10, 11]], traffic[[5, 6, 12, 13]]
        day = weekdays.mean(axis=0)
        assert 4 < day.max() / day.min() < 9
        assert day.argmax() in (9, 10, 11, 14, 15, 16)
        assert day.argmin() in (2, 3, 4, 5)
        assert 0.5 < weekend.mean() / weekdays.mean() < 0.7
        cpu = by_day(fortnight, server, "cpu_utilization").mean(axis=0)
        assert 2.5 < cpu.max() / cpu.min() < 8
    memory = by_day(fortnight, "demo-api-01", "memory_used_effective").mean(axis=0)
    assert 1.01 < memory.max() / memory.min() < 1.2


def test_a_normal_week_is_calm(fortnight: dict[str, np.ndarray]) -> None:
    for values in fortnight.values():
        busy = values[:, COLUMN["cpu_utilization"]] >= 90
        # Never busy for five minutes together, and rarely at all:
        assert not np.lib.stride_tricks.sliding_window_view(busy, 5).all(axis=1).any()
        assert busy.mean() < 0.001
        assert values[:, COLUMN["memory_used_effective"]].max() < 80
        assert values[:, COLUMN["filesystem_utilization"]].max() < 80
        assert values[:, COLUMN["swap_utilization"]].max() < 5


def test_and_yet_alive(fortnight: dict[str, np.ndarray]) -> None:
    moves = (k for k in METRIC_KEYS if k not in ("uptime", "swap_utilization", "network_errors"))
    for key in moves:
        for name, values in fortnight.items():
            x = values[:, COLUMN[key]]
            assert np.isnan(x).all() or np.unique(x).size > 5, (name, key)


def residual(x: np.ndarray) -> np.ndarray:
    """What is left of a fortnight's minutes (n,) without the hour's course: a running hour taken away."""
    hour = np.convolve(x, np.ones(61) / 61, "same")
    return (x - hour)[60:-60]


def test_noise_is_autocorrelated_and_heavy_tailed_as_on_real_servers(fortnight: dict[str, np.ndarray]) -> None:
    def remembered(name: str, key: str, lag: int) -> float:
        x = fortnight[name][:, COLUMN[key]]
        # Against the hour of the week, of which there are two:
        weeks = x.reshape(2, -1)
        r = (weeks[0] - weeks[1]) / np.sqrt(2)
        return float((r[:-lag] * r[lag:]).mean() / (r * r).mean())

    # Medians of 13 servers of the Server Machine Dataset, with room for how much those differ: .85 .61, .74, .97 .69,
    # .99 .90, .8 .7, .3 .2.
    for name in ("demo-web-01", "demo-api-01", "demo-web-03"):
        assert 0.75 < remembered(name, "cpu_utilization", 1) < 0.93
        assert 0.5 < remembered(name, "cpu_utilization", 5) < 0.85
        assert 0.55 < remembered(name, "load_1m", 1) < 0.9
        assert 0.9 < remembered(name, "load_5m", 1) < 0.99
        assert 0.9 < remembered(name, "memory_used_effective", 5) < 1
        assert 0.7 < remembered(name, "network_receive_bytes", 1) < 0.93
        assert 0.15 < remembered(name, "disk_service_time", 1) < 0.5
    for key in ("disk_reads", "disk_writes", "load_1m"):
        r = residual(fortnight["demo-web-01"][:, COLUMN[key]])
        assert float((r**4).mean() / (r * r).mean() ** 2) > 5, key


def test_bytes_a_packet_and_disk_times_are_of_the_order_that_a_real_host_shows(
    fortnight: dict[str, np.ndarray],
) -> None:
    recorded = np.genfromtxt(CAPTURE, delimiter=",", names=True)
    total = {name: recorded[name][-1] - recorded[name][0] for name in recorded.dtype.names or ()}
    sent = total["net_tx_bytes"] / total["net_tx_packets"]
    read_kb = total["disk_read_bytes"] / total["disk_read_count"] / 1000
    for profile in PROFILES.values():
        assert 1 / 3 < profile.transmit_packet / sent < 3
        assert 1 / 3 < profile.read_kb / read_kb < 3
    share = recorded["load5"].mean() / (recorded["cpu_percent"].mean() * 2 / 100)
    for name in ("demo-web-01", "demo-api-01"):
        busy_cores = fortnight[name][:, COLUMN["cpu_utilization"]].mean() / 100 * PROFILES[name.split("-")[1]].cores
        assert share / 4 < fortnight[name][:, COLUMN["load_5m"]].mean() / busy_cores < share * 2
