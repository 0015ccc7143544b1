"""How the back-test is judged: its measures and generated cases against known answers. The network is a stand-in."""

import importlib
from types import SimpleNamespace
from typing import ClassVar

import numpy as np
import pytest
from openmanager.inference import backtest, candidates
from openmanager.inference.runtime import Array

backtests = importlib.import_module("models.training.backtests")
filling = importlib.import_module("models.training.filling")
data = importlib.import_module("models.training.data")


class StandIn:
    """A network whose every next value is the last one."""

    constants: ClassVar[dict[str, float]] = {}

    def run(self, *arrays: Array) -> tuple[Array, ...]:
        """No change, the state as it was."""
        return (np.zeros_like(arrays[0]), *arrays[1:])


def noise(count: int, length: int = 3000) -> list[SimpleNamespace]:
    """Series of independent noise about a level, judged from their first value on."""
    rng = np.random.default_rng(0)
    return [
        data.Series("smd", f"s{i}", 50 + rng.standard_normal(length), 0.1, 0, metric="memory") for i in range(count)
    ]


def test_on_noise_about_a_level_the_level_is_picked_and_the_interval_is_the_noises() -> None:
    played = backtests.replay(noise(6), StandIn(), 15)
    late = played.winner[50:]
    assert (late == candidates.NAMES.index("level")).mean() > 0.8
    assert (late != candidates.LAST).all()
    assert np.nanmean(played.cover[0, 50:, :, backtests.LEVEL]) == pytest.approx(0.8, abs=0.02)
    # 1.28 either side, and the smoothed level's own error.
    assert np.nanmean(played.width[0, 50:, :, backtests.LEVEL]) == pytest.approx(
        2 * 1.2816 * (1 + 0.2 / 1.8) ** 0.5, rel=0.1
    )


def test_the_families_scores_are_over_the_last_value_and_say_who_spoke() -> None:
    scores = backtests.report(noise(3, 2500), StandIn())
    memory = scores["families"]["memory"]
    assert memory["series"] == memory["moving"] == 3
    assert memory["last_over_last"] == memory["lstm_over_last"] == 1
    assert memory["picked_over_last"] < 0.85
    assert sum(memory["won"].values()) == pytest.approx(1)
    assert scores["grids"]["5min"]["series"] == 3


def test_what_rests_is_counted_apart_and_leaves_the_moving_moments_their_share() -> None:
    series = noise(3, 6000)
    for s in series:
        for start in range(300, 6000, 600):
            s.values[start : start + 300] = 50.0
    memory = backtests.report(series, StandIn())["families"]["memory"]
    assert 0.35 < memory["rest"] < 0.6
    assert memory["rest_cover80"] > 0.85
    assert memory["moving_cover80"] == pytest.approx(0.8, abs=0.03)
    assert memory["moving_cover80"] < memory["cover80"] < memory["rest_cover80"]


def test_a_series_is_judged_once_however_many_networks_may() -> None:
    series = noise(2, 600)
    once = backtests.replays(backtests._once([(series, StandIn()), (series, StandIn())]))
    assert sum(len(played.series) for played in once) == 2


def test_the_random_walks_interval_holds_its_shares_of_a_random_walk() -> None:
    walk = 1000 + np.cumsum(np.random.default_rng(1).standard_normal((2000, 90)), axis=1)
    lower, upper = backtests.random_walk(walk[:, :60], np.full(2000, 0.01))
    truth = walk[:, None, 60:]
    shares = ((truth >= lower) & (truth <= upper)).mean(axis=(0, 2))
    assert np.abs(shares - backtest.COVERAGES).max() < 0.02


def test_the_interval_score_charges_width_and_what_lies_outside() -> None:
    truth = np.array([[[12.0] * 30]])
    covered, width, score = backtests._measures(truth, np.zeros((1, 3, 30)), np.full((1, 3, 30), 10.0))
    assert covered.tolist() == [[0, 0, 0]]
    assert width.tolist() == [[10, 10, 10]]
    assert score[0] == pytest.approx([10 + 2 * 2 / 0.5, 10 + 2 * 2 / 0.2, 10 + 2 * 2 / 0.05])


@pytest.mark.parametrize("seed", range(4))
def test_a_generated_disk_is_full_when_it_is_said_to_be_and_a_rotated_log_never(seed: int) -> None:
    rng = np.random.default_rng(seed)
    background = rng.random(filling.LENGTH) * 0.1
    values, end = filling.generate("disk", background, rng)
    assert filling.ONSET < end < filling.ONSET + 31 * 60
    assert values[end] == filling.LIMIT
    assert (values[:end] < filling.LIMIT).all()
    values, end = filling.generate("rotation", background, rng)
    assert values.max() < filling.LIMIT
    assert end == filling.LENGTH


def test_the_line_beside_ours_is_exact_on_a_straight_climb_and_endless_on_a_fall() -> None:
    t = np.arange(1000.0)
    ends = filling.line(np.stack([20 + 0.05 * t, 90 - 0.05 * t]), 800)
    assert ends[0] == pytest.approx((100 - (20 + 0.05 * 799)) / 0.05)
    assert np.isinf(ends[1])


def test_a_steady_climb_is_told_before_it_ends_and_the_interval_holds_it() -> None:
    values = np.full((1, 5000), 30.0)
    values[0, 3500:] += 0.1 * np.arange(1500)
    full = 3500 + 700
    watch = filling.Watch(1, StandIn())
    told = []
    for now in range(1440, full, filling.EVERY):
        views = watch.at(np.minimum(values, 100), now, look=now > 3500)
        (said,) = filling.exhaustion(views, filling.LIMIT) if now > 3500 else (None,)
        if said and said.reason == "crosses":
            told.append(filling._holds(said, full - now))
    assert len(told) >= 5
    assert np.mean(told) >= 0.8
