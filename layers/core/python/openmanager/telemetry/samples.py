"""Samples of one server as a table, and the push that carries them."""

from collections.abc import Iterable, Sequence
from dataclasses import field

import numpy as np
from numpy.typing import NDArray

from openmanager.values import frozen

MINUTE_MS = 60_000
# How labels are told apart from the other attributes in the flat mapping that a push carries.
LABEL_PREFIX = "labels."


@frozen(eq=False)
class Samples:
    """Samples of one server, a row for each instant.

    `times` (n,) int64, milliseconds since 1970 UTC, strictly increasing; `values` (n, len(series)) float64, NaN where
    a series has no sample at that instant; `late` (n,) bool, True where the row came after its minute's grace.
    Series are named as in `catalog.PARTS`.
    """

    series: tuple[str, ...]
    times: NDArray[np.int64]
    values: NDArray[np.float64]
    late: NDArray[np.bool_]

    def __len__(self) -> int:
        return len(self.times)

    @property
    def count(self) -> int:
        """Number of samples (values that are present)."""
        return int(np.count_nonzero(~np.isnan(self.values)))

    def rows(self, mask: NDArray[np.bool_]) -> "Samples":
        """The rows where `mask` (n,) is True."""
        return Samples(self.series, self.times[mask], self.values[mask], self.late[mask])


@frozen(eq=False)
class Push:
    """What one request says about one server. `attributes` are its hostname, role, environment, stage and labels."""

    server: str
    samples: Samples
    attributes: dict[str, str] = field(default_factory=dict)


EMPTY = Samples((), np.empty(0, np.int64), np.empty((0, 0)), np.empty(0, np.bool_))


def from_points(points: Iterable[tuple[str, int, float]]) -> Samples:
    """Samples from (series, milliseconds, value) in any order; not late. Of duplicates the larger value stays."""
    rows = list(points)
    if not rows:
        return EMPTY
    names, times, values = zip(*rows, strict=True)
    series = tuple(dict.fromkeys(names))
    column = {name: i for i, name in enumerate(series)}
    instants, row = np.unique(np.array(times, np.int64), return_inverse=True)
    table = np.full((len(instants), len(series)), np.nan)
    # fmax rather than assignment: which duplicate wins must not depend on the order of arrival.
    np.fmax.at(table, (row, np.array([column[n] for n in names])), np.array(values, np.float64))
    return Samples(series, instants, table, np.zeros(len(instants), np.bool_))


def merge(parts: Sequence[Samples]) -> Samples:
    """The union of several tables of one server, independent of their order.

    Where two tables give one series at one instant, the larger value stays; a row is late only if every table that
    holds it says so.
    """
    parts = [p for p in parts if len(p)]
    if not parts:
        return EMPTY
    if len(parts) == 1:
        return parts[0]
    series = tuple(sorted({name for p in parts for name in p.series}))
    column = {name: i for i, name in enumerate(series)}
    times = np.unique(np.concatenate([p.times for p in parts]))
    values = np.full((len(times), len(series)), np.nan)
    late = np.ones(len(times), np.bool_)
    for p in parts:
        row = np.searchsorted(times, p.times)
        # Integers even if there are none: rows can be left without a series that anybody wanted.
        cell = np.ix_(row, np.array([column[name] for name in p.series], np.int64))
        values[cell] = np.fmax(values[cell], p.values)
        late[row] &= p.late
    return Samples(series, times, values, late)
