"""The whole run: each model trained, judged on unseen servers, converted, compared, shipped; scores.json."""

import json
import sys
import tempfile
from collections.abc import Callable, Sequence
from functools import partial
from pathlib import Path
from typing import Any

from models.training import anomaly, card, export, failure, forecast

MODELS = ("anomaly", "failure", "forecast")


def run(folder: Path, out: Path, seed: int, steps: int, wanted: Sequence[str] = MODELS) -> None:
    """Train the `wanted` models from `folder` and write them to `out`; the others' files stay. Raises DataMissing."""
    runs: dict[str, Callable[[Path, int, Path], tuple[dict[str, Any], export.Shipped]]] = {
        "anomaly": anomaly.run,
        "failure": failure.run,
        "forecast": partial(forecast.run, steps=steps),
    }
    out.mkdir(parents=True, exist_ok=True)
    for name in wanted:
        about = {"commit": export.commit(), "seed": seed} | ({"steps": steps} if name == "forecast" else {})
        _say(f"{name}: reading, cross-validating, training, converting")
        with tempfile.TemporaryDirectory() as temporary:
            scores, shipped = runs[name](folder, seed, Path(temporary))
            export.ship(name, shipped, Path(temporary), out, about)
        place = out / "scores.json"
        known = json.loads(place.read_text()) if place.exists() else {}
        known = {name: known[name] for name in MODELS if name in known} | {name: _rounded(scores)}
        place.write_text(json.dumps(dict(sorted(known.items())), indent=1) + "\n")
        _say(json.dumps(_rounded(scores), indent=1))
    card.refresh(out)


def _rounded(value: Any) -> Any:
    if isinstance(value, dict):
        return {key: _rounded(v) for key, v in value.items()}
    if isinstance(value, list):
        return [_rounded(v) for v in value]
    return round(value, 4) if isinstance(value, float) else value


def _say(text: str) -> None:
    sys.stderr.write(text + "\n")
