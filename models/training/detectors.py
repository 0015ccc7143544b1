"""Simple detectors beside the autoencoder: the same scaled metrics, folds and smoothing, nothing of the network."""

from collections.abc import Callable

import numpy as np
from openmanager.inference import anomaly
from sklearn.ensemble import IsolationForest
from sklearn.neighbors import NearestNeighbors

from models.training.data import Floats, Server, folds, over_time

CLIP = 20.0
# As many as the autoencoder's narrow layer.
COMPONENTS = 4
NEIGHBOURS, REFERENCES = 5, 2_000
TREES = 100
Scores = dict[str, Floats]
Error = Callable[[Floats], Floats]
Fit = Callable[[Floats, int], Error]
Smooth = Callable[[Floats, Floats], Floats]


def average(rise: float, fall: float) -> Smooth:
    """The moving average of `anomaly.smooth` with other half-lives."""
    rising, falling = (np.float32(1 - 0.5 ** (1 / samples)) for samples in (rise, fall))

    def step(previous: Floats, error: Floats) -> Floats:
        previous = np.where(np.isnan(previous), error, previous)
        return previous + np.where(error > previous, rising, falling) * (error - previous)

    return step


def clipped(z: Floats, clip: float = CLIP) -> Floats:
    """z (n, 20) as the detectors here see it: within the clip, 0 where unknown."""
    return np.clip(np.nan_to_num(z), -clip, clip)


def mean_square(z: Floats) -> Floats:
    """No model: the mean squared deviation (n,)."""
    return np.asarray((clipped(z) ** 2).mean(axis=1))


def largest(z: Floats) -> Floats:
    """The largest deviation (n,)."""
    return np.asarray(np.abs(clipped(z)).max(axis=1))


def principal_components(x: Floats, seed: int) -> Error:
    """The mean square outside the first four principal components of the training rows `x`."""
    del seed
    middle = x.mean(axis=0)
    _, vectors = np.linalg.eigh(np.cov(x - middle, rowvar=False))
    rest = vectors[:, :-COMPONENTS].astype(np.float32)
    return lambda z: np.asarray(np.square((clipped(z) - middle) @ rest).sum(axis=1) / np.float32(x.shape[1]))


def isolation_forest(x: Floats, seed: int) -> Error:
    """Isolation forest (Liu, Ting and Zhou, ICDM 2008), 100 trees of 256 rows."""
    forest = IsolationForest(n_estimators=TREES, random_state=seed).fit(x)
    return lambda z: np.asarray(-forest.score_samples(clipped(z)), np.float32)


def nearest_neighbours(x: Floats, seed: int) -> Error:
    """The mean distance to the nearest five of 2,000 random training rows (Ramaswamy et al., SIGMOD 2000)."""
    rows = np.random.default_rng(seed).choice(len(x), min(REFERENCES, len(x)), replace=False)
    index = NearestNeighbors(n_neighbors=NEIGHBOURS, algorithm="brute").fit(x[rows])
    return lambda z: np.asarray(index.kneighbors(clipped(z))[0].mean(axis=1), np.float32)


def smoothed(fleet: list[Server], error: Error, step: Smooth = anomaly.smooth) -> Scores:
    """Each server's smoothed error (n,); 0 before the labelled part, which is the one that is judged."""
    return _over_time({s.name: _labelled(s, error) for s in fleet}, step)


def cross_validated(fleet: list[Server], fit: Fit, seed: int) -> Scores:
    """Smoothed errors, each server's from a detector fitted without it."""
    errors: Scores = {}
    for learn, unseen in folds(fleet):
        error = fit(np.concatenate([clipped(s.z[: s.labelled]) for s in learn]), seed)
        errors |= {s.name: _labelled(s, error) for s in unseen}
    return _over_time({s.name: errors[s.name] for s in fleet}, anomaly.smooth)


def _labelled(server: Server, error: Error) -> Floats:
    return np.r_[np.zeros(server.labelled, np.float32), error(server.z[server.labelled :]).astype(np.float32)]


def _over_time(errors: Scores, step: Smooth) -> Scores:
    return dict(zip(errors, over_time(step, list(errors.values())), strict=True))
