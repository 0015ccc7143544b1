"""How scores are judged against labels: one score a minute, never point-adjusted (random scores shine there)."""

from typing import Any

import numpy as np
from numpy.typing import NDArray

Scores = NDArray[np.floating[Any]]
Labels = NDArray[np.bool_]
MINUTES_A_DAY = 1440


def average_precision(label: Labels, score: Scores) -> float:
    """Area under precision and recall, as a step function; tied scores are one threshold.

    `label` and `score` (n,), none missing, at least one label True. Random scores get the share of True labels.
    """
    order = np.argsort(-score, kind="stable")
    hits = np.cumsum(label[order])
    last = np.r_[np.diff(score[order]) != 0, True]
    recall = hits[last] / label.sum()
    precision = hits[last] / (np.flatnonzero(last) + 1)
    return float(np.sum(np.diff(recall, prepend=0) * precision))


def roc(label: Labels, score: Scores) -> float:
    """Area under the ROC curve: the probability that a positive minute scores above a negative one.

    `label` and `score` (n,), none missing, labels of both kinds. Random scores get .5.
    """
    values, index = np.unique(score, return_inverse=True)
    positive = np.bincount(index[label], minlength=len(values))
    negative = np.bincount(index[~label], minlength=len(values))
    below = np.cumsum(negative) - negative
    return float((positive * (below + negative / 2)).sum() / (positive.sum() * negative.sum()))


def brier(label: Labels, probability: Scores) -> float:
    """Mean squared error of a probability (n,)."""
    return float(np.mean((probability - label) ** 2))


def runs(label: Labels) -> list[tuple[int, int]]:
    """Half-open index ranges where `label` is True."""
    edges = np.flatnonzero(np.diff(np.r_[False, label, False].astype(np.int8)))
    return [(int(a), int(b)) for a, b in zip(edges[::2], edges[1::2], strict=True)]


def soon(label: Labels, horizon: int) -> Labels:
    """The operational target (n,): an incident is active, or starts within `horizon` samples."""
    ahead = np.convolve(label[::-1], np.ones(horizon + 1))[: len(label)][::-1]
    return np.asarray(ahead > 0)


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
