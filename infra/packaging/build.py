"""One build: every layer and function asked for, for one architecture."""

import shutil
import tempfile
import time
from collections.abc import Callable, Iterable, Sequence
from pathlib import Path

from . import archive, bytecode, contents, distributions, install, pruning, report, shared_objects
from .distributions import LAYERS, Pin
from .report import Artifact, Size
from .target import Target

# Where Lambda unpacks layers and the function.
LAYER_PYTHON = "/opt/python"
TASK = "/var/task"

Tell = Callable[[str], None]


def build(target: Target, only: Sequence[str], out: Path, compare: bool, tell: Tell) -> tuple[Artifact, ...]:
    """Build what `only` names, or everything, into `out`; returns all that is there then.

    With `compare` layers are zipped unpruned, too, which takes more than as long again.
    """
    python = bytecode.find_python(target)
    layers = [name for name in LAYERS if not only or name in only]
    functions = [name for name in contents.functions() if not only or name in only]
    for kind in ("layers", "functions"):
        (out / kind).mkdir(parents=True, exist_ok=True)
    built: dict[tuple[str, str], Artifact] = {}
    pins = _pins(target) if layers else {}
    for name in layers:
        tell(f"layer {name}: {len(pins[name])} distributions …")
        built["layer", name] = _layer(name, pins[name], target, python, out, compare)
        tell(_line(built["layer", name]))
    for name in functions:
        built["function", name] = _function(name, python, out)
        tell(_line(built["function", name]))
    kept = {(a.kind, a.name): a for a in report.read_artifacts(out)}
    everything = [("layer", name) for name in LAYERS] + [("function", name) for name in contents.functions()]
    return tuple(found for key in everything if (found := built.get(key) or kept.get(key)))


def _pins(target: Target) -> dict[str, tuple[Pin, ...]]:
    lock = contents.ROOT / "requirements.lock"

    def resolve(requirements: Iterable[str]) -> tuple[str, ...]:
        return install.resolve(requirements, target, lock)

    return distributions.layers_of(contents.ROOT / "pyproject.toml", distributions.read_lock(lock), resolve)


def _layer(name: str, pins: Sequence[Pin], target: Target, python: str, out: Path, compare: bool) -> Artifact:
    began = time.monotonic()
    with tempfile.TemporaryDirectory(prefix="openmanager-") as work:
        layer, own = Path(work) / "layer", Path(work) / "own"
        installed = layer / "python"
        install.install(pins, target, installed)
        contents.add_own(name, own)
        bytecode.compile_beside(python, own / "python", LAYER_PYTHON)
        unpruned = _unpruned(layer, own, Path(work) / "unpruned", python) if compare else None
        pruning.prune(installed)
        glibc = shared_objects.check(installed, name, target)
        bytecode.compile_instead(python, installed, LAYER_PYTHON)
        shutil.copytree(own, layer, dirs_exist_ok=True)
        return _zipped("layer", name, layer, out / "layers" / f"{name}.zip", unpruned, glibc, began)


def _function(name: str, python: str, out: Path) -> Artifact:
    began = time.monotonic()
    with tempfile.TemporaryDirectory(prefix="openmanager-") as work:
        task = Path(work)
        contents.add_function(name, task)
        bytecode.compile_beside(python, task, TASK)
        return _zipped("function", name, task, out / "functions" / f"{name}.zip", None, "", began)


def _unpruned(layer: Path, own: Path, work: Path, python: str) -> Size:
    """The size of a layer with all that was installed, and with bytecode beside the sources."""
    shutil.copytree(layer, work)
    bytecode.compile_beside(python, work / "python", LAYER_PYTHON)
    shutil.copytree(own, work, dirs_exist_ok=True)
    archive.write_zip(work, work.with_suffix(".zip"))
    return report.size_of(work.with_suffix(".zip"))


def _zipped(kind: str, name: str, folder: Path, to: Path, unpruned: Size | None, glibc: str, began: float) -> Artifact:
    archive.write_zip(folder, to)
    seconds = round(time.monotonic() - began, 1)
    return Artifact(kind, name, report.sha256_of(to), report.size_of(to), unpruned, glibc, seconds)


def _line(artifact: Artifact) -> str:
    return f"{artifact.kind} {artifact.name}: {artifact.size.zipped / report.MB:.2f} MB in {artifact.seconds:.1f} s"
