"""The autoencoder 20-10-4-10-20: learns ordinary minutes, is judged on incidents of unseen servers."""

from pathlib import Path
from typing import Any

import numpy as np
import tensorflow as tf
from openmanager.catalog import MODEL_METRICS
from openmanager.inference import anomaly
from openmanager.inference.runtime import Network

from models.training import alarm, dense, detectors, export, metrics, recipe, second_fleet
from models.training.data import FOLDS, Floats, Server, folds, over_time, servers

SIZES = (20, 10, 4, 10, 20)
INPUT_CLIP, ERROR_CLIP, INPUT_SCALE = 3.0, 20.0, 10.0
RECIPE = dense.Recipe(epochs=6, peak_rate=9e-3)
# The share of the rebuilt z that is taken off: a network that explains a deviation lessens it, but half of it stays.
EXPLAINED = 0.5
# A metric weighs by the inverse of this quantile of its error's size in ordinary minutes: one that is often off
# says less when it is.
WEIGHT_QUANTILE = 0.9
# Networks whose scores give the spread over seeds; the first is the one shipped.
SEEDS = 3
SCALING = {
    "input_clip": INPUT_CLIP,
    "error_clip": ERROR_CLIP,
    "input_scale": INPUT_SCALE,
    "explained": EXPLAINED,
}
FLAT = {f"weight.{key}": 1.0 for key in MODEL_METRICS}
Scores = dict[str, Floats]


def run(folder: Path, seed: int, work: Path) -> tuple[dict[str, Any], export.Shipped]:
    """Cross-validate, train and convert: (scores, what to ship, lying in `work`)."""
    fleet = servers(folder)
    networks = cross_trained(fleet, seed)
    crossed = cross_validated(fleet, networks)
    plain = detectors.smoothed(fleet, detectors.mean_square, detectors.average(5, 5))
    plain_alike = detectors.smoothed(fleet, detectors.mean_square)
    thresholds, ruled = alarm.rule(fleet, crossed)
    final = network(fleet, train(fleet, seed))
    sample = np.concatenate([seen(s.z)[::499] for s in fleet])
    encoder = [
        round(float(w), 6) for pair in final.layers[: len(anomaly.ENCODER) - 1] for part in pair for w in part.flat
    ]
    constants = dict(final.constants) | thresholds | {"encoder": encoder}
    formats = export.formats("anomaly", final.layers, sample, constants, work)
    judged = {f: judge(fleet, smoothed(fleet, m)) for f, m in formats.items()}
    form, cost = export.pick(judged, export.sizes(formats, work), "auc_pr", "roc", "vus_pr")
    each = [crossed, *(cross_validated(fleet, cross_trained(fleet, seed + i)) for i in range(1, SEEDS))]
    return {
        "unseen_servers": judge(fleet, crossed),
        "spread": spread(fleet, each),
        "no_model": judge(fleet, plain),
        "no_model_smoothed_alike": judge(fleet, plain_alike),
        "over_no_model": paired(fleet, crossed, plain),
        "over_no_model_smoothed_alike": paired(fleet, crossed, plain_alike),
        "baselines": baselines(fleet, seed),
        "recipe": recipe.compared(fleet, lambda c: candidate(fleet, networks, c)),
        "alarm_rule": ruled,
        "cold_start": alarm.cold(fleet, networks, thresholds),
        "no_model_alarm_rule": alarm.rule(fleet, plain)[1],
        "no_model_smoothed_alike_alarm_rule": alarm.rule(fleet, plain_alike)[1],
        "per_server": {s.name: per_server(s, crossed[s.name]) for s in fleet},
        "second_fleet": second_fleet.judged(folder, formats[form]),
        "formats": judged,
        "bytes": export.sizes(formats, work),
        "shipped": form,
        "cost_of_format": cost,
    }, (form, formats[form])


def seen(z: Floats) -> Floats:
    """What the network sees of z (n, 20)."""
    return np.clip(np.nan_to_num(z), -INPUT_CLIP, INPUT_CLIP) / np.float32(INPUT_SCALE)


def train(fleet: list[Server], seed: int) -> dense.Layers:
    """Fit on the train parts of `fleet`, which are taken as normal."""
    x = np.concatenate([seen(s.z[: s.labelled]) for s in fleet])

    def loss(y: tf.Tensor, out: tf.Tensor) -> tf.Tensor:
        return tf.reduce_mean(tf.square(y - out))

    return dense.fit(SIZES, x, x, loss, RECIPE, seed)


def network(fleet: list[Server], layers: dense.Layers) -> dense.NumpyNetwork:
    """The layers with their constants; the metrics' weights are set on the train parts of `fleet`.

    They come from the network's whole error, nothing of it forgiven, whatever share is taken off in scoring.
    """
    whole = dense.NumpyNetwork(layers, SCALING | FLAT | {"explained": 1.0})
    parts = [np.sqrt(anomaly.score(s.z[: s.labelled], whole)[1] * np.float32(len(MODEL_METRICS))) for s in fleet]
    weight = 1 / np.quantile(np.concatenate(parts), WEIGHT_QUANTILE, axis=0)
    weights = {
        f"weight.{key}": round(float(w), 4) for key, w in zip(MODEL_METRICS, weight / weight.mean(), strict=True)
    }
    return dense.NumpyNetwork(layers, SCALING | weights)


def cross_trained(fleet: list[Server], seed: int) -> list[dense.NumpyNetwork]:
    """A network for each fold, trained and weighted without that fold's servers."""
    return [network(learn, train(learn, seed)) for learn, _ in folds(fleet)]


def cross_validated(
    fleet: list[Server], networks: list[dense.NumpyNetwork], step: detectors.Smooth = anomaly.smooth
) -> Scores:
    """Smoothed errors, each server's by the network of its fold."""
    errors: Scores = {}
    for (_, unseen), fold in zip(folds(fleet), networks, strict=True):
        errors |= {s.name: anomaly.score(s.z, fold)[0] for s in unseen}
    rows = over_time(step, [errors[s.name] for s in fleet])
    return {s.name: row for s, row in zip(fleet, rows, strict=True)}


def candidate(fleet: list[Server], networks: list[dense.NumpyNetwork], wanted: recipe.Candidate) -> Scores:
    """The scores of another recipe over the same trained layers."""
    rise, fall, explained, weighted = wanted
    changed = {"explained": explained} | ({} if weighted else FLAT)
    others = [dense.NumpyNetwork(n.layers, dict(n.constants) | changed) for n in networks]
    return cross_validated(fleet, others, detectors.average(rise, fall))


def smoothed(fleet: list[Server], model: Network) -> Scores:
    """The smoothed error of every minute, as the live round computes it."""
    rows = over_time(anomaly.smooth, [anomaly.score(s.z, model)[0] for s in fleet])
    return {s.name: row for s, row in zip(fleet, rows, strict=True)}


def baselines(fleet: list[Server], seed: int) -> dict[str, Any]:
    """Simple detectors, smoothed like the autoencoder; those with random parts with every seed."""
    fixed = {
        "largest_deviation": [detectors.smoothed(fleet, detectors.largest)],
        "pca4": [detectors.cross_validated(fleet, detectors.principal_components, seed)],
    }
    random = {"isolation_forest": detectors.isolation_forest, "nearest5": detectors.nearest_neighbours}
    drawn = {
        key: [detectors.cross_validated(fleet, fit, seed + i) for i in range(SEEDS)] for key, fit in random.items()
    }
    return {key: judge(fleet, each[0]) | {"spread": spread(fleet, each)} for key, each in (fixed | drawn).items()}


def judge(fleet: list[Server], scores: Scores) -> dict[str, float]:
    """Macro mean over servers, labelled parts."""
    each = [per_server(s, scores[s.name]) for s in fleet]
    return {key: float(np.mean([e[key] for e in each])) for key in each[0]}


def spread(fleet: list[Server], each: list[Scores]) -> dict[str, dict[str, float]]:
    """Standard deviations: of the mean over seeds, of the folds' means, and between servers (the first seed's)."""
    table = [[per_server(s, scores[s.name]) for s in fleet] for scores in each]

    def spreads(key: str) -> dict[str, float]:
        values = np.array([[server[key] for server in row] for row in table])
        by_fold = [values[0, k::FOLDS].mean() for k in range(FOLDS)]
        between = {"folds": float(np.std(by_fold, ddof=1)), "servers": float(np.std(values[0], ddof=1))}
        return between | ({"seeds": float(np.std(values.mean(axis=1), ddof=1))} if len(each) > 1 else {})

    return {key: spreads(key) for key in table[0][0]}


def paired(fleet: list[Server], scores: Scores, other: Scores) -> dict[str, dict[str, float]]:
    """What `scores` gain over `other` on the same servers: mean, its standard error, and on how many servers."""
    ours, theirs = ([per_server(s, x[s.name]) for s in fleet] for x in (scores, other))

    def gain(key: str) -> dict[str, float]:
        off = np.array([a[key] - b[key] for a, b in zip(ours, theirs, strict=True)])
        error = float(off.std(ddof=1) / np.sqrt(len(off)))
        return {"mean": float(off.mean()), "standard_error": error, "servers_better": int((off > 0).sum())}

    return {key: gain(key) for key in ours[0]}


def per_server(server: Server, score: Floats) -> dict[str, float]:
    """One server's scores; `score` (n,) covers all its minutes."""
    y, s = server.label[server.labelled :], score[server.labelled :]
    return {
        "auc_pr": metrics.average_precision(y, s),
        "roc": metrics.roc(y, s),
        "vus_pr": metrics.vus_pr(y, s),
    }
