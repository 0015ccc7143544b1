"""A minute of what `python -m tests.bench endurance` does for ten: each kind of fault once, and nothing is lost."""

import os
import re
import subprocess
import sys
from pathlib import Path

from tests.live import CHECKOUT

SEED = 20261128
# In a process of its own, because its threads and sockets are those of forty programs. How long it takes is not judged.
RUN = ["-m", "tests.bench", "endurance", "--seed", str(SEED), "--minutes", "8", "--rate", "8", "--each", "1"]


def test_what_was_promised_is_kept_through_a_minute_of_faults(tmp_path: Path) -> None:
    env = {name: value for name, value in os.environ.items() if not name.startswith("OPENMANAGER")}
    done = subprocess.run(
        [sys.executable, *RUN, "--keep", str(tmp_path / "kept")],
        cwd=CHECKOUT, env=env, capture_output=True, text=True, check=False,
    )  # fmt: skip
    assert done.returncode == 0, done.stdout + done.stderr
    assert f"seed {SEED}: everything promised was kept" in done.stdout
    # It was no fair weather, and what is counted was there to be counted.
    lines = done.stdout.splitlines()
    injected = [line for line in lines if re.fullmatch(r"  [a-z ]+: .* 1 +1", line)]
    assert len(injected) >= 30
    for what in ("verdicts", "audit rows of settings", "samples"):
        (counted,) = [line for line in lines if line.startswith(f"  {what} ")]
        assert int(counted[48:].split()[0].replace(",", "")) > 0
