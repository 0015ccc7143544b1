"""One run of Schemathesis against a whole stack of its own, in a process of its own.

Through the gateway, as clients come: over sockets, with the server's own reading of requests, every function behind its
route, both stores real and the rounds going on meanwhile.
"""

import json
import os
import subprocess
import sys
from dataclasses import dataclass
from pathlib import Path
from typing import Any

from tests.live import CHECKOUT, LiveStack

HERE = Path(__file__).parent
USERS = ("contract", "contract-changed")
PASSWORD = "a password of the contract"


@dataclass(frozen=True)
class Outcome:
    """What a run found: `said` is Schemathesis' own account of it."""

    passed: bool
    operations: int
    cases: int
    seconds: float
    said: str

    @property
    def line(self) -> str:
        found = "nothing found" if self.passed else "FAILED"
        return f"schemathesis: {self.cases:,} cases of {self.operations} operations in {self.seconds:.0f} s, {found}"


def environment(stack: LiveStack) -> dict[str, str]:
    """What the hooks need to know: the administrator's key, and the signing key, to make tokens as fast as they end."""
    secrets = json.loads((stack.data / "secrets.json").read_text())
    return {
        **os.environ,
        "PYTHONPATH": os.pathsep.join((str(CHECKOUT), str(CHECKOUT / "layers/core/python"))),
        "SCHEMATHESIS_HOOKS": "tests.contract.hooks",
        "OPENMANAGER_TOKEN": stack.token,
        "OPENMANAGER_STAGE": "local",
        "OPENMANAGER_JWT_KEYS": f"local:{secrets['OPENMANAGER_JWT_KEY']}",
    }


def run(stack: LiveStack, folder: Path, *options: str) -> Outcome:
    """Run every phase with every check; `options` are Schemathesis' own. `folder` is for its report."""
    for name in USERS:
        stack.ask(f"/api/users/{name}", "PUT", json.dumps({"role": "viewer", "password": PASSWORD}).encode())
    report = folder / "report.json"
    done = subprocess.run(
        [
            *(sys.executable, "-m", "schemathesis.cli", "--config-file", str(HERE / "schemathesis.toml"), "--no-color"),
            *("run", f"{stack.url}/api/openapi.json", "--report", "json", "--report-json-path", str(report)),
            *options,
        ],
        env=environment(stack),
        cwd=folder,
        stdout=subprocess.PIPE,
        stderr=subprocess.STDOUT,
    )
    said = done.stdout.decode(errors="replace")
    # It is there from the start, and filled at the end.
    if not report.exists() or not (text := report.read_text()):
        raise RuntimeError(f"Schemathesis did not get to its report ({done.returncode}):\n{said}")
    told: dict[str, Any] = json.loads(text)
    passed = done.returncode == 0 and told["complete"] and not told["failures"] and not told["errors"]
    return Outcome(passed, told["operations"]["tested"], told["test_cases"]["generated"], told["running_time"], said)


def stack(folder: Path, port: int) -> LiveStack:
    """A stack for one run, whose every limit but those of logging in is out of the way."""
    made = LiveStack(folder, port)
    made.env |= {
        "OPENMANAGER_REQUEST_LIMIT": "1000000",
        # A reply that ends at once, as behind a gateway that buffers it.
        "OPENMANAGER_STREAM_WINDOW_S": "0",
    }
    return made
