"""What people see: tables as wide as the terminal, colours where they show, small charts, times in words.

Whatever a sender or a person chose is made plain first, so that no label moves the cursor or colours a terminal.
"""

import json
import os
import shutil
import sys
import time
import unicodedata
from collections.abc import Mapping, Sequence
from datetime import UTC, datetime
from io import TextIOWrapper
from itertools import pairwise
from typing import Any, TextIO

_COLOURS = {"red": "31", "yellow": "33", "green": "32", "blue": "34", "grey": "90", "bold": "1"}
OF_STATUS = {
    "critical": "red",
    "offline": "red",
    "warning": "yellow",
    "unknown": "grey",
    "maintenance": "blue",
    "healthy": "green",
}
_GAP = 2
# Below this a cut column says nothing any more.
_LEAST = 8
_BLOCKS = "▁▂▃▄▅▆▇█"
_NO_VALUE = "·"


class Painted(str):
    """A cell with a colour."""

    __slots__ = ("colour",)
    colour: str

    def __new__(cls, text: str, colour: str) -> "Painted":
        """The text itself; the colour is put around it when it is written."""
        made = super().__new__(cls, text)
        made.colour = colour
        return made


class Screen:
    """Where a command writes. `width` is None where nothing need be cut, as in a pipe."""

    def __init__(self, out: TextIO, env: Mapping[str, str]) -> None:
        terminal = out.isatty()
        self._out = out
        self._coloured = terminal and not env.get("NO_COLOR") and env.get("TERM") != "dumb"
        self.width = shutil.get_terminal_size().columns if terminal else None
        self.now = time.time()

    def line(self, text: str = "") -> None:
        """One line, not cut."""
        self._out.write(self._painted(text, plain(text)) + "\n")

    def table(self, head: Sequence[str], rows: Sequence[Sequence[str]], right: Sequence[str] = ()) -> None:
        """Rows below their titles, numbers (`right`) to the right; the widest texts are cut until it fits."""
        cells = [[plain(text) for text in row] for row in rows]
        widths = [max(map(_columns, column)) for column in zip(head, *cells, strict=True)]
        self._fit(widths)
        titles = [Painted(title.upper(), "bold") for title in head]
        sides = [title in right for title in head]
        self._row(titles, [t.upper() for t in head], widths, sides)
        for row, texts in zip(rows, cells, strict=True):
            self._row(row, texts, widths, sides)

    def pairs(self, rows: Sequence[tuple[str, str]]) -> None:
        """Names and what belongs to them."""
        wide = max((_columns(name) for name, _ in rows), default=0) + _GAP
        for name, text in rows:
            self._out.write(_padded(name, wide, False) + self._painted(text, plain(text)) + "\n")

    def _fit(self, widths: list[int]) -> None:
        over = 0 if self.width is None else sum(widths) + _GAP * (len(widths) - 1) - self.width
        while over > 0 and max(widths) > _LEAST:
            widths[widths.index(max(widths))] -= 1
            over -= 1

    def _row(self, row: Sequence[str], texts: Sequence[str], widths: Sequence[int], sides: Sequence[bool]) -> None:
        parts = [
            self._painted(cell, _padded(_cut(text, width), width, side))
            for cell, text, width, side in zip(row, texts, widths, sides, strict=True)
        ]
        self._out.write((" " * _GAP).join(parts).rstrip() + "\n")

    def _painted(self, cell: str, text: str) -> str:
        if not self._coloured or not isinstance(cell, Painted):
            return text
        return f"\033[{_COLOURS[cell.colour]}m{text}\033[0m"

    def ago(self, at_s: float | None) -> str:
        """How long something is past, `-` where it never was."""
        return "-" if not at_s else duration(self.now - at_s)


def write_json(value: Any) -> None:
    """A value as one line of standard output; in ASCII, which is readable whatever the locale."""
    sys.stdout.write(json.dumps(value) + "\n")


def screen() -> Screen:
    """Standard output, on which letters that its locale has not are shown as escapes."""
    if isinstance(sys.stdout, TextIOWrapper):
        sys.stdout.reconfigure(errors="backslashreplace")
    return Screen(sys.stdout, os.environ)


def plain(text: str) -> str:
    """A text without control characters, which are shown as escapes."""
    return "".join(c if c.isprintable() else c.encode("unicode_escape").decode() for c in text)


def status(of: str) -> Painted:
    """A status in its colour."""
    return Painted(of, OF_STATUS.get(of, "grey"))


def number(value: float | None, unit: str = "") -> str:
    """A value with its unit, large ones in thousands; `-` where nothing is known."""
    if value is None:
        return "-"
    for scale, prefix in ((1e9, "G"), (1e6, "M"), (1e3, "k")):
        if abs(value) >= scale and unit not in ("%", "s", "ms", "h"):
            return f"{value / scale:.1f} {prefix}{unit}".strip()
    return f"{value:.4g} {unit}".strip()


def percent(share: float | None) -> str:
    """A share of 1 in percent."""
    return "-" if share is None else f"{100 * share:.0f} %"


def duration(seconds: float) -> str:
    """About how long, in the largest unit that fits."""
    seconds = max(seconds, 0)
    for size, name in ((86_400, "d"), (3600, "h"), (60, "min")):
        if seconds >= 2 * size:
            return f"{seconds / size:.0f} {name}"
    return f"{seconds:.0f} s"


def moment(at_s: float | None) -> str:
    """An instant, in UTC as everywhere here."""
    return "-" if not at_s else datetime.fromtimestamp(at_s, UTC).strftime("%Y-%m-%dT%H:%M:%SZ")


def sparkline(values: Sequence[float | None], width: int, low: float | None = None, high: float | None = None) -> str:
    """A line of blocks, each the mean of its share of `values`, `·` for none.

    The lowest block is `low`, the highest `high`; without them the least and the largest mean.
    """
    width = max(1, min(width, len(values)))
    cuts = [len(values) * i // width for i in range(width + 1)]
    means = [_mean(values[start:stop]) for start, stop in pairwise(cuts)]
    known = [value for value in means if value is not None]
    if not known:
        return _NO_VALUE * len(means)
    low, high = min(known) if low is None else low, max(known) if high is None else high
    top, span = len(_BLOCKS) - 1, high - low
    heights = (None if v is None else round(top * (v - low) / span) if span else 0 for v in means)
    return "".join(_NO_VALUE if h is None else _BLOCKS[min(max(h, 0), top)] for h in heights)


def _mean(values: Sequence[float | None]) -> float | None:
    known = [value for value in values if value is not None]
    return sum(known) / len(known) if known else None


def _columns(text: str) -> int:
    """How many columns of a terminal a text takes; Korean letters take two."""
    return sum(0 if unicodedata.combining(c) else 2 if unicodedata.east_asian_width(c) in "WF" else 1 for c in text)


def _cut(text: str, width: int) -> str:
    if _columns(text) <= width:
        return text
    while _columns(text) > width - 1:
        text = text[:-1]
    return text + "…"


def _padded(text: str, width: int, right: bool) -> str:
    space = " " * (width - _columns(text))
    return space + text if right else text + space
