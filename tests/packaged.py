"""A function as Lambda lays it out: its own files in one folder, the layers in another, and nothing else of ours."""

import json
import os
import shutil
import subprocess
import sys
from collections.abc import Mapping
from pathlib import Path
from types import TracebackType
from typing import IO, Any, Self

ROOT = Path(__file__).parents[1]
# What Lambda's own runtime does, but for the runtime's interface: one process, one event after the other.
_LOOP = """
import importlib, json, os, sys, types
answers = os.fdopen(os.dup(1), "w")
os.dup2(2, 1)
handler = importlib.import_module(sys.argv[1]).handler
context = types.SimpleNamespace(aws_request_id="id", function_name="test", get_remaining_time_in_millis=lambda: 60_000)
for line in sys.stdin:
    answers.write(json.dumps(handler(json.loads(line), context)) + "\\n")
    answers.flush()
"""


class Packaged:
    """A warm process of a function; called with an event it answers as the handler does."""

    def __init__(self, folder: Path, function: str, beside: tuple[str, ...], env: Mapping[str, str]) -> None:
        """`beside` are files of the top level that are packed with the function."""
        layer, task = folder / "opt", folder / "task"
        shutil.copytree(ROOT / "layers/core/python/openmanager", layer / "python/openmanager")
        shutil.copytree(ROOT / "models", layer / "models", ignore=shutil.ignore_patterns("training"))
        shutil.copytree(ROOT / f"functions/{function}", task / f"functions/{function}")
        for name in beside:
            shutil.copy(ROOT / name, task)
        self.errors = folder / "errors"
        with self.errors.open("wb") as errors:
            self._process = self._started(function, layer, task, errors, env)

    @staticmethod
    def _started(
        function: str, layer: Path, task: Path, errors: IO[bytes], env: Mapping[str, str]
    ) -> "subprocess.Popen[str]":
        return subprocess.Popen(
            [sys.executable, "-c", _LOOP, f"functions.{function}.handler"],
            env={
                "PATH": "/usr/bin:/bin",
                "PYTHONPATH": os.pathsep.join((str(layer / "python"), str(task))),
                "LAMBDA_TASK_ROOT": str(task),
                "AWS_LAMBDA_FUNCTION_NAME": function,
                "OPENMANAGER_MODELS": str(layer / "models"),
                **env,
            },
            cwd=task,
            stdin=subprocess.PIPE,
            stdout=subprocess.PIPE,
            stderr=errors,
            text=True,
        )

    def __call__(self, event: Mapping[str, Any], _: Any = None) -> Any:
        process = self._process
        assert process.stdin
        assert process.stdout
        process.stdin.write(json.dumps(event) + "\n")
        process.stdin.flush()
        line = process.stdout.readline()
        assert line, self.errors.read_text()
        return json.loads(line)

    def __enter__(self) -> Self:
        return self

    def __exit__(self, *_: type[BaseException] | BaseException | TracebackType | None) -> None:
        process = self._process
        assert process.stdin
        assert process.stdout
        process.stdin.close()
        assert process.wait(30) == 0, self.errors.read_text()
        process.stdout.close()
