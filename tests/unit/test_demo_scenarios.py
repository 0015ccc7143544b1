"""What a scenario does is known as data, differs from seed to seed, and is what the metrics show."""

import numpy as np
import pytest
from openmanager.catalog import COLUMN
from openmanager.demo.effects import effects, progress
from openmanager.demo.fleet import fleet
from openmanager.demo.generator import MONDAY_MS, table
from openmanager.demo.scenarios import RESTART_S, SCENARIOS, THRASH_S, Truth, truth

TROUBLES = [name for name in SCENARIOS if name != "normal"]
EXHAUSTIONS = ["memory_leak", "disk_full"]
NOON_MS = MONDAY_MS + 12 * 3_600_000


def shown(told: Truth, seed: int, minutes: int = 66, speed: float = 1.0) -> dict[str, np.ndarray]:
    """The metric in which a scenario shows first, for every server."""
    assert told.metric
    tables = table(told.scenario, 12, seed, 0, minutes, NOON_MS, speed)
    return {name: values[:, COLUMN[told.metric]] for name, values in tables.items()}


def test_names_grow_with_the_fleet() -> None:
    names = [server.name for server in fleet(12)]
    assert names[:5] == ["demo-web-01", "demo-api-01", "demo-db-01", "demo-cache-01", "demo-lb-01"]
    assert [server.name for server in fleet(40)][:12] == names
    assert len({server.name for server in fleet(100)}) == 100
    assert {server.tier for server in fleet(12)} >= {"primary", "replica", "cache", "worker", "load-balancer"}
    assert sum(server.tier == "primary" for server in fleet(100)) == 1
    for wrong in (2, 101):
        with pytest.raises(ValueError, match="servers"):
            fleet(wrong)


@pytest.mark.parametrize("scenario", TROUBLES)
def test_times_follow_each_other_and_fit_the_hour(scenario: str) -> None:
    for seed in range(200):
        told = truth(scenario, seed)
        times = [told.onset_s, told.peak_s, told.release_s, told.end_s]
        known = [at for at in times if at is not None]
        assert known == sorted(known)
        assert known[0] >= 240
        assert known[-1] <= 3600 + THRASH_S + RESTART_S
        assert told.servers
        assert set(told.servers) <= set(told.affected)
        assert (told.exhaustion_s is None) == (scenario not in EXHAUSTIONS)


@pytest.mark.parametrize("scenario", TROUBLES)
def test_seeds_differ_in_onset_speed_and_victim(scenario: str) -> None:
    told = [truth(scenario, seed) for seed in range(60)]
    assert len({round(t.onset_s or 0) for t in told}) > 40
    assert len({round((t.peak_s or 0) - (t.onset_s or 0)) for t in told}) > 30
    assert len({t.servers for t in told}) > 4 or scenario not in EXHAUSTIONS


@pytest.mark.parametrize("scenario", TROUBLES)
def test_speed_stretches_the_story(scenario: str) -> None:
    usual, slow = truth(scenario, 4), truth(scenario, 4, speed=0.25)
    assert slow.onset_s == pytest.approx(4 * (usual.onset_s or 0))
    assert slow.peak_s == pytest.approx(4 * (usual.peak_s or 0))
    assert slow.servers == usual.servers


@pytest.mark.parametrize("scenario", EXHAUSTIONS)
@pytest.mark.parametrize("speed", [0.1, 1.0, 6.0])
def test_what_runs_out_does_so_in_the_minute_that_the_truth_names(scenario: str, speed: float) -> None:
    for seed in range(12):
        told = truth(scenario, seed, speed=speed)
        assert told.exhaustion_s
        assert told.onset_s
        assert told.limit == 100
        values = shown(told, seed, int(told.exhaustion_s / 60) + 3, speed)[told.servers[0]]
        minute = int(np.argmax(values >= 100))
        # A tenth of a percent, to which it is rounded, earlier:
        rounding_s = 60 + 0.1 / 40 * (told.exhaustion_s - told.onset_s)
        assert 0 <= told.exhaustion_s - minute * 60 <= rounding_s + 60
        assert values[: minute - 1].max() < 100
        assert values[minute:].min() == 100


def test_the_course_of_an_exhaustion_never_falls() -> None:
    for scenario in EXHAUSTIONS:
        for seed in range(100):
            told = truth(scenario, seed)
            gone = progress(told, np.arange(0, 4000.0))
            assert gone[0] == 0
            assert gone[-1] == 1
            assert np.all(np.diff(gone) >= 0)
            assert gone[int(told.onset_s or 0)] == 0
            assert gone[int(told.exhaustion_s or 0)] < 1 == gone[int(told.exhaustion_s or 0) + 1]


def test_before_the_onset_and_after_the_end_every_day_is_normal() -> None:
    for scenario in TROUBLES:
        told = truth(scenario, 3)
        calm = table("normal", 12, 3, -30, 200, NOON_MS)
        same = table(scenario, 12, 3, -30, 200, NOON_MS)
        before = 30 + int((told.onset_s or 0) // 60)
        for name in calm:
            assert np.array_equal(calm[name][:before], same[name][:before], equal_nan=True)
            if told.end_s is not None:
                # The load average of 15 minutes is what remembers longest.
                rest = 30 + int(told.end_s // 60) + 90
                np.testing.assert_allclose(same[name][rest:], calm[name][rest:], rtol=1e-9)
    quiet = effects(truth("normal", 1), np.arange(-600.0, 6000, 60))
    assert (quiet.traffic == 1).all()
    assert not quiet.leak.any()


@pytest.mark.parametrize("scenario", TROUBLES)
def test_it_shows_first_where_the_truth_says(scenario: str) -> None:
    for seed in range(8):
        told = truth(scenario, seed)
        assert told.onset_s
        assert told.peak_s
        values = shown(told, seed)
        onset, peak = int(told.onset_s // 60), int(told.peak_s // 60)
        for name in told.servers:
            usual, full = values[name][:onset].mean(), values[name][peak : peak + 3].mean()
            assert full > 1.35 * usual, (seed, name)


def test_a_leak_ends_in_a_killed_process_and_its_neighbours_take_over() -> None:
    seed = next(s for s in range(50) if truth("memory_leak", s).servers == ("demo-api-02",))
    told = truth("memory_leak", seed)
    assert told.release_s
    killed = int(told.release_s // 60) + 1
    tables = table("memory_leak", 12, seed, 0, 70, NOON_MS)
    calm = table("normal", 12, seed, 0, 70, NOON_MS)
    victim, neighbour = tables["demo-api-02"][killed], tables["demo-api-01"][killed]
    assert victim[COLUMN["memory_used_effective"]] < 40
    assert victim[COLUMN["tcp_established"]] < 50
    assert tables["demo-api-02"][killed - 2, COLUMN["swap_utilization"]] == 100
    assert neighbour[COLUMN["cpu_utilization"]] > 1.25 * calm["demo-api-01"][killed, COLUMN["cpu_utilization"]]


def test_a_slow_database_is_felt_all_the_way_up() -> None:
    told = truth("performance_degradation", 2)
    assert told.peak_s
    full = slice(int(told.peak_s // 60), int(told.peak_s // 60) + 15)
    tables = table("performance_degradation", 12, 2, 0, 66, NOON_MS)
    calm = table("normal", 12, 2, 0, 66, NOON_MS)

    def times_usual(name: str, metric: str) -> float:
        column = COLUMN[metric]
        return float(tables[name][full, column].mean() / calm[name][full, column].mean())

    assert times_usual("demo-db-01", "disk_wait") > 5
    assert times_usual("demo-api-01", "tcp_established") > 1.5
    for name in ("demo-api-01", "demo-web-01", "demo-lb-01"):
        assert times_usual(name, "response_time") > 1.5
    # Waiting is no work:
    assert times_usual("demo-api-01", "cpu_utilization") < 1.1
    assert np.array_equal(tables["demo-worker-01"], calm["demo-worker-01"], equal_nan=True)


def test_attackers_send_packets_and_visitors_octets() -> None:
    column = COLUMN["network_receive_packets"], COLUMN["network_receive_bytes"]
    sizes = {}
    for scenario in ("spike", "ddos"):
        told = truth(scenario, 5)
        assert told.peak_s
        row = table(scenario, 12, 5, 0, 66, NOON_MS)["demo-lb-01"][int(told.peak_s // 60) + 2]
        sizes[scenario] = row[column[1]] / row[column[0]]
    assert sizes["spike"] > 500
    assert sizes["ddos"] < 250


def test_a_wrong_scenario_or_speed_is_named() -> None:
    with pytest.raises(ValueError, match="scenario"):
        truth("earthquake", 1)
    for speed in (0.0, 21.0, float("nan")):
        with pytest.raises(ValueError, match="speed"):
            truth("spike", 1, speed=speed)
