"""The simulator at its smallest: what a push and a round of a shard cost does not depend on how large the fleet is."""

import itertools
import math
from dataclasses import asdict, fields, replace
from pathlib import Path

import pytest

from infra.local.stack import Upstash
from tests.bench.scale.model import Setup, Units, breaks_at, first, limits, needs
from tests.bench.scale.simulate import SMALL, Simulation

# Of the order that was measured (docs/scale.md); what is asserted holds for any.
UNITS = Units(
    push_cpu_ms=2.5,
    push_commands=1.01,
    round_cpu_ms=4,
    closing_cpu_ms=8,
    round_commands=3,
    round_bytes=18_000,
    archive_cpu_ms=4,
    archive_commands=10,
    held_bytes=30_000,
    list_cpu_ms=1,
    list_bytes=1_100,
    list_zipped_bytes=180,
    snapshot_cpu_ms=1,
    snapshot_zipped_bytes=110,
    metrics_cpu_ms=1.5,
    metrics_zipped_bytes=250,
    list_kb=30,
    idle_mb=70,
)
SIZES = (1, 100, 10_000, 30_000, 100_000, 300_000, 1_000_000)


def test_commands_of_a_push_and_of_a_shard_s_round_are_those_of_a_small_fleet(
    stores_env: dict[str, str], empty_redis: Upstash, monkeypatch: pytest.MonkeyPatch, tmp_path: Path
) -> None:
    for name, value in stores_env.items():
        monkeypatch.setenv(name, value)
    simulation = Simulation(empty_redis, tmp_path, SMALL)
    # One shard each: of the larger fleet there are three more, which are none of its business.
    small, large = simulation.run(100, 250), simulation.run(1_000, 250)
    assert (small["simulated"], small["shards"], large["shards"], large["some"]) == (100, 1, 4, 1)
    assert 200 < large["simulated"] < 300
    for told in (small, large):
        # The key and its limit are asked for once, not for each push.
        assert told["push"]["measured"]["commands"] < 1.1
        assert told["round"]["ordinary"]["commands"] <= 8
        assert told["archive"]["report"]["verdicts"] == 2 * told["simulated"]
        assert told["postgres"]["predictions"] > 500 * told["simulated"]
        page = told["asked"]["page of 1,000"]
        assert (page["status"], page["body"] > 300 * told["simulated"]) == (200, True)
    assert large["round"]["ordinary"]["commands"] == small["round"]["ordinary"]["commands"]


@pytest.mark.parametrize("setup", [Setup(), Setup(interval_s=300), Setup(memory_mb={"archive": 1769})])
def test_a_larger_fleet_never_needs_less(setup: Setup) -> None:
    tables = [needs(n, UNITS, setup) for n in SIZES]
    assert all(set(told) == set(limits()) for told in tables)
    for fewer, more in itertools.pairwise(tables):
        assert all(fewer[name] <= more[name] for name in limits())


def test_each_limit_is_kept_up_to_where_it_is_said_to_break_and_not_beyond() -> None:
    for name, limit in limits().items():
        at = breaks_at(name, UNITS, Setup())
        if at is None:
            assert needs(100_000_000, UNITS, Setup())[name] <= limit.most
        else:
            assert needs(at, UNITS, Setup())[name] <= limit.most < needs(at + 1, UNITS, Setup())[name]


def test_the_first_limit_is_the_narrowest_and_what_is_turned_moves_it() -> None:
    order = first(UNITS, Setup())
    assert order == sorted(order)
    at, name = order[0]
    assert (at, name) == min((at, name) for at, name in order)
    # By these units: a second of the archive's processor, of which 512 MB buy 0.29.
    assert {name: at for at, name in order}["archive_s"] == pytest.approx(100 / 0.004 * 512 / 1769, rel=0.02)
    faster = first(UNITS, Setup(memory_mb={"archive": 1769}))
    assert {n: at for at, n in faster}["archive_s"] == pytest.approx(100 / 0.004, rel=0.05)


@pytest.mark.parametrize("unit", [f.name for f in fields(Units)])
def test_no_unit_is_left_out_of_the_arithmetic(unit: str) -> None:
    dearer = replace(UNITS, **{unit: 3 * asdict(UNITS)[unit]})
    before, after = needs(30_000, UNITS, Setup()), needs(30_000, dearer, Setup())
    assert all(after[name] >= before[name] for name in limits())
    assert any(after[name] > before[name] for name in limits())


def test_every_limit_says_where_it_is_from_and_what_to_turn() -> None:
    for limit in limits().values():
        assert limit.source.startswith("https://") or all(
            (Path(__file__).parents[2] / place).exists()
            or (Path(__file__).parents[2] / "layers/core/python" / place).exists()
            for place in limit.source.split(", ")
        )
        assert limit.what
        assert limit.unit
        assert limit.turn
        assert math.isfinite(limit.most)
