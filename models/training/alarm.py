"""The alarm rule: thresholds for a budget of false pages, judged on servers they were not set on."""

from typing import Any

import numpy as np
from numpy.typing import NDArray
from openmanager.catalog import MODEL_METRICS
from openmanager.inference import anomaly
from openmanager.inference.runtime import Network
from openmanager.telemetry import scaling

from models.training import dense, metrics
from models.training.data import HIGH, Floats, Server, folds, over_time

# Page budget in false alarms a server and day; a tenth below what is promised, for servers not seen here.
BUDGET = 0.9
THRESHOLD_OFFSET = 0.3
# A new server's quantile starts at this many times the fleet's usual one and falls from there, half in 12 hours.
# Measured by `cold` with 1, 2 and 4: 2.2, 1.4 and .8 false pages on the first day, 72, 67 and 51 of 94 incidents.
CAUTION = 2.0
# Cold starts a server, evenly over the labelled part, each followed for a day.
STARTS = 8
Scores = dict[str, Floats]
Part = tuple[NDArray[np.bool_], Floats]


def quantiles(fleet: list[Server], scores: Scores, start: float) -> Scores:
    """Each server's own quantile before every minute."""
    network = dense.NumpyNetwork([], {"quantile_start": start})

    def step(previous: Floats, smooth: Floats) -> Floats:
        return anomaly.update_quantile(previous, smooth, network)

    after = over_time(step, [scores[s.name] for s in fleet])
    return {s.name: np.r_[np.float32(start), q[:-1]] for s, q in zip(fleet, after, strict=True)}


def rule(fleet: list[Server], scores: Scores) -> tuple[dict[str, float], dict[str, float]]:
    """(threshold constants set on the whole fleet, what the rule gets on servers it was not set on).

    `scores` must come from networks that did not see the server they judge.
    """
    start = float(np.median([np.quantile(scores[s.name], anomaly.QUANTILE) for s in fleet]))
    own = quantiles(fleet, scores, start)
    relative = {name: scores[name] / np.sqrt(own[name] + np.float32(THRESHOLD_OFFSET)) for name in scores}
    constants = {
        "quantile_start": CAUTION * start,
        "threshold_offset": THRESHOLD_OFFSET,
        "threshold_factor": _solve(fleet, relative),
        "global_threshold": _solve(fleet, scores),
    }
    return constants, _crossed(fleet, relative) | {f"global_{k}": v for k, v in _crossed(fleet, scores).items()}


def _crossed(fleet: list[Server], scores: Scores) -> dict[str, float]:
    caught, incidents, false, days, worst, by_fold = 0, 0, 0, 0.0, 0.0, []
    for learn, unseen in folds(fleet):
        cut = _solve(learn, scores)
        before = false, days
        for s in unseen:
            label = s.label[s.labelled :]
            hits, wrong = metrics.pages(label, scores[s.name][s.labelled :] > cut)
            caught, incidents = caught + hits, incidents + len(metrics.runs(label))
            false, days = false + wrong, days + len(label) / metrics.MINUTES_A_DAY
            worst = max(worst, wrong * metrics.MINUTES_A_DAY / len(label))
        by_fold.append((false - before[0]) / (days - before[1]))
    return {
        "recall": caught / incidents,
        "false_alarms_a_day": false / days,
        "worst_fold_a_day": max(by_fold),
        "worst_server_a_day": worst,
    }


def _solve(fleet: list[Server], scores: Scores) -> float:
    """The lowest threshold that keeps the budget."""
    parts: list[Part] = [(s.label[s.labelled :], scores[s.name][s.labelled :]) for s in fleet]
    days = sum(len(label) for label, _ in parts) / metrics.MINUTES_A_DAY
    low, high = (float(np.log(np.quantile(np.concatenate([s for _, s in parts]), q))) for q in (0.5, 1))
    for _ in range(24):
        middle = (low + high) / 2
        false = sum(metrics.pages(label, s > np.exp(middle))[1] for label, s in parts)
        low, high = (middle, high) if false / days > BUDGET else (low, middle)
    return float(np.exp(high))


def cold(fleet: list[Server], networks: list[Network], constants: dict[str, float]) -> dict[str, Any]:
    """What the rule gets on servers that nothing was known of: false pages by time since their start, and recall.

    `networks` are those of the folds. Each server is started anew at several minutes of its labelled part and
    followed for a day: scaler, average and quantile learn as in service.
    """
    day = metrics.MINUTES_A_DAY
    starts, early, late, caught, incidents = 0, 0, 0, 0, 0
    for (_, unseen), network in zip(folds(fleet), networks, strict=True):
        pieces = [
            (s.values[at : at + day], s.label[at : at + day])
            for s in unseen
            for at in np.linspace(s.labelled, len(s.values) - day, STARTS).astype(int)
        ]
        alarms = _alarms(np.stack([values for values, _ in pieces], axis=1), network, constants)
        for alarm, (_, label) in zip(alarms.T, pieces, strict=True):
            warm = np.arange(day) >= scaling.WARM_UP
            early += metrics.pages(label, alarm & ~warm)[1]
            late += metrics.pages(label, alarm & warm)[1]
            caught += metrics.pages(label, alarm)[0]
            incidents += len(metrics.runs(label))
            starts += 1
    return {
        "starts": starts,
        "recall": caught / incidents,
        "false_pages_in_warm_up": early / starts,
        "false_pages_rest_of_day": late / starts,
    }


def _alarms(values: Floats, network: Network, constants: dict[str, float]) -> NDArray[np.bool_]:
    """Which minutes (time, servers) are anomalous, from values (time, servers, 20) of servers just met."""
    count = values.shape[1]
    scaler = scaling.Scaler.new(count, len(MODEL_METRICS))
    with_limits = dense.NumpyNetwork([], constants)
    smooth, quantile = np.full((2, count), np.nan, np.float32)
    out = np.zeros(values.shape[:2], bool)
    for t, row in enumerate(values):
        z = scaling.step(scaler, row, HIGH)
        if np.isnan(z).all():
            continue
        smooth = anomaly.smooth(smooth, anomaly.score(z, network)[0])
        out[t] = smooth > anomaly.threshold(quantile, with_limits)
        quantile = anomaly.update_quantile(quantile, smooth, with_limits)
    return out
