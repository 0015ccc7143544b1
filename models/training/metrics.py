"""How the models are judged: one score a minute, never point-adjusted (random scores shine there)."""

import numpy as np
from openmanager.measures import (
    MINUTES_A_DAY,
    Labels,
    Scores,
    average_precision,
    brier,
    pages,
    roc,
    runs,
)

__all__ = [
    "MINUTES_A_DAY",
    "Labels",
    "Scores",
    "average_precision",
    "brier",
    "calibration_error",
    "pages",
    "roc",
    "runs",
    "vus_pr",
]


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


def calibration_error(label: Labels, probability: Scores, bins: int = 15) -> float:
    """Expected calibration error over `bins` groups of equal size."""
    order = np.argsort(probability, kind="stable")
    groups = np.array_split(order, bins)
    return float(sum(len(g) * abs(probability[g].mean() - label[g].mean()) for g in groups) / len(label))
