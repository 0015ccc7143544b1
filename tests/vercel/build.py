"""`vercel build` of a copy of the checkout, without an account, and the function that it makes laid out as it runs."""

import json
import os
import shutil
import subprocess
import sys
from dataclasses import dataclass
from pathlib import Path
from typing import Any

import pytest

ROOT = Path(__file__).parents[2]
CLI = Path(__file__).parent / "node_modules/vercel/dist/vc.js"
# What a deployment does not upload: not part of the repository.
_LEFT = shutil.ignore_patterns(
    ".git", ".venv*", ".openmanager", ".*_cache", ".hypothesis", "__pycache__", "node_modules"
)
# What the command writes when the project is linked; nobody is asked whether there is such a one.
_PROJECT = {"projectId": "prj_local", "orgId": "team_local", "projectName": "openmanager", "settings": {}}
_UNREACHABLE = ("Failed to fetch", "error sending request", "dns error", "Network is unreachable", "Could not connect")
_LONGEST_S = 600


@dataclass(frozen=True)
class Output:
    """The function's folder, ready to run; its settings; the routes and crons of the deployment; what it runs on."""

    folder: Path
    config: dict[str, Any]
    deployment: dict[str, Any]
    python: str

    @property
    def files(self) -> dict[str, int]:
        """The size of each file in the function."""
        found = [path for path in self.folder.rglob("*") if path.is_file()]
        return {path.relative_to(self.folder).as_posix(): path.stat().st_size for path in found}


def build(folder: Path) -> Output:
    """Build into a folder; skips, with its reason, where what this needs is not here."""
    node, uv, python = shutil.which("node"), _beside_us("uv"), _python()
    for name, found in {"node": node, "uv": uv, "Python 3.12": python}.items():
        if not found:
            pytest.skip(f"no {name} here, which `vercel build` needs")
    if not CLI.is_file():
        pytest.skip("the Vercel CLI is not installed: npm install --prefix tests/vercel --no-save --ignore-scripts")
    assert node
    assert uv
    assert python
    copy = folder / "copy"
    shutil.copytree(ROOT, copy, ignore=_LEFT)
    (copy / ".vercel").mkdir()
    (copy / ".vercel/project.json").write_text(json.dumps(_PROJECT))
    done = subprocess.run(
        [node, CLI, "build", "--prod", "--yes", "--global-config", folder / "config"],
        cwd=copy,
        env={
            **{name: value for name, value in os.environ.items() if not name.startswith(("OPENMANAGER", "VERCEL"))},
            "PATH": os.pathsep.join((str(Path(python).parent), str(Path(uv).parent), os.environ["PATH"])),
            "UV_PYTHON_DOWNLOADS": "never",
            "VERCEL_TELEMETRY_DISABLED": "1",
            # A build on Vercel takes it from vercel.json; one on this machine does not.
            **json.loads((ROOT / "vercel.json").read_text())["build"]["env"],
        },
        capture_output=True,
        text=True,
        timeout=_LONGEST_S,
        check=False,
    )
    said = done.stdout + done.stderr
    if done.returncode and any(sign in said for sign in _UNREACHABLE):
        pytest.skip("the Python packages could not be fetched")
    assert done.returncode == 0, said
    return _laid_out(copy, folder / "function", python)


def _laid_out(copy: Path, target: Path, python: str) -> Output:
    """The files of the function where they are when it runs; the output only says where each of them is."""
    made = copy / ".vercel/output/functions/fastapi.func"
    config = json.loads((made / ".vc-config.json").read_text())
    places = {name: copy / source for name, source in config.pop("filePathMap").items()}
    places |= {path.name: path for path in made.iterdir() if path.name != ".vc-config.json"}
    for name, source in places.items():
        (target / name).parent.mkdir(parents=True, exist_ok=True)
        # Links that are followed would lead back into the copy.
        os.link(source.resolve(), target / name)
    deployment = json.loads((copy / ".vercel/output/config.json").read_text())
    return Output(target, config, deployment, python)


def _beside_us(program: str) -> str | None:
    """A program of this interpreter's environment, or of the machine."""
    here = Path(sys.executable).parent / program
    return str(here) if here.is_file() else shutil.which(program)


def _python() -> str | None:
    """What Vercel takes for a project that asks for 3.11 or later."""
    candidates = [Path(shutil.which("python3.12") or ""), *Path.home().glob(".pyenv/versions/3.12.*/bin/python3.12")]
    for candidate in (str(path) for path in candidates if path.is_file()):
        # A version manager's shim may have nothing behind it, so it is asked what it is.
        asked = [candidate, "-c", "import sys; sys.exit(sys.version_info[:2] != (3, 12))"]
        if subprocess.run(asked, capture_output=True, check=False).returncode == 0:
            return candidate
    return None
