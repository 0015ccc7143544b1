"""How the failure network is judged: real incidents and simulated faults, always in tables of their own."""

from collections.abc import Callable
from dataclasses import dataclass
from typing import Any

import numpy as np
from numpy.typing import NDArray
from openmanager.catalog import MODEL_METRICS
from openmanager.inference import failure

from models.training import metrics
from models.training.data import Floats, Server, folds, soon
from models.training.simulated import FAULTS, Episode

Bools = NDArray[np.bool_]
# One score a labelled minute, by server.
Scores = dict[str, Floats]
GRACE_MIN = 15
MUTE_MIN = 60
# What a person would put a threshold on, and the sign by which trouble is higher.
RAW = {
    "memory_leak": ("memory_used_effective", 1),
    "disk_filling": ("disk_busy", 1),
    "cpu_hog": ("cpu_utilization", 1),
    "packet_loss": ("network_transmit_bytes", -1),
    "connection_pile_up": ("tcp_established", 1),
}


@dataclass(frozen=True, eq=False)
class Judged:
    """One simulated fault and the score (n,) of its minutes."""

    episode: Episode
    score: Floats


def targets(fleet: list[Server]) -> dict[str, Bools]:
    """The operational target of every labelled minute."""
    return {s.name: soon(s.label[s.labelled :], failure.HORIZON_MIN) for s in fleet}


def judge(fleet: list[Server], rank: Scores, probability: Scores) -> dict[str, float]:
    """Pooled minutes of all labelled parts: `rank` is judged by order, `probability` by value.

    `strict` asks only of minutes outside and well after incidents.
    """
    y = targets(fleet)
    label, score = (np.concatenate([of[s.name] for s in fleet]) for of in (y, rank))
    quiet = np.concatenate([~_lately(s.label[s.labelled :]) for s in fleet])
    return {
        "roc": metrics.roc(label, score),
        "roc_mean_of_servers": float(np.mean(by_server(fleet, rank, metrics.roc))),
        "pr": metrics.average_precision(label, score),
        "pr_mean_of_servers": float(np.mean(by_server(fleet, rank, metrics.average_precision))),
        **calibration(fleet, probability),
        "prevalence": float(label.mean()),
        "brier_of_prevalence": float(label.mean() * (1 - label.mean())),
        "strict_roc": metrics.roc(label[quiet], score[quiet]),
        "strict_pr": metrics.average_precision(label[quiet], score[quiet]),
        "strict_prevalence": float(label[quiet].mean()),
    } | early(fleet, rank)


def calibration(fleet: list[Server], probability: Scores) -> dict[str, float]:
    """How far probabilities are from what came true."""
    y = targets(fleet)
    label, p = (np.concatenate([of[s.name] for s in fleet]) for of in (y, probability))
    return {"brier": metrics.brier(label, p), "ece": metrics.calibration_error(label, p)}


def by_server(fleet: list[Server], rank: Scores, measure: Callable[[Bools, Floats], float]) -> Floats:
    """One measure of each server alone."""
    y = targets(fleet)
    return np.array([measure(y[s.name], rank[s.name]) for s in fleet], np.float32)


def paired(fleet: list[Server], rank: Scores, line: Scores) -> dict[str, float]:
    """Each server's gain over the line: mean, its standard error over servers, and how many servers gain."""
    out: dict[str, float] = {"servers": len(fleet)}
    for name, measure in (("roc", metrics.roc), ("pr", metrics.average_precision)):
        gain = by_server(fleet, rank, measure) - by_server(fleet, line, measure)
        out[f"{name}_gain"] = float(gain.mean())
        out[f"{name}_standard_error"] = float(gain.std(ddof=1) / np.sqrt(len(gain)))
        out[f"{name}_better_on"] = int((gain > 0).sum())
    return out


def fold_spread(fleet: list[Server], rank: Scores) -> dict[str, float]:
    """Standard deviation over the folds of the pooled figures of each fold's unseen servers."""
    y = targets(fleet)
    parts = [[s.name for s in unseen] for _, unseen in folds(fleet)]
    pooled = [(np.concatenate([y[n] for n in p]), np.concatenate([rank[n] for n in p])) for p in parts]
    return {
        "roc": float(np.std([metrics.roc(*p) for p in pooled], ddof=1)),
        "pr": float(np.std([metrics.average_precision(*p) for p in pooled], ddof=1)),
    }


def reliability(fleet: list[Server], probability: Scores, groups: int = 12) -> list[dict[str, float]]:
    """Groups of equal size by probability: what was said on average, what share came true, how many minutes."""
    y = targets(fleet)
    label, p = (np.concatenate([of[s.name] for s in fleet]) for of in (y, probability))
    order = np.argsort(p, kind="stable")
    return [
        {"said": float(p[g].mean()), "came": float(label[g].mean()), "minutes": len(g)}
        for g in np.array_split(order, groups)
    ]


def budget(fleet: list[Server], rank: Scores) -> float:
    """The lowest threshold, one for all servers, that pages falsely at most once a server and day.

    A page mutes the pager for an hour; one from 30 minutes before an incident to 15 minutes after it is not false.
    """
    days = sum(len(rank[s.name]) for s in fleet) / metrics.MINUTES_A_DAY
    # Finest at the top: a page a day is one minute in 1,440.
    shares = 1 - np.geomspace(0.5, 1e-5, 500)
    candidates = np.unique(np.quantile(np.concatenate([rank[s.name] for s in fleet]), shares))
    low, high = 0, len(candidates) - 1
    while low < high:
        middle = (low + high) // 2
        false = sum(_false_pages(s, rank[s.name] > candidates[middle]) for s in fleet)
        low, high = (low, middle) if false <= days else (middle + 1, high)
    return float(candidates[low])


def _false_pages(server: Server, alarm: Bools) -> int:
    label = server.label[server.labelled :]
    excused = _lately(label) | soon(label, failure.HORIZON_MIN)
    false, quiet_until = 0, -1
    for t in np.flatnonzero(alarm):
        if t >= quiet_until:
            quiet_until = int(t) + MUTE_MIN
            false += not excused[t]
    return false


def early(fleet: list[Server], rank: Scores) -> dict[str, float]:
    """The share of incidents that an alarm announces 1 to 30 minutes before they start, at the budget; chance."""
    rng = np.random.default_rng(0)
    chance = {name: rng.random(len(score)).astype(np.float32) for name, score in rank.items()}
    return {"early": _announced(fleet, rank), "early_by_chance": _announced(fleet, chance)}


def _announced(fleet: list[Server], rank: Scores) -> float:
    above, said = budget(fleet, rank), []
    for s in fleet:
        starts = [a for a, _ in metrics.runs(s.label[s.labelled :]) if a > 0]
        said += [bool((rank[s.name][max(0, a - failure.HORIZON_MIN) : a] > above).any()) for a in starts]
    return float(np.mean(said))


def faults(fleet: list[Server], real: Scores, judged: list[Judged]) -> dict[str, Any]:
    """Every kind of fault, by `fault`: scores of the same detector on real minutes set the page budget."""
    above = budget(fleet, real)
    return {kind: fault([j for j in judged if j.episode.kind == kind], above) for kind in FAULTS}


def fault(judged: list[Judged], above: float) -> dict[str, float]:
    """One kind of fault: order of minutes, and pages above a threshold.

    ROC and PR: the last 30 minutes before exhaustion against the hours before onset; minutes of the fault before
    those are neither. `lead_min`: from the first page in the fault to exhaustion, median, 0 where there was none.
    `recall_before_onset`: the same rule on as many minutes just before the fault: what chance would catch.
    """
    label, score, leads, chance = [], [], [], []
    for j in judged:
        onset, end = j.episode.onset, len(j.score)
        last = max(onset, end - failure.HORIZON_MIN)
        label += [np.zeros(onset // 2, bool), np.ones(end - last, bool)]
        score += [j.score[onset - onset // 2 : onset], j.score[last:]]
        pages = np.flatnonzero(j.score[onset:] > above)
        leads.append(end - onset - int(pages[0]) - 1 if len(pages) else 0)
        chance.append(bool((j.score[max(0, 2 * onset - end) : onset] > above).any()))
    y, s = np.concatenate(label), np.concatenate(score)
    return {
        "roc": metrics.roc(y, s),
        "pr": metrics.average_precision(y, s),
        "recall": float(np.mean(np.array(leads) > 0)),
        "recall_before_onset": float(np.mean(chance)),
        "lead_min": float(np.median(leads)),
    }


def raw_thresholds(fleet: list[Server], episodes: list[Episode]) -> dict[str, Any]:
    """The same figures for one threshold on each fault's own metric, for all servers."""
    out = {}
    for kind, (key, sign) in RAW.items():
        column = MODEL_METRICS.index(key)
        real = {s.name: sign * s.values[s.labelled :, column] for s in fleet}
        mine = [Judged(e, sign * e.values[:, column]) for e in episodes if e.kind == kind]
        out[kind] = fault(mine, budget(fleet, real))
    return out


def _lately(label: Bools) -> Bools:
    """An incident is active or ended less than 15 minutes ago."""
    return soon(label[::-1], GRACE_MIN)[::-1]
