"""The failure network 5-64-32-1: the probability that an incident is active or starts within 30 minutes."""

from collections.abc import Callable
from pathlib import Path
from typing import Any

import numpy as np
import tensorflow as tf
from numpy.typing import NDArray
from openmanager.inference import failure
from openmanager.inference.runtime import Network

from models.training import dense, export, metrics, simulated
from models.training import failure_scores as scoring
from models.training.calibrate import calibrated, calibration, design, isotonic, newton
from models.training.data import Floats, Server, folds, over_time, servers
from models.training.failure_scores import Judged, Scores, targets
from models.training.simulated import Episode

SIZES = (5, 64, 32, 1)
SCALING = {"input_clip": 20.0, "input_scale": 5.0}
# Few epochs, dropout and decay: longer training learns servers, not incidents.
RECIPE = dense.Recipe(epochs=2, peak_rate=2e-3, batch=512, decay=0.1, dropout=0.3)
UNTRAINED = dense.NumpyNetwork([], SCALING)
# The weight of a server's troubled minutes over that of its others: one number for all folds, so that a fold's own
# prevalence does not shift its logits against another's.
TROUBLED = 0.07
# A minute of a simulated fault counts this much of a real one; half of the simulated minutes are calm.
SIMULATED_WEIGHT = 0.3
CALM_MIN = 31
# int8 is shipped where it costs less than this in every measure.
INT8_MAY_COST = 0.005
SEEDS = 3
# Scores of all labelled minutes by server, and of all simulated faults: of what never saw the server they are from.
Unseen = tuple[Scores, list[Judged]]
Rows = list[Floats]
Fit = Callable[[Floats, NDArray[np.bool_], Floats], Callable[[Floats], Floats]]


def run(folder: Path, seed: int, work: Path) -> tuple[dict[str, Any], export.Shipped]:
    """Cross-validate, train, calibrate and convert: (scores, what to ship, lying in `work`)."""
    fleet = servers(folder)
    five = smoothed(fleet)
    learnt = with_inputs(simulated.episodes(fleet, seed, simulated.LEARNT))
    asked = with_inputs(simulated.episodes(fleet, seed + 1, simulated.ASKED))
    line = (untrained(five), [Judged(e, _log_mean(x)) for e, x in asked])
    ours = [cross_validated(fleet, five, learnt, asked, network(seed + k)) for k in range(SEEDS)]
    real_only = [cross_validated(fleet, five, [], asked, network(seed + k)) for k in range(SEEDS)]
    linear = cross_validated(fleet, five, learnt, asked, logistic)
    boosted = cross_validated(fleet, five, learnt, asked, boosting)
    logits = ours[0][0]
    constants = SCALING | calibration(fleet, logits)
    layers = train(fleet, five, learnt, seed)
    sample = np.concatenate([seen(x[::199]) for x in five.values()] + [seen(x[::31]) for _, x in learnt])
    formats = export.formats("failure", layers, sample, constants, work)
    said = {f: probabilities(five, m) for f, m in formats.items()}
    judged = {f: scoring.judge(fleet, p, p) for f, p in said.items()}
    costs = {f: max(export.cost(judged, m)[f] for m in ("roc", "pr", "brier")) for f in judged}
    form = "int8" if costs["int8"] < INT8_MAY_COST else "float16"
    return {
        "unseen_servers": _judged(fleet, logits) | _spread(fleet, [scores for scores, _ in ours]),
        "no_model": _judged(fleet, line[0]) | {"folds": scoring.fold_spread(fleet, line[0])},
        "logistic": _judged(fleet, linear[0]),
        "boosting": _judged(fleet, boosted[0]),
        "without_simulated": _judged(fleet, real_only[0][0]) | _spread(fleet, [s for s, _ in real_only]),
        "isotonic": scoring.calibration(fleet, isotonic(fleet, logits)),
        "gain_over_no_model": scoring.paired(fleet, logits, line[0]),
        "reliability": _numbered(scoring.reliability(fleet, calibrated(fleet, logits))),
        "simulated": {
            "network": scoring.faults(fleet, *ours[0]),
            "without_simulated": scoring.faults(fleet, *real_only[0]),
            "logistic": scoring.faults(fleet, *linear),
            "boosting": scoring.faults(fleet, *boosted),
            "no_model": scoring.faults(fleet, *line),
            "raw_threshold": scoring.raw_thresholds(fleet, [e for e, _ in asked]),
        },
        "formats_on_servers_trained_on": judged,
        "costs": costs,
        "shipped": form,
        "cost_of_format": costs[form],
    }, (form, formats[form])


def smoothed(fleet: list[Server]) -> Scores:
    """The smoothed squared deviations (n, 5) of every server's labelled part."""
    return {s.name: row[s.labelled :] for s, row in zip(fleet, _smoothed([s.z for s in fleet]), strict=True)}


def with_inputs(episodes: list[Episode]) -> list[tuple[Episode, Floats]]:
    """Each simulated fault with its smoothed squared deviations (n, 5)."""
    return list(zip(episodes, _smoothed([e.z for e in episodes]), strict=True))


def _smoothed(z: Rows) -> Rows:
    return over_time(failure.smooth, [failure.inputs(rows, UNTRAINED) for rows in z])


def seen(five: Floats) -> Floats:
    """What the network sees of smoothed squared deviations (n, 5)."""
    return failure.features(five, UNTRAINED)


def lesson(
    fleet: list[Server], five: Scores, learnt: list[tuple[Episode, Floats]]
) -> tuple[Floats, NDArray[np.bool_], Floats]:
    """What is learnt from `fleet` and its own simulated faults: inputs (n, 5), target (n,), weight (n,).

    A server's troubled minutes weigh together as much as any other's, or the three with the most incidents
    would say what an incident is. Minutes of a fault more than 30 before exhaustion are left out: whether they
    are trouble yet is a matter of opinion.
    """
    y = targets(fleet)
    parts = [(five[s.name], y[s.name], np.where(y[s.name], TROUBLED / y[s.name].mean(), 1)) for s in fleet]
    names = {s.name for s in fleet}
    for episode, rows in learnt:
        if episode.server in names:
            last = max(episode.onset, len(rows) - failure.HORIZON_MIN - 1)
            picked = np.r_[episode.onset - CALM_MIN : episode.onset, last : len(rows)]
            parts.append((rows[picked], picked >= last, np.full(len(picked), SIMULATED_WEIGHT)))
    x, label, weight = (np.concatenate(part) for part in zip(*parts, strict=True))
    return seen(x), label.astype(bool), weight.astype(np.float32)


def train(fleet: list[Server], five: Scores, learnt: list[tuple[Episode, Floats]], seed: int) -> dense.Layers:
    """Fit on the labelled parts of `fleet` and on faults simulated on it."""
    return _layers(*lesson(fleet, five, learnt), seed)


def _layers(x: Floats, label: NDArray[np.bool_], weight: Floats, seed: int) -> dense.Layers:
    def loss(target: tf.Tensor, out: tf.Tensor) -> tf.Tensor:
        return tf.reduce_mean(target[:, 1:] * tf.nn.sigmoid_cross_entropy_with_logits(target[:, :1], out))

    return dense.fit(SIZES, x, np.stack([label, weight], axis=1).astype(np.float32), loss, RECIPE, seed)


def network(seed: int) -> Fit:
    """Fits the network: its logit as a function of inputs."""

    def fit(x: Floats, label: NDArray[np.bool_], weight: Floats) -> Callable[[Floats], Floats]:
        layers = _layers(x, label, weight, seed)
        return lambda rows: dense.predict(layers, rows)[:, 0]

    return fit


def logistic(x: Floats, label: NDArray[np.bool_], weight: Floats) -> Callable[[Floats], Floats]:
    """Logistic regression on the same inputs: its logit."""
    line = newton(design(x), label, weight)
    return lambda rows: (design(rows) @ line).astype(np.float32)


def boosting(x: Floats, label: NDArray[np.bool_], weight: Floats) -> Callable[[Floats], Floats]:
    """Gradient boosting of small trees on the same inputs: its logit."""
    from sklearn.ensemble import HistGradientBoostingClassifier

    trees = HistGradientBoostingClassifier(
        max_iter=60, learning_rate=0.05, max_leaf_nodes=8, min_samples_leaf=500, early_stopping=False, random_state=0
    )
    trees.fit(x, label, sample_weight=weight)
    return lambda rows: np.asarray(trees.decision_function(rows), np.float32)


def cross_validated(
    fleet: list[Server],
    five: Scores,
    learnt: list[tuple[Episode, Floats]],
    asked: list[tuple[Episode, Floats]],
    fit: Fit,
) -> Unseen:
    """Logits of every server's minutes and simulated faults, from what was fitted without that server."""
    out: Scores = {}
    faults: dict[int, Judged] = {}
    for learn, unseen in folds(fleet):
        logit = fit(*lesson(learn, five, learnt))
        names = {s.name for s in unseen}
        out |= {name: logit(seen(five[name])) for name in names}
        faults |= {i: Judged(e, logit(seen(x))) for i, (e, x) in enumerate(asked) if e.server in names}
    return {s.name: out[s.name] for s in fleet}, [faults[i] for i in range(len(asked))]


def untrained(five: Scores) -> Scores:
    """The line to beat: the mean smoothed square of the five; its logarithm can be calibrated."""
    return {name: _log_mean(x) for name, x in five.items()}


def _log_mean(five: Floats) -> Floats:
    return np.asarray(np.log(np.maximum(five.mean(axis=1), 1e-3)), np.float32)


def probabilities(five: Scores, model: Network) -> Scores:
    """What the live round would say of every labelled minute."""
    return {name: failure.probability(x, model) for name, x in five.items()}


def _judged(fleet: list[Server], logits: Scores) -> dict[str, Any]:
    return scoring.judge(fleet, logits, calibrated(fleet, logits))


def _spread(fleet: list[Server], seeds: list[Scores]) -> dict[str, Any]:
    """How the first seed's figures differ over folds, and the same recipe's over seeds (mean, deviation)."""
    y = np.concatenate(list(targets(fleet).values()))
    pooled = [np.concatenate([scores[s.name] for s in fleet]) for scores in seeds]
    figures = {"roc": [metrics.roc(y, p) for p in pooled], "pr": [metrics.average_precision(y, p) for p in pooled]}
    return {
        "folds": scoring.fold_spread(fleet, seeds[0]),
        "seeds": {key: float(np.std(v, ddof=1)) for key, v in figures.items()},
        "mean_of_seeds": {key: float(np.mean(v)) for key, v in figures.items()},
    }


def _numbered(groups: list[dict[str, float]]) -> dict[str, dict[str, float]]:
    return {str(i): group for i, group in enumerate(groups, 1)}
