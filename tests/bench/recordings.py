"""The recorded numbers that the codec is measured on, as integers at their declared precision."""

import csv
import json
from collections.abc import Iterator
from dataclasses import dataclass
from datetime import UTC, datetime
from pathlib import Path

import numpy as np
from numpy.typing import NDArray

ROOT = Path(__file__).resolve().parents[2]
HOST = ROOT / "tests/captures/host/psutil_1s.csv"
# Data that is too large for the repository or not ours to copy; the bench goes without where it is absent.
SHARED = ROOT.parent / "shared/data"
SMD_BLOCKS = 3

_KIB = ("mem_used", "mem_available", "mem_cached", "disk_used", "bytes")


@dataclass(frozen=True, slots=True, eq=False)
class Recording:
    """One stretch of one host: names, times (n,) in ms, integers (n, k) and the decimals of each series."""

    names: tuple[str, ...]
    times: NDArray[np.int64]
    numbers: NDArray[np.int64]
    decimals: tuple[int, ...]

    @property
    def values(self) -> NDArray[np.float64]:
        """The numbers in their unit (n, k)."""
        return self.numbers / np.array([10.0**d for d in self.decimals])


def host(rows: int = 600) -> Iterator[Recording]:
    """A Linux host a second, 29 columns: shares at .1 %, load at .01, octets in KiB."""
    with HOST.open() as file:
        header, *lines = csv.reader(file)
    names = header[1:]
    table = np.array(lines, np.float64)
    decimals = tuple(
        2 if name.startswith("load") else 1 if name.endswith("percent") or name.startswith("cpu_") else 0
        for name in names
    )
    scale = [1 / 1024 if any(k in name for k in _KIB) else 10.0**d for name, d in zip(names, decimals, strict=True)]
    # The recorder woke twice in one second now and then; an instant has one row.
    times, first = np.unique(table[:, 0].astype(np.int64) * 1000, return_index=True)
    numbers = np.rint(table[first, 1:] * scale).astype(np.int64)
    yield from _cut(tuple(names), times, numbers, decimals, rows)


def smd(rows: int = 1440) -> Iterator[Recording]:
    """The Server Machine Dataset: 38 columns a minute, scaled by its owner to 0..1, at .001. Stretches a server: 3."""
    folder = SHARED / "smd"
    names = tuple(json.loads((folder / "columns.json").read_text()))
    for path in sorted(folder.glob("*.npz")):
        with np.load(path) as file:
            numbers = np.rint(file["train"].astype(np.float64) * 1000).astype(np.int64)
        times = np.arange(len(numbers)) * 60_000 + 1_764_000_000_000
        pieces = list(_cut(names, times, numbers, (3,) * len(names), rows))
        yield from pieces[:: max(1, len(pieces) // SMD_BLOCKS)][:SMD_BLOCKS]


def nab(rows: int = 1024) -> Iterator[Recording]:
    """CloudWatch metrics in their raw unit, a series each; decimals as many as its values need, at most nine.

    Beyond nine the owner's files hold the noise of binary fractions only (51.846000000000004).
    """
    for path in sorted((SHARED / "nab/realAWSCloudwatch").glob("*.csv")):
        with path.open() as file:
            _, *lines = csv.reader(file)
        instants = [int(datetime.fromisoformat(at).replace(tzinfo=UTC).timestamp()) * 1000 for at, _ in lines]
        times, first = np.unique(np.array(instants, np.int64), return_index=True)
        values = np.round(np.array([float(value) for _, value in lines])[first], 9)
        decimals = next((d for d in range(9) if (np.round(values, d) == values).all()), 9)
        numbers = np.rint(values * 10.0**decimals).astype(np.int64)[:, None]
        yield from _cut((path.stem,), times, numbers, (decimals,), rows)


def _cut(
    names: tuple[str, ...],
    times: NDArray[np.int64],
    numbers: NDArray[np.int64],
    decimals: tuple[int, ...],
    rows: int,
) -> Iterator[Recording]:
    for at in range(0, len(times) - rows + 1, rows):
        yield Recording(names, times[at : at + rows], numbers[at : at + rows], decimals)
