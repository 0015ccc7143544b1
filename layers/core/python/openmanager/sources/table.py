"""A CSV of one server's metrics as the catalogue's metrics on an even grid. Errors name file, line and column."""

import csv
from collections import Counter
from collections.abc import Iterator, Sequence
from datetime import UTC, datetime
from pathlib import Path

import numpy as np
from numpy.typing import NDArray

from openmanager.catalog import part_of
from openmanager.errors import InvalidInput
from openmanager.sources.limits import MAX_VALUE
from openmanager.spans import LATEST_S
from openmanager.telemetry.samples import MINUTE_MS, Samples
from openmanager.telemetry.windows import metrics
from openmanager.values import frozen

TIME_NAMES = ("time", "timestamp", "ts", "datetime", "date")
LABEL_NAMES = ("label", "incident", "is_anomaly", "anomaly")
# Seconds since 1970 pass this in the year 5138, milliseconds did in March 1973.
MILLISECONDS_FROM = 1e11
# Six years of minutes: a file that spans more holds a wrong time.
MOST_ROWS = 3_200_000
# A row of the grid has room for all of them, however few cells are filled.
MOST_SERIES = 1000
_LABELS = {"": False, "0": False, "0.0": False, "false": False, "1": True, "1.0": True, "true": True}


@frozen(eq=False)
class Table:
    """`values` (n, len(catalog.METRICS)) on a grid of `step_ms` from `start_ms` on, NaN where nothing is known.

    `label` (n,) True where a row of the bucket was labelled, None without a label column; `lines` the rows of the
    file; `series` the columns that were used and `ignored` those that the catalogue does not know.
    """

    values: NDArray[np.float64]
    label: NDArray[np.bool_] | None
    start_ms: int
    step_ms: int
    lines: int
    series: tuple[str, ...]
    ignored: tuple[str, ...]

    @property
    def times_ms(self) -> NDArray[np.int64]:
        """When each bucket starts (n,)."""
        return self.start_ms + self.step_ms * np.arange(len(self.values), dtype=np.int64)


def read(
    path: Path, time: str = "", label: str = "", server: str = "", step_s: int = 0, most_rows: int = MOST_ROWS
) -> Table:
    """The table in a file; columns named "" are found by their usual names. Raises InvalidInput."""
    try:
        with path.open(newline="", encoding="utf-8-sig") as file:
            return _Reader(path, csv.reader(file), time, label, server).table(step_s, most_rows)
    except (OSError, UnicodeDecodeError, csv.Error) as fault:
        raise InvalidInput(str(path), f"cannot be read ({getattr(fault, 'strerror', None) or fault})") from None


class _Reader:
    def __init__(self, path: Path, rows: Iterator[list[str]], time: str, label: str, server: str) -> None:
        self.path, self.rows, self.server = path, rows, server
        header = [name.strip() for name in next(rows, [])]
        if not header:
            raise InvalidInput(str(path), "is empty; its first line must name the columns")
        if double := [name for name, times in Counter(header).items() if times > 1]:
            raise InvalidInput(f"{path}, line 1", f"the column {min(double)[:64]!r} is there twice")
        found = self._column(header, time, TIME_NAMES, "time")
        if found is None:
            raise InvalidInput(f"{path}, line 1", f"no column is named {' or '.join(TIME_NAMES)}; --time names it")
        self.time: int = found
        self.label = self._column(header, label, LABEL_NAMES, "label")
        self.owner = header.index("server") if "server" in header else None
        apart = {self.time, self.label, self.owner}
        others = [i for i in range(len(header)) if i not in apart]
        known = {i: _known(header[i]) for i in others}
        self.used = [i for i in others if known[i]]
        self.series = tuple(header[i] for i in self.used)
        self.ignored = tuple(header[i] for i in others if not known[i])
        self.header = header
        if len(self.used) > MOST_SERIES:
            raise InvalidInput(f"{path}, line 1", f"{len(self.used)} columns are metrics, more than {MOST_SERIES}")
        if not self.used:
            raise InvalidInput(f"{path}, line 1", "no column has the name of a metric, as cpu_utilization")

    def _column(self, header: list[str], named: str, usual: Sequence[str], what: str) -> int | None:
        if named:
            if named not in header:
                raise InvalidInput(f"{self.path}, line 1", f"has no column {named!r} (--{what})")
            return header.index(named)
        return next((header.index(name) for name in usual if name in header), None)

    def table(self, step_s: int, most_rows: int) -> Table:
        times, values, labels = self._read()
        order = np.argsort(times, kind="stable")
        instants, row = np.unique(times[order], return_inverse=True)
        grid = np.full((len(instants), len(self.series)), np.nan)
        np.fmax.at(grid, row, values[order])
        step_ms = 1000 * step_s or _usual_step(instants)
        start_ms = int(instants[0]) // step_ms * step_ms
        stop_ms = int(instants[-1]) // step_ms * step_ms + step_ms
        if (stop_ms - start_ms) // step_ms > most_rows:
            ends = " to ".join(moment(int(t)) for t in (instants[0], instants[-1]))
            raise InvalidInput(str(self.path), f"spans {ends}, more than {most_rows:,} steps; is a time wrong?")
        samples = Samples(self.series, instants, grid, np.zeros(len(instants), np.bool_))
        table = metrics(samples, start_ms, stop_ms, step_ms)
        label = None
        if self.label is not None:
            label = np.zeros(len(table), np.bool_)
            label[(times[labels] - start_ms) // step_ms] = True
        return Table(table, label, start_ms, step_ms, len(times), self.series, self.ignored)

    def _read(self) -> tuple[NDArray[np.int64], NDArray[np.float64], NDArray[np.bool_]]:
        times, values, labels, owners = [], [], [], set()
        for line, cells in enumerate(self.rows, 2):
            if not cells:
                continue
            place = f"{self.path}, line {line}"
            if len(cells) != len(self.header):
                raise InvalidInput(place, f"has {len(cells)} cells, the first line names {len(self.header)} columns")
            if self.owner is not None:
                owners.add(cells[self.owner])
                if self.server and cells[self.owner] != self.server:
                    continue
            times.append(self._time(cells[self.time], place))
            values.append([self._value(cells[i], place, i) for i in self.used])
            labels.append(self.label is not None and self._label(cells[self.label], place))
        if not times:
            whose = f"rows of the server {self.server}" if self.server else "rows"
            raise InvalidInput(str(self.path), f"holds no {whose}")
        if len(owners) > 1 and not self.server:
            raise InvalidInput(str(self.path), f"holds {len(owners)} servers; --server names one, as {min(owners)!r}")
        return np.array(times, np.int64), np.array(values, np.float64), np.array(labels, np.bool_)

    def _time(self, text: str, place: str) -> int:
        try:
            return milliseconds(text)
        except (ValueError, OverflowError):
            where = f"{place}, column {self.header[self.time]}"
            raise InvalidInput(where, f"{text!r} is neither ISO 8601 nor seconds or milliseconds since 1970") from None

    def _value(self, text: str, place: str, column: int) -> float:
        if text.strip().lower() in ("", "nan", "null", "none"):
            return np.nan
        try:
            value = float(text)
        except ValueError:
            value = np.inf
        if not abs(value) <= MAX_VALUE:
            where = f"{place}, column {self.header[column]}"
            raise InvalidInput(where, f"{text[:64]!r} is not a number up to {MAX_VALUE:g}")
        return value

    def _label(self, text: str, place: str) -> bool:
        try:
            return _LABELS[text.strip().lower()]
        except KeyError:
            assert self.label is not None
            where = f"{place}, column {self.header[self.label]}"
            raise InvalidInput(where, f"{text!r} is no label: 1, 0, true, false or empty") from None


def milliseconds(text: str) -> int:
    """Milliseconds since 1970 from ISO 8601 (UTC unless it says otherwise), seconds or milliseconds. ValueError."""
    try:
        number = float(text)
    except ValueError:
        when = datetime.fromisoformat(text.strip())
        number = (when if when.tzinfo else when.replace(tzinfo=UTC)).timestamp() * 1000
    else:
        number = number if abs(number) >= MILLISECONDS_FROM else number * 1000
    if not 0 <= number <= 1000 * LATEST_S:
        raise ValueError
    return round(number)


def moment(time_ms: int) -> str:
    """A time as ISO 8601 in UTC, to the second."""
    return f"{np.datetime64(time_ms // 1000, 's')}Z"


def _known(name: str) -> bool:
    try:
        part_of(name)
    except KeyError:
        return False
    return True


def _usual_step(times: NDArray[np.int64]) -> int:
    """A minute, or the usual distance of the rows where that is longer, in whole minutes."""
    usual = float(np.median(np.diff(times))) if len(times) > 1 else 0.0
    return MINUTE_MS * max(1, round(usual / MINUTE_MS))
