"""One clock for a stack of processes: it may run faster than the wall's, and each process may have it wrong.

    python -m tests.endurance.clock FILE MODULE ARGUMENT...     as `python -m MODULE ARGUMENT...`, by the clock of FILE

A clock is a file of four doubles: an instant of the wall's clock, what this one showed then, how many of its seconds
pass in one, and how far it is off at present. Only `time.time` follows it: what is measured by `time.monotonic`
(timeouts, deadlines, pauses) stays real, as do the clocks of Redis and Postgres, whose leases so last longer than those
who take them think.
"""

import mmap
import runpy
import struct
import sys
import time
from pathlib import Path

_FORM = struct.Struct("<dddd")
_OFF_AT = 24
_wall = time.time


class Clock:
    """The clock of a file."""

    def __init__(self, path: Path) -> None:
        self.path = path
        with path.open("r+b") as file:
            self._map = mmap.mmap(file.fileno(), _FORM.size)

    @classmethod
    def create(cls, path: Path, began: float, rate: float) -> "Clock":
        """A clock that is right at `began` (s since 1970) of the wall's clock and shows `rate` seconds in one."""
        path.write_bytes(_FORM.pack(began, began, rate, 0.0))
        return cls(path)

    def now(self) -> float:
        """Seconds since 1970 by this clock."""
        wall, shown, rate, off = _FORM.unpack_from(self._map)
        return float(shown + (_wall() - wall) * rate + off)

    def set_off(self, seconds: float) -> None:
        """Let it be off by so many seconds from now on."""
        struct.pack_into("<d", self._map, _OFF_AT, seconds)


def main(path: str, module: str, *arguments: str) -> None:
    """Run a module, or a file that ends in .py, by the clock."""
    time.time = Clock(Path(path)).now
    sys.argv = [module, *arguments]
    if module.endswith(".py"):
        runpy.run_path(module, run_name="__main__")
    else:
        runpy.run_module(module, run_name="__main__", alter_sys=True)


if __name__ == "__main__":
    main(*sys.argv[1:])
