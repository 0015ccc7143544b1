"""What uv does here: say what requirements need on a target, and put wheels for it into a folder."""

import os
import subprocess
import sys
import tempfile
from collections.abc import Iterable, Sequence
from pathlib import Path

from .distributions import Pin
from .failure import CannotPackage
from .target import Target


def resolve(requirements: Iterable[str], target: Target, lock: Path) -> tuple[str, ...]:
    """All that `requirements` need on `target`, as "name==version", in the versions of the lock file."""
    done = _uv(
        *("compile", "-", "--constraints", str(lock), "--no-header", "--no-annotate", "--no-emit-index-url"),
        *_for(target),
        given="\n".join(requirements),
    )
    if done.returncode:
        raise CannotPackage(f"uv could not tell what belongs into the layers:\n{done.stderr.strip()}")
    return tuple(line for line in done.stdout.splitlines() if line)


def install(pins: Sequence[Pin], target: Target, folder: Path) -> None:
    """Put `pins` into `folder` as wheels for `target`, every file of which has a hash of the lock file."""
    done = attempt(pins, target, folder)
    if not done.returncode:
        return
    # One after the other, so that what is said does not depend on how uv words its finding.
    for pin in pins:
        alone = attempt([pin], target, folder, "--dry-run")
        if alone.returncode and "wheel" in alone.stderr:
            raise CannotPackage(
                f"{pin.name} {pin.version} has no wheel for Python {target.version} on {target.arch} "
                f"({target.platform}).\nAsk for another version in pyproject.toml and run `make lock`, or build the "
                f"other architecture (ARCH=arm64 or ARCH=x86_64).\nuv says: {alone.stderr.strip()}"
            )
    raise CannotPackage(f"uv could not install the layer's distributions:\n{done.stderr.strip()}")


def attempt(pins: Sequence[Pin], target: Target, folder: Path, *more: str) -> "subprocess.CompletedProcess[str]":
    """What uv says to that. `more` are options of its own."""
    with tempfile.NamedTemporaryFile("w", suffix=".txt") as requirements:
        requirements.write("\n".join(pin.text for pin in pins))
        requirements.flush()
        return _uv(
            *("install", "-q", "--target", str(folder), "--require-hashes", "--no-deps", "--link-mode", "copy"),
            *("-r", requirements.name, *_for(target), *more),
        )


def _for(target: Target) -> tuple[str, ...]:
    return ("--python-platform", target.platform, "--python-version", target.version, "--only-binary", ":all:")


def _uv(*arguments: str, given: str | None = None) -> "subprocess.CompletedProcess[str]":
    return subprocess.run(
        [sys.executable, "-m", "uv", "pip", *arguments],
        input=given,
        capture_output=True,
        text=True,
        env={**os.environ, "UV_PYTHON_DOWNLOADS": "never"},
    )
