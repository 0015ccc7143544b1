"""The documents hang together: links lead somewhere, both READMEs are one text, and the map shows the house."""

import re
from pathlib import Path

import pytest

from tests.documents import KOREAN, README, ROOT, anchors, blocks, headings, links, named, prose

# These have links too, though their blocks are tested where what they are about is.
BESIDE = [*sorted((ROOT / "infra").glob("**/README.md")), ROOT / "models" / "README.md"]
ARCHITECTURE = ROOT / "docs" / "architecture.md"
OUTSIDE = ("https://", "http://", "mailto:")


def leads_nowhere(document: Path, link: str) -> bool:
    path, _, anchor = link.partition("#")
    target = (document.parent / path).resolve() if path else document
    if not target.exists():
        return True
    return bool(anchor) and anchor not in anchors(target)


@pytest.mark.parametrize("document", [*named(), *BESIDE], ids=lambda path: path.relative_to(ROOT).as_posix())
def test_every_link_leads_somewhere(document: Path) -> None:
    within = [link for link in links(document) if not link.startswith(OUTSIDE)]
    assert [link for link in within if leads_nowhere(document, link)] == []


def test_a_link_that_leads_nowhere_is_found() -> None:
    assert leads_nowhere(README, "docs/nothing.md")
    assert leads_nowhere(README, "docs/api.md#nothing")
    assert not leads_nowhere(README, "docs/api.md#limits")


def test_every_guide_is_named_in_the_readme() -> None:
    guides = {path.relative_to(ROOT).as_posix() for path in (ROOT / "docs").glob("*.md")}
    assert guides - {link.partition("#")[0] for link in links(README)} == set()


def test_the_readme_is_short() -> None:
    assert len(README.read_text().splitlines()) <= 200


def structure(document: Path) -> list[int]:
    return [level for level, _ in headings(document)]


def bold(document: Path) -> int:
    return len(re.findall(r"\*\*[^*]+\*\*", prose(document)))


def rows(document: Path) -> int:
    return sum(line.startswith("|") for line in prose(document).splitlines())


def test_the_korean_readme_is_the_english_one() -> None:
    """In headings, points, tables, code and links; what it says is for people to compare."""
    assert structure(KOREAN) == structure(README)
    assert (bold(KOREAN), rows(KOREAN)) == (bold(README), rows(README))
    assert [block.text for block in blocks(KOREAN)] == [block.text for block in blocks(README)]
    # The first link of each leads to the other.
    assert (links(README)[0], links(KOREAN)[0]) == ("README.ko.md", "README.md")
    assert links(KOREAN)[1:] == links(README)[1:]
    assert len(re.findall(r"[가-힣]", prose(KOREAN))) > 1000


def test_the_map_shows_every_folder_of_the_house() -> None:
    (map_,) = [block.text for block in blocks(ARCHITECTURE) if block.text.startswith("functions/")]
    words = set(re.findall(r"[\w-]+", map_))
    domain = ROOT / "layers/core/python/openmanager"
    houses = [ROOT / "functions", domain, ROOT / "infra"]
    rooms = {path.name for house in houses for path in house.iterdir() if path.is_dir() and path.name[0] not in "_."}
    assert rooms - words == set()


@pytest.mark.parametrize("picture", ["dashboard.png", "dashboard-dark.png"])
def test_the_picture_is_small_and_a_picture(picture: str) -> None:
    data = (ROOT / "docs" / picture).read_bytes()
    assert data.startswith(b"\x89PNG\r\n\x1a\n")
    assert len(data) < 250_000
