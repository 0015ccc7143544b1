"""What of this tree is in each artifact."""

import shutil
from pathlib import Path

ROOT = Path(__file__).resolve().parents[2]
# Files of the top level that a function takes along.
BESIDE = {"mcp": ("mcp_settings.json",)}
# Of models/; the rest is how they were trained and what is tried with them.
MODELS = ("*.tflite", "manifest.json")
_UNWANTED = shutil.ignore_patterns("__pycache__", "*.pyc")


def functions() -> tuple[str, ...]:
    """The names of all functions: each is a folder."""
    return tuple(sorted(path.name for path in (ROOT / "functions").iterdir() if any(path.glob("*.py"))))


def add_domain(layer: Path) -> None:
    """Put our own code into the layer core."""
    shutil.copytree(ROOT / "layers/core/python/openmanager", layer / "python/openmanager", ignore=_UNWANTED)


def add_models(layer: Path) -> None:
    """Put the models into the layer inference."""
    (layer / "models").mkdir(parents=True, exist_ok=True)
    for pattern in MODELS:
        for path in (ROOT / "models").glob(pattern):
            shutil.copy(path, layer / "models")


def add_function(name: str, task: Path) -> None:
    """Put a function, and what it takes along, into `task`."""
    shutil.copytree(ROOT / "functions" / name, task / "functions" / name, ignore=_UNWANTED)
    for beside in BESIDE.get(name, ()):
        shutil.copy(ROOT / beside, task)
