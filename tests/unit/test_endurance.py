"""What of the endurance run is pure: its plan, what a reader has missed, and how fast memory grows."""

import math
from itertools import pairwise

import pytest

from tests.endurance.plan import LANES, LOSS, Fault, draw
from tests.endurance.readers import Heard
from tests.endurance.soak import slope


def by_lane(plan: list[Fault]) -> dict[str, list[Fault]]:
    return {lane: [fault for fault in plan if fault.lane == lane] for lane in LANES}


def test_the_same_seed_goes_wrong_in_the_same_way_and_another_in_another() -> None:
    assert draw(7, 600, each=2, loss=True) == draw(7, 600, each=2, loss=True)
    assert draw(7, 600, each=2, loss=True) != draw(8, 600, each=2, loss=True)


@pytest.mark.parametrize("seconds", [40.0, 600.0])
def test_every_kind_comes_in_time_and_faults_of_a_lane_one_after_the_other(seconds: float) -> None:
    plan = draw(3, seconds, each=2, loss=False)
    for lane, faults in by_lane(plan).items():
        assert sorted(f.kind for f in faults) == sorted(2 * [kind for kind, _, _ in LANES[lane]])
        assert all(before.at_s + before.for_s <= after.at_s + 0.02 for before, after in pairwise(faults))
        assert faults[-1].at_s + faults[-1].for_s <= seconds


def test_data_is_lost_once_and_only_where_that_is_asked_for() -> None:
    assert [f.kind for f in draw(3, 600, each=1, loss=True)].count(LOSS[1]) == 1
    assert LOSS[1] not in [f.kind for f in draw(3, 600, each=1, loss=False)]
    assert draw(3, 600, each=0, loss=False) == []


def at(feed: int) -> str:
    return f"{feed}-0_0-0_0-0"


def test_a_reader_has_missed_what_it_neither_heard_of_nor_was_told_is_lost() -> None:
    snapshot, gap = {"gap": False}, {"gap": True}
    heard = Heard(
        [("snapshot", at(5), snapshot), ("alert", at(6), {}), ("alert", at(8), {}), ("snapshot", at(20), gap),
         ("alert", at(21), {})]
    )  # fmt: skip
    # 3 was before it came, 7 slipped through, 12 was told to be lost, 22 has not come.
    assert heard.missed("alert", ["3-0", "6-0", "7-0", "8-0", "12-0", "21-0", "22-0"]) == ["7-0", "22-0"]
    assert (heard.gaps, heard.repeated()) == (1, 0)
    heard.events.append(("alert", at(21), {}))
    assert heard.repeated() == 1


def test_memory_grows_by_what_is_measured_from_a_time_on() -> None:
    minutes = [0.0, 5.0, 10.0, 20.0, 30.0]
    assert slope(minutes, [10.0, 40.0, 50.0, 51.0, 52.0], 10) == pytest.approx(6.0)
    assert math.isnan(slope(minutes, [1.0] * 5, 20))
