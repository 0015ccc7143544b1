"""The recordings the models learn from, as arrays; the folder's own README says where they come from."""

import csv
import json
from collections.abc import Callable
from dataclasses import dataclass
from functools import lru_cache
from pathlib import Path

import numpy as np
from numpy.typing import NDArray
from openmanager.catalog import FAILURE_INPUTS, METRIC, MODEL_METRICS
from openmanager.measures import soon as soon
from openmanager.telemetry import scaling

Floats = NDArray[np.float32]
FOLDS = 4
HOST_GAUGES = ("cpu_percent", "cpu_user", "cpu_system", "mem_percent", "load1", "load5", "procs")
# Server Machine Dataset columns are shares of their own largest value: percent metrics end at 1.
HIGH = np.array([1.0 if METRIC[key].high else np.nan for key in MODEL_METRICS], np.float32)


class DataMissing(Exception):
    """The data folder, or a part of it, is not there."""


@dataclass(frozen=True, eq=False)
class Server:
    """One server of the Server Machine Dataset, one row a minute.

    `values` (n, 20) as recorded, `z` (n, 20) scaled causally, `label` (n,) True in labelled incidents. Rows
    before `labelled` are the train part: unlabelled, taken as normal.
    """

    name: str
    values: Floats
    z: Floats
    label: NDArray[np.bool_]
    labelled: int


@dataclass(frozen=True, eq=False)
class Series:
    """One series for the forecaster: its source, values, and the index where its test part starts.

    `judged` series count in the scores; the others only widen what is learnt.
    """

    source: str
    server: str
    values: NDArray[np.float64]
    floor: float
    test: int
    judged: bool = True
    metric: str = ""


@lru_cache(maxsize=1)
def servers(folder: Path) -> list[Server]:
    """The development servers, scaled from their first minute on. Raises DataMissing."""
    with (_existing(folder, "smd") / "columns.json").open() as file:
        columns = json.load(file)
    picked = [columns.index(METRIC[key].smd) for key in MODEL_METRICS]
    raw = _npz(folder, "smd")
    values = [np.concatenate([d["train"], d["test"]])[:, picked].astype(np.float32) for d in raw.values()]
    z = scaled(values)
    return [
        Server(name, v, s, np.r_[np.zeros(len(d["train"]), bool), d["label"] > 0], len(d["train"]))
        for (name, d), v, s in zip(raw.items(), values, z, strict=True)
    ]


def scaled(values: list[Floats]) -> list[Floats]:
    """z of every server: one batched step a minute, as the live round does it."""
    length = max(map(len, values))
    padded = np.full((length, len(values), len(MODEL_METRICS)), np.nan, np.float32)
    for i, v in enumerate(values):
        padded[: len(v), i] = v
    scaler = scaling.Scaler.new(len(values), len(MODEL_METRICS))
    z = np.stack([scaling.step(scaler, row, HIGH) for row in padded])
    return [np.ascontiguousarray(z[: len(v), i]) for i, v in enumerate(values)]


def series(folder: Path, fleet: list[Server]) -> list[Series]:
    """Every series for the forecaster: SMD (judged: the five failure inputs), ASD, CloudWatch of NAB."""
    out = []
    for s in fleet:
        wide = s.values.astype(np.float64)
        for name, keys in FAILURE_INPUTS.items():
            column = wide[:, [MODEL_METRICS.index(key) for key in keys]].mean(axis=1)
            out.append(Series("smd", s.name, column, 0.001, s.labelled, metric=name))
        out += [Series("smd", s.name, column, 0.001, s.labelled, judged=False) for column in wide.T]
    for server, d in _npz(folder, "asd").items():
        both = np.concatenate([d["train"], d["test"]]).astype(np.float64)
        out += [Series("asd", server, both[:, k], 0.001, len(d["train"])) for k in range(both.shape[1])]
    for path in sorted((_existing(folder, "nab") / "realAWSCloudwatch").glob("*.csv")):
        with path.open() as file:
            values = np.array([float(row[1]) for row in list(csv.reader(file))[1:]])
        floor = 0.001 * float(np.ptp(values))
        out.append(Series("nab", path.stem, values, floor, len(values) * 7 // 10))
    return [s for s in out if np.ptp(s.values[: s.test]) > 0 and np.ptp(s.values[s.test :]) > 0]


def host(folder: Path) -> list[Series]:
    """Gauges of one real host, means of ten seconds; never trained on, all of it is test."""
    with (_existing(folder, "host") / "psutil_1s.csv").open() as file:
        rows = list(csv.DictReader(file))
    columns = {name: np.array([float(row[name]) for row in rows[: len(rows) // 10 * 10]]) for name in HOST_GAUGES}
    return [Series("host", name, v.reshape(-1, 10).mean(axis=1), 0.1, 0) for name, v in columns.items()]


def over_time(step: Callable[[Floats, Floats], Floats], rows: list[Floats]) -> list[Floats]:
    """`step(previous, row)` through time for several servers at once; the first `previous` is NaN."""
    length = max(map(len, rows))
    table = np.full((length, len(rows), *rows[0].shape[1:]), np.nan, np.float32)
    for i, r in enumerate(rows):
        table[: len(r), i] = r
    state = np.full_like(table[0], np.nan)
    for t in range(length):
        table[t] = state = step(state, table[t])
    return [np.ascontiguousarray(table[: len(r), i]) for i, r in enumerate(rows)]


def folds(fleet: list[Server]) -> list[tuple[list[Server], list[Server]]]:
    """(train, test) pairs that split by server; each server is tested once."""
    return [
        (
            [s for i, s in enumerate(fleet) if i % FOLDS != k],
            [s for i, s in enumerate(fleet) if i % FOLDS == k],
        )
        for k in range(FOLDS)
    ]


def _existing(folder: Path, part: str) -> Path:
    if not (folder / part).is_dir():
        raise DataMissing(f"{folder / part}: no such folder; --data names the folder that holds smd/, asd/ and nab/")
    return folder / part


def _npz(folder: Path, part: str) -> dict[str, dict[str, NDArray[np.float32]]]:
    out = {}
    for path in sorted(_existing(folder, part).glob("*.npz")):
        with np.load(path) as file:
            out[path.stem] = {key: file[key] for key in ("train", "test", "label")}
    if not out:
        raise DataMissing(f"{folder / part}: holds no .npz file")
    return out
