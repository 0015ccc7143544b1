"""The public evaluation functions: they say what the live round says, and never look ahead."""

import re
from collections.abc import Callable
from pathlib import Path
from typing import Any

import numpy as np
import pytest
from hypothesis import given, settings
from hypothesis import strategies as st
from openmanager import evaluation
from openmanager.catalog import COLUMN, METRIC, MODEL_METRICS
from openmanager.inference import forecast
from openmanager.telemetry.samples import MINUTE_MS, merge
from openmanager.telemetry.windows import metrics
from openmanager.watch.judge import Verdict, judge
from openmanager.watch.state import new_states

from tests.models.shipped import shipped_models as shipped_models
from tests.recorded import minutes

FIRST = 29_400_000
COUNT = 300
MODEL_COLUMNS = [COLUMN[key] for key in MODEL_METRICS]
pytestmark = pytest.mark.usefixtures("shipped_models")


def host() -> np.ndarray:
    """The recorded host's catalogue metrics (COUNT, 26), of which one hour in the middle never came."""
    start = FIRST * MINUTE_MS
    samples = merge([push.samples for push in minutes("host", start, COUNT)])
    table = metrics(samples, start, start + COUNT * MINUTE_MS, MINUTE_MS)
    table[120:180] = np.nan
    return table


def verdicts(table: np.ndarray) -> list[Verdict]:
    """What the round says of a server, minute by minute."""
    states = new_states(1)
    out = []
    for i, row in enumerate(table):
        came = int(not np.isnan(row).all())
        newest = np.array([(FIRST + i) * MINUTE_MS + 20_000 if came else 0])
        out += judge(["host"], states, FIRST + i, row[None, :], np.array([came]), newest)
    return out


def walk(rows: int, seed: int, missing: float = 0.1) -> np.ndarray:
    """Metrics (rows, 20) of a made-up server, some of them missing."""
    rng = np.random.default_rng(seed)
    x = 50 + np.cumsum(rng.normal(0, 1, (rows, 20)), axis=0)
    x[rng.random(x.shape) < missing] = np.nan
    return x


def test_the_scores_are_those_of_the_live_round() -> None:
    table = host()
    said = verdicts(table)
    scores = evaluation.anomaly_scores([], table[:, MODEL_COLUMNS])
    chances = evaluation.failure_probabilities([], table[:, MODEL_COLUMNS])
    judged = 0
    for i, verdict in enumerate(said):
        if verdict.anomaly is None or verdict.failure is None:
            assert np.isnan([scores.score[i], scores.threshold[i], chances[i]]).all()
            assert not scores.anomalous[i]
            continue
        judged += 1
        assert verdict.anomaly["score"] == float(f"{scores.score[i]:.4g}")
        assert verdict.anomaly["threshold"] == float(f"{scores.threshold[i]:.4g}")
        assert verdict.anomaly["anomalous"] == scores.anomalous[i]
        assert verdict.failure["probability"] == round(float(chances[i]), 4)
        shares = scores.contributions[i] / scores.error[i]
        for key, share in verdict.anomaly["contributions"].items():
            assert share == round(float(shares[MODEL_METRICS.index(key)]), 2)
    assert judged > 200
    assert len({verdict.anomaly["score"] for verdict in said if verdict.anomaly}) > 200


@pytest.mark.parametrize("key", ["cpu_utilization", "load_5m", "filesystem_utilization"])
@pytest.mark.parametrize("at", [80, 104, 150, 299])
def test_an_outlook_is_that_of_the_live_round(key: str, at: int) -> None:
    table = host()[: at + 1]
    said = verdicts(table)[-1].forecasts[key]
    ours = evaluation.outlook(table[:, COLUMN[key]], low=0, high=METRIC[key].high)
    decimals = METRIC[key].decimals
    assert said["path"] == np.round(ours.path, decimals).tolist()
    assert said["low"] == np.round(ours.lower[1], decimals).tolist()
    assert said["high"] == np.round(ours.upper[1], decimals).tolist()
    assert said["method"] == ours.method


def ramp_with_noise(seed: int = 3) -> np.ndarray:
    """A series (700,) that the last value forecasts badly, some of it missing."""
    rng = np.random.default_rng(seed)
    series = 5 + 0.1 * np.arange(700) + rng.normal(0, 0.3, 700)
    series[rng.random(700) < 0.05] = np.nan
    return series


def test_rolling_outlooks_are_those_of_each_origin_and_know_nothing_later() -> None:
    series = ramp_with_noise()
    said = evaluation.rolling(series, low=0, high=100)
    assert said.origin.tolist() == list(range(90, 700, 15))
    for i in (0, 7, len(said.origin) - 1):
        alone = evaluation.outlook(series[: said.origin[i] + 1], low=0, high=100)
        assert np.array_equal(alone.path, said.path[i])
        assert np.array_equal(alone.lower, said.lower[i])
        assert np.array_equal(alone.upper, said.upper[i])
        network = evaluation.forecasts(series[: said.origin[i] + 1], low=0, high=100)
        assert np.array_equal(network, said.network[i])
    assert alone.method != "last"
    assert alone.tested == len(said.origin)


def test_what_follows_an_origin_does_not_change_its_outlook() -> None:
    series = ramp_with_noise()
    other = series.copy()
    other[400:] = 0
    said, changed = evaluation.rolling(series), evaluation.rolling(other)
    before = said.origin < 400
    assert before.sum() == 21
    for field in ("path", "lower", "upper", "network"):
        assert np.array_equal(getattr(said, field)[before], getattr(changed, field)[before])
        assert not np.array_equal(getattr(said, field)[~before], getattr(changed, field)[~before])


def test_a_series_too_short_to_be_tested_has_intervals_but_no_past() -> None:
    young = evaluation.outlook(ramp_with_noise()[:70])
    assert (young.method, young.tested) == ("last", 0)
    assert (young.lower[0] <= young.path).all()
    assert (young.path <= young.upper[0]).all()
    assert (young.lower[2] < young.lower[0]).all()
    assert evaluation.rolling(ramp_with_noise()[:70]).path.shape == (0, 30)


def test_history_and_live_are_one_past() -> None:
    x = walk(400, 1)
    whole = evaluation.anomaly_scores(x[:0], x)
    parts = evaluation.anomaly_scores(x[:250], x[250:])
    for field in ("score", "threshold", "anomalous", "error", "contributions"):
        assert np.array_equal(getattr(whole[250:], field), getattr(parts, field), equal_nan=True)


@given(
    seed=st.integers(0, 1000),
    before=st.integers(0, 60),
    rows=st.integers(1, 60),
    seen=st.integers(0, 60),
    data=st.data(),
)
@settings(max_examples=25)
def test_what_follows_changes_nothing(seed: int, before: int, rows: int, seen: int, data: st.DataObject) -> None:
    k = min(seen, rows)
    x = walk(before + rows, seed, 0.3)
    other = x.copy()
    other[before + k :] = data.draw(st.sampled_from([0.0, 1e9, -5.0, np.nan]))
    for score in (_score, evaluation.failure_probabilities):
        assert np.array_equal(
            score(x[:before], x[before:])[:k], score(other[:before], other[before:])[:k], equal_nan=True
        )
        assert np.array_equal(
            score(x[:before], x[before:])[:k], score(x[:before], x[before : before + k]), equal_nan=True
        )


def _score(history: np.ndarray, live: np.ndarray) -> np.ndarray:
    return evaluation.anomaly_scores(history, live).score


def test_an_incident_alarms_and_its_metrics_contribute() -> None:
    rng = np.random.default_rng(2)
    x = 40 + rng.normal(0, 1, (2000, 20))
    x[1900:1920, MODEL_METRICS.index("disk_busy")] += 40
    x[1900:1920, MODEL_METRICS.index("cpu_utilization")] += 40
    scores = evaluation.anomaly_scores(x[:1000], x[1000:])
    assert scores.anomalous[905:920].all()
    assert not scores.anomalous[:890].any()
    top = np.argsort(-scores.contributions[910])[:2]
    assert {MODEL_METRICS[i] for i in top} == {"disk_busy", "cpu_utilization"}
    assert np.allclose(scores.contributions.sum(axis=1), scores.error, rtol=1e-5)


def test_the_five_inputs_alone_are_the_twenty_with_nothing_else_known() -> None:
    x = walk(300, 3, 0.0)
    five = [MODEL_METRICS.index(k) for k in ("cpu_utilization", "memory_used", "disk_busy", "network_receive_bytes")]
    five.append(MODEL_METRICS.index("load_5m"))
    alone = np.full_like(x, np.nan)
    alone[:, five] = x[:, five]
    chances = evaluation.failure_probabilities(x[:100, five], x[100:, five])
    assert np.ptp(chances) > 0
    assert np.array_equal(chances, evaluation.failure_probabilities(alone[:100], alone[100:]))


def test_shares_are_told_from_percent_by_a_full_history_only() -> None:
    x = np.clip(walk(600, 4, 0.0), 0, 100)
    percent = [i for i, key in enumerate(MODEL_METRICS) if METRIC[key].high]
    shares = x.copy()
    shares[:, percent] /= 100
    expected = _score(x[:300], x[300:])
    assert np.allclose(_score(shares[:300], shares[300:]), expected, rtol=1e-3)
    assert np.allclose(evaluation.anomaly_scores(shares[:9], shares[9:], shares=True).score[291:], expected, rtol=1e-3)
    as_percent = evaluation.anomaly_scores(shares[:300], shares[300:], shares=False).score
    assert np.array_equal(_score(shares[:239], shares[239:])[61:], as_percent)
    assert not np.allclose(as_percent, expected, rtol=0.1)


def test_nothing_known_gives_nothing() -> None:
    scores = evaluation.anomaly_scores([], np.full((3, 20), np.nan))
    assert np.isnan(scores.score).all()
    assert not scores.anomalous.any()
    assert evaluation.failure_probabilities([], np.empty((0, 20))).shape == (0,)


def test_the_no_model_lines_rise_with_the_deviation_alone() -> None:
    x = 40 + np.random.default_rng(5).normal(0, 1, (1000, 20))
    x[990:] += 40
    z = evaluation.standardize([], x)
    for line in (evaluation.no_model_anomaly(z), evaluation.no_model_failure(z)):
        assert np.isnan(line[0])
        assert line[995] > 10 * np.nanmax(line[300:990])


def test_progress_is_told_up_to_the_last_row() -> None:
    told: list[tuple[int, int]] = []
    evaluation.standardize(walk(1500, 6), walk(700, 7), progress=lambda done, total: told.append((done, total)))
    assert told == [(0, 2200), (1000, 2200), (2000, 2200), (2200, 2200)]


def test_several_series_are_forecast_as_one_by_one() -> None:
    table = np.abs(walk(90, 8, 0.0).T)
    together = evaluation.forecasts(table, 12)
    assert together.shape == (20, 12)
    assert all(np.array_equal(evaluation.forecasts(row, 12), ahead) for row, ahead in zip(table, together, strict=True))


def test_a_forecast_stays_within_its_range_and_bridges_gaps() -> None:
    ramp = np.linspace(80, 100, 90)
    ramp[40:50] = np.nan
    held = ramp.copy()
    held[40:50] = held[39]
    ahead = evaluation.forecasts(ramp, low=0, high=100)
    assert ahead.shape == (forecast.STEPS,)
    assert ahead.max() <= 100
    assert np.array_equal(ahead, evaluation.forecasts(held, low=0, high=100))


WRONG: list[tuple[Callable[[], Any], str]] = [
    (lambda: evaluation.anomaly_scores([], np.zeros((3, 19))), r"live: must be \(rows, 20\), got \(3, 19\)"),
    (lambda: evaluation.anomaly_scores(np.zeros(20), np.zeros((3, 20))), r"history: must be \(rows, 20\), got \(20,\)"),
    (lambda: evaluation.anomaly_scores([], [["a"] * 20]), "live: not an array of numbers"),
    (lambda: evaluation.anomaly_scores([], np.full((1, 20), np.inf)), r"live: infinite at \[0, 0\]"),
    (lambda: evaluation.failure_probabilities(np.zeros((3, 20)), np.zeros((3, 5))), r"history: must be \(rows, 5\)"),
    (lambda: evaluation.forecasts(np.zeros(12)), "history: needs 60 values from the first known one on, has 12"),
    (lambda: evaluation.forecasts(np.r_[np.full(10, np.nan), np.zeros(59)]), "history: needs 60 values .* has 59"),
    (lambda: evaluation.forecasts(np.zeros((2, 2, 60))), r"history: must be \(h,\) or \(k, h\)"),
    (lambda: evaluation.outlook(np.zeros((2, 60))), r"history: must be \(h,\), got \(2, 60\)"),
    (lambda: evaluation.outlook(np.zeros(59)), "history: needs 60 values from the first known one on, has 59"),
    (lambda: evaluation.forecasts(np.zeros(60), 0), "steps: must be at least 1, got 0"),
    (lambda: evaluation.forecasts(np.zeros(60), high=0), "high: must be above 0, got 0"),
]


@pytest.mark.parametrize(("call", "message"), WRONG)
def test_a_wrong_argument_is_named(call: Callable[[], Any], message: str) -> None:
    with pytest.raises(ValueError, match=message):
        call()


def test_the_guide_shows_what_runs() -> None:
    guide = (Path(__file__).resolve().parents[2] / "docs/predictions.md").read_text()
    (snippet,) = [part for part in re.findall(r"```python\n(.*?)```", guide, re.DOTALL) if "evaluation" in part]
    x = walk(300, 9, 0.0)
    names = {"history": x[:250], "live": x[250:], "cpu": np.clip(x[:, 0], 0, 100)}
    exec(snippet, names)
    assert names["scores"].score.shape == (50,)  # type: ignore[attr-defined]
