"""The rolling back-test: who speaks, how wide the intervals are, and that nothing depends on the batch."""

import numpy as np
import pytest
from numpy.typing import NDArray
from openmanager.inference import backtest, candidates

from tests.models.shipped import shipped_models as shipped_models

Table = NDArray[np.float64]
LSTM, LINE, SEASON = (candidates.NAMES.index(name) for name in ("lstm", "theil_sen", "seasonal"))
EIGHTY = backtest.COVERAGES.index(0.8)


def off_by(errors: dict[int, float], n: int = 1) -> Table:
    """Paths (n, candidates, 30) that miss a truth of noughts by so much each, by 1 if not named."""
    paths = np.ones((n, len(candidates.NAMES), 30))
    for k, error in errors.items():
        paths[:, k] = error
    return paths


def after(records: backtest.Records, paths: Table, times: int) -> backtest.Records:
    """The records (n,) so many equal back-tests later."""
    for _ in range(times):
        records = backtest.update(records, paths, np.zeros((len(records), 30)), np.ones(len(records)))
    return records


def speaker(records: backtest.Records) -> str:
    """Who speaks for the first series."""
    return candidates.NAMES[records["winner"][0]]


def test_until_warm_the_last_value_speaks() -> None:
    better = off_by({LSTM: 0.8})
    assert speaker(after(backtest.new(1), better, backtest.WARM_UP - 1)) == "last"
    assert speaker(after(backtest.new(1), better, backtest.WARM_UP)) == "lstm"


def test_a_candidate_must_be_better_by_the_margin() -> None:
    assert speaker(after(backtest.new(1), off_by({LSTM: 0.98}), 50)) == "last"
    assert speaker(after(backtest.new(1), off_by({LSTM: 0.96}), 50)) == "lstm"


def test_two_that_are_equally_good_do_not_take_turns() -> None:
    records = after(backtest.new(1), off_by({LSTM: 0.7}), 20)
    spoke = set()
    for t in range(40):
        records = after(records, off_by({LSTM: 0.7 + 0.01 * (t % 2), LINE: 0.71 - 0.01 * (t % 2)}), 1)
        spoke.add(speaker(records))
    assert spoke == {"lstm"}


def test_who_becomes_worse_than_the_last_value_falls_silent() -> None:
    records = after(backtest.new(1), off_by({LSTM: 0.7}), 20)
    assert speaker(after(records, off_by({LSTM: 3.0}), 10)) == "last"


def test_a_trend_that_sets_in_is_followed_within_three_back_tests_of_a_long_record() -> None:
    records = after(backtest.new(1), off_by({}), 500)
    assert speaker(records) == "last"
    assert speaker(after(records, off_by({LINE: 0.05, candidates.LAST: 5.0, LSTM: 4.0}), 3)) == "theil_sen"


def test_a_candidate_that_does_not_apply_never_speaks() -> None:
    paths = off_by({SEASON: np.nan, LSTM: 0.5})
    assert speaker(after(backtest.new(1), paths, 30)) == "lstm"


@pytest.mark.parametrize("draw", ["normal", "cauchy", "lognormal"])
def test_intervals_come_to_hold_their_share_of_any_distribution(draw: str) -> None:
    rng = np.random.default_rng(0)
    n = 200
    shock = {"normal": rng.standard_normal, "cauchy": rng.standard_cauchy, "lognormal": rng.standard_normal}[draw]
    records, paths, scale = backtest.new(n), np.zeros((n, len(candidates.NAMES), 30)), np.ones(n)
    inside = []
    for t in range(400):
        truth = shock((n, 30))
        if draw == "lognormal":
            truth = np.exp(truth)
        ahead = backtest.intervals(records, paths, scale)
        if t >= 200:
            inside.append([((truth >= ahead.lower[:, k]) & (truth <= ahead.upper[:, k])).mean() for k in range(3)])
        records = backtest.update(records, paths, truth, scale)
    assert np.abs(np.mean(inside, axis=0) - backtest.COVERAGES).max() < 0.02


def test_errors_that_grow_with_the_step_widen_the_interval_with_the_step() -> None:
    rng = np.random.default_rng(1)
    records, paths = backtest.new(50), np.zeros((50, len(candidates.NAMES), 30))
    for _ in range(200):
        truth = np.cumsum(rng.standard_normal((50, 30)), axis=1)
        records = backtest.update(records, paths, truth, np.ones(50))
    ahead = backtest.intervals(records, paths, np.ones(50))
    width = (ahead.upper - ahead.lower).mean(axis=0)[EIGHTY]
    assert (np.diff(width) > 0).all()
    # A random walk's 80 % interval: 2 · 1.28 · sqrt(step).
    assert width[29] == pytest.approx(2 * 1.2816 * np.sqrt(30), rel=0.15)


def test_wider_coverage_is_never_a_narrower_interval() -> None:
    rng = np.random.default_rng(2)
    records = backtest.new(40)
    for _ in range(100):
        paths = rng.normal(0, 1, (40, len(candidates.NAMES), 30))
        records = backtest.update(records, paths, rng.standard_t(2, (40, 30)), rng.lognormal(0, 1, 40))
        assert (np.diff(records["quantile"], axis=2) >= 0).all()


def test_at_rest_is_a_window_in_which_one_value_takes_more_than_four_in_five() -> None:
    windows = np.tile(np.arange(60.0), (4, 1))
    windows[0] = 7.0
    windows[1, :49] = 99.0
    windows[2, :48] = 99.0
    assert backtest.at_rest(windows).tolist() == [True, True, False, False]


def test_moments_at_rest_leave_the_interval_as_it_is_and_others_do_not() -> None:
    start = after(backtest.new(2), off_by({}, 2), 20)
    rest = np.array([True, False])
    told = backtest.update(start, off_by({candidates.LAST: 0.0}, 2), np.zeros((2, 30)), np.ones(2), rest)
    for name in ("quantile", "usual"):
        assert (told[name][0] == start[name][0]).all()
        assert (told[name][1] < start[name][1]).all()
    assert (told["count"] == start["count"] + 1).all()
    assert (told["error"][:, candidates.LAST] < start["error"][:, candidates.LAST]).all()


def test_bounds_of_the_metric_bound_path_and_intervals() -> None:
    records = backtest.new(2)
    paths = off_by({candidates.LAST: 120.0}, 2)
    ahead = backtest.intervals(records, paths, np.full(2, 500.0), low=0, high=np.array([100.0, np.inf]))
    assert ahead.path[:, 0].tolist() == [100, 120]
    assert ahead.lower.min() == 0
    assert ahead.upper[0].max() == 100
    assert ahead.upper[1].max() > 1000


def test_a_path_beyond_its_bound_has_its_interval_about_the_path_not_about_the_bound() -> None:
    ahead = backtest.intervals(backtest.new(1), off_by({candidates.LAST: 120.0}), np.ones(1), low=0, high=100)
    assert (ahead.lower == 100).all()


@pytest.mark.usefixtures("shipped_models")
def test_a_climbing_disk_is_taken_from_the_last_value() -> None:
    values = 30 + 0.1 * np.arange(600.0)
    records = backtest.new(1)
    for now in range(backtest.HISTORY, 500, 15):
        records = backtest.learn(records, values[None, now - backtest.HISTORY : now], np.array([0.1]))
    ahead = backtest.ahead(records, values[None, 440:500], np.array([0.1]), 0, 100)
    assert speaker(records) != "last"
    assert np.abs(ahead.path[0] - values[500:530]).max() < 0.5


@pytest.mark.usefixtures("shipped_models")
def test_records_and_intervals_have_the_same_bits_alone_and_in_a_batch() -> None:
    rng = np.random.default_rng(4)
    n, length = 13, 330
    values = np.cumsum(rng.normal(0, 1, (n, length)), axis=1) * rng.lognormal(0, 2, (n, 1))
    floor = np.full(n, 0.1)

    def watched(rows: slice) -> tuple[bytes, bytes]:
        records = backtest.new(len(values[rows]))
        for now in range(backtest.HISTORY, length, 20):
            records = backtest.learn(records, values[rows, now - backtest.HISTORY : now], floor[rows], 24)
        ahead = backtest.ahead(records, values[rows, -60:], floor[rows], season=24)
        return records[-1].tobytes(), ahead.path[-1].tobytes() + ahead.lower[-1].tobytes() + ahead.upper[-1].tobytes()

    assert len({watched(slice(0, n))[0], watched(slice(n - 1, n))[0]}) == 1
    for i in range(n):
        assert watched(slice(0, i + 1)) == watched(slice(i, i + 1))


def test_a_step_changes_no_record_but_its_copy() -> None:
    records = backtest.new(3)
    before = records.tobytes()
    after(records, off_by({}, 3), 1)
    assert records.tobytes() == before


def test_a_history_of_another_length_is_refused() -> None:
    with pytest.raises(ValueError, match=r"history must be \(n, 90\), got \(1, 60\)"):
        backtest.learn(backtest.new(1), np.zeros((1, 60)), np.ones(1))
