"""The dashboard's picture in the README, taken of a fleet that real rounds judged.

It is written to the folder of screenshots. To renew the committed one: `make browser`, look at it, and
`cp tests/browser/shots/dashboard.png tests/browser/shots/dashboard-dark.png docs/`.
"""

import struct
from pathlib import Path

import pytest

from tests.browser import chromium
from tests.browser.conftest import FLEET, Visit
from tests.browser.walk import all_there, settled

pytestmark = pytest.mark.interop

DOCS = Path(__file__).parents[2] / "docs"
# A page of the README loads one of them.
LARGEST_BYTES = 250_000
NAMES = {"light": "dashboard.png", "dark": "dashboard-dark.png"}


def dimensions(image: bytes) -> tuple[int, int]:
    """Width and height in pixels, by the header of PNG (https://www.w3.org/TR/png-3/#11IHDR)."""
    assert image[:8] == b"\x89PNG\r\n\x1a\n"
    width, height = struct.unpack(">II", image[16:24])
    return width, height


@pytest.mark.parametrize("theme", NAMES)
def test_the_committed_picture_is_of_the_size_that_is_taken_today(visit: Visit, shots: Path, theme: str) -> None:
    page = visit(size=chromium.DESKTOP, theme=theme)
    all_there(page, FLEET)
    settled(page)
    taken = page.page.screenshot(path=shots / NAMES[theme])
    committed = (DOCS / NAMES[theme]).read_bytes()
    assert dimensions(committed) == dimensions(taken) == chromium.DESKTOP
    assert max(len(taken), len(committed)) < LARGEST_BYTES
