"""How the models are judged: one score a minute, never point-adjusted (random scores shine there)."""

import numpy as np
from numpy.typing import NDArray

Scores = NDArray[np.floating]
Labels = NDArray[np.bool_]
MINUTES_A_DAY = 1440


def average_precision(label: Labels, score: Scores) -> float:
    """Area under precision and recall, as a step function; tied scores are one threshold."""
    order = np.argsort(-score, kind="stable")
    hits = np.cumsum(label[order])
    last = np.r_[np.diff(score[order]) != 0, True]
    recall = hits[last] / label.sum()
    precision = hits[last] / (np.flatnonzero(last) + 1)
    return float(np.sum(np.diff(recall, prepend=0) * precision))


def roc(label: Labels, score: Scores) -> float:
    """Area under the ROC curve: the probability that a positive minute scores above a negative one."""
    values, index = np.unique(score, return_inverse=True)
    positive = np.bincount(index[label], minlength=len(values))
    negative = np.bincount(index[~label], minlength=len(values))
    below = np.cumsum(negative) - negative
    return float((positive * (below + negative / 2)).sum() / (positive.sum() * negative.sum()))


def vus_pr(label: Labels, score: Scores, widths: tuple[int, ...] = (0, 20, 40, 60, 80, 100)) -> float:
    """Volume under the PR surface (Paparrizos et al., VLDB 2022).

    Soft ramps of half-width L/2 around each incident, recall weighted by the share of incidents found at all,
    averaged over L.
    """
    return float(np.mean([_range_pr(label, score, width) for width in widths]))


def _range_pr(label: Labels, score: Scores, width: int, thresholds: int = 250) -> float:
    soft = label.astype(np.float64)
    half = width // 2
    segments = runs(label)
    for start, end in segments:
        for distance in range(1, half + 1):
            ramp = np.sqrt(1 - distance / (half + 1))
            for at in (start - distance, end - 1 + distance):
                if 0 <= at < len(soft):
                    soft[at] = max(soft[at], ramp)
    best = np.array([score[max(0, a - half) : b + half].max() for a, b in segments])
    order = np.argsort(-score, kind="stable")
    found = np.cumsum(soft[order])
    at = np.unique(np.linspace(0, len(score) - 1, thresholds).astype(int))
    cut = score[order][at]
    positives = (label.sum() + soft.sum()) / 2
    recall = np.minimum(found[at] / positives, 1) * (best[None, :] >= cut[:, None]).mean(axis=1)
    precision = found[at] / (at + 1)
    return float(np.sum(np.diff(recall, prepend=0) * precision))


def runs(label: Labels) -> list[tuple[int, int]]:
    """Half-open index ranges where `label` is True."""
    edges = np.flatnonzero(np.diff(np.r_[False, label, False].astype(np.int8)))
    return [(int(a), int(b)) for a, b in zip(edges[::2], edges[1::2], strict=True)]


def brier(label: Labels, probability: Scores) -> float:
    """Mean squared error of a probability."""
    return float(np.mean((probability - label) ** 2))


def calibration_error(label: Labels, probability: Scores, bins: int = 15) -> float:
    """Expected calibration error over `bins` groups of equal size."""
    order = np.argsort(probability, kind="stable")
    groups = np.array_split(order, bins)
    return float(sum(len(g) * abs(probability[g].mean() - label[g].mean()) for g in groups) / len(label))


def pages(label: Labels, alarm: Labels, mute: int = 60, grace: int = 15) -> tuple[int, int]:
    """(incidents with an alarm, false pages) of one server.

    A page mutes the pager for `mute` minutes; one outside incidents and outside `grace` minutes after one is
    false.
    """
    caught = sum(bool(alarm[a:b].any()) for a, b in runs(label))
    excused = label.copy()
    for _, end in runs(label):
        excused[end : end + grace] = True
    false, quiet_until = 0, -1
    for t in np.flatnonzero(alarm):
        if t >= quiet_until:
            quiet_until = int(t) + mute
            false += not excused[t]
    return caught, false
