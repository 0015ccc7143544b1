"""A plain static host, as anybody may have one: it serves a copy of the dashboard's folder, and a blank page."""

import shutil
import sys
from pathlib import Path

from infra.local.process import Child, free_port
from infra.local.supervisor import answers

STATIC = Path(__file__).parents[2] / "functions" / "dashboard" / "static"


class StaticHost:
    """`python -m http.server` on a port of its own, below whose root /ops/ is the dashboard and /blank.html nothing."""

    def __init__(self, folder: Path) -> None:
        self.port = free_port()
        self.origin = f"http://127.0.0.1:{self.port}"
        self._root = folder / "www"
        self._child = Child("static", folder)

    def start(self) -> None:
        shutil.copytree(STATIC, self._root / "ops")
        (self._root / "blank.html").write_text("<!doctype html><title>blank</title>")
        argv = [sys.executable, "-m", "http.server", str(self.port), "--bind", "127.0.0.1", "--directory", self._root]
        self._child.start(argv)
        self._child.wait_ready(lambda: answers(f"{self.origin}/blank.html"), 20)

    def stop(self) -> None:
        self._child.stop(timeout_s=5)
