"""What the default rules would have paged on labelled minutes: incidents found, false pages, and how early or late."""

import json
import time
from collections.abc import Sequence
from dataclasses import replace
from pathlib import Path
from statistics import median
from typing import Any

import numpy as np
from numpy.typing import NDArray
from openmanager.alerts.rules import DEFAULTS, Rule
from openmanager.catalog import METRICS
from openmanager.watch.config import Config
from openmanager.watch.replay import Past, replay_each

from tests.bench import recordings
from tests.bench.output import say

FIRST = 29_400_000 // 1440 * 1440
# Two days of the unlabelled part come first, for the servers' baselines.
LEAD_MIN = 2880
# A page is excused in an incident and in the quarter of an hour after it.
GRACE_MIN = 15
THRESHOLDS = tuple(r for r in DEFAULTS if r.kind in ("threshold", "offline"))
PLAIN = tuple(replace(r, for_min=0, keep_firing_min=0, recover_warning=None, recover_critical=None) for r in THRESHOLDS)
VARIANTS: dict[str, Sequence[Rule]] = {
    "default rules": DEFAULTS,
    "models switched off": THRESHOLDS,
    "plain thresholds": PLAIN,
}


def main(minutes: int = 26_600, servers: int | None = None) -> None:
    """The table; `minutes` and `servers` cut it short."""
    fleet = _fleet(minutes, servers)
    say("Pages on labelled minutes of the development servers (SMD; the shipped models have seen their other half)")
    if not fleet:
        say(f"  absent: the data is no part of the repository and not in {recordings.SHARED}")
        return
    head = f"  {'rules':22}{'incidents':>10}{'found':>8}{'false a server-day':>20}{'predictive':>12}"
    say(f"{head}{'median lag':>12}")
    began = time.perf_counter()
    configs = [Config(rules=tuple(rules)) for rules in VARIANTS.values()]
    each = replay_each([past for past, _ in fleet], configs)
    spent = time.perf_counter() - began
    say(f"  ({sum(len(past.values) for past, _ in fleet):,} server-minutes in {spent:.0f} s)")
    for name, found in zip(VARIANTS, each, strict=True):
        row = score(found.notices, {past.server: label for past, label in fleet})
        say(
            f"  {name:22}{row['incidents']:>10}{row['found']:>8.0%}{row['false_a_day']:>20.2f}"
            f"{row['predictive_a_day']:>12.2f}{row['lag_min']:>10.0f} m"
        )
        for rule, count in row["by_rule"].items():
            say(f"    {rule:28} {count['pages']:>6} pages, {count['false']} false")


def score(notices: Sequence[dict[str, Any]], labels: dict[str, NDArray[np.bool_]]) -> dict[str, Any]:
    """Pages (the first word of an alert) against labels that begin at FIRST; lag is from an incident's start."""
    pages = [n for n in notices if n["event"] == "firing" and n["at"] // 60 - FIRST >= LEAD_MIN]
    days = sum(len(label) - LEAD_MIN for label in labels.values()) / 1440
    incidents = caught = false = predictive = 0
    lags: list[int] = []
    by_rule: dict[str, dict[str, int]] = {}
    for server, label in labels.items():
        edges = np.flatnonzero(np.diff(np.r_[False, label, False].astype(int))).reshape(-1, 2)
        excused = label.copy()
        for _, end in edges:
            excused[end : end + GRACE_MIN] = True
        at = [(n["at"] // 60 - FIRST, n) for n in pages if n["server"] == server]
        incidents += len(edges)
        for start, end in edges:
            inside = [t for t, _ in at if start - 30 <= t < end]
            if inside:
                caught += 1
                lags.append(min(inside) - int(start))
        for t, n in at:
            count = by_rule.setdefault(n["rule"], {"pages": 0, "false": 0})
            count["pages"] += 1
            early = label[t : t + 31].any()
            if not excused[t] and not (n["predictive"] and early):
                count["false"] += 1
                false += 1
                predictive += n["predictive"]
    return {
        "incidents": incidents,
        "found": caught / max(1, incidents),
        "false_a_day": false / days,
        "predictive_a_day": predictive / days,
        "lag_min": median(lags) if lags else float("nan"),
        "by_rule": dict(sorted(by_rule.items())),
    }


def _fleet(minutes: int, servers: int | None) -> list[tuple[Past, NDArray[np.bool_]]]:
    folder = recordings.SHARED / "smd"
    if not folder.is_dir():
        return []
    columns = json.loads((folder / "columns.json").read_text())
    found = [_server(path, columns, minutes) for path in sorted(folder.glob("*.npz"))[:servers]]
    # A server whose recording ends before the others' would be offline.
    shortest = min(len(label) for _, label in found)
    return [(replace(past, values=past.values[:shortest]), label[:shortest]) for past, label in found]


def _server(path: Path, columns: list[str], minutes: int) -> tuple[Past, NDArray[np.bool_]]:
    with np.load(path) as file:
        table = np.concatenate((file["train"][-LEAD_MIN:], file["test"]))[:minutes].astype(np.float64)
        label = np.concatenate((np.zeros(LEAD_MIN, np.bool_), file["label"] > 0))[:minutes]
    values = np.full((len(table), len(METRICS)), np.nan)
    for j, m in enumerate(METRICS):
        if m.smd:
            # Shares become percent; for the rest 1 stands for a thousand steps of the metric's precision.
            values[:, j] = table[:, columns.index(m.smd)] * (m.high or 1000 / 10**m.decimals)
    return Past(path.stem, FIRST, values), label
