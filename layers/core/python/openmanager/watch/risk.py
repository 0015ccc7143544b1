"""When bounded metrics meet their limit, and the risk that combines it with the failure model. Pure."""

from typing import Any

import numpy as np

from openmanager.inference.exhaustion import View, exhaustion
from openmanager.watch import coarse
from openmanager.watch.outlook import BOUNDED_AT, skilled
from openmanager.watch.state import BOUNDED, REASONS, States

# What the interval of an exhaustion holds, as in inference.exhaustion.
COVERAGE = 0.8
_CROSSES, _AT_LIMIT, _RESETS = (REASONS.index(r) for r in ("crosses", "at_limit", "resets_before_limit"))


def exhaustions(states: States, bounded: View | None, minute: int) -> list[dict[str, Any]]:
    """Of each server (n) and bounded metric when it meets its limit, from the minute grid and what coarser ones said.

    `bounded` the minute grid's view (watch.outlook.say). Seconds count from the minute's end. `outcome` is one of
    REASONS; `latest_s` None means possibly beyond the horizon; `likely_s` is when the forecast itself is there;
    `skilled` that the forecast beats the last value there.
    """
    now_s = 60 * (minute + 1)
    fine: list[tuple[int, int, int, float, float, float]] = []
    if bounded is not None:
        earned = skilled(states["tests"][:, BOUNDED_AT].reshape(-1))
        fine = [coarse.record(f, now_s, bool(earned[i])) for i, f in enumerate(exhaustion([bounded], coarse.LIMIT))]
    answers: list[dict[str, Any]] = []
    for i in range(len(states)):
        found = {}
        for j, metric in enumerate(BOUNDED):
            near = fine[i * len(BOUNDED) + j] if fine else (0, 0, 0, np.nan, np.nan, np.nan)
            if said := _said(near, tuple(states["outcome"][i, j].tolist()), now_s):
                found[metric] = said
        answers.append(found)
    return answers


def _said(near: tuple[Any, ...], far: tuple[Any, ...], now_s: float) -> dict[str, Any] | None:
    """The outcome of one metric; None where no grid knows it."""
    if not near[0] and not far[0]:
        return None
    # The finest grid that crosses speaks, unless a coarser one knows that the metric falls back by habit.
    chosen = near
    if near[0] != _AT_LIMIT and (far[0] == _RESETS or near[0] != _CROSSES) and far[0]:
        chosen = far
    reason, earned, grid_s, earliest, latest, likely = chosen
    said: dict[str, Any] = {"outcome": REASONS[reason], "skilled": bool(earned)}
    if reason in (_CROSSES, _AT_LIMIT):
        said |= {
            "earliest_s": round(max(0.0, earliest - now_s)),
            "latest_s": round(max(0.0, latest - now_s)) if np.isfinite(latest) else None,
            # Unknown of what was found before it was kept.
            "likely_s": round(max(0.0, likely - now_s)) if np.isfinite(likely) else None,
            "coverage": COVERAGE,
            "grid_s": grid_s,
        }
    return said


def combined(chance: dict[str, Any] | None, ends: dict[str, Any]) -> dict[str, Any] | None:
    """The risk of the next half hour, with its parts; None where nothing is known.

    The failure model's probability and, for each bounded metric whose forecast has earned it, the probability that its
    limit is met within the horizon, taken as independent: 1 - product of (1 - part).
    """
    parts = {} if chance is None else {"failure": chance["probability"]}
    for metric, said in ends.items():
        if said["skilled"] or said["outcome"] == "at_limit":
            parts[metric] = _within(said, 1800)
    if not parts:
        return None
    together = 1 - float(np.prod([1 - p for p in parts.values()]))
    return {"probability": round(together, 4), "parts": {k: round(p, 4) for k, p in parts.items()}}


def _within(said: dict[str, Any], horizon_s: float) -> float:
    """The probability that a limit is met within a horizon: the crossing is 80 % likely between its bounds, evenly."""
    if said["outcome"] == "at_limit":
        return 1.0
    if said["outcome"] != "crosses":
        return 0.0
    below = (1 - COVERAGE) / 2
    earliest: float = said["earliest_s"]
    latest: float | None = said["latest_s"]
    if horizon_s <= earliest:
        return below * horizon_s / max(earliest, 1.0)
    if latest is None or latest <= earliest:
        return 0.5 if latest is None else 1 - below
    return min(1 - below, below + COVERAGE * (horizon_s - earliest) / (latest - earliest))
