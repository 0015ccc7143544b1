"""Trains, converts and judges the three models: `python -m models.training --help`."""

import sys
from pathlib import Path

ROOT = Path(__file__).resolve().parents[2]
# The functions import `openmanager` from their layer; here it comes from the same source.
sys.path.insert(0, str(ROOT / "layers" / "core" / "python"))
