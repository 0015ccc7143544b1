"""`python -m tests.endurance`: see docs/endurance.md; `python -m tests.bench endurance` is the same."""

import sys
from pathlib import Path

sys.path.insert(0, str(Path(__file__).resolve().parents[2] / "layers/core/python"))

from tests.endurance.run import Wanted, run

if __name__ == "__main__":
    seed, minutes, rate = (float(a) for a in sys.argv[1:4])
    sys.exit(0 if run(Wanted(int(seed), minutes, rate, int(sys.argv[4]), sys.argv[5:] == ["loss"])) else 1)
