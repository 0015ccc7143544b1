"""How the failure network is judged and calibrated, on small fleets with known answers."""

import importlib

import numpy as np
import pytest

calibrate = importlib.import_module("models.training.calibrate")
data = importlib.import_module("models.training.data")
scoring = importlib.import_module("models.training.failure_scores")
simulated = importlib.import_module("models.training.simulated")

DAYS, DAY = 4, 1440


def fleet(n: int = 4) -> list["data.Server"]:
    """Servers with an incident of twenty minutes each noon."""
    label = np.zeros(DAYS * DAY, bool)
    for day in range(DAYS):
        label[day * DAY + 720 : day * DAY + 740] = True
    empty = np.zeros((DAYS * DAY, 20), np.float32)
    return [data.Server(f"s{i}", empty, empty, label, 0) for i in range(n)]


def test_an_alarm_before_each_incident_is_early_and_costs_no_page() -> None:
    servers = fleet()
    ahead = {s.name: np.roll(s.label, -20).astype(np.float32) for s in servers}
    assert scoring.early(servers, ahead)["early"] == 1
    within = {s.name: s.label.astype(np.float32) for s in servers}
    assert scoring.early(servers, within)["early"] == 0


def test_the_budget_is_one_false_page_a_server_and_day() -> None:
    servers = fleet()
    rng = np.random.default_rng(0)
    rank = {s.name: rng.random(len(s.label)).astype(np.float32) for s in servers}
    above = scoring.budget(servers, rank)
    false = sum(scoring._false_pages(s, rank[s.name] > above) for s in servers)
    assert 0.5 * len(servers) * DAYS < false <= len(servers) * DAYS
    alarm = np.zeros(DAYS * DAY, bool)
    alarm[[100, 130, 700, 725, 750]] = True
    assert scoring._false_pages(servers[0], alarm) == 1


def test_a_servers_gain_is_counted_against_its_own_line() -> None:
    servers = fleet()
    rng = np.random.default_rng(0)
    line = {s.name: rng.random(len(s.label)).astype(np.float32) for s in servers}
    better = {s.name: line[s.name] + scoring.targets(servers)[s.name] for s in servers}
    gain = scoring.paired(servers, better, line)
    assert gain["roc_better_on"] == gain["pr_better_on"] == gain["servers"] == 4
    assert gain["roc_gain"] == pytest.approx(0.5, abs=0.05)
    assert scoring.paired(servers, line, line)["roc_better_on"] == 0


def _faults(score: np.ndarray, onset: int) -> list["scoring.Judged"]:
    empty = np.zeros((len(score), 20), np.float32)
    return [scoring.Judged(simulated.Episode("s0", "cpu_hog", empty, empty, onset), score)]


def test_lead_time_runs_from_the_first_page_in_the_fault_to_exhaustion() -> None:
    score = np.zeros(300, np.float32)
    score[239:] = 1
    told = scoring.fault(_faults(score, 200), 0.5)
    assert (told["lead_min"], told["recall"], told["recall_before_onset"]) == (60, 1, 0)
    assert told["roc"] == told["pr"] == 1


def test_a_page_before_the_onset_counts_as_chance_and_a_missed_fault_leads_by_nothing() -> None:
    score = np.zeros(300, np.float32)
    score[150] = 1
    told = scoring.fault(_faults(score, 200), 0.5)
    assert (told["lead_min"], told["recall"], told["recall_before_onset"]) == (0, 0, 1)


def _overconfident() -> tuple[list["data.Server"], dict[str, np.ndarray]]:
    """Logits of which only half is true, on servers whose target is drawn by the true half."""
    rng = np.random.default_rng(1)
    servers, logits = [], {}
    for i in range(8):
        logit = rng.normal(-2, 2, 6000)
        # Reversed in time and turned by the horizon, a draw a minute cannot be a target: draw hours instead.
        hours = np.repeat(logit[::60], 60)
        label = np.repeat(rng.random(100) < 1 / (1 + np.exp(-hours[::60] / 2)), 60)
        empty = np.zeros((6000, 20), np.float32)
        servers.append(data.Server(f"s{i}", empty, empty, label, 0))
        logits[f"s{i}"] = hours.astype(np.float32)
    return servers, logits


def test_calibration_halves_a_logit_that_is_twice_too_sure() -> None:
    servers, logits = _overconfident()
    line = calibrate.calibration(servers, logits)
    assert 0.2 < line["calibration_slope"] < 0.8
    raw = {name: 1 / (1 + np.exp(-x)) for name, x in logits.items()}
    before = scoring.calibration(servers, raw)
    for honest in (calibrate.calibrated(servers, logits), calibrate.isotonic(servers, logits)):
        after = scoring.calibration(servers, honest)
        assert after["brier"] < before["brier"]
        assert after["ece"] < before["ece"] / 2


def test_newton_finds_the_coefficients_that_made_the_labels() -> None:
    rng = np.random.default_rng(0)
    x = rng.normal(0, 1, (60_000, 2)).astype(np.float32)
    p = 1 / (1 + np.exp(-(2 * x[:, 0] - x[:, 1] - 1)))
    found = calibrate.newton(calibrate.design(x), rng.random(60_000) < p, np.ones(60_000, np.float32))
    assert found == pytest.approx([2, -1, -1], abs=0.05)


def test_reliability_groups_hold_every_minute_once() -> None:
    servers = fleet()
    rng = np.random.default_rng(0)
    groups = scoring.reliability(servers, {s.name: rng.random(len(s.label)).astype(np.float32) for s in servers})
    assert sum(g["minutes"] for g in groups) == 4 * DAYS * DAY
    said = [g["said"] for g in groups]
    assert said == sorted(said)
    share = float(np.mean(np.concatenate(list(scoring.targets(servers).values()))))
    assert all(abs(g["came"] - share) < 0.03 for g in groups)
