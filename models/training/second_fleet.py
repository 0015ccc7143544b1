"""A fleet of another owner (ASD: 19 unnamed metrics, every five minutes), judged by what was trained on the first."""

from pathlib import Path
from typing import Any

import numpy as np
from openmanager.catalog import MODEL_METRICS
from openmanager.inference import anomaly
from openmanager.inference.runtime import Network
from openmanager.telemetry import scaling

from models.training import detectors, metrics
from models.training.data import Floats, Server, over_time


def servers(folder: Path) -> list[Server]:
    """ASD, its 19 metrics in the file's order in the places of the first 19 of ours; the 20th is never there.

    One row is five minutes: every half-life is as many rows as elsewhere minutes.
    """
    out = []
    for path in sorted((folder / "asd").glob("*.npz")):
        with np.load(path) as d:
            both = np.concatenate([d["train"], d["test"]]).astype(np.float32)
            label = np.r_[np.zeros(len(d["train"]), bool), d["label"] > 0]
            labelled = len(d["train"])
        values = np.full((len(both), len(MODEL_METRICS)), np.nan, np.float32)
        values[:, : both.shape[1]] = both
        scaler = scaling.Scaler.new(1, len(MODEL_METRICS))
        unbounded = np.full(len(MODEL_METRICS), np.nan, np.float32)
        z = np.concatenate([scaling.step(scaler, row[None], unbounded) for row in values])
        out.append(Server(path.stem, values, z, label, labelled))
    return out


def judged(folder: Path, network: Network) -> dict[str, Any]:
    """The network as it is shipped, no model, and principal components fitted on this fleet's other servers."""
    fleet = servers(folder)
    ours = over_time(anomaly.smooth, [anomaly.score(s.z, network)[0] for s in fleet])
    return {
        "servers": len(fleet),
        "autoencoder": _judge(fleet, {s.name: row for s, row in zip(fleet, ours, strict=True)}),
        "no_model": _judge(fleet, detectors.smoothed(fleet, detectors.mean_square)),
        "pca4_of_this_fleet": _judge(fleet, detectors.cross_validated(fleet, detectors.principal_components, 0)),
    }


def _judge(fleet: list[Server], scores: dict[str, Floats]) -> dict[str, float]:
    rows = [(s.label[s.labelled :], scores[s.name][s.labelled :]) for s in fleet]
    return {
        "auc_pr": float(np.mean([metrics.average_precision(y, x) for y, x in rows])),
        "roc": float(np.mean([metrics.roc(y, x) for y, x in rows])),
        "vus_pr": float(np.mean([metrics.vus_pr(y, x) for y, x in rows])),
    }
