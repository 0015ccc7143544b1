"""The figures of the model cards: each stands before a comment that names its place in scores.json."""

import json
import re
import sys
from pathlib import Path
from typing import Any

MARKED = re.compile(r"(?P<figure>\d*\.?\d+)(?P<percent> %)?<!-- (?P<path>[\w.-]+) -->")


def cards(folder: Path) -> list[Path]:
    """README.md and the model cards."""
    return [*folder.glob("README.md"), *sorted((folder / "cards").glob("*.md"))]


def refresh(folder: Path) -> None:
    """Bring the cards' figures to those of scores.json, each to the decimals it is written with."""
    scores = json.loads((folder / "scores.json").read_text())
    for card in cards(folder):
        card.write_text(MARKED.sub(lambda match: _current(match, scores), card.read_text()))


def look_up(scores: dict[str, Any], path: str) -> float:
    """The score at a dotted path."""
    value: Any = scores
    for key in path.split("."):
        value = value[key]
    return float(value)


def _current(match: re.Match[str], scores: dict[str, Any]) -> str:
    value = look_up(scores, match["path"]) * (100 if match["percent"] else 1)
    decimals = len(match["figure"].partition(".")[2])
    figure = f"{value:.{decimals}f}"
    if match["figure"].startswith("."):
        figure = figure.removeprefix("0")
    return f"{figure}{match['percent'] or ''}<!-- {match['path']} -->"


if __name__ == "__main__":
    refresh(Path(sys.argv[1]))
