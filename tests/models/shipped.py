"""The shipped models, where and how a test finds them."""

from collections.abc import Iterator
from pathlib import Path

import pytest
from openmanager.inference import runtime
from openmanager.settings import settings

FOLDER = Path(__file__).resolve().parents[2] / "models"
DATA = FOLDER.parents[1] / "shared" / "data"
NAMES = ("anomaly", "failure", "forecast")


@pytest.fixture
def shipped_models(monkeypatch: pytest.MonkeyPatch) -> Iterator[Path]:
    """This process uses the checkout's own models, whatever an earlier test made it use."""
    monkeypatch.setenv("OPENMANAGER_STAGE", "local")
    monkeypatch.setenv("OPENMANAGER_MODELS", str(FOLDER))
    settings.cache_clear()
    yield FOLDER
    settings.cache_clear()


def load(name: str) -> runtime.Model:
    """A shipped model, loaded by the manifest."""
    return runtime.Model(FOLDER, runtime.read_manifest(FOLDER)[name])
