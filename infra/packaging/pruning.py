"""What is left out of a layer, and why.

Never stripped and never left out is anything in `*.libs/`: those shared objects were rewritten when the wheel was made,
and stripping breaks them.
"""

import shutil
from dataclasses import dataclass
from fnmatch import fnmatchcase
from pathlib import Path

from . import shared_objects


@dataclass(frozen=True)
class Rule:
    """What is left out: paths below the layer's `python/`, as patterns whose * crosses folders; `but` stays."""

    patterns: tuple[str, ...]
    reason: str
    but: tuple[str, ...] = ()


RULES = (
    Rule(("bin/*", ".lock"), "programs for a shell, and what uv leaves behind"),
    Rule(
        ("*.dist-info/RECORD", "*.dist-info/INSTALLER", "*.dist-info/REQUESTED", "*.dist-info/*.json"),
        "says how and where it was installed, which is untrue here and differs from build to build",
        but=("*.dist-info/sboms/*",),
    ),
    Rule(
        ("*/tests/*", "*/conftest.py", "numpy/_core/_*_tests.*.so", "numpy/_core/_simd.*.so"),
        "tests, and what only they load",
        but=("*.dist-info/*",),
    ),
    Rule(("*.pyi", "*/py.typed", "*.pyx", "*.pxd", "*.c", "*.h", "*.a", "*.pc"), "for type checkers and compilers"),
    Rule(
        ("numpy/f2py/*", "numpy/_pyinstaller/*", "numpy/random/_examples/*", "numpy/typing/*"),
        "numpy's tools for developers",
        but=("numpy/typing/__init__.py",),
    ),
    Rule(
        ("aws_lambda_powertools/event_handler/*", "aws_lambda_powertools/utilities/*"),
        "parts of Powertools beside its log and metrics, which alone we use and which import the two that stay",
        but=("aws_lambda_powertools/utilities/__init__.py", "aws_lambda_powertools/utilities/jmespath_utils/*"),
    ),
    Rule(
        ("pydantic/v1/*",),
        "pydantic's first interface: FastAPI loads it to ask whether models are of it, and its absence says no, sooner",
    ),
    Rule(
        ("ai_edge_litert/*",),
        "compilers and drivers of accelerators, and other interfaces than the interpreter's",
        but=(
            "ai_edge_litert/__init__.py",
            "ai_edge_litert/interpreter.py",
            "ai_edge_litert/metrics_*.py",
            "ai_edge_litert/_pywrap_litert_interpreter_wrapper.so",
            "ai_edge_litert/_pywrap_tensorflow_lite_metrics_wrapper.so",
            # What these are linked to; `prune` looks which of them that is.
            "ai_edge_litert/libpywrap_litert_common.so",
            "ai_edge_litert/libLiteRt.so",
        ),
    ),
)


def prune(folder: Path) -> None:
    """Delete below `folder` what a rule leaves out."""
    for path in sorted(folder.rglob("*")):
        if path.is_file() and left_out(path.relative_to(folder).as_posix()):
            path.unlink()
    needed = shared_objects.needed_in(folder / "ai_edge_litert")
    for path in folder.glob("ai_edge_litert/lib*.so"):
        # The interpreter of some versions is linked to the newer runtime that comes along, that of others is not.
        if path.name not in needed:
            path.unlink()
    for path in sorted(folder.rglob("*"), reverse=True):
        if path.is_dir() and not any(path.iterdir()):
            shutil.rmtree(path)


def left_out(path: str) -> Rule | None:
    """The rule that leaves a file out, if one does."""
    if path.split("/")[0].endswith(".libs"):
        return None
    for rule in RULES:
        if _matches(path, rule.patterns) and not _matches(path, rule.but):
            return rule
    return None


def _matches(path: str, patterns: tuple[str, ...]) -> bool:
    return any(fnmatchcase(path, pattern) for pattern in patterns)
