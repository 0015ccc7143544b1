"""What of this tree is in each artifact."""

import shutil
from collections.abc import Callable
from pathlib import Path

ROOT = Path(__file__).resolve().parents[2]
# Files of the top level that a function takes along.
BESIDE = {"mcp": ("mcp_settings.json",)}
# Of models/; the rest is how they were trained and what is tried with them.
MODELS = ("*.tflite", "manifest.json")
# The command line, which no function imports.
_BESIDE_FUNCTIONS = ("cli", "__main__.py")
_UNWANTED = shutil.ignore_patterns("__pycache__", "*.pyc")


def functions() -> tuple[str, ...]:
    """The names of all functions: each is a folder."""
    return tuple(sorted(path.name for path in (ROOT / "functions").iterdir() if any(path.glob("*.py"))))


def add_own(layer: str, folder: Path) -> None:
    """Put what is ours in a layer into `folder`: the domain into core, the models into inference."""
    (folder / "python").mkdir(parents=True, exist_ok=True)
    if layer == "core":
        domain = ROOT / "layers/core/python/openmanager"
        shutil.copytree(domain, folder / "python/openmanager", ignore=_of_functions(domain))
    if layer == "inference":
        (folder / "models").mkdir()
        for pattern in MODELS:
            for path in (ROOT / "models").glob(pattern):
                shutil.copy(path, folder / "models")


def add_function(name: str, task: Path) -> None:
    """Put a function, and what it takes along, into `task`."""
    shutil.copytree(ROOT / "functions" / name, task / "functions" / name, ignore=_UNWANTED)
    for beside in BESIDE.get(name, ()):
        shutil.copy(ROOT / beside, task)


def _of_functions(domain: Path) -> Callable[[str, list[str]], set[str]]:
    """What is left out of the domain: bytecode anywhere, and what stands at its top for people only."""

    def left_out(folder: str, names: list[str]) -> set[str]:
        apart = {name for name in names if name in _BESIDE_FUNCTIONS} if Path(folder) == domain else set()
        return apart | set(_UNWANTED(folder, names))

    return left_out
