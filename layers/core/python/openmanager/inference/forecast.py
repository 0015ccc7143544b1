"""Where a series goes next. One network for every series: the window carries its own scale. Pure."""

from typing import Any

import numpy as np
from numpy.typing import NDArray

from openmanager.inference.runtime import Array, Network, model

WINDOW = 60
STEPS = 30
UNITS = 50
# The smallest step worth telling from rest, as a share of the range: what `floor` is made of.
FLOOR_SHARE = 0.001
# Slow series, such as memory in use, move by a hundredth of a thousandth of their range a step: a scale that stops
# shrinking before that leaves them within the network's noise, and is worse than the last value on them.
REST = 0.01


def path(
    windows: NDArray[np.floating[Any]],
    floor: NDArray[np.floating[Any]],
    steps: int = STEPS,
    network: Network | None = None,
) -> NDArray[np.float64]:
    """The next `steps` values of n series, (n, steps), in the series' own units and on the windows' own grid.

    `windows` (n, 60) the last values, oldest first, none missing; `floor` (n,) a thousandth of the range the series
    can take, in its unit: at a hundredth of it the scale stops shrinking, so that rest stays rest.
    """
    windows = np.asarray(windows, np.float64)
    if windows.ndim != 2 or windows.shape[1] != WINDOW:
        raise ValueError(f"windows must be (n, {WINDOW}), got {windows.shape}")
    if not np.isfinite(windows).all():
        raise ValueError("windows must be finite: fill or drop series with missing values")
    network = network or model("forecast")
    last = windows[:, -1]
    scale = step_size(windows, floor)
    seen = np.arcsinh((windows - last[:, None]) / scale[:, None]).astype(np.float32)
    state: list[Array] = [np.zeros((len(windows), UNITS), np.float32)] * 4
    y = seen[:, :1]
    path = np.empty((len(windows), steps))
    for t in range(WINDOW + steps - 1):
        x = seen[:, t : t + 1] if t < WINDOW else y
        y, *state = network.run(x, *state)
        if t >= WINDOW - 1:
            path[:, t - WINDOW + 1] = last + scale * np.sinh(y[:, 0].astype(np.float64))
    return path


def step_size(windows: NDArray[np.float64], floor: NDArray[np.floating[Any]]) -> NDArray[np.float64]:
    """The scale (n,) of windows (n, 60): their mean absolute one-step change, at least `REST` times `floor` (n,)."""
    change = np.abs(np.diff(windows, axis=1))
    total = np.zeros(len(windows))
    for column in change.T:
        total += column
    return np.maximum(total / change.shape[1], np.maximum(REST * np.asarray(floor, np.float64), 1e-9))
