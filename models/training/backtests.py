"""How the rolling back-test picks and how well its intervals hold, on series that the network never saw.

The record of each series starts empty at its test part: the first hours, when the last value speaks and the intervals
are the fleet's, are in every figure.
"""

from collections import deque
from collections.abc import Sequence
from dataclasses import dataclass
from statistics import NormalDist
from typing import Any

import numpy as np
from numpy.typing import NDArray
from openmanager.inference import backtest, candidates, forecast
from openmanager.inference.runtime import Network

from models.training import filling
from models.training.data import Series

WINDOW, STEPS = forecast.WINDOW, forecast.STEPS
# Distance of forecasts and back-tests: a divisor of 30, so that a path is back-tested when its 30 steps are over.
EVERY = {"smd": 15, "asd": 15, "nab": 6, "host": 2}
# Coarser grids of the minute series: steps, distance of forecasts, a day in steps where it fits the window.
GRIDS = {"5min": (5, 15, None), "1h": (60, 3, 24)}
# The start is reported apart: so many forecasts, a day of minutes.
FIRST = 96
# Fewer moments of a series than these say nothing of their coverage.
FEWEST = 20
LEVEL = backtest.COVERAGES.index(0.8)
KINDS = ("ours", "naive", "walk")
Floats = NDArray[np.float64]
Judged = Sequence[tuple[list[Series], Network]]


@dataclass(frozen=True, eq=False)
class Replay:
    """What the T forecasts of n series were worth; NaN after a series' end, means over the 30 steps.

    `error` (T, n, candidates); `picked`, `winner` (T, n); `cover`, `width`, `score` (kinds, T, n, 3): share of outcomes
    inside the intervals, their width, their interval score (Gneiting & Raftery, JASA 102, 2007), by KINDS: ours, the
    last value with back-tested intervals, the last value with a random walk's; `ends` (T, n, 2) whether ours of 80 %
    hold at the first and the last step; `rest` (T, n) 1 where the window was at rest, which whoever forecasts knows;
    `records` (n,) at the end.
    """

    series: list[Series]
    error: Floats
    picked: Floats
    winner: Floats
    cover: Floats
    width: Floats
    score: Floats
    ends: Floats
    rest: Floats
    records: backtest.Records


def report(series: list[Series], network: Network) -> dict[str, Any]:
    """Every figure for series that `network` never saw: SMD's five inputs, and ASD and NAB as far as given."""
    return report_folds([(series, network)])


def report_folds(judged: Judged) -> dict[str, Any]:
    """The same where several networks judge, each the series that it never saw."""
    judged = _once(judged)
    minute = [([s for s in series if s.source == "smd"], network) for series, network in judged]
    minute = [(series, network) for series, network in minute if series]
    rows = [row for r in replays(judged) for row in _rows(r)]
    families = {
        name: [row for row in rows if row["family"] == name] for name in dict.fromkeys(r["family"] for r in rows)
    }
    if minute:
        families["smd"] = [row for row in rows if row["smd"]]
    families["all"] = rows
    grids = {name: _coarse_rows(minute, *grid) for name, grid in GRIDS.items()}
    return {
        "families": {name: _summary(rows) for name, rows in families.items()},
        "grids": {name: _summary(rows) for name, rows in grids.items() if rows},
        "exhaustion": filling.report(minute),
    }


def _coarse_rows(minute: Judged, size: int, every: int, season: int | None) -> list[dict[str, Any]]:
    rows = []
    for series, network in minute:
        means = [coarser(s, size) for s in series if len(s.values) >= backtest.HISTORY * size]
        rows += _rows(replay(means, network, every, season)) if means else []
    return rows


def _once(judged: Judged) -> list[tuple[list[Series], Network]]:
    """Only judged recordings, each with the first network that may judge it."""
    seen: set[int] = set()
    out = []
    for series, network in judged:
        fresh = [s for s in series if s.judged and s.source in EVERY and id(s) not in seen]
        seen |= set(map(id, fresh))
        out.append((fresh, network))
    return out


def replays(judged: Judged) -> list[Replay]:
    """One replay for each network and source."""
    return [
        replay([s for s in series if s.source == source], network, EVERY[source])
        for series, network in judged
        for source in sorted({s.source for s in series})
    ]


def start(played: Sequence[Replay]) -> Floats:
    """`backtest.START` anew (knots, coverages): where the quantiles of series that move end, their median in
    each source, the geometric mean of the sources."""
    sources = sorted({r.series[0].source for r in played})
    ends = [(r.series[0].source, r.records["quantile"][_moving(r).sum(axis=0) >= FEWEST]) for r in played]
    own = [np.concatenate([quantiles for source, quantiles in ends if source == name]) for name in sources]
    mean: Floats = np.exp(np.mean([np.log(np.median(q, axis=0)) for q in own], axis=0))
    return mean


def coarser(series: Series, size: int) -> Series:
    """The whole series in means of `size` steps, all of it judged."""
    whole = len(series.values) // size * size
    values = series.values[:whole].reshape(-1, size).mean(axis=1)
    return Series(series.source, series.server, values, series.floor, 0, metric=series.metric)


def replay(series: list[Series], network: Network, every: int, season: int | None = None) -> Replay:
    """Forecast and back-test the test parts of series of one grid, side by side, every `every` steps."""
    parts = [s.values[s.test :] for s in series]
    floors = np.array([s.floor for s in series])
    n, count = len(series), max((len(p) - WINDOW - STEPS) // every + 1 for p in parts)
    error = np.full((count, n, len(candidates.NAMES)), np.nan)
    picked, winner = np.full((2, count, n), np.nan)
    measures = np.full((3, len(KINDS), count, n, len(backtest.COVERAGES)), np.nan)
    ends, resting = np.full((count, n, 2), np.nan), np.full((count, n), np.nan)
    ours, naive = backtest.new(n), backtest.new(n)
    waiting: deque[tuple[Floats, ...]] = deque()
    for t in range(count):
        alive = np.array([i for i, p in enumerate(parts) if t * every + WINDOW + STEPS <= len(p)])
        rows = np.stack([parts[i][t * every :][: WINDOW + STEPS] for i in alive])
        windows, truth, floor = rows[:, :WINDOW], rows[:, WINDOW:], floors[alive]
        if len(waiting) * every >= STEPS:
            paths, came, scale, rest = (a[alive] for a in waiting.popleft())
            ours[alive] = backtest.update(ours[alive], paths, came, scale, rest == 1)
            naive[alive] = backtest.update(naive[alive], _held(paths), came, scale, rest == 1)
        paths = candidates.paths(windows, floor, season=season, network=network)
        scale = forecast.step_size(windows, floor)
        rest = backtest.at_rest(windows)
        waiting.append(tuple(_spread(a, alive, n) for a in (paths, truth, scale, rest)))
        ahead = backtest.intervals(ours[alive], paths, scale, low=0)
        held = backtest.intervals(naive[alive], _held(paths), scale, low=0)
        error[t, alive] = np.abs(truth[:, None] - paths).mean(axis=2)
        picked[t, alive] = np.abs(truth - ahead.path).mean(axis=1)
        winner[t, alive], resting[t, alive] = ahead.winner, rest
        bounds = ((ahead.lower, ahead.upper), (held.lower, held.upper), random_walk(windows, floor))
        for kind, (lower, upper) in enumerate(bounds):
            measures[:, kind, t, alive] = _measures(truth[:, None], lower, upper)
        lower, upper = ahead.lower[:, LEVEL], ahead.upper[:, LEVEL]
        ends[t, alive] = ((truth >= lower) & (truth <= upper))[:, [0, -1]]
    return Replay(series, error, picked, winner, *measures, ends, resting, ours)


def random_walk(windows: Floats, floor: Floats) -> tuple[Floats, Floats]:
    """Bounds (n, 3, 30) around the last value as a normal random walk has them, not below 0: the textbook's naive
    interval (Hyndman & Athanasopoulos, Forecasting, 3rd ed., 5.5), its deviation from the window's own changes."""
    sigma = np.maximum(np.sqrt((np.diff(windows, axis=1) ** 2).mean(axis=1)), floor)
    z = np.array([NormalDist().inv_cdf((1 + c) / 2) for c in backtest.COVERAGES])
    half = sigma[:, None, None] * z[:, None] * np.sqrt(np.arange(1, STEPS + 1))
    last = windows[:, -1][:, None, None]
    return np.maximum(last - half, 0), last + half


def _held(paths: Floats) -> Floats:
    return np.repeat(paths[:, candidates.LAST][:, None], paths.shape[1], axis=1)


def _spread(a: Floats, at: NDArray[np.int64], n: int) -> Floats:
    out = np.full((n, *a.shape[1:]), np.nan)
    out[at] = a
    return out


def _measures(truth: Floats, lower: Floats, upper: Floats) -> Floats:
    """(3, n, coverages): share of outcomes inside, width, interval score (lower is better)."""
    outside = np.maximum(lower - truth, 0) + np.maximum(truth - upper, 0)
    miss = 1 - np.array(backtest.COVERAGES)[:, None]
    width = upper - lower
    return np.stack([(outside == 0).mean(axis=2), width.mean(axis=2), (width + 2 / miss * outside).mean(axis=2)])


def _moving(played: Replay) -> NDArray[np.bool_]:
    """(T, n): the moments of a series that are not at rest."""
    return played.rest == 0


def _rows(played: Replay) -> list[dict[str, Any]]:
    """One row of means over time for each series; those of intervals also over moments that move, None if too few."""
    moving = _moving(played)
    # A candidate that never applies has no error: NaN without numpy's warning.
    applies = np.isfinite(played.error).any(axis=(0, 1))
    error = np.full(played.error.shape[1:], np.nan)
    error[:, applies] = np.nanmean(played.error[:, :, applies], axis=0)
    picked = np.nanmean(played.picked, axis=0)
    share = np.stack([(played.winner == k).sum(axis=0) for k in range(len(candidates.NAMES))], axis=1)
    return [
        {
            "family": s.metric if s.source == "smd" else s.source,
            "smd": s.source == "smd",
            "cover": np.nanmean(played.cover[0, :, i], axis=0),
            "rest": float(np.nanmean(played.rest[:, i])),
            "at_rest": _intervals(played, i, played.rest[:, i] == 1),
            "moving": _intervals(played, i, moving[:, i]),
            "error": error[i],
            "picked": picked[i],
            "won": share[i] / share[i].sum(),
        }
        for i, s in enumerate(played.series)
    ]


def _intervals(played: Replay, i: int, moments: NDArray[np.bool_]) -> dict[str, Any] | None:
    """Measures of a series' intervals by KINDS, means over some of its moments (T,)."""
    if moments.sum() < FEWEST:
        return None
    cover = played.cover[:, moments, i]
    early = moments[:FIRST]
    return {
        "cover": cover.mean(axis=1),
        "width": played.width[:, moments, i, LEVEL].mean(axis=1),
        "score": played.score[:, moments, i, LEVEL].mean(axis=1),
        "first": played.cover[0, :FIRST, i, LEVEL][early].mean() if early.any() else np.nan,
        "ends": played.ends[moments, i].mean(axis=0),
    }


def _summary(rows: list[dict[str, Any]]) -> dict[str, Any]:
    """Coverage and picks of a family: means over its series, ratios as geometric means.

    Widths and scores only of moments that move: at rest both are nought. Errors only where the last value ever errs.
    """
    moving = [r["moving"] for r in rows if r["moving"]]
    resting = [r["at_rest"]["cover"][0, LEVEL] for r in rows if r["at_rest"]]
    erring = [r for r in rows if r["error"][candidates.LAST] > 0]
    ratios = np.array([r["error"] / r["error"][candidates.LAST] for r in erring])
    picked = np.array([r["picked"] / r["error"][candidates.LAST] for r in erring])
    lstm = ratios[:, candidates.NAMES.index("lstm")]
    each = {f"{name}_over_last": _geometric(ratios[:, k]) for k, name in enumerate(candidates.NAMES)}
    return {
        "series": len(rows),
        "moving": len(moving),
        "rest": float(np.mean([r["rest"] for r in rows])),
        "cover80": float(np.mean([r["cover"][LEVEL] for r in rows])),
        **({"rest_cover80": float(np.mean(resting))} if resting else {}),
        **(_moving_summary(moving) if moving else {}),
        **{name: value for name, value in each.items() if not np.isnan(value)},
        "picked_over_last": _geometric(picked),
        "picked_beats_last": float((picked < 1).mean()),
        "picked_at_most_last": float((picked <= 1).mean()),
        "lstm_beats_last": float((lstm < 1).mean()),
        "won": {name: float(np.mean([r["won"][k] for r in rows])) for k, name in enumerate(candidates.NAMES)},
    }


def _moving_summary(moving: list[dict[str, Any]]) -> dict[str, Any]:
    covers = np.array([r["cover"] for r in moving])
    return {
        **{f"moving_cover{round(100 * c)}": float(covers[:, 0, k].mean()) for k, c in enumerate(backtest.COVERAGES)},
        "moving_worst80": float(covers[:, 0, LEVEL].min()),
        "moving_most80": float(covers[:, 0, LEVEL].max()),
        "moving_within_4_points": float((np.abs(covers[:, 0, LEVEL] - 0.8) <= 0.04).mean()),
        "first_cover80": float(np.nanmean([r["first"] for r in moving])),
        "next_cover80": float(np.mean([r["ends"][0] for r in moving])),
        "last_cover80": float(np.mean([r["ends"][1] for r in moving])),
        "naive_cover80": float(covers[:, 1, LEVEL].mean()),
        "walk_cover80": float(covers[:, 2, LEVEL].mean()),
        "width_over_naive": _geometric([r["width"][0] / r["width"][1] for r in moving]),
        "width_over_walk": _geometric([r["width"][0] / r["width"][2] for r in moving]),
        "score_over_naive": _geometric([r["score"][0] / r["score"][1] for r in moving]),
        "score_over_walk": _geometric([r["score"][0] / r["score"][2] for r in moving]),
    }


def _geometric(ratios: Any) -> float:
    # A path that never errs would make the mean nought.
    return float(np.exp(np.log(np.maximum(ratios, 1e-3)).mean()))
