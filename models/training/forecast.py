"""The forecaster: one network for every series, judged on servers and sources that it never saw, beside old methods."""

from collections.abc import Callable
from pathlib import Path
from typing import Any

import numpy as np
from openmanager.catalog import FAILURE_INPUTS
from openmanager.inference.runtime import Model

from models.training import backtests, export, generated
from models.training.data import Series, host, servers
from models.training.data import series as all_series
from models.training.lstm import train
from models.training.path_errors import beside, by_network, interval, ratios, summary

FOLDS = 3
# The shipped network learns as long on each series as the folds' did: it has half as many servers again.
LONGER = 1.5
GENERATED = 16


def run(folder: Path, seed: int, work: Path, steps: int) -> tuple[dict[str, Any], export.Shipped]:
    """Train without and with the servers that judge, convert: (scores, what to ship, lying in `work`)."""
    fleet = servers(folder)
    real = all_series(folder, fleet)
    made = generated.generate(GENERATED, np.random.default_rng(seed))
    judged = [s for s in real if s.judged and s.source != "asd"] + _every_third(real) + host(folder)
    judged += generated.generate(GENERATED, np.random.default_rng(seed + 1))
    folds: list[tuple[list[Series], Model]] = []
    for k in range(FOLDS):
        unseen = _names(real, k)
        learn = [s for s in real if s.source != "nab" and s.server not in unseen]
        weights = train(learn + made, seed + k, steps, f"forecast, fold {k + 1} of {FOLDS}")
        network = export.convert("forecast", "float32", weights, work / f"fold{k}", None, {})
        folds.append(([s for s in judged if s.source not in ("smd", "asd") or s.server in unseen], network))
    weights = train(real + made, seed, round(LONGER * steps), "forecast")
    formats = {f: export.convert("forecast", f, weights, work, None, {}) for f in export.FORMATS["forecast"]}
    smd = [s for s in judged if s.source == "smd"]
    unseen_time = {f: summary(ratios(smd, by_network(m))) for f, m in formats.items()}
    scores = {
        **judge(folds),
        "baselines": beside(smd),
        "baselines_asd": beside([s for s in judged if s.source == "asd"]),
        "baselines_cloudwatch": beside([s for s in judged if s.source == "nab"]),
        "unseen_time": unseen_time,
        "backtest": backtests.report_folds(folds),
        "shipped": "float16",
        "cost_of_format": max(export.cost(unseen_time, f"mae_over_naive_{h}")["float16"] for h in ("next", "path")),
    }
    return scores, ("float16", formats["float16"])


def _names(real: list[Series], fold: int) -> set[str]:
    """The servers of SMD and of ASD that judge in a fold: every third of each."""
    by_source = [sorted({s.server for s in real if s.source == source}) for source in ("smd", "asd")]
    return {name for names in by_source for name in names[fold::FOLDS]}


def _every_third(real: list[Series]) -> list[Series]:
    """Every third of ASD's 19 metrics of a server: they are much alike, and these judge in a third of the time."""
    return [s for s in real if s.source == "asd"][::3]


def judge(folds: list[tuple[list[Series], Model]]) -> dict[str, Any]:
    """Scores over the folds' unseen series; every network judges the sources that none of them saw."""
    tables = [(series, ratios(series, by_network(network))) for series, network in folds]
    every = [s for series, _ in tables for s in series]
    whole = np.concatenate([table for _, table in tables])

    def pick(wanted: Callable[[Series], bool]) -> dict[str, float]:
        return summary(whole[[wanted(s) for s in every]])

    def by_fold(source: str) -> dict[str, dict[str, float]]:
        return {
            str(k): summary(table[[s.source == source for s in series]]) for k, (series, table) in enumerate(tables)
        }

    smd = np.array([s.source == "smd" for s in every])
    return {
        "unseen_servers": pick(lambda s: s.source == "smd"),
        "unseen_by_input": {
            name: pick(lambda s, name=name: s.source == "smd" and s.metric == name) for name in FAILURE_INPUTS
        },
        "unseen_servers_interval": interval([every[i] for i in np.flatnonzero(smd)], whole[smd]),
        "unseen_by_fold": by_fold("smd"),
        "unseen_asd": pick(lambda s: s.source == "asd"),
        "unseen_cloudwatch": pick(lambda s: s.source == "nab"),
        "unseen_cloudwatch_by_fold": by_fold("nab"),
        "unseen_host": pick(lambda s: s.source == "host"),
        "simulated": {
            kind: pick(lambda s, kind=kind: s.source == "generated" and s.metric == kind) for kind in generated.KINDS
        },
    }
