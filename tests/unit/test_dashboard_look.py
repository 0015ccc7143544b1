"""The dashboard's colours and words, from its files: what people who see few colours, or read Korean, depend on."""

import re
from itertools import combinations, product
from pathlib import Path

import pytest

from tests.unit.colours import contrast, distance

STATIC = Path(__file__).parents[2] / "functions" / "dashboard" / "static"
MEANING = ("ok", "warn", "crit", "down", "model")
SURFACES = ("bg", "surface", "surface-2")
# What Korean is called in Korean, for those who look for it.
ENDONYM = "한국어"
HANGUL = re.compile(r"[가-힣ㄱ-ㆎ]")
KEY = re.compile(r'^\s*"([^"]+)":', re.MULTILINE)


def tokens(theme: str) -> dict[str, str]:
    """The opaque colours of a theme, as app.css sets them."""
    head = r':root\[data-theme="light"\]' if theme == "light" else ":root"
    block = re.search(rf"^{head} {{(.*?)^}}", (STATIC / "app.css").read_text(), re.MULTILINE | re.DOTALL)
    assert block is not None
    return dict(re.findall(r"--([a-z0-9-]+): (#[0-9a-f]{6})\b", block[1]))


def words(language: str) -> list[str]:
    return KEY.findall((STATIC / "lib" / f"{language}.js").read_text())


@pytest.mark.parametrize("theme", ["dark", "light"])
@pytest.mark.parametrize(("sight", "least"), [("deutan", 12), ("protan", 12), ("tritan", 8), ("full", 12)])
def test_no_two_meanings_look_alike_to_anybody(theme: str, sight: str, least: float) -> None:
    colours = tokens(theme)
    apart = {pair: distance(colours[pair[0]], colours[pair[1]], sight) for pair in combinations(MEANING, 2)}
    assert {pair: round(d, 1) for pair, d in apart.items() if d < least} == {}


@pytest.mark.parametrize("theme", ["dark", "light"])
def test_text_stands_out_from_every_surface_it_lies_on(theme: str) -> None:
    colours = tokens(theme)
    # Light's warning colour is for shapes only: no amber that is still amber can be read on white.
    texts = ["ink", "ink-2", "ink-3", "ok", "crit", "down", "model", *(["warn"] if theme == "dark" else [])]
    found = {pair: contrast(colours[pair[0]], colours[pair[1]]) for pair in product(texts, SURFACES)}
    assert {pair: round(c, 2) for pair, c in found.items() if c < 4.5} == {}
    assert contrast(colours["on-down"], colours["down"]) >= 4.5


@pytest.mark.parametrize("theme", ["dark", "light"])
def test_shapes_and_the_ring_of_focus_stand_out_too(theme: str) -> None:
    colours = tokens(theme)
    found = {pair: contrast(colours[pair[0]], colours[pair[1]]) for pair in product((*MEANING, "focus"), SURFACES)}
    assert {pair: round(c, 2) for pair, c in found.items() if c < 3} == {}


def test_text_is_not_written_in_the_colour_that_is_for_shapes() -> None:
    sheets = "".join(path.read_text() for path in STATIC.glob("*.css"))
    # A rule of its own for text; glyphs take their colour from `color` and are no text.
    rules = re.findall(r"([^{}]+){([^{}]*)}", sheets)
    written = [chosen.strip() for chosen, body in rules if re.search(r"(?<![-\w])color: var\(--warn\)", body)]
    assert [chosen for chosen in written if not re.search(r"\.s-warning|glyph|svg|path", chosen)] == []


def test_every_text_is_there_in_both_languages_and_said_once() -> None:
    english, korean = words("en"), words("ko")
    assert sorted(set(english) ^ set(korean)) == []
    assert len(english) == len(set(english))
    assert len(korean) == len(set(korean))


def test_texts_that_are_functions_take_the_same_arguments() -> None:
    taken: dict[str, dict[str, int]] = {}
    for language in ("en", "ko"):
        text = (STATIC / "lib" / f"{language}.js").read_text()
        found = re.findall(r'^\s*"([^"]+)": (?:\(([^)]*)\) =>)?', text, re.MULTILINE)
        taken[language] = {key: len([a for a in arguments.split(",") if a.strip()]) for key, arguments in found}
    assert {k: (n, taken["ko"].get(k)) for k, n in taken["en"].items() if n < (taken["ko"].get(k) or 0)} == {}


def test_korean_stands_in_its_dictionary_only() -> None:
    found = [
        path.relative_to(STATIC).as_posix()
        for path in STATIC.rglob("*")
        if path.suffix in (".js", ".html", ".css")
        and path.name != "ko.js"
        and HANGUL.search(path.read_text().replace(ENDONYM, ""))
    ]
    assert found == []


def test_every_key_that_is_asked_for_has_words() -> None:
    there = set(words("en"))
    asked = {
        (path.name, key)
        for path in STATIC.rglob("*.js")
        if "vendor" not in path.parts
        for key in re.findall(r'\bt\("([a-z][\w.]*)"', path.read_text())
    }
    assert sorted((name, key) for name, key in asked if key not in there) == []


def test_the_stylesheet_imports_no_other() -> None:
    assert [path.name for path in STATIC.rglob("*.css") if "@import" in path.read_text()] == []
