"""The three models through our runtime, beside plain numpy with the same weights and, where installed, ONNX Runtime."""

import json
import os
import statistics
import subprocess
import sys
import time
from collections.abc import Callable, Sequence
from pathlib import Path
from typing import Any

import numpy as np
from openmanager.inference import forecast, runtime
from openmanager.inference.runtime import Array, Model, Network

from tests.bench.output import say
from tests.bench.weights import in_numpy, layers

ROOT = Path(__file__).resolve().parents[2]
NAMES = ("anomaly", "failure", "forecast")
BATCHES = (1, 100, 1000)
ROUNDS, SECONDS = 9, 0.05
STARTS = 5
# What a fresh process pays until it can judge: after each line, the processor time and the resident memory so far
# (Linux only: elsewhere there is no /proc, and the peak that getrusage tells is the parent's at first).
START = """
import json, os, time
told = []
def tell():
    pages = open("/proc/self/statm").read().split()[1] if os.path.exists("/proc/self/statm") else "nan"
    told.append((1000 * time.process_time(), float(pages) * os.sysconf("SC_PAGE_SIZE") / 2**20))
tell()
import numpy
tell()
from openmanager.inference import runtime
tell()
for name in ("anomaly", "failure", "forecast"):
    model = runtime.model(name)
    model.run(*(numpy.zeros((1, t.width), numpy.float32) for t in model.entry.inputs))
tell()
print(json.dumps(told))
"""


def onnx_session(model: Model) -> Network | None:
    """The model in ONNX Runtime; None where it is not installed."""
    try:
        from tests.bench.onnx_models import Session

        return Session(model)
    except ImportError:
        return None


def timed(calls: Sequence[Callable[[], Any]]) -> list[float]:
    """Microseconds of each call, the median of rounds in which they take turns, so that all meet the same machine."""
    counts = []
    for call in calls:
        call()
        began = time.perf_counter()
        call()
        counts.append(max(1, int(SECONDS / max(time.perf_counter() - began, 1e-7))))
    rounds: list[list[float]] = [[] for _ in calls]
    for _ in range(ROUNDS):
        for call, count, took in zip(calls, counts, rounds, strict=True):
            began = time.perf_counter()
            for _ in range(count):
                call()
            took.append((time.perf_counter() - began) / count)
    return [1e6 * statistics.median(took) for took in rounds]


def row(label: str, batch: int, times: list[float]) -> str:
    """A line: ours, numpy and its ratio, ONNX Runtime and its ratio; ratios above 1 are slower than numpy."""
    cells = [f"{label:10}{batch:7}{times[0]:12.1f}{times[0] / batch:12.2f}{times[1]:12.1f}{times[0] / times[1]:10.2f}"]
    cells += [f"{other:12.1f}{other / times[1]:10.2f}" for other in times[2:]]
    return "".join(cells)


def step_table(models: dict[str, Model], others: dict[str, list[Network]]) -> None:
    chance = np.random.default_rng(3)
    for name, model in models.items():
        for batch in BATCHES:
            arrays = [chance.normal(0, 0.3, (batch, t.width)).astype(np.float32) for t in model.entry.inputs]
            networks: list[Network] = [model, *others[name]]
            say(row(name, batch, timed([lambda n=n, a=arrays: n.run(*a) for n in networks])))  # type: ignore[misc]


def path_table(models: dict[str, Model], others: dict[str, list[Network]]) -> None:
    chance = np.random.default_rng(4)
    for batch in BATCHES:
        windows = 50 + np.cumsum(chance.normal(0, 1, (batch, forecast.WINDOW)), axis=1)
        floor = np.full(batch, 0.1)
        networks: list[Network] = [models["forecast"], *others["forecast"]]
        calls = [lambda n=n, w=windows, f=floor: forecast.path(w, f, network=n) for n in networks]  # type: ignore[misc]
        say(row("60 + 30", batch, timed(calls)))


def agreement(models: dict[str, Model], others: dict[str, list[Network]]) -> None:
    """Bytes, and how far our outputs lie from the golden ones, and the others' from ours: that all are one network."""
    with np.load(ROOT / "models/golden.npz") as golden:
        for name, model in models.items():
            given = [golden[f"{name}.in.{t.name}"] for t in model.entry.inputs]
            off = [apart_by(model.run(*given), [golden[f"{name}.out.{t.name}"] for t in model.entry.outputs])]
            # Golden inputs go beyond what service clips to, where int8 saturates and float32 does not.
            if "input_clip" in model.constants:
                limit = model.constants["input_clip"] / model.constants["input_scale"]
                given = [np.clip(a, -limit, limit) for a in given]
            off += [apart_by(model.run(*given), network.run(*given)) for network in others[name]]
            matrices = layers(model)
            plain = 4 * sum(weight.size + bias.size for weight, bias in matrices)
            shipped = (ROOT / "models" / model.entry.file).stat().st_size
            apart = "".join(f"{o:13.1e}" for o in off)
            say(f"{name:10}{shipped:10,}{plain:18,}{shipped / plain:9.2f}{apart}")


def apart_by(some: Sequence[Array], others: Sequence[Array]) -> float:
    """The largest absolute difference."""
    return max(float(np.abs(a - b).max()) for a, b in zip(some, others, strict=True))


def start_table() -> None:
    """Medians over fresh processes."""
    environment = {"PATH": os.environ["PATH"], "PYTHONPATH": str(ROOT / "layers/core/python")}
    runs = []
    for _ in range(STARTS):
        done = subprocess.run(
            [sys.executable, "-c", START], env=environment, capture_output=True, text=True, check=True
        )
        runs.append(json.loads(done.stdout.splitlines()[-1]))
    told = np.median(np.array(runs), axis=0)
    say(f"  a fresh process, medians of {STARTS}        CPU ms   resident MB")
    names = ("bare Python", "import numpy", "import the runtime", "load and run the three models")
    before = 0.0
    for name, (cpu_ms, memory) in zip(names, told, strict=True):
        say(f"  {name:32}{cpu_ms - before:10.0f}{memory:14.0f}")
        before = cpu_ms


def main() -> None:
    """All tables."""
    models = {name: runtime.model(name) for name in NAMES}
    others: dict[str, list[Network]] = {name: [in_numpy(model)] for name, model in models.items()}
    sessions = {name: onnx_session(model) for name, model in models.items()}
    for name, session in sessions.items():
        others[name] += [session] if session else []
    which = runtime.Interpreter.__module__.partition(".")[0] if runtime.Interpreter else "none"
    python = ".".join(map(str, sys.version_info[:2]))
    onnx = sessions["anomaly"] is not None
    say(f"Models on {which}, Python {python}, numpy {np.__version__}, one thread; ratios are to numpy in float32")
    columns = ("ours, µs", "µs a row", "numpy µs")
    header = f"{'model':10}{'batch':>7}" + "".join(f"{name:>12}" for name in columns) + f"{'ratio':>10}"
    say(header + (f"{'onnx µs':>12}{'ratio':>10}" if onnx else ""))
    step_table(models, others)
    say("a window of 60 and its path of 30, 89 calls a batch of series (rows are series)")
    path_table(models, others)
    say(
        f"{'file':10}{'bytes':>10}{'float32 weights':>18}{'share':>9}   off golden   from numpy" + "   from onnx" * onnx
    )
    agreement(models, others)
    start_table()
    if not onnx:
        say("  ONNX Runtime is not installed here: `make bench-onnx` measures beside it in an environment of its own")
