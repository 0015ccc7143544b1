"""A small invented fleet in the recordings' format: `python -m tests.models.anomaly_fleet FOLDER`."""

import json
import sys
from pathlib import Path

import numpy as np

SERVERS, TRAIN, TEST = 8, 1_200, 1_800
SMD_COLUMNS = 38


def write(folder: Path, columns: list[str]) -> None:
    """SMD and ASD with daily shapes, noise, and one hour-long incident in each server's second half."""
    for part, width in (("smd", SMD_COLUMNS), ("asd", 19)):
        (folder / part).mkdir(parents=True)
        for n in range(SERVERS):
            rng = np.random.default_rng([n, width])
            t = np.arange(TRAIN + TEST)[:, None]
            day = 0.1 * np.sin(2 * np.pi * t / 1440 + rng.uniform(0, 6, width))
            values = 0.3 + day + rng.normal(0, 0.03, (TRAIN + TEST, width))
            at = int(rng.integers(TRAIN + 300, TRAIN + TEST - 300))
            values[at : at + 60, :8] += 0.5
            label = np.zeros(TEST, np.uint8)
            label[at - TRAIN : at - TRAIN + 60] = 1
            np.savez(
                folder / part / f"{part}-{n}.npz",
                train=values[:TRAIN].astype(np.float32),
                test=values[TRAIN:].astype(np.float32),
                label=label,
            )
    (folder / "smd" / "columns.json").write_text(json.dumps(columns))


if __name__ == "__main__":
    from openmanager.catalog import METRIC, MODEL_METRICS

    named = [METRIC[key].smd or "" for key in MODEL_METRICS]
    write(Path(sys.argv[1]), named + [f"other_{i}" for i in range(SMD_COLUMNS - len(named))])
