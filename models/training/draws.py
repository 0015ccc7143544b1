"""Windows for the forecaster to learn from: which series they are drawn from, how they are scaled and weighed."""

import numpy as np
from numpy.typing import NDArray
from openmanager.inference import forecast

from models.training.data import Floats, Series

WINDOW, STEPS = forecast.WINDOW, forecast.STEPS
# Most draws from the minute data that the product sees, half of them from the metrics it forecasts.
SHARE = {"smd judged": 0.35, "smd": 0.35, "asd": 0.15, "nab": 0.1, "generated": 0.05}
# No window counts more than this many times a window whose steps are as large as its series' usual ones.
MOST = 4.0


def scaled(windows: NDArray[np.float64], floor: NDArray[np.float64]) -> Floats:
    """Windows (n, 60 + any) in units of their own first 60 values' step, as the live round scales them."""
    size = forecast.step_size(windows[:, :WINDOW], floor)
    last = windows[:, WINDOW - 1 : WINDOW]
    return np.arcsinh((windows - last) / size[:, None]).astype(np.float32)


class Draws:
    """Random windows of the series' train parts; sources share the draws as in `SHARE`."""

    def __init__(self, series: list[Series]) -> None:
        """Lay the series end to end."""
        kinds = [_kind(s) for s in series]
        self._share = np.array([SHARE[kind] / kinds.count(kind) for kind in kinds])
        self._share /= self._share.sum()
        self._values = np.concatenate([s.values for s in series])
        self._start = np.cumsum([0] + [len(s.values) for s in series[:-1]])
        self._count = np.array([s.test - WINDOW - STEPS + 1 for s in series])
        self._floor = np.array([s.floor for s in series])
        usual = np.array([np.abs(np.diff(s.values[: s.test])).mean() for s in series])
        self._usual = np.maximum(usual, forecast.REST * self._floor)

    def draw(self, rng: np.random.Generator, n: int) -> tuple[Floats, Floats, Floats]:
        """Scaled windows (n, 60), what followed (n, 30), weights (n,).

        A series is judged in its own unit, where an hour of large steps outweighs a quiet one; the root keeps the
        quiet ones from being forgotten.
        """
        which = rng.choice(len(self._share), n, p=self._share)
        at = self._start[which] + rng.integers(self._count[which])
        rows = self._values[at[:, None] + np.arange(WINDOW + STEPS)]
        size = forecast.step_size(rows[:, :WINDOW], self._floor[which])
        weight = np.minimum(np.sqrt(size / self._usual[which]), MOST).astype(np.float32)
        both = scaled(rows, self._floor[which])
        return both[:, :WINDOW], both[:, WINDOW:], weight


def _kind(series: Series) -> str:
    return "smd judged" if series.source == "smd" and series.judged else series.source
