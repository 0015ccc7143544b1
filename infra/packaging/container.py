"""Lays out what the container image is built from, in build/container: `python -m infra.packaging.container`.

Building it takes Docker or Podman, running it takes nothing of ours (Containerfile).
"""

import shutil
import sys
import tomllib
from pathlib import Path

from . import contents, distributions, install
from .failure import CannotPackage
from .target import CONTAINER

RUNTIME_CLIENT = "awslambdaric"


def lay_out(folder: Path) -> None:
    """Put the recipe, the requirements with their hashes, our code and the models into `folder`."""
    shutil.rmtree(folder, ignore_errors=True)
    folder.mkdir(parents=True)
    (folder / "requirements.txt").write_text(requirements())
    for layer in distributions.LAYERS:
        contents.add_own(layer, folder / "opt")
    for name in contents.functions():
        contents.add_function(name, folder / "task")
    shutil.copy(Path(__file__).with_name("Containerfile"), folder)


def requirements() -> str:
    """The distributions of all functions and Lambda's runtime client, for either architecture, as pip reads them."""
    lock = contents.ROOT / "requirements.lock"
    document = tomllib.loads((contents.ROOT / "pyproject.toml").read_text())
    groups = document["dependency-groups"]
    client = [one for one in groups["dev"] if isinstance(one, str) and one.startswith(RUNTIME_CLIENT)]
    wanted = [*document["project"]["dependencies"], *groups["mcp"], *groups["crypto"], *client]
    names = sorted({one for target in CONTAINER.values() for one in install.resolve(wanted, target, lock)})
    pins = distributions.read_lock(lock)
    return "\n".join(distributions.pinned(name, pins).text for name in names) + "\n"


def main() -> int:
    """The exit code."""
    folder = contents.ROOT / "build/container"
    try:
        lay_out(folder)
    except CannotPackage as error:
        sys.stderr.write(f"cannot package: {error}\n")
        return 1
    sys.stderr.write(f"laid out in {folder}; now: docker build -t openmanager {folder}\n")
    return 0


if __name__ == "__main__":
    sys.exit(main())
