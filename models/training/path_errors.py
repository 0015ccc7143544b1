"""How paths are judged: their error over the last value's, series by series, at the same origins for every method."""

from collections.abc import Callable

import numpy as np
from numpy.typing import NDArray
from openmanager.inference import forecast
from openmanager.inference.runtime import Network

from models.training import baselines
from models.training.data import Series

WINDOW, STEPS = forecast.WINDOW, forecast.STEPS
# Distance of the windows that are judged, in steps of each source's grid.
EVERY = {"smd": 37, "asd": 19, "nab": 7, "host": 1, "generated": 37}
Table = NDArray[np.float64]
Forecaster = Callable[[Series, NDArray[np.int64]], Table]


def by_network(network: Network) -> Forecaster:
    """The network's paths (n, 30) for windows that start at given indices of a series."""

    def paths(series: Series, at: NDArray[np.int64]) -> Table:
        windows = series.values[at[:, None] + np.arange(WINDOW)]
        return forecast.path(windows, np.full(len(at), series.floor), STEPS, network)

    return paths


def ratios(series: list[Series], forecaster: Forecaster) -> Table:
    """MAE over the last value's of every series (n, 2), next value and path, at the same origins of the test parts.

    The origins are `EVERY` steps apart. NaN for a series on which the last value is never wrong.
    """
    out = np.full((len(series), 2), np.nan)
    for i, s in enumerate(series):
        at = origins(s)
        out[i] = _ratio(s, at, forecaster(s, at))
    return out


def beside(series: list[Series]) -> dict[str, dict[str, float]]:
    """What `baselines` score on the same windows of the same series."""
    tables: dict[str, list[Table]] = {}
    for s in series:
        at = origins(s)
        for name, paths in baselines.paths(s, at).items():
            tables.setdefault(name, []).append(_ratio(s, at, paths))
    return {name: summary(np.array(table)) for name, table in tables.items()}


def origins(series: Series) -> NDArray[np.int64]:
    """Where the judged windows of a series start."""
    return np.arange(series.test, len(series.values) - WINDOW - STEPS, EVERY[series.source])


def _ratio(series: Series, at: NDArray[np.int64], paths: Table) -> Table:
    rows = series.values[at[:, None] + np.arange(WINDOW + STEPS)]
    off, naive = np.abs(rows[:, WINDOW:] - paths), np.abs(rows[:, WINDOW:] - rows[:, WINDOW - 1 : WINDOW])
    if not naive[:, 0].any():
        return np.array([np.nan, np.nan])
    return np.array([off[:, 0].mean() / naive[:, 0].mean(), off.mean() / naive.mean()])


def summary(table: Table) -> dict[str, float]:
    """Geometric means over series of ratios (n, 2), and the share of series below 1; series of NaN are left out."""
    table = table[~np.isnan(table[:, 0])]
    following, path = np.exp(np.log(table).mean(axis=0))
    beats = (table < 1).mean(axis=0)
    return {
        "mae_over_naive_next": float(following),
        "mae_over_naive_path": float(path),
        "series": len(table),
        "beats_naive_next": float(beats[0]),
        "beats_naive_path": float(beats[1]),
    }


def interval(series: list[Series], table: Table, draws: int = 2000) -> dict[str, float]:
    """95 % bootstrap interval of the geometric means of ratios (n, 2), drawn by server: a server's series are alike."""
    known = ~np.isnan(table[:, 0])
    owners = np.array([s.server for s in series])[known]
    logs = [np.log(table[known][owners == name]) for name in np.unique(owners)]
    sums, counts = np.array([x.sum(axis=0) for x in logs]), np.array([len(x) for x in logs])
    picked = np.random.default_rng(0).integers(len(logs), size=(draws, len(logs)))
    means = np.exp(sums[picked].sum(axis=1) / counts[picked].sum(axis=1, keepdims=True))
    low, high = np.percentile(means, (2.5, 97.5), axis=0)
    return {
        "next_low": float(low[0]),
        "next_high": float(high[0]),
        "path_low": float(low[1]),
        "path_high": float(high[1]),
    }
