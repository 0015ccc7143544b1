"""The sliding window's arithmetic."""

import hypothesis.strategies as st
from hypothesis import given
from openmanager.stores.limits import Count

WINDOW_S = 900
count = st.builds(Count, st.just(1000), st.integers(0, 500), st.integers(0, 500))
moment = st.floats(1000 * WINDOW_S, 1001 * WINDOW_S - 0.001)


def test_the_window_before_counts_by_the_share_that_is_left_of_it() -> None:
    held = Count(1000, 100, 0)
    assert held.used(1000 * WINDOW_S, WINDOW_S) == 100
    assert held.used(1000 * WINDOW_S + 450, WINDOW_S) == 50
    assert Count(999, 7, 100).at(1000 * WINDOW_S, WINDOW_S) == held
    assert Count(998, 7, 100).at(1000 * WINDOW_S, WINDOW_S) == Count(1000, 0, 0)


def test_a_clock_that_lags_neither_opens_nor_adds() -> None:
    held = Count(1000, 100, 3)
    behind = 1000 * WINDOW_S - 2
    assert held.at(behind, WINDOW_S) == held
    assert held.used(behind, WINDOW_S) == 103


@given(count, moment, st.integers(1, 500))
def test_after_the_wait_one_more_fits_and_two_seconds_earlier_it_did_not(held: Count, now_s: float, limit: int) -> None:
    if held.used(now_s, WINDOW_S) + 1 <= limit:
        return
    wait_s = held.wait_s(now_s, WINDOW_S, limit)
    later = now_s + wait_s
    assert held.at(later, WINDOW_S).used(later, WINDOW_S) + 1 <= limit + 1e-6
    if wait_s > 2:
        earlier = now_s + wait_s - 2
        assert held.at(earlier, WINDOW_S).used(earlier, WINDOW_S) + 1 > limit


@given(count, moment, st.integers(1, 500))
def test_no_wait_is_longer_than_two_windows(held: Count, now_s: float, limit: int) -> None:
    assert 1 <= held.wait_s(now_s, WINDOW_S, limit) <= 2 * WINDOW_S
