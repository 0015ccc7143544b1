"""Simulated faults: each moves the metrics its arithmetic says, by which way, and ends exhausted."""

import importlib

import numpy as np
import pytest
from openmanager.catalog import MODEL_METRICS

data = importlib.import_module("models.training.data")
simulated = importlib.import_module("models.training.simulated")

# Higher (+) or lower (-) in the fault's last ten minutes than on the same minutes without the fault.
MOVED = {
    "memory_leak": {"memory_used": 1, "memory_used_effective": 1, "disk_busy": 1, "disk_reads": 1, "load_5m": 1},
    "disk_filling": {"disk_busy": 1, "disk_wait": 1, "disk_queue": 1, "disk_write_bytes": 1, "load_5m": 1},
    "cpu_hog": {"cpu_utilization": 1, "load_1m": 1, "network_transmit_bytes": -1, "tcp_established": 1},
    "packet_loss": {"network_receive_bytes": -1, "tcp_time_wait": -1, "tcp_established": 1, "cpu_utilization": -1},
    "connection_pile_up": {"tcp_established": 1, "tcp_time_wait": 1, "memory_used": 1, "network_transmit_bytes": -1},
}
UNTOUCHED = {
    "memory_leak": "network_receive_bytes",
    "disk_filling": "memory_used",
    "cpu_hog": "disk_busy",
    "packet_loss": "memory_used",
    "connection_pile_up": "disk_busy",
}


def background(n: int = 4000) -> np.ndarray:
    """A calm server (n, 20): a tenth to a half of each maximum, a little noise."""
    rng = np.random.default_rng(5)
    return (rng.uniform(0.1, 0.5, 20) + rng.normal(0, 0.01, (n, 20))).clip(0, 1).astype(np.float32)


@pytest.fixture(scope="module")
def server() -> "data.Server":
    values = background()
    (z,) = data.scaled([values])
    return data.Server("calm", values, z, np.zeros(len(values), bool), len(values))


@pytest.fixture(scope="module")
def episodes(server: "data.Server") -> list["simulated.Episode"]:
    found: list[simulated.Episode] = simulated.episodes([server], 3, (60.0, 120.0))
    return found


@pytest.mark.parametrize("kind", MOVED)
def test_a_fault_moves_what_its_arithmetic_says_and_nothing_before_its_onset(
    kind: str, episodes: list["simulated.Episode"], server: "data.Server"
) -> None:
    mine = [e for e in episodes if e.kind == kind]
    assert len(mine) == 3
    for e in mine:
        (start,) = np.flatnonzero((server.values == e.values[0]).all(axis=1))
        plain = server.values[start : start + len(e.values)]
        assert np.array_equal(e.values[: e.onset], plain[: e.onset])
        for key, way in MOVED[kind].items():
            column = MODEL_METRICS.index(key)
            assert way * (e.values[-10:, column] - plain[-10:, column]).mean() > 0.001, key
        column = MODEL_METRICS.index(UNTOUCHED[kind])
        assert np.array_equal(e.values[:, column], plain[:, column])


def test_a_fault_ends_about_when_it_was_drawn_to(episodes: list["simulated.Episode"]) -> None:
    lengths = np.array([len(e.values) - e.onset for e in episodes])
    assert lengths.min() >= 30
    assert lengths.max() <= 2 * 120
    assert len(set(lengths)) > 5


def test_percent_metrics_stay_within_their_range(episodes: list["simulated.Episode"]) -> None:
    percent = [i for i, high in enumerate(data.HIGH) if not np.isnan(high)]
    for e in episodes:
        assert e.values[:, percent].max() <= 1
        assert e.values.min() >= 0
        assert np.isfinite(e.z[1:]).all()


def test_the_same_seed_gives_the_same_faults_and_another_others(server: "data.Server") -> None:
    once, again, other = (simulated.episodes([server], seed, (60.0, 120.0), each=1) for seed in (3, 3, 4))
    assert all(np.array_equal(a.values, b.values) for a, b in zip(once, again, strict=True))
    assert any(a.values.shape != b.values.shape for a, b in zip(once, other, strict=True))


def test_load_follows_tasks_as_the_kernel_averages_them() -> None:
    """After as many minutes as its name says, an average has come 1 - 1/e of the way (kernel/sched/loadavg.c)."""
    m = {f"load_{k}m": np.zeros(60) for k in (1, 5, 15)}
    simulated._run_queue(m, np.full(60, 8.0), np.random.default_rng(0), cores=8)
    whole = m["load_1m"][-1]
    for minutes in (1, 5, 15):
        assert m[f"load_{minutes}m"][minutes - 1] / whole == pytest.approx(1 - np.exp(-1), abs=1e-6)


def test_tcp_gives_way_to_loss_by_its_square_root() -> None:
    """A hundred times the limiting loss leaves a tenth (Mathis et al. 1997)."""
    m = {key: np.ones(400) for key in MODEL_METRICS}
    left = simulated.packet_loss(m, 200.0, np.random.default_rng(0))
    assert left[:20].min() == pytest.approx(0.9)
    assert left[199] == pytest.approx(0, abs=1e-3)
