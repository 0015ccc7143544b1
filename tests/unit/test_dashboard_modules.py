"""The dashboard's modules in node: what they count, read and write (tests/js), and that what is served still parses."""

import shutil
import subprocess
from pathlib import Path

import pytest
from starlette.datastructures import Headers

from functions.dashboard.files import STATIC, folder

ROOT = Path(__file__).parents[2]
NODE = shutil.which("node")

pytestmark = pytest.mark.skipif(NODE is None, reason="node is not installed; it runs the dashboard's own modules")


def run(*command: str, text: bytes = b"") -> subprocess.CompletedProcess[bytes]:
    assert NODE
    return subprocess.run([NODE, *command], input=text, capture_output=True, check=False, cwd=ROOT)


def test_the_modules_do_what_their_own_tests_say() -> None:
    done = run("--test", *(str(path) for path in sorted((ROOT / "tests/js").glob("*.test.mjs"))))
    assert done.returncode == 0, done.stdout.decode()


def test_modules_parse_as_they_are_served() -> None:
    served = [path.relative_to(STATIC).as_posix() for path in sorted(STATIC.rglob("*.js")) if path.name != "theme.js"]
    wrong = {}
    for name in served:
        text = bytes(folder().answer(name, Headers({})).body)
        done = run("--check", "--input-type=module", text=text)
        if done.returncode:
            wrong[name] = done.stderr.decode()
    assert wrong == {}
