"""The failure network 5-64-32-1: the probability that an incident is active or starts within 30 minutes."""

from pathlib import Path
from typing import Any

import numpy as np
import tensorflow as tf
from numpy.typing import NDArray
from openmanager.inference import failure
from openmanager.inference.runtime import Network

from models.training import dense, export, metrics
from models.training.data import Floats, Server, folds, over_time, servers, soon

SIZES = (5, 64, 32, 1)
SCALING = {"input_clip": 20.0, "input_scale": 5.0}
# Few epochs, dropout and decay: longer training learns servers, not incidents.
RECIPE = dense.Recipe(epochs=2, peak_rate=2e-3, batch=512, decay=0.1, dropout=0.3)
UNTRAINED = dense.NumpyNetwork([], SCALING)
GRACE_MIN = 15
Scores = dict[str, Floats]


def run(folder: Path, seed: int, work: Path) -> tuple[dict[str, Any], export.Shipped]:
    """Cross-validate, train, calibrate and convert: (scores, what to ship, lying in `work`)."""
    fleet = servers(folder)
    five = smoothed(fleet)
    logits = cross_validated(fleet, five, seed)
    line = calibration(fleet, logits)
    layers = train(fleet, five, seed)
    sample = np.concatenate([seen(x[::199]) for x in five.values()])
    formats = export.formats("failure", layers, sample, SCALING | line, work)
    said = {f: probabilities(fleet, five, m) for f, m in formats.items()}
    judged = {f: judge(fleet, p, p) for f, p in said.items()}
    form, cost = export.pick(judged, "roc", "pr", "brier")
    plain = untrained(five)
    return {
        "unseen_servers": judge(fleet, logits, calibrated(fleet, logits)),
        "no_model": judge(fleet, plain, calibrated(fleet, plain)),
        "formats_on_servers_trained_on": judged,
        "shipped": form,
        "cost_of_format": cost,
    }, (form, formats[form])


def smoothed(fleet: list[Server]) -> Scores:
    """The smoothed squared deviations (n, 5) of every server's labelled part."""
    rows = over_time(failure.smooth, [failure.inputs(s.z, UNTRAINED) for s in fleet])
    return {s.name: row[s.labelled :] for s, row in zip(fleet, rows, strict=True)}


def targets(fleet: list[Server]) -> dict[str, NDArray[np.bool_]]:
    """The operational target of every labelled minute."""
    return {s.name: soon(s.label[s.labelled :], failure.HORIZON_MIN) for s in fleet}


def seen(five: Floats) -> Floats:
    """What the network sees of smoothed squared deviations (n, 5)."""
    return failure.features(five, UNTRAINED)


def train(fleet: list[Server], five: Scores, seed: int) -> dense.Layers:
    """Fit on the labelled parts of `fleet`."""
    y = targets(fleet)
    x = np.concatenate([seen(five[s.name]) for s in fleet])

    def loss(target: tf.Tensor, out: tf.Tensor) -> tf.Tensor:
        return tf.reduce_mean(tf.nn.sigmoid_cross_entropy_with_logits(target, out))

    target = np.concatenate([y[s.name] for s in fleet]).astype(np.float32)[:, None]
    return dense.fit(SIZES, x, target, loss, RECIPE, seed)


def cross_validated(fleet: list[Server], five: Scores, seed: int) -> Scores:
    """Logits, each server's by a float32 network that was trained without it."""
    out: Scores = {}
    for learn, unseen in folds(fleet):
        layers = train(learn, five, seed)
        for s in unseen:
            out[s.name] = dense.predict(layers, seen(five[s.name]))[:, 0]
    return {s.name: out[s.name] for s in fleet}


def untrained(five: Scores) -> Scores:
    """The line to beat: the mean smoothed square of the five; its logarithm can be calibrated."""
    return {name: np.log(np.maximum(x.mean(axis=1), 1e-3)) for name, x in five.items()}


def calibration(fleet: list[Server], logits: Scores) -> dict[str, float]:
    """Slope and intercept of the line through which logits become honest (Platt 1999), by Newton's method."""
    x = np.concatenate([logits[s.name] for s in fleet]).astype(np.float64)
    y = np.concatenate(list(targets(fleet).values())).astype(np.float64)
    design = np.stack([x, np.ones_like(x)], axis=1)
    line = np.array([1.0, 0.0])
    for _ in range(50):
        p = 1 / (1 + np.exp(-np.clip(design @ line, -30, 30)))
        weight = np.maximum(p * (1 - p), 1e-9)
        change = np.linalg.solve((design * weight[:, None]).T @ design, design.T @ (p - y))
        line -= change
        if np.abs(change).max() < 1e-9:
            break
    return {"calibration_slope": float(line[0]), "calibration_intercept": float(line[1])}


def calibrated(fleet: list[Server], logits: Scores) -> Scores:
    """Probabilities, each server's by a line fitted without it."""
    out: Scores = {}
    for learn, unseen in folds(fleet):
        line = calibration(learn, logits)
        for s in unseen:
            logit = line["calibration_slope"] * logits[s.name] + line["calibration_intercept"]
            out[s.name] = 1 / (1 + np.exp(-logit))
    return {s.name: out[s.name] for s in fleet}


def judge(fleet: list[Server], rank: Scores, probability: Scores) -> dict[str, float]:
    """Pooled minutes of all labelled parts: `rank` is judged by order, `probability` by value.

    `strict` asks only of minutes outside and well after incidents.
    """
    y = targets(fleet)
    label, score, p = (np.concatenate([of[s.name] for s in fleet]) for of in (y, rank, probability))
    quiet = np.concatenate([~_lately(s.label[s.labelled :]) for s in fleet])
    return {
        "roc": metrics.roc(label, score),
        "roc_mean_of_servers": float(np.mean([metrics.roc(y[s.name], rank[s.name]) for s in fleet])),
        "pr": metrics.average_precision(label, score),
        "brier": metrics.brier(label, p),
        "ece": metrics.calibration_error(label, p),
        "prevalence": float(label.mean()),
        "brier_of_prevalence": float(label.mean() * (1 - label.mean())),
        "strict_roc": metrics.roc(label[quiet], score[quiet]),
    }


def _lately(label: NDArray[np.bool_]) -> NDArray[np.bool_]:
    """An incident is active or ended less than 15 minutes ago."""
    return soon(label[::-1], GRACE_MIN)[::-1]


def probabilities(fleet: list[Server], five: Scores, network: Network) -> Scores:
    """What the live round would say of every labelled minute."""
    return {s.name: failure.probability(five[s.name], network) for s in fleet}
