"""What goes into the zips for Lambda, and what is refused."""

import os
import subprocess
import sys
import sysconfig
import zipfile
from collections.abc import Iterable
from pathlib import Path

import pytest

from infra.packaging import archive, bytecode, contents, distributions, pruning, report, shared_objects
from infra.packaging.failure import CannotPackage
from infra.packaging.report import MB, Artifact, Size
from infra.packaging.target import TARGETS, Target

PYPROJECT = """
[project]
dependencies = [
    "web[fast]>=1", "psycopg[binary]>=3", "ai-edge-litert>=2; python_version >= '3.12'", "tflite-runtime==2"
]
[dependency-groups]
crypto = ["cryptography"]
mcp = ["mcp"]
"""
# What each needs, as a resolver would say.
NEEDS = {
    "web[fast]>=1": ["web==1", "typing==4"],
    "psycopg[binary]>=3": ["psycopg==3", "psycopg-binary==3", "typing==4"],
    "ai-edge-litert>=2; python_version >= '3.12'": ["ai-edge-litert==2", "numpy==2", "tqdm==1"],
    "cryptography": ["cryptography==50", "cffi==2"],
    "mcp": ["mcp==2", "cryptography==50", "cffi==2", "web==1"],
}
LOCK = "\n".join(f"{one} \\\n    --hash=sha256:00\n    # via x" for needs in NEEDS.values() for one in needs)


def layers(folder: Path, lock: str) -> dict[str, list[str]]:
    (folder / "pyproject.toml").write_text(PYPROJECT)
    (folder / "requirements.lock").write_text(lock)
    pins = distributions.layers_of(
        folder / "pyproject.toml",
        distributions.read_lock(folder / "requirements.lock"),
        lambda wanted: {one for requirement in wanted for one in NEEDS[requirement]},
    )
    return {layer: sorted(pin.name for pin in found) for layer, found in pins.items()}


def test_each_distribution_is_in_one_layer_and_the_interpreter_comes_alone(tmp_path: Path) -> None:
    assert layers(tmp_path, LOCK) == {
        "core": ["typing", "web"],
        "inference": ["ai-edge-litert"],
        "postgres": ["psycopg", "psycopg-binary"],
        "senders": [],
        "crypto": ["cffi", "cryptography"],
        "mcp": ["mcp"],
    }


def test_what_is_not_in_the_lock_file_is_named(tmp_path: Path) -> None:
    with pytest.raises(CannotPackage, match=r"^cffi==2 is needed .* run `make lock`$"):
        layers(tmp_path, LOCK.replace("cffi==2", "cffi==1"))


def test_a_pin_keeps_its_hashes_and_its_marker_and_loses_its_comments(tmp_path: Path) -> None:
    (tmp_path / "lock").write_text(
        "numpy==1.26.4 ; python_full_version < '3.12' \\\n    --hash=sha256:aa \\\n    --hash=sha256:bb\n    # via x\n"
        "numpy==2.5.5 ; python_full_version >= '3.12' \\\n    --hash=sha256:cc\n    # via web\n"
    )
    old, new = distributions.read_lock(tmp_path / "lock")["numpy"]
    assert (old.version, new.version) == ("1.26.4", "2.5.5")
    assert old.text.split() == [
        *("numpy==1.26.4", ";", "python_full_version", "<", "'3.12'", "\\"),
        *("--hash=sha256:aa", "\\", "--hash=sha256:bb"),
    ]


@pytest.mark.parametrize(
    "path",
    [
        "numpy/tests/test_x.py",
        "numpy/_core/_simd.cpython-313-x86_64-linux-gnu.so",
        "numpy/__init__.pyi",
        "numpy/_core/include/numpy/arrayobject.h",
        "numpy/f2py/crackfortran.py",
        "ai_edge_litert/libLiteRtWebGpuAccelerator.so",
        "ai_edge_litert/vendors/qualcomm/compiler/libLiteRtCompilerPlugin_Qualcomm.so",
        "aws_lambda_powertools/utilities/idempotency/base.py",
        "pydantic/v1/main.py",
        "bin/uvicorn",
        "fastapi-0.165.0.dist-info/RECORD",
        "fastapi-0.165.0.dist-info/direct_url.json",
    ],
)
def test_what_no_function_loads_is_left_out_with_a_reason(path: str) -> None:
    rule = pruning.left_out(path)
    assert rule is not None
    assert rule.reason


@pytest.mark.parametrize(
    "path",
    [
        "numpy.libs/libscipy_openblas64_-4b78795a.so",
        "psycopg_binary.libs/libpq-e9b5c9ac.so.5.18",
        "numpy.libs/tests/libx.so",
        "numpy/testing/__init__.py",
        "ai_edge_litert/interpreter.py",
        "certifi/cacert.pem",
        "fastapi-0.165.0.dist-info/METADATA",
        "uvicorn-0.54.0.dist-info/entry_points.txt",
        "numpy-2.5.5.dist-info/licenses/numpy/random/src/distributions/LICENSE.md",
        "numpy-2.5.5.dist-info/licenses/tests/LICENSE",
        "pydantic_core-2.50.4.dist-info/sboms/pydantic-core.cyclonedx.json",
    ],
)
def test_libraries_of_wheels_metadata_and_licences_stay(path: str) -> None:
    assert pruning.left_out(path) is None


def test_pruning_leaves_no_empty_folder(tmp_path: Path) -> None:
    for path in ("numpy/f2py/src/x.c", "numpy/core.py"):
        (tmp_path / path).parent.mkdir(parents=True, exist_ok=True)
        (tmp_path / path).touch()
    pruning.prune(tmp_path)
    assert sorted(p.relative_to(tmp_path).as_posix() for p in tmp_path.rglob("*")) == ["numpy", "numpy/core.py"]


def test_the_core_layer_has_the_domain_and_no_command_line(tmp_path: Path) -> None:
    contents.add_own("core", tmp_path)
    domain = tmp_path / "python/openmanager"
    whole = {path.name for path in (contents.ROOT / "layers/core/python/openmanager").iterdir()} - {"__pycache__"}
    assert {path.name for path in domain.iterdir()} == whole - {"cli", "__main__.py"}
    assert not list(domain.rglob("*.pyc"))


def test_a_zip_depends_on_names_contents_and_the_executable_bit_alone(tmp_path: Path) -> None:
    for folder, names, mode, seconds in (("a", ("x", "y/z"), 0o700, 0), ("b", ("y/z", "x"), 0o755, 1_700_000_000)):
        for name in names:
            path = tmp_path / folder / name
            path.parent.mkdir(parents=True, exist_ok=True)
            path.write_text(f"content of {name}")
            path.chmod(0o640 if name == "x" else mode)
            os.utime(path, (seconds, seconds))
        archive.write_zip(tmp_path / folder, tmp_path / f"{folder}.zip")
    assert (tmp_path / "a.zip").read_bytes() == (tmp_path / "b.zip").read_bytes()
    with zipfile.ZipFile(tmp_path / "a.zip") as written:
        assert [(e.filename, e.external_attr >> 16, e.date_time) for e in written.infolist()] == [
            ("x", 0o100644, (1980, 1, 1, 0, 0, 0)),
            ("y/z", 0o100755, (1980, 1, 1, 0, 0, 0)),
        ]


def ours() -> Target:
    """What this interpreter runs on, as a target."""
    arch = next((a for a in TARGETS if a == os.uname().machine.replace("aarch64", "arm64")), None)
    if arch is None or sys.platform != "linux":
        pytest.skip("Lambda has no such processor or system")
    return TARGETS[arch]


def extension(name: str) -> Path:
    """The folder of a distribution with shared objects that the tests' own environment has."""
    return Path(sysconfig.get_path("platlib")) / name


def test_shared_objects_for_another_processor_are_refused() -> None:
    other = next(t for t in TARGETS.values() if t.arch != ours().arch)
    with pytest.raises(CannotPackage, match=rf"^layer core: .*\.so is for EM_.*, not for {other.arch}$"):
        shared_objects.check(extension("pydantic_core"), "core", other)


def test_a_shared_object_that_needs_a_newer_library_is_named_with_the_symbol() -> None:
    here = ours()
    old = Target(here.arch, here.platform, here.machine, newest={"GLIBC": (2, 1)})
    with pytest.raises(
        CannotPackage, match=r"^layer core: _pydantic_core.*\.so needs \w+@GLIBC_2\.\d+(\.\d+)?; Lambda has GLIBC_2\.1$"
    ):
        shared_objects.check(extension("pydantic_core"), "core", old)
    assert float(shared_objects.check(extension("pydantic_core"), "core", here)) <= 2.34


def test_a_library_that_was_pruned_away_and_is_needed_is_missed(tmp_path: Path) -> None:
    here = ours()
    found = [*extension("psycopg_binary").glob("pq.*.so")]
    assert len(found) == 1
    (tmp_path / "pq.so").write_bytes(found[0].read_bytes())
    with pytest.raises(CannotPackage, match=r"pq\.so needs libpq-.*, which neither Lambda nor the layer has"):
        shared_objects.check(tmp_path, "postgres", here)


@pytest.fixture
def python() -> str:
    try:
        return bytecode.find_python(TARGETS["arm64"])
    except CannotPackage as error:
        pytest.skip(str(error))


def test_bytecode_is_of_the_runtimes_python_and_unchecked(tmp_path: Path, python: str) -> None:
    (tmp_path / "a").mkdir()
    (tmp_path / "a/b.py").write_text("def f():\n    return 1 / 0\n")
    bytecode.compile_beside(python, tmp_path, "/var/task")
    content = (tmp_path / "a/__pycache__/b.cpython-313.pyc").read_bytes()
    # PEP 552: bit 0 says that a hash follows, bit 1 that it is to be checked.
    assert int.from_bytes(content[4:8], "little") == 0b01
    assert (tmp_path / "a/b.py").exists()


def test_code_without_sources_runs_and_its_tracebacks_say_where_it_is_on_lambda(tmp_path: Path, python: str) -> None:
    (tmp_path / "a").mkdir()
    (tmp_path / "a/__init__.py").write_text("")
    (tmp_path / "a/b.py").write_text("def f():\n    return 1 / 0\n")
    bytecode.compile_instead(python, tmp_path, "/opt/python")
    assert sorted(p.name for p in tmp_path.rglob("*.py*")) == ["__init__.pyc", "b.pyc"]
    done = subprocess.run([python, "-S", "-c", "import a.b; a.b.f()"], cwd=tmp_path, capture_output=True, text=True)
    assert 'File "/opt/python/a/b.py", line 2, in f' in done.stderr
    assert done.stderr.rstrip().endswith("ZeroDivisionError: division by zero")


def test_a_module_that_reads_its_own_source_keeps_it(tmp_path: Path, python: str) -> None:
    for name in bytecode.READ_AT_IMPORT:
        (tmp_path / name).parent.mkdir(parents=True, exist_ok=True)
        (tmp_path / name).write_text("import inspect, sys\nSOURCE = inspect.getsource(sys.modules[__name__])\n")
    (tmp_path / "anyio/lowlevel.py").write_text("")
    bytecode.compile_instead(python, tmp_path, "/opt/python")
    assert sorted(p.relative_to(tmp_path).as_posix() for p in tmp_path.rglob("*.py*") if p.is_file()) == [
        *("anyio/__init__.py", "anyio/__pycache__/__init__.cpython-313.pyc"),
        *("anyio/abc/__init__.py", "anyio/abc/__pycache__/__init__.cpython-313.pyc", "anyio/lowlevel.pyc"),
    ]
    code = "import anyio.abc; assert anyio.abc.SOURCE == anyio.SOURCE"
    done = subprocess.run([python, "-S", "-c", code], cwd=tmp_path, capture_output=True, text=True)
    assert done.stderr == ""


def test_a_python_that_nobody_has_is_asked_for() -> None:
    with pytest.raises(CannotPackage, match=r"made by a Python 3\.99, and none is here"):
        bytecode.find_python(Target("arm64", "", "", python=(3, 99)))


def test_sources_that_do_not_compile_stop_the_build(tmp_path: Path, python: str) -> None:
    (tmp_path / "broken.py").write_text("def f(:\n")
    with pytest.raises(CannotPackage, match=r"broken\.py"):
        bytecode.compile_beside(python, tmp_path, "/var/task")


def built(kind: str, name: str, zipped: int, unzipped: int = 0) -> Artifact:
    return Artifact(kind, name, "", Size(1, unzipped, zipped), None, "", 0.0)


@pytest.mark.parametrize(
    ("artifacts", "said"),
    [
        ([built("function", "tick", MB)], []),
        ([built("function", "tick", MB + 10_000)], ["function tick: 1.01 MB zipped, at most 1.00"]),
        ([built("layer", "core", 20 * MB), built("layer", "inference", 8 * MB), built("layer", "mcp", 9 * MB)], []),
        (
            [built("layer", "core", 20 * MB), built("layer", "inference", 9 * MB)],
            ["layers core and inference: 29.00 MB zipped, at most 28.00"],
        ),
        (
            [built("layer", "core", 0, 125 * MB), built("layer", "mcp", 0, 125 * MB)],
            ["all layers: 250.00 MB unzipped, less than 250.00 is allowed"],
        ),
    ],
)
def test_a_budget_that_is_broken_is_named(artifacts: Iterable[Artifact], said: list[str]) -> None:
    assert list(report.broken_budgets(artifacts)) == said
