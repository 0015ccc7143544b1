"""From a score to a probability that comes true as often as it says; every server's by what was fitted without it."""

import numpy as np
from numpy.typing import NDArray

from models.training.data import Floats, Server, folds
from models.training.failure_scores import Scores, targets


def calibration(fleet: list[Server], logits: Scores) -> dict[str, float]:
    """Slope and intercept of the line through which logits become honest (Platt 1999)."""
    x = np.concatenate([logits[s.name] for s in fleet])[:, None]
    y = targets(fleet)
    slope, intercept = newton(design(x), np.concatenate([y[s.name] for s in fleet]), np.ones(len(x), np.float32))
    return {"calibration_slope": float(slope), "calibration_intercept": float(intercept)}


def calibrated(fleet: list[Server], logits: Scores) -> Scores:
    """Probabilities, each server's by a line fitted without it."""
    out: Scores = {}
    for learn, unseen in folds(fleet):
        line = calibration(learn, logits)
        for s in unseen:
            logit = line["calibration_slope"] * logits[s.name] + line["calibration_intercept"]
            out[s.name] = 1 / (1 + np.exp(-logit))
    return {s.name: out[s.name] for s in fleet}


def isotonic(fleet: list[Server], logits: Scores, groups: int = 500) -> Scores:
    """The other way to calibrate: a rising step function over groups of equal size, fitted without each server.

    Pool adjacent violators (Ayer et al. 1955).
    """
    y, out = targets(fleet), {}
    for learn, unseen in folds(fleet):
        x, label = (np.concatenate([of[s.name] for s in learn]) for of in (logits, y))
        steps: list[tuple[float, float, int]] = []
        for g in np.array_split(np.argsort(x, kind="stable"), groups):
            top, share, count = float(x[g].max()), float(label[g].mean()), len(g)
            while steps and steps[-1][1] >= share:
                _, before, many = steps.pop()
                share, count = (before * many + share * count) / (many + count), many + count
            steps.append((top, share, count))
        tops, shares = np.array([t for t, _, _ in steps]), np.array([p for _, p, _ in steps], np.float32)
        for s in unseen:
            out[s.name] = shares[np.minimum(np.searchsorted(tops, logits[s.name]), len(shares) - 1)]
    return {s.name: out[s.name] for s in fleet}


def design(x: Floats) -> NDArray[np.float64]:
    """The columns (n, k) and a column of ones."""
    return np.column_stack([x, np.ones(len(x))]).astype(np.float64)


def newton(columns: NDArray[np.float64], label: NDArray[np.bool_], weight: Floats) -> NDArray[np.float64]:
    """The coefficients of a logistic regression, by Newton's method."""
    line = np.zeros(columns.shape[1])
    line[-1] = np.log(label.mean() / (1 - label.mean()))
    for _ in range(50):
        p = 1 / (1 + np.exp(-np.clip(columns @ line, -30, 30)))
        curvature = np.maximum(weight * p * (1 - p), 1e-9)
        change = np.linalg.solve((columns * curvature[:, None]).T @ columns, columns.T @ (weight * (p - label)))
        line -= change
        if np.abs(change).max() < 1e-9:
            break
    return line
