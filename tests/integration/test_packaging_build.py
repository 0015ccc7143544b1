"""Artifacts for Lambda, built for real from wheels: the same each time, complete, or refused with a reason."""

import json
import os
import re
import shutil
import subprocess
import sys
import zipfile
from dataclasses import dataclass
from pathlib import Path

import pytest

from infra.packaging import __main__ as command
from infra.packaging import bytecode, container, contents, distributions, install
from infra.packaging.failure import CannotPackage
from infra.packaging.target import CONTAINER, TARGETS

LOCK = contents.ROOT / "requirements.lock"
# A layer with a shared object, and a function with files beside it.
BUILT = ("crypto", "mcp")


@dataclass(frozen=True)
class Build:
    """What one run left and said."""

    folder: Path
    report: dict[str, object]
    said: str


@pytest.fixture(scope="module", autouse=True)
def wheels() -> None:
    """Skips where no wheels can be had."""
    try:
        install.resolve(["cffi"], TARGETS["x86_64"], LOCK)
    except CannotPackage as error:
        pytest.skip(str(error))


@pytest.fixture(scope="module")
def python() -> str:
    """A Python of Lambda's version."""
    try:
        return bytecode.find_python(TARGETS["x86_64"])
    except CannotPackage as error:
        pytest.skip(str(error))


def build(folder: Path) -> Build:
    """What `python -m infra.packaging` makes, with another hash seed and another umask each time."""
    done = subprocess.run(
        [sys.executable, "-m", "infra.packaging", "--arch", "x86_64", "--out", folder, "--json", "--only", *BUILT],
        capture_output=True,
        text=True,
        cwd=contents.ROOT,
        umask=0o022 if folder.name == "first" else 0o077,
        env={**os.environ, "PYTHONHASHSEED": "1" if folder.name == "first" else "2"},
    )
    assert done.returncode == 0, done.stderr
    return Build(folder / "x86_64", json.loads(done.stdout)[0], done.stderr)


@pytest.fixture(scope="module")
def builds(tmp_path_factory: pytest.TempPathFactory, python: str) -> tuple[Build, Build]:
    """Two of the same tree."""
    folder = tmp_path_factory.mktemp("builds")
    return build(folder / "first"), build(folder / "second")


def test_two_builds_of_the_same_tree_are_the_same(builds: tuple[Build, Build]) -> None:
    hashes = [
        [(a["kind"], a["name"], a["sha256"]) for a in json.loads((one.folder / "report.json").read_text())["artifacts"]]
        for one in builds
    ]
    assert hashes[0] == hashes[1]
    assert [entry[:2] for entry in hashes[0]] == [("layer", "crypto"), ("layer", "mcp"), ("function", "mcp")]


def test_a_build_says_what_it_does_and_leaves_nothing_but_what_it_built(builds: tuple[Build, Build]) -> None:
    one, _ = builds
    assert one.report == json.loads((one.folder / "report.json").read_text())
    assert sorted(p.relative_to(one.folder).as_posix() for p in one.folder.rglob("*") if p.is_file()) == [
        *("functions/mcp.zip", "layers/crypto.zip", "layers/mcp.zip", "report.json")
    ]
    for words in ("layer crypto: ", "function mcp: ", "unzipped MB", "x86_64 took "):
        assert words in one.said


def test_a_layer_holds_bytecode_shared_objects_and_what_is_known_of_a_distribution(builds: tuple[Build, Build]) -> None:
    with zipfile.ZipFile(builds[0].folder / "layers/crypto.zip") as layer:
        names = layer.namelist()
    assert all(name.startswith("python/") for name in names)
    assert not [name for name in names if name.endswith((".py", ".pyi", "/RECORD", "/INSTALLER", "/direct_url.json"))]
    assert "python/cryptography/fernet.pyc" in names
    assert [name for name in names if name.startswith("python/cryptography-") and name.endswith("/METADATA")]
    assert [name for name in names if name.startswith("python/cryptography-") and "LICENSE" in name]


def test_a_function_holds_its_own_folder_and_what_it_takes_along(builds: tuple[Build, Build]) -> None:
    with zipfile.ZipFile(builds[0].folder / "functions/mcp.zip") as function:
        names = function.namelist()
    assert "mcp_settings.json" in names
    assert "functions/mcp/handler.py" in names
    assert "functions/mcp/__pycache__/handler.cpython-313.pyc" in names
    assert [name for name in names if name.startswith("functions/mcp/runbooks/")]
    assert not [name for name in names if not name.startswith("functions/mcp/") and name != "mcp_settings.json"]


@pytest.mark.skipif(os.uname().machine != "x86_64" or sys.platform != "linux", reason="it was built for x86_64 Linux")
def test_a_layer_without_sources_works_on_the_runtimes_python(
    builds: tuple[Build, Build], python: str, tmp_path: Path
) -> None:
    with zipfile.ZipFile(builds[0].folder / "layers/crypto.zip") as layer:
        layer.extractall(tmp_path)
    code = (
        "import importlib.metadata; from cryptography.fernet import Fernet; f = Fernet(Fernet.generate_key());"
        "print(f.decrypt(f.encrypt(b'kept')).decode(), importlib.metadata.version('cryptography'))"
    )
    done = subprocess.run(
        [python, "-S", "-c", code],
        env={"PYTHONPATH": str(tmp_path / "python"), "PYTHONDONTWRITEBYTECODE": "1"},
        capture_output=True,
        text=True,
    )
    assert done.stderr == ""
    (pin,) = distributions.read_lock(LOCK)["cryptography"]
    assert done.stdout.split() == ["kept", pin.version]


def test_a_wheel_that_does_not_exist_for_the_target_is_named(tmp_path: Path) -> None:
    (pin,) = distributions.read_lock(LOCK)["tflite-runtime"]
    # Without its marker, which leaves it out of what is for Python 3.13.
    unmarked = distributions.Pin(pin.name, pin.version, re.sub(r" ;[^\\]*", " ", pin.text))
    with pytest.raises(CannotPackage) as refused:
        install.install([unmarked], TARGETS["arm64"], tmp_path)
    said = str(refused.value)
    assert said.startswith(
        f"tflite-runtime {pin.version} has no wheel for Python 3.13 on arm64 (aarch64-manylinux_2_28)"
    )
    assert "make lock" in said


def test_a_wheel_that_was_changed_is_not_installed(tmp_path: Path) -> None:
    (pin,) = distributions.read_lock(LOCK)["mangum"]
    forged = distributions.Pin(pin.name, pin.version, f"{pin.name}=={pin.version} --hash=sha256:{'0' * 64}")
    with pytest.raises(CannotPackage, match="Hash mismatch"):
        install.install([forged], TARGETS["arm64"], tmp_path)
    assert not (tmp_path / "mangum").exists()


def test_a_name_that_nothing_has_is_refused_with_those_there_are(capsys: pytest.CaptureFixture[str]) -> None:
    with pytest.raises(SystemExit) as ended:
        command.main(["--only", "nothing"])
    assert ended.value.code == 2
    assert "inference" in capsys.readouterr().err


def test_the_container_image_has_all_its_recipe_copies_and_a_wheel_of_each_requirement(tmp_path: Path) -> None:
    """No container engine runs here: the image itself was not built."""
    folder = tmp_path / "context"
    container.lay_out(folder)
    steps = [
        line.split()
        for line in (folder / "Containerfile").read_text().replace("\\\n", " ").splitlines()
        if line and not line.startswith("#")
    ]
    assert [step[0] for step in steps] == [
        *("FROM", "ENV", "COPY", "RUN", "COPY", "COPY", "RUN", "WORKDIR", "ENTRYPOINT", "CMD")
    ]
    for step in steps:
        if step[0] == "COPY":
            assert (folder / step[1]).exists(), step
    module, _, attribute = json.loads(steps[-1][1])[0].rpartition(".")
    assert (attribute, (folder / "task" / (module.replace(".", "/") + ".py")).exists()) == ("handler", True)
    pins = distributions.read_lock(folder / "requirements.txt")
    assert {"tflite-runtime", "awslambdaric", "fastapi", "mcp", "cryptography"} <= set(pins)
    assert not {"ai-edge-litert", "pytest", "moto"} & set(pins)
    chosen = [pin for found in pins.values() for pin in found]
    for target in CONTAINER.values():
        done = install.attempt(chosen, target, tmp_path / "never", "--dry-run")
        assert done.returncode == 0, done.stderr


def test_a_build_of_some_keeps_the_others_in_the_report_as_long_as_they_are_there(
    builds: tuple[Build, Build], tmp_path: Path
) -> None:
    folder = tmp_path / "x86_64"
    shutil.copytree(builds[1].folder, folder)
    (folder / "layers/crypto.zip").unlink()
    assert command.main(["--arch", "x86_64", "--out", str(tmp_path), "--only", "tick"]) == 0
    names = [(a["kind"], a["name"]) for a in json.loads((folder / "report.json").read_text())["artifacts"]]
    assert names == [("layer", "mcp"), ("function", "mcp"), ("function", "tick")]
