"""A small invented fleet in the recordings' format, for tests that train."""

import json
from pathlib import Path

import numpy as np
from openmanager.catalog import METRIC, MODEL_METRICS

SERVERS, TRAIN, TEST = 8, 1_200, 1_800
INCIDENT_MIN = 60
UNUSED_COLUMNS = 18
# The columns that an incident moves; the first of them are among the model's metrics.
MOVED = 8


def write(folder: Path) -> None:
    """SMD with daily shapes, noise, and one hour-long incident in each server's second half."""
    named = [METRIC[key].smd or "" for key in MODEL_METRICS]
    columns = named + [f"other_{i}" for i in range(UNUSED_COLUMNS)]
    (folder / "smd").mkdir(parents=True)
    (folder / "smd" / "columns.json").write_text(json.dumps(columns))
    for n in range(SERVERS):
        rng = np.random.default_rng(n)
        minute = np.arange(TRAIN + TEST)[:, None]
        day = 0.1 * np.sin(2 * np.pi * minute / 1440 + rng.uniform(0, 6, len(columns)))
        values = 0.3 + day + rng.normal(0, 0.03, (TRAIN + TEST, len(columns)))
        at = int(rng.integers(300, TEST - 300))
        values[TRAIN + at : TRAIN + at + INCIDENT_MIN, :MOVED] += 0.5
        label = np.zeros(TEST, np.uint8)
        label[at : at + INCIDENT_MIN] = 1
        train, test = values[:TRAIN].astype(np.float32), values[TRAIN:].astype(np.float32)
        np.savez(folder / "smd" / f"server-{n}.npz", train=train, test=test, label=label)
