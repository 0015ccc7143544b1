"""When a metric meets its limit: an interval, a habit of falling back, or not within the horizon."""

import numpy as np
import pytest
from numpy.typing import NDArray
from openmanager.inference import backtest
from openmanager.inference.exhaustion import View, exhaustion, resets

Table = NDArray[np.float64]
MINUTE, FIVE, HOUR = 60.0, 300.0, 3600.0


def view(path: Table, half: float, step_s: float = MINUTE, history: Table | None = None, age_s: float = 0.0) -> View:
    """One series whose 80 % interval reaches `half` to each side of its path (30,) after the last step, less before."""
    widths = np.array([0.5, 1.0, 1.6])[:, None] * half * np.sqrt(np.arange(1, 31) / 30)
    history = np.full(90, path[0]) if history is None else history
    ahead = backtest.Ahead(
        path[None], path - widths[None], path + widths[None], np.zeros(1, np.uint8), np.full(1, 9, np.float32)
    )
    return View(step_s, history[None], ahead, age_s)


def climb(start: float, slope: float) -> Table:
    """A straight path (30,)."""
    return start + slope * np.arange(1, 31)


def unknown(step_s: float) -> View:
    """A grid that knows nothing of its series."""
    return view(np.full(30, np.nan), 1.0, step_s)


def test_a_flat_series_does_not_meet_its_limit() -> None:
    (said,) = exhaustion([view(np.full(30, 60.0), 5)], 100)
    assert (said.reason, said.earliest_s, said.latest_s) == ("not_within_horizon", None, None)
    assert said.horizon_s == 1800


def test_a_noisy_series_whose_interval_touches_the_limit_gives_no_crossing() -> None:
    (said,) = exhaustion([view(np.full(30, 95.0), 20)], 100)
    assert said.reason == "not_within_horizon"


def test_a_climb_is_told_as_an_interval_around_the_crossing() -> None:
    (said,) = exhaustion([view(climb(80, 1), 4)], 100)
    assert said.reason == "crosses"
    assert said.earliest_s is not None
    assert said.latest_s is not None
    assert said.earliest_s < 20 * 60 < said.latest_s
    assert (said.grid_s, said.coverage) == (60, 0.8)


def test_a_higher_coverage_is_a_wider_interval() -> None:
    spans = []
    for coverage in backtest.COVERAGES:
        (said,) = exhaustion([view(climb(80, 1), 4)], 100, coverage=coverage)
        assert said.earliest_s is not None
        assert said.latest_s is not None
        spans.append(said.latest_s - said.earliest_s)
    assert spans == sorted(spans)
    assert spans[0] < spans[2]


def test_a_crossing_that_may_lie_beyond_the_horizon_has_no_latest() -> None:
    (said,) = exhaustion([view(climb(70, 1.05), 10)], 100)
    assert said.reason == "crosses"
    assert said.earliest_s is not None
    assert said.latest_s is None


def test_what_drains_meets_its_limit_from_above() -> None:
    (said,) = exhaustion([view(climb(20, -1), 4)], 0, rising=False)
    assert said.reason == "crosses"
    assert said.earliest_s is not None
    assert said.latest_s is not None
    assert said.earliest_s < 20 * 60 <= said.latest_s
    assert exhaustion([view(climb(20, -1), 4)], 100)[0].reason == "not_within_horizon"


def test_a_series_at_its_limit_is_there_now() -> None:
    (said,) = exhaustion([view(np.full(30, 100.0), 1)], 100)
    assert (said.reason, said.earliest_s, said.latest_s) == ("at_limit", 0, 0)


def test_each_series_has_its_own_limit() -> None:
    both = [view(climb(80, 1), 4), view(climb(80, 1), 4)]
    ahead = backtest.Ahead(*(np.concatenate([getattr(v.ahead, k) for v in both]) for k in backtest.Ahead.__slots__))
    joined = View(MINUTE, np.concatenate([v.history for v in both]), ahead)
    assert [e.reason for e in exhaustion([joined], np.array([100.0, 200.0]))] == ["crosses", "not_within_horizon"]


def test_the_finest_grid_on_which_it_crosses_says_when() -> None:
    fine, five, hour = climb(80, 0.1), climb(80, 1), climb(80, 12)
    (said,) = exhaustion([view(hour, 4, HOUR), view(fine, 0.4), view(five, 4, FIVE)], 100)
    assert said.grid_s == FIVE
    assert said.earliest_s is not None
    assert said.latest_s is not None
    assert said.earliest_s < 100 * 60 <= said.latest_s
    assert said.horizon_s == 30 * HOUR


def test_a_young_climb_may_be_over_sooner_than_a_coarse_grid_thinks() -> None:
    """The hour grid, most of whose window is flat, sees 20 hours; the minutes already climb 10 an hour."""
    (said,) = exhaustion([view(climb(80, 1), 4, HOUR), view(climb(80, 1 / 6), 0.1)], 100)
    assert said.grid_s == HOUR
    assert said.earliest_s is not None
    assert said.earliest_s < 2.1 * HOUR


def test_a_view_that_stood_for_a_while_is_nearer_to_its_crossing() -> None:
    (fresh,) = exhaustion([view(climb(80, 1), 4, HOUR)], 100)
    (stale,) = exhaustion([view(climb(80, 1), 4, HOUR, age_s=1800)], 100)
    assert fresh.earliest_s is not None
    assert stale.earliest_s == fresh.earliest_s - 1800


def test_a_grid_that_knows_nothing_is_left_out_and_none_at_all_is_unknown() -> None:
    assert exhaustion([unknown(MINUTE), view(climb(80, 1), 4, HOUR)], 100)[0].grid_s == HOUR
    (said,) = exhaustion([unknown(MINUTE), unknown(HOUR)], 100)
    assert (said.reason, said.earliest_s, said.horizon_s) == ("unknown", None, 0)


def sawtooth(period: int, low: float, high: float, length: int = 90, ends: float = 0.8) -> Table:
    """A log that is rotated; `ends` is where in its period it is now."""
    phase = (np.arange(length) - length + 1 + round(ends * period)) % period / period
    return low + (high - low) * phase


def test_a_rotated_log_resets_before_its_limit() -> None:
    history = sawtooth(30, 20, 90)
    (said,) = exhaustion([view(climb(history[-1], 2.3), 3, history=history)], 100)
    assert (said.reason, said.earliest_s) == ("resets_before_limit", None)


@pytest.mark.parametrize(("growth", "reason"), [(5, "resets_before_limit"), (45, "crosses")])
def test_a_rotated_log_is_no_excuse_once_its_next_peak_may_be_at_the_limit(growth: float, reason: str) -> None:
    history = sawtooth(30, 0, 60) + np.linspace(0, growth, 90)
    (said,) = exhaustion([view(climb(history[-1], 3), 3, history=history)], 100)
    assert said.reason == reason


def test_a_log_that_outgrew_its_habit_is_told() -> None:
    history = sawtooth(30, 20, 70)
    history[-6:] = np.linspace(70, 88, 6)
    assert not resets(history[None], np.array([100.0]))[0]


def test_a_daily_habit_on_the_hour_grid_explains_the_minutes_but_not_the_other_way_round() -> None:
    daily = view(np.full(30, 70.0), 3, HOUR, history=sawtooth(24, 20, 90))
    minutes = view(climb(85, 1), 2)
    assert exhaustion([minutes, daily], 100)[0].reason == "resets_before_limit"
    collected = view(np.full(30, 70.0), 3, history=sawtooth(20, 40, 75))
    leak = view(climb(70, 2), 2, HOUR)
    assert exhaustion([collected, leak], 100)[0].reason == "crosses"


@pytest.mark.parametrize("seed", range(5))
def test_noise_and_plain_climbs_have_no_habit_of_falling_back(seed: int) -> None:
    rng = np.random.default_rng(seed)
    series = np.stack([rng.normal(50, 5, 90), np.linspace(0, 80, 90) + rng.normal(0, 2, 90), np.full(90, 7.0)])
    assert not resets(series, np.full(3, 100.0)).any()


def test_a_draining_battery_that_is_recharged_resets_before_nought() -> None:
    history = 100 - sawtooth(30, 10, 80)
    assert resets(history[None], np.array([0.0]), rising=False)[0]
    assert not resets(history[None], np.array([25.0]), rising=False)[0]


@pytest.mark.parametrize(("views", "coverage"), [([], 0.8), ([view(climb(80, 1), 4)], 0.9)])
def test_no_views_or_a_coverage_that_is_not_kept_is_refused(views: list[View], coverage: float) -> None:
    with pytest.raises(ValueError, match="a view and a coverage among"):
        exhaustion(views, 100, coverage=coverage)
