"""How far a long command is, in one line of a terminal; elsewhere nothing is said."""

import sys
from typing import TextIO

_WIDTH = 24


class Progress:
    """A bar that is drawn over itself and goes when all is done. Call it with (done, of how many).

    It is silent where `stream` is no terminal and where it is not `wanted`, so that logs hold lines alone.
    """

    def __init__(self, unit: str, wanted: bool = True, stream: TextIO | None = None) -> None:
        self._unit = unit
        self._stream = sys.stderr if stream is None else stream
        self._shown = wanted and self._stream.isatty()

    def __call__(self, done: int, total: int) -> None:
        if not self._shown:
            return
        if done >= total:
            self.clear()
            return
        full = _WIDTH * done // total
        bar = "█" * full + "░" * (_WIDTH - full)
        self._write(f"\r\033[K{bar} {100 * done // total:3d} %  {done:,} of {total:,} {self._unit}")

    def clear(self) -> None:
        """Take the bar away, as before a line of text; the next call draws it again."""
        if self._shown:
            self._write("\r\033[K")

    def __enter__(self) -> "Progress":
        return self

    def __exit__(self, *_: object) -> None:
        self.clear()

    def _write(self, text: str) -> None:
        self._stream.write(text)
        self._stream.flush()
