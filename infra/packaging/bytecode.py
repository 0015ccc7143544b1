"""Bytecode of the runtime's own Python.

Folders of Lambda cannot be written to, so what is not compiled here is compiled again by every cold start. Entries of a
zip have one fixed date, so bytecode with a time stamp counts as stale; this has a hash, which is not checked.
"""

import subprocess
import sys
from collections.abc import Sequence
from pathlib import Path

from .failure import CannotPackage
from .target import Target

# Modules that read their own source as they are imported: anyio looks there for what it can leave for later.
READ_AT_IMPORT = ("anyio/__init__.py", "anyio/abc/__init__.py")


def find_python(target: Target) -> str:
    """A Python of the target's version: this one, the PATH's, pyenv's."""
    version = target.version
    installed = sorted(Path.home().glob(f".pyenv/versions/{version}.*/bin/python"))
    for candidate in (sys.executable, f"python{version}", *map(str, installed)):
        # A version manager's shim may have nothing behind it, so ask it what it is.
        code = f"import sys; sys.exit(sys.version_info[:2] != {target.python!r})"
        try:
            if subprocess.run([candidate, "-c", code], capture_output=True).returncode == 0:
                return candidate
        except OSError:
            continue
    raise CannotPackage(
        f"bytecode for Lambda is made by a Python {version}, and none is here: neither python{version} on the PATH "
        f"nor one of pyenv's. Install it (apt install python{version}, brew install python@{version}, "
        f"pyenv install {version}) and run this again"
    )


def compile_beside(python: str, folder: Path, runs_at: str) -> None:
    """Bytecode in __pycache__ beside the sources below `folder`, which will be `runs_at` on Lambda."""
    _compile(python, folder, runs_at, [folder])


def compile_instead(python: str, folder: Path, runs_at: str) -> None:
    """Bytecode in place of the sources below `folder`, but beside those that are read."""
    _compile(python, folder, runs_at, [folder], "-b")
    read = [folder / path for path in READ_AT_IMPORT if (folder / path).exists()]
    for source in folder.rglob("*.py"):
        if source in read:
            source.with_suffix(".pyc").unlink()
        else:
            source.unlink()
    if read:
        _compile(python, folder, runs_at, read)


def _compile(python: str, folder: Path, runs_at: str, sources: Sequence[Path], *more: str) -> None:
    options = ["-q", "-f", "--invalidation-mode", "unchecked-hash", "-s", str(folder), "-p", runs_at, *more]
    done = subprocess.run(
        # Without site, which may import things first: what is interned by then shows in the bytecode.
        [python, "-S", "-m", "compileall", *options, *map(str, sources)],
        capture_output=True,
        text=True,
        # So that sets have the same order in every build.
        env={"PYTHONHASHSEED": "0"},
    )
    if done.returncode:
        raise CannotPackage(f"{python} cannot compile what is in {folder.name}:\n{done.stdout.strip()}")
