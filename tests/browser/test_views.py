"""Every view in both themes, both languages and both sizes: what axe finds, what is cut off, and how it looks."""

from pathlib import Path

import pytest

from tests.browser import chromium
from tests.browser.chromium import Watched
from tests.browser.conftest import FLEET, Visit
from tests.browser.walk import all_there, cut, settled, small, views

pytestmark = pytest.mark.interop

DRAWN = """[...document.querySelectorAll(".chart")].every((c) => c.querySelector("canvas") || !c.checkVisibility())"""
SHOWN = ("overview", "server", "alerts", "record", "servers")


def show(page: Watched, address: str) -> None:
    page.run("(hash) => { location.hash = hash; }", address.partition("#")[2])
    settled(page)


@pytest.mark.parametrize("device", chromium.SIZES)
@pytest.mark.parametrize("theme", ["dark", "light"])
def test_axe_finds_nothing_in_any_view(visit: Visit, device: str, theme: str) -> None:
    page = visit(size=chromium.SIZES[device], theme=theme)
    all_there(page, FLEET)
    found = {}
    for name, address in views(page).items():
        show(page, address)
        found[name] = page.violations() + small(page)
    page.page.keyboard.press("?")
    page.until("document.querySelector('dialog[open]')")
    found["shortcuts"] = page.violations() + small(page)
    assert {name: violations for name, violations in found.items() if violations} == {}


@pytest.mark.parametrize("device", chromium.SIZES)
@pytest.mark.parametrize("theme", ["dark", "light"])
def test_axe_finds_nothing_in_the_login(visit: Visit, device: str, theme: str) -> None:
    page = visit(size=chromium.SIZES[device], theme=theme, who=None)
    settled(page)
    assert page.violations() == []


@pytest.mark.parametrize("language", chromium.LANGUAGES)
@pytest.mark.parametrize("device", chromium.SIZES)
def test_no_text_is_cut_and_no_view_is_wider_than_the_screen(visit: Visit, device: str, language: str) -> None:
    page = visit(size=chromium.SIZES[device], language=language)
    all_there(page, FLEET)
    found = {}
    for name, address in views(page).items():
        show(page, address)
        found[name] = cut(page)
    page = visit(size=chromium.SIZES[device], language=language, who=None)
    settled(page)
    found["login"] = cut(page)
    assert {name: texts for name, texts in found.items() if texts} == {}


@pytest.mark.parametrize("language", chromium.LANGUAGES)
@pytest.mark.parametrize("device", chromium.SIZES)
@pytest.mark.parametrize("theme", ["dark", "light"])
def test_screenshots(visit: Visit, shots: Path, device: str, theme: str, language: str) -> None:
    page = visit(size=chromium.SIZES[device], theme=theme, language=language)
    all_there(page, FLEET)
    assert page.run("document.documentElement.lang") == language
    assert page.run("document.documentElement.dataset.theme") == theme
    for name, address in views(page).items():
        if name in SHOWN:
            show(page, address)
            # Charts are drawn when their figures have come.
            page.until(DRAWN)
            page.page.screenshot(path=shots / f"{name}-{device}-{theme}-{language}.png")
    page = visit(size=chromium.SIZES[device], theme=theme, language=language, who=None)
    settled(page)
    page.page.screenshot(path=shots / f"login-{device}-{theme}-{language}.png")
