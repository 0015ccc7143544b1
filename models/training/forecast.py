"""The forecaster: one network for every series, trained on the path it will be asked for."""

import sys
import time
from collections.abc import Callable
from pathlib import Path
from typing import Any

import numpy as np
import tensorflow as tf
from numpy.typing import NDArray
from openmanager.catalog import FAILURE_INPUTS
from openmanager.inference import forecast
from openmanager.inference.runtime import Network

from models.training import export
from models.training.data import Floats, Series, host, servers
from models.training.data import series as all_series
from models.training.lstm import UNITS, step

WINDOW, STEPS = forecast.WINDOW, forecast.STEPS
BATCH = 256
# Most draws from the minute data that the product sees.
SHARE = {"smd": 0.6, "asd": 0.2, "nab": 0.2}
EVERY = {"smd": 37, "asd": 19, "nab": 7, "host": 1}
PEAK_RATE, LAST_RATE, CLIP_NORM = 3e-3, 5e-5, 1.0
# The next value's share of the loss; within the path's mean alone it is a thirtieth and is learnt badly.
FIRST_STEP = 0.5
HELD_OUT = slice(0, None, 4)
Weights = list[Floats]


def run(folder: Path, seed: int, work: Path, steps: int) -> tuple[dict[str, Any], export.Shipped]:
    """Train without and with the servers that judge, convert: (scores, what to ship, lying in `work`)."""
    fleet = servers(folder)
    everything = all_series(folder, fleet)
    held_out = {s.name for s in fleet[HELD_OUT]}
    learn = [s for s in everything if s.source != "nab" and s.server not in held_out]
    fold = train(learn, seed, steps, "forecast, without the servers that judge it")
    weights = train(everything, seed, steps, "forecast")
    formats = {f: export.convert("forecast", f, weights, work, None, {}) for f in export.FORMATS["forecast"]}
    unseen = export.convert("forecast", "float32", fold, work / "fold", None, {})
    smd = [s for s in everything if s.source == "smd" and s.judged]
    unseen_smd = [s for s in smd if s.server in held_out]
    unseen_time = {f: judge(smd, m) for f, m in formats.items()}
    scores = {
        "unseen_servers": judge(unseen_smd, unseen),
        "unseen_by_input": {
            name: judge([s for s in unseen_smd if s.metric == name], unseen) for name in FAILURE_INPUTS
        },
        "unseen_cloudwatch": judge([s for s in everything if s.source == "nab"], unseen),
        "unseen_host": judge(host(folder), unseen),
        "unseen_time": unseen_time,
        "shipped": "float16",
        "cost_of_format": export.cost(unseen_time, "mae_over_naive_path")["float16"],
    }
    return scores, ("float16", formats["float16"])


def scaled(windows: NDArray[np.float64], floor: NDArray[np.float64]) -> Floats:
    """Windows (n, 60 + any) in units of their own first 60 values' step, as the live round scales them."""
    size = forecast.step_size(windows[:, :WINDOW], floor)
    last = windows[:, WINDOW - 1 : WINDOW]
    return np.arcsinh((windows - last) / size[:, None]).astype(np.float32)


def initial(rng: np.random.Generator) -> Weights:
    """Fresh weights; the forget gates start open."""
    out: Weights = []
    for width in (1, UNITS):
        out.append(rng.normal(0, (width + UNITS) ** -0.5, (width + UNITS, 4 * UNITS)).astype(np.float32))
        bias = np.zeros(4 * UNITS, np.float32)
        bias[UNITS : 2 * UNITS] = 1
        out.append(bias)
    return [*out, rng.normal(0, UNITS**-0.5, (UNITS, 1)).astype(np.float32), np.zeros(1, np.float32)]


def train(series: list[Series], seed: int, steps: int, name: str = "forecast") -> Weights:
    """Fit on random windows of the series' train parts; sources share the draws as in `SHARE`."""
    rng = np.random.default_rng(seed)
    weights = [tf.Variable(w) for w in initial(rng)]
    adam = tf.keras.optimizers.Adam(PEAK_RATE)
    adam.build(weights)

    @tf.function
    def update(x: tf.Tensor, target: tf.Tensor) -> tf.Tensor:
        with tf.GradientTape() as tape:
            off = tf.reduce_mean(tf.abs(_unroll(weights, x) - target), axis=0)
            loss = FIRST_STEP * off[0] + (1 - FIRST_STEP) * tf.reduce_mean(off)
        gradients, _ = tf.clip_by_global_norm(tape.gradient(loss, weights), CLIP_NORM)
        adam.apply_gradients(zip(gradients, weights, strict=True))
        return loss

    draw = _drawer(series, rng)
    started, running = time.monotonic(), 0.0
    for n in range(steps):
        adam.learning_rate.assign(LAST_RATE + (PEAK_RATE - LAST_RATE) * (0.5 + 0.5 * float(np.cos(np.pi * n / steps))))
        windows = draw()
        loss = float(update(tf.constant(windows[:, :WINDOW]), tf.constant(windows[:, WINDOW:])))
        running = loss if n == 0 else running + 0.01 * (loss - running)
        if n % 100 == 99 or n + 1 == steps:
            spent = time.monotonic() - started
            sys.stderr.write(f"\r{name}: step {n + 1}/{steps}, loss {running:.4f}, {spent:.0f} s")
    sys.stderr.write("\n")
    return [w.numpy() for w in weights]


def _unroll(weights: list[tf.Tensor], x: tf.Tensor) -> tf.Tensor:
    """The path (n, 30) after windows (n, 60), each prediction fed back as the next input."""
    state = tuple(tf.zeros((tf.shape(x)[0], UNITS)) for _ in range(4))
    for t in range(WINDOW):
        y, state = step(weights, x[:, t : t + 1], state)
    path = [y]
    for _ in range(STEPS - 1):
        y, state = step(weights, y, state)
        path.append(y)
    return tf.concat(path, 1)


def _drawer(series: list[Series], rng: np.random.Generator) -> Callable[[], Floats]:
    sources = sorted({s.source for s in series})
    pools = [[s for s in series if s.source == name] for name in sources]
    share = np.array([SHARE[name] for name in sources])
    share /= share.sum()
    length = WINDOW + STEPS

    def draw() -> Floats:
        rows, floors = [], []
        for source in rng.choice(len(pools), BATCH, p=share):
            s = pools[source][rng.integers(len(pools[source]))]
            at = rng.integers(s.test - length + 1)
            rows.append(s.values[at : at + length])
            floors.append(s.floor)
        return scaled(np.array(rows), np.array(floors))

    return draw


def judge(series: list[Series], network: Network) -> dict[str, float]:
    """MAE over the last-value forecast's at the same origins of the test parts; geometric mean over series.

    The origins are `EVERY` steps apart. Series on which the last value is never wrong are left out.
    """
    ratios = []
    for s in series:
        at = np.arange(s.test, len(s.values) - WINDOW - STEPS, EVERY[s.source])
        rows = np.stack([s.values[a : a + WINDOW + STEPS] for a in at])
        windows, truth = rows[:, :WINDOW], rows[:, WINDOW:]
        off = np.abs(truth - forecast.path(windows, np.full(len(rows), s.floor), STEPS, network))
        naive = np.abs(truth - windows[:, -1:])
        if naive[:, 0].any():
            ratios.append((off[:, 0].mean() / naive[:, 0].mean(), off.mean() / naive.mean()))
    table = np.array(ratios)
    h1, path = np.exp(np.log(table).mean(axis=0))
    beats = (table < 1).mean(axis=0)
    return {
        "mae_over_naive_next": float(h1),
        "mae_over_naive_path": float(path),
        "series": len(table),
        "beats_naive_next": float(beats[0]),
        "beats_naive_path": float(beats[1]),
    }
