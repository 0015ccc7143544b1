"""The API against its description (tests/contract), for CONTRACT_SECONDS (600), with other cases each time."""

import os
import tempfile
from pathlib import Path

from infra.local.process import free_port
from tests.bench.output import say
from tests.contract import run as contract


def main() -> None:
    """One run; what it finds is shown whole."""
    with tempfile.TemporaryDirectory() as name:
        folder = Path(name)
        stack = contract.stack(folder, free_port())
        stack.start()
        try:
            outcome = contract.run(stack, folder, "--max-time", os.environ.get("CONTRACT_SECONDS", "600"))
        finally:
            stack.stop()
    if not outcome.passed:
        say(outcome.said)
    say(outcome.line)
