"""The whole run: each model trained, judged on unseen servers, converted, compared, shipped; scores.json."""

import json
import sys
import tempfile
from pathlib import Path
from typing import Any

import numpy as np
from openmanager.catalog import FAILURE_INPUTS
from openmanager.inference.runtime import Model

from models.training import anomaly, card, dense, export, failure, forecast
from models.training.data import Floats, Server, host, series, servers

# int8 is shipped where it costs less than this, float16 otherwise.
TOLERANCE = 0.01
FORECAST_HELD_OUT = slice(0, None, 4)
Shipped = tuple[str, Model]


def run(folder: Path, out: Path, seed: int, steps: int) -> None:
    """Train everything from `folder` and write the files to `out`. Raises DataMissing."""
    about = {"trained": {"commit": export.commit(), "seed": seed, "forecast_steps": steps}}
    _say("reading and scaling")
    fleet = servers(folder)
    everything = series(folder, fleet)
    scores: dict[str, Any] = {}
    chosen: dict[str, Shipped] = {}
    with tempfile.TemporaryDirectory() as temporary:
        work = Path(temporary)
        _say("anomaly: cross-validating, training, converting")
        scores["anomaly"], chosen["anomaly"] = _anomaly(fleet, seed, work)
        _say("failure: cross-validating, training, converting")
        scores["failure"], chosen["failure"] = _failure(fleet, seed, work)
        held_out = {s.name for s in fleet[FORECAST_HELD_OUT]}
        learn = [s for s in everything if s.source != "nab" and s.server not in held_out]
        fold = forecast.train(learn, seed, steps, "forecast, without the servers that judge it")
        weights = forecast.train(everything, seed, steps, "forecast")
        formats = {f: export.convert("forecast", f, weights, work, None, {}) for f in export.FORMATS["forecast"]}
        unseen = export.convert("forecast", "float32", fold, work / "fold", None, {})
        smd = [s for s in everything if s.source == "smd" and s.judged]
        unseen_smd = [s for s in smd if s.server in held_out]
        scores["forecast"] = {
            "unseen_servers": forecast.judge(unseen_smd, unseen),
            "unseen_by_input": {
                name: forecast.judge([s for s in unseen_smd if s.metric == name], unseen) for name in FAILURE_INPUTS
            },
            "unseen_cloudwatch": forecast.judge([s for s in everything if s.source == "nab"], unseen),
            "unseen_host": forecast.judge(host(folder), unseen),
            "unseen_time": {f: forecast.judge(smd, m) for f, m in formats.items()},
        }
        cost = _cost(scores["forecast"]["unseen_time"], "mae_over_naive_path")
        chosen["forecast"] = ("float16", formats["float16"])
        scores["forecast"] |= {"shipped": "float16", "cost_of_format": cost["float16"]}
        export.ship(chosen, work, out, about)
    (out / "scores.json").write_text(json.dumps(_rounded(scores), indent=1) + "\n")
    if (out / "README.md").exists():
        card.refresh(out)
    _say(json.dumps(_rounded(scores), indent=1))


def _anomaly(fleet: list[Server], seed: int, work: Path) -> tuple[dict[str, Any], Shipped]:
    crossed = anomaly.cross_validated(fleet, seed)
    thresholds, rule = anomaly.alarm_rule(fleet, crossed)
    plain = anomaly.no_model(fleet)
    layers = anomaly.train(fleet, seed)
    sample = np.concatenate([anomaly.seen(s.z)[::499] for s in fleet])
    formats = _formats("anomaly", layers, sample, anomaly.SCALING | thresholds, work)
    judged = {f: anomaly.judge(fleet, anomaly.smoothed(fleet, m)) for f, m in formats.items()}
    form, cost = _pick(judged, "auc_pr")
    return {
        "unseen_servers": anomaly.judge(fleet, crossed),
        "no_model": anomaly.judge(fleet, plain),
        "alarm_rule": rule,
        "no_model_alarm_rule": anomaly.alarm_rule(fleet, plain)[1],
        "per_server": {s.name: anomaly.per_server(s, crossed[s.name]) for s in fleet},
        "formats": judged,
        "shipped": form,
        "cost_of_format": cost,
    }, (form, formats[form])


def _failure(fleet: list[Server], seed: int, work: Path) -> tuple[dict[str, Any], Shipped]:
    five = failure.smoothed(fleet)
    logits = failure.cross_validated(fleet, five, seed)
    line = failure.calibration(fleet, logits)
    layers = failure.train(fleet, five, seed)
    sample = np.concatenate([failure.seen(x[::199]) for x in five.values()])
    formats = _formats("failure", layers, sample, failure.SCALING | line, work)
    said = {f: failure.probabilities(fleet, five, m) for f, m in formats.items()}
    judged = {f: failure.judge(fleet, p, p) for f, p in said.items()}
    form, cost = _pick(judged, "roc", "pr", "brier")
    plain = failure.untrained(five)
    return {
        "unseen_servers": failure.judge(fleet, logits, failure.calibrated(fleet, logits)),
        "no_model": failure.judge(fleet, plain, failure.calibrated(fleet, plain)),
        "formats_on_servers_trained_on": judged,
        "shipped": form,
        "cost_of_format": cost,
    }, (form, formats[form])


def _formats(name: str, layers: dense.Layers, sample: Floats, constants: dict[str, float], work: Path) -> Any:
    weights = [w for pair in layers for w in pair]
    return {f: export.convert(name, f, weights, work, sample, constants) for f in export.FORMATS[name]}


def _pick(judged: dict[str, dict[str, float]], *measures: str) -> tuple[str, float]:
    """(int8 if it costs less than the tolerance by every measure, else float16; what that costs)."""
    costs = {f: max(_cost(judged, m)[f] for m in measures) for f in judged}
    form = "int8" if costs["int8"] < TOLERANCE else "float16"
    return form, costs[form]


def _cost(judged: dict[str, dict[str, float]], measure: str) -> dict[str, float]:
    """How far each format lies from float32 by one measure, either way."""
    return {f: abs(scores[measure] - judged["float32"][measure]) for f, scores in judged.items()}


def _rounded(value: Any) -> Any:
    if isinstance(value, dict):
        return {key: _rounded(v) for key, v in value.items()}
    return round(value, 4) if isinstance(value, float) else value


def _say(text: str) -> None:
    sys.stderr.write(text + "\n")
