"""The programs that a deployment needs, found or installed: node, osls, Python of the runtime, uv."""

import os
import re
import shutil
import subprocess
import sys
from collections.abc import Callable, Mapping, Sequence
from pathlib import Path

from infra.deploy.failure import CannotDeploy
from infra.packaging.bytecode import find_python
from infra.packaging.failure import CannotPackage
from infra.packaging.target import TARGETS

CHECKOUT = Path(__file__).resolve().parents[2]
# The one committed version; the infrastructure's tests pack with the same.
OSLS_FOLDER = CHECKOUT / "tests" / "infrastructure"
# What osls 4.3 says of itself: ^20.19 || ^22.13 || >=24.
NODES = ((20, 19), (22, 13), (24, 0))
PATIENCE_S = 600

Say = Callable[[str], None]


def find_osls(env: Mapping[str, str], say: Say, install: bool = True) -> str:
    """osls: the program that OSLS names, else the committed version, which is installed if need be and wanted."""
    if named := env.get("OSLS"):
        program = shutil.which(named, path=env.get("PATH"))
        if not program:
            raise CannotDeploy(f"OSLS: there is no program {named}", "unset it to take the committed version")
        return program
    _check_node(env)
    program = str(OSLS_FOLDER / "node_modules" / ".bin" / "osls")
    if Path(program).exists():
        return program
    npm = shutil.which("npm", path=env.get("PATH"))
    if not npm:
        raise CannotDeploy("npm is not installed", "install Node.js with npm (https://nodejs.org), 22 or newer")
    if not install:
        return f"{program} (npm will install it)"
    say("installing osls with npm …")
    done = _run([npm, "ci", "--prefix", str(OSLS_FOLDER), "--no-audit", "--no-fund", "--silent"], env)
    if done.returncode:
        raise CannotDeploy(f"npm could not install osls: {_last_line(done)}", "see that npm reaches its registry")
    return program


def _check_node(env: Mapping[str, str]) -> None:
    node = shutil.which("node", path=env.get("PATH"))
    if not node:
        raise CannotDeploy("node is not installed", "install Node.js (https://nodejs.org), 22 or newer")
    said = _run([node, "--version"], env).stdout.strip()
    match = re.match(r"v(\d+)\.(\d+)", said)
    have = (int(match[1]), int(match[2])) if match else (0, 0)
    same_major = [least for least in NODES if least[0] == have[0]]
    if have < NODES[-1] and not (same_major and have >= same_major[0]):
        raise CannotDeploy(
            f"node is {said or 'broken'}", "osls needs 20.19 or later of 20, 22.13 or later of 22, or 24"
        )


def version_of(program: str, env: Mapping[str, str]) -> str:
    """What a program says to --version, in short. Raises CannotDeploy if it does not run."""
    done = _run([program, "--version"], env)
    found = re.search(r"\d+\.\d+\.\d+", done.stdout)
    if done.returncode or not found:
        raise CannotDeploy(f"{program} does not run: {_last_line(done)}", f"npm ci --prefix {OSLS_FOLDER}")
    return found[0]


def find_builders(env: Mapping[str, str], arch: str) -> str:
    """The Python that makes bytecode, once it is known that uv is there too."""
    try:
        python = find_python(TARGETS[arch])
    except CannotPackage as error:
        raise CannotDeploy(str(error), "packaging needs it") from None
    if _run([sys.executable, "-m", "uv", "--version"], env).returncode and not shutil.which("uv", path=env.get("PATH")):
        raise CannotDeploy("uv is not installed", f"{sys.executable} -m pip install uv")
    return python


def _run(argv: Sequence[str], env: Mapping[str, str]) -> "subprocess.CompletedProcess[str]":
    try:
        return subprocess.run(
            argv, env={**os.environ, **env}, capture_output=True, text=True, timeout=PATIENCE_S, check=False
        )
    except (OSError, subprocess.TimeoutExpired) as error:
        return subprocess.CompletedProcess(argv, 1, "", str(error))


def _last_line(done: "subprocess.CompletedProcess[str]") -> str:
    lines = [line for line in (done.stderr + "\n" + done.stdout).splitlines() if line.strip()]
    return lines[-1].strip()[:300] if lines else "it says nothing"
