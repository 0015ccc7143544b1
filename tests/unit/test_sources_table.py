"""Reading a CSV: what it may look like, and what is said where it does not."""

from pathlib import Path

import numpy as np
import pytest
from openmanager.catalog import COLUMN
from openmanager.errors import InvalidInput
from openmanager.sources import table

from infra.transfer import files

CPU = COLUMN["cpu_utilization"]
NOON_MS = 1_772_539_200_000


def read(tmp_path: Path, text: str | bytes, **options: str | int) -> table.Table:
    path = tmp_path / "web-01.csv"
    path.write_bytes(text if isinstance(text, bytes) else text.encode())
    return table.read(path, **options)  # type: ignore[arg-type]


@pytest.mark.parametrize(
    "text", ["2026-03-03T12:00:00Z", "2026-03-03 12:00", "2026-03-03T13:00:00+01:00", "1772539200", "1772539200000"]
)
def test_a_time_is_iso_or_seconds_or_milliseconds(text: str) -> None:
    assert table.milliseconds(text) == NOON_MS
    assert table.moment(NOON_MS) == "2026-03-03T12:00:00Z"


def test_rows_are_averaged_into_minutes_and_gaps_stay_unknown(tmp_path: Path) -> None:
    got = read(
        tmp_path, "time,cpu_utilization\n1772539200,10\n1772539230,20\n1772539260,\n1772539320,nan\n1772539380,7\n"
    )
    assert got.start_ms == NOON_MS
    assert np.array_equal(got.values[:, CPU], [15, np.nan, np.nan, 7], equal_nan=True)
    assert np.isnan(np.delete(got.values, CPU, axis=1)).all()
    assert (got.lines, got.step_ms, got.label) == (5, 60_000, None)


def test_rows_may_come_in_any_order_and_twice(tmp_path: Path) -> None:
    rows = ["1772539260,20,8", "1772539200,10,", "1772539260,20,"]
    got = read(tmp_path, "\n".join(["time,cpu_utilization,load_1m", *rows]))
    assert got.values[:, CPU].tolist() == [10, 20]
    assert got.values[1, COLUMN["load_1m"]] == 8


def test_counters_become_rates_and_devices_are_folded(tmp_path: Path) -> None:
    rows = [f"{1772539200 + 60 * i},{600 * i},{1200 * i}" for i in range(3)]
    got = read(tmp_path, "\n".join(["time,disk_reads_total/sda,disk_reads_total/sdb", *rows]))
    assert got.values[1:, COLUMN["disk_reads"]].tolist() == [30, 30]


def test_the_usual_names_are_found_and_others_may_be_named(tmp_path: Path) -> None:
    got = read(tmp_path, "timestamp,incident,cpu_utilization,colour\n1772539200,1,5,red\n1772539260,,6,blue\n")
    assert got.label is not None
    assert got.label.tolist() == [True, False]
    assert (got.series, got.ignored) == (("cpu_utilization",), ("colour",))
    named = read(tmp_path, "at,bad,label,cpu_utilization\n1772539200,true,x,5\n", time="at", label="bad")
    assert named.label is not None
    assert named.label.all()


def test_what_the_export_writes_is_read(tmp_path: Path) -> None:
    times = [NOON_MS + 500, NOON_MS + 60_500]
    exported = files.Table(times, {"cpu_utilization": [5.5, None], "disk_reads_total/sda": [0.0, 600.0]})
    files.write(tmp_path / "web-01.csv", exported)
    got = table.read(tmp_path / "web-01.csv")
    assert got.start_ms == NOON_MS
    assert np.array_equal(got.values[:, CPU], [5.5, np.nan], equal_nan=True)
    assert got.values[1, COLUMN["disk_reads"]] == 10


def test_one_server_is_read_of_several(tmp_path: Path) -> None:
    text = "time,server,cpu_utilization\n1772539200,a,5\n1772539200,b,7\n1772539260,b,9\n"
    assert read(tmp_path, text, server="b").values[:, CPU].tolist() == [7, 9]


@pytest.mark.parametrize(("gap_s", "step_ms"), [(1, 60_000), (60, 60_000), (300, 300_000), (3600, 3_600_000)])
def test_the_grid_follows_the_rows_but_not_below_a_minute(tmp_path: Path, gap_s: int, step_ms: int) -> None:
    text = "time,load_1m\n" + "".join(f"{1772539200 + gap_s * i},1\n" for i in range(9))
    assert read(tmp_path, text).step_ms == step_ms
    assert read(tmp_path, text, step_s=120).step_ms == 120_000


WRONG: list[tuple[str | bytes, dict[str, str], str]] = [
    ("", {}, "web-01.csv: is empty"),
    ("cpu_utilization\n1\n", {}, "line 1: no column is named time or timestamp"),
    ("time,cpu_utilization\n", {}, "web-01.csv: holds no rows"),
    ("time,colour\n1,2\n", {}, "line 1: no column has the name of a metric"),
    ("time,load_1m,load_1m\n1,2,3\n", {}, "line 1: the column 'load_1m' is there twice"),
    ("time,load_1m\n1772539200,1\nsoon,1\n", {}, "line 3, column time: 'soon' is neither ISO 8601"),
    ("time,load_1m\n1772539200,1\n\n1772539260,1.5.2\n", {}, r"line 4, column load_1m: '1\.5\.2' is not a number"),
    ("time,load_1m\n1772539200,inf\n", {}, "line 2, column load_1m: 'inf' is not a number"),
    ("time,load_1m\n1772539200\n", {}, "line 2: has 1 cells, the first line names 2"),
    ("time,load_1m,label\n1772539200,1,maybe\n", {}, "line 2, column label: 'maybe' is no label"),
    ("time,load_1m\n1772539200,1\n", {"label": "bad"}, r"line 1: has no column 'bad' \(--label\)"),
    ("time,server,load_1m\n1,a,1\n2,b,1\n", {}, "holds 2 servers; --server names one, as 'a'"),
    ("time,server,load_1m\n1,a,1\n", {"server": "c"}, "holds no rows of the server c"),
    ("time,load_1m\n0,1\n60,1\n120,1\n1772539200,1\n", {}, "spans 1970-01-01T00:00:00Z to 2026-03-03T12:00:00Z"),
    (b"time,load_1m\n\xff\xfe,1\n", {}, "web-01.csv: cannot be read"),
    ("time,load_1m\nnan,1\n", {}, "line 2, column time: 'nan' is neither"),
]


@pytest.mark.parametrize(("text", "options", "message"), WRONG)
def test_what_is_wrong_names_file_line_and_column(
    tmp_path: Path, text: str | bytes, options: dict[str, str], message: str
) -> None:
    with pytest.raises(InvalidInput, match=message) as error:
        read(tmp_path, text, **options)
    assert error.value.field.startswith(str(tmp_path / "web-01.csv"))


def test_a_missing_file_is_named(tmp_path: Path) -> None:
    with pytest.raises(InvalidInput, match=r"gone\.csv: cannot be read \(No such file"):
        table.read(tmp_path / "gone.csv")
