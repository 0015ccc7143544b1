"""Tables of samples as CSV or Parquet: a `time` column (UTC) and one for each series, empty where there is no sample.

Series are named as in the catalogue: a part, or part/instance (`network_receive_bytes_total/eth0`). A file may also
have a column `server`.
"""

import csv
import importlib
import os
from collections.abc import Iterator, Mapping, Sequence
from dataclasses import dataclass, field
from datetime import UTC, datetime, timedelta
from pathlib import Path
from typing import Any

from openmanager.catalog import part_of

from infra.transfer.api import Failed

FORMATS = ("csv", "parquet")
_EPOCH = datetime(1970, 1, 1, tzinfo=UTC)
_MS = timedelta(milliseconds=1)


@dataclass(slots=True)
class Table:
    """`times` in milliseconds since 1970; of each row the value of each series, None where there is none."""

    times: list[int] = field(default_factory=list)
    columns: dict[str, list[float | None]] = field(default_factory=dict)

    def extend(self, times: Sequence[int], series: Sequence[str], rows: Sequence[Sequence[float | None]]) -> None:
        """Append rows that may have other series than those before."""
        before = len(self.times)
        self.times += times
        for i, name in enumerate(series):
            self.columns.setdefault(name, [None] * before).extend(row[i] for row in rows)
        for column in self.columns.values():
            column += [None] * (len(self.times) - len(column))

    @property
    def count(self) -> int:
        """Number of samples (values that are present)."""
        return sum(value is not None for column in self.columns.values() for value in column)


def write(path: Path, table: Table) -> None:
    """A file that is there whole or not at all. Raises Failed."""
    path.parent.mkdir(parents=True, exist_ok=True)
    partial = path.with_name(path.name + ".partial")
    try:
        (_write_parquet if path.suffix == ".parquet" else _write_csv)(partial, table)
        partial.replace(path)
    except OSError as fault:
        raise Failed(f"cannot write {path}: {fault.strerror or fault}") from None


def read(path: Path, server: str) -> dict[str, Table]:
    """The tables in a file by server; `server` is whose rows they are where the file does not say. Raises Failed."""
    try:
        if path.suffix == ".parquet":
            return _read_parquet(path, server)
        with path.open(newline="", encoding="utf-8-sig") as file:
            return _read_csv(path, server, file)
    except (OSError, UnicodeDecodeError, csv.Error) as fault:
        raise Failed(f"cannot read {path}: {getattr(fault, 'strerror', None) or fault}") from None


def require_parquet() -> Any:
    """pyarrow. Raises Failed where it is not installed."""
    try:
        return importlib.import_module("pyarrow"), importlib.import_module("pyarrow.parquet")
    except ImportError:
        raise Failed("Parquet needs the package pyarrow, which is not installed; or choose --format csv") from None


def moment(time_ms: int) -> str:
    """A time as ISO 8601 in UTC, to the millisecond."""
    return (_EPOCH + time_ms * _MS).isoformat(timespec="milliseconds").replace("+00:00", "Z")


def milliseconds(text: str) -> int:
    """From ISO 8601 (UTC unless it says otherwise) or seconds since 1970. ValueError if it is neither."""
    try:
        return round(float(text) * 1000)
    except (ValueError, OverflowError):
        when = datetime.fromisoformat(text.strip())
    return ((when if when.tzinfo else when.replace(tzinfo=UTC)) - _EPOCH) // _MS


def _write_csv(path: Path, table: Table) -> None:
    names = sorted(table.columns)
    with path.open("w", newline="", encoding="utf-8") as file:
        writer = csv.writer(file, lineterminator="\n")
        writer.writerow(["time", *names])
        cells = ([_number(v) for v in table.columns[name]] for name in names)
        writer.writerows(zip(map(moment, table.times), *cells, strict=True))
        file.flush()
        os.fsync(file.fileno())


def _number(value: float | None) -> str:
    # repr is the shortest text that reads back as the same number.
    return "" if value is None else repr(float(value)).removesuffix(".0")


def _write_parquet(path: Path, table: Table) -> None:
    arrow, parquet = require_parquet()
    columns = {"time": arrow.array(table.times, arrow.timestamp("ms", tz="UTC"))}
    columns |= {name: arrow.array(table.columns[name], arrow.float64()) for name in sorted(table.columns)}
    parquet.write_table(arrow.table(columns), path, compression="zstd")


def _read_csv(path: Path, server: str, lines: Iterator[str]) -> dict[str, Table]:
    reader = csv.DictReader(lines)
    names = _series(path, reader.fieldnames or ())
    tables: dict[str, Table] = {}
    for row in reader:
        place = f"{path}, line {reader.line_num}"
        try:
            time_ms = milliseconds(row["time"] or "")
        except (ValueError, OverflowError):
            raise Failed(f"{place}: {row['time']!r} is neither ISO 8601 nor Unix seconds") from None
        values = [_value(row[name], f"{place}, {name}") for name in names]
        tables.setdefault(_server(row, server, place), Table()).extend([time_ms], names, [values])
    return tables


def _value(text: str | None, place: str) -> float | None:
    if text is None or text.strip().lower() in ("", "nan", "null", "none"):
        return None
    try:
        return float(text)
    except ValueError:
        raise Failed(f"{place}: {text!r} is not a number") from None


def _read_parquet(path: Path, server: str) -> dict[str, Table]:
    arrow, parquet = require_parquet()
    try:
        content = parquet.read_table(path)
    except arrow.ArrowException as fault:
        raise Failed(f"cannot read {path}: {fault}") from None
    names = _series(path, content.column_names)
    try:
        times = content["time"].cast(arrow.timestamp("ms", tz="UTC"), safe=False).cast(arrow.int64()).to_pylist()
        columns = {name: content[name].cast(arrow.float64()).to_pylist() for name in names}
    except arrow.ArrowException as fault:
        raise Failed(f"{path}: {fault}") from None
    owners = content["server"].to_pylist() if "server" in content.column_names else [None] * len(times)
    tables: dict[str, Table] = {}
    for i, (time_ms, owner) in enumerate(zip(times, owners, strict=True)):
        place = f"{path}, row {i + 1}"
        if time_ms is None:
            raise Failed(f"{place}: has no time")
        values = [_finite(columns[name][i]) for name in names]
        tables.setdefault(_server({"server": owner}, server, place), Table()).extend([time_ms], names, [values])
    return tables


def _finite(value: float | None) -> float | None:
    return None if value is None or value != value else value


def _server(row: Mapping[str, Any], server: str, place: str) -> str:
    name = server or str(row.get("server") or "")
    if not name:
        raise Failed(f"{place}: whose samples are these? Name the server by --server or in a column `server`")
    return name


def _series(path: Path, header: Sequence[str]) -> list[str]:
    if "time" not in header:
        raise Failed(f"{path} has no column `time`")
    names = [name for name in header if name not in ("time", "server")]
    for name in names:
        try:
            part_of(name)
        except KeyError:
            raise Failed(f"{path}: the column {name!r} is no series of the catalogue") from None
    return names
