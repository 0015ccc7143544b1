"""Was the recipe chosen, or found by luck? Every candidate on every server, and the choice made without them."""

from collections.abc import Callable
from itertools import product
from typing import Any

import numpy as np

from models.training import metrics
from models.training.data import Floats, Server, folds

SMOOTHINGS = ((5, 5), (2, 8), (3, 12))
EXPLAINED = (0.0, 0.5, 1.0)
# (rise, fall, share explained, weighted)
Candidate = tuple[int, int, float, bool]
CANDIDATES: tuple[Candidate, ...] = tuple(
    (*smoothing, explained, weighted)
    for smoothing, explained, weighted in product(SMOOTHINGS, EXPLAINED, (False, True))
)


def compared(fleet: list[Server], scores: Callable[[Candidate], dict[str, Floats]]) -> dict[str, Any]:
    """Every candidate's mean, and what is got when each fold's servers have no say in the choice.

    The choice maximises the sum of AUC-PR and VUS-PR over the servers outside the fold.
    """
    table = np.array([_measured(fleet, scores(c)) for c in CANDIDATES])
    place = {s.name: i for i, s in enumerate(fleet)}
    nested = []
    chosen = []
    for learn, unseen in folds(fleet):
        best = int(table[:, [place[s.name] for s in learn]].sum(axis=2).mean(axis=1).argmax())
        chosen.append(name(CANDIDATES[best]))
        nested += [table[best, place[s.name]] for s in unseen]
    return {
        "candidates": {name(c): _pair(row.mean(axis=0)) for c, row in zip(CANDIDATES, table, strict=True)},
        "nested": _pair(np.mean(nested, axis=0)),
        "chosen_by_fold": chosen,
    }


def name(candidate: Candidate) -> str:
    """How scores.json calls a candidate, such as `rise2_fall8_explained50_weighted`."""
    rise, fall, explained, weighted = candidate
    return f"rise{rise}_fall{fall}_explained{round(100 * explained)}_{'weighted' if weighted else 'flat'}"


def _measured(fleet: list[Server], scores: dict[str, Floats]) -> list[tuple[float, float]]:
    rows = [(s.label[s.labelled :], scores[s.name][s.labelled :]) for s in fleet]
    return [(metrics.average_precision(y, x), metrics.vus_pr(y, x)) for y, x in rows]


def _pair(values: Floats) -> dict[str, float]:
    return {"auc_pr": float(values[0]), "vus_pr": float(values[1])}
