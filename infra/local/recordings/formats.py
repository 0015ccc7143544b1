"""Recordings: the files that can be replayed, read into arrays, stretched and cut.

CSV with a `time` column and columns named like our metrics or series (counters too, such as
`network_receive_bytes_total/eth0`), optionally with `server`, `role`, `environment`, `stage`; the columns of a psutil
recording (`ts`, `cpu_percent`, ...); and .npz in the layout of the Server Machine Dataset.
"""

import csv
import sys
from dataclasses import dataclass, field, replace
from datetime import UTC, datetime
from functools import lru_cache
from pathlib import Path
from typing import Any

import numpy as np
from numpy.typing import NDArray

ROOT = Path(__file__).resolve().parents[3]
# The door reads 8 MB of JSON, and a row of all metrics takes about a kilobyte.
MAX_ROWS = 5000

# Columns of a psutil recording; counters with their factor.
# fmt: off
PSUTIL_GAUGES = {
    "cpu_utilization": "cpu_percent", "load_1m": "load1", "load_5m": "load5", "load_15m": "load15",
    "memory_used_effective": "mem_percent", "swap_utilization": "swap_percent", "tcp_established": "tcp_estab",
    "filesystem_utilization": "disk_percent", "processes": "procs",
}
PSUTIL_COUNTERS = {
    "disk_read_bytes": ("disk_read_bytes", 1.0), "disk_write_bytes": ("disk_write_bytes", 1.0),
    "disk_reads": ("disk_read_count", 1.0), "disk_writes": ("disk_write_count", 1.0),
    "disk_busy": ("disk_busy_ms", 0.1),  # percent-seconds
    "network_receive_bytes": ("net_rx_bytes", 1.0), "network_transmit_bytes": ("net_tx_bytes", 1.0),
    "network_receive_packets": ("net_rx_packets", 1.0), "network_transmit_packets": ("net_tx_packets", 1.0),
}
# The columns of the Server Machine Dataset, in their order; their values are scaled to 0..1 and have no unit.
SMD_COLUMNS = (
    "cpu_r", "load_1", "load_5", "load_15", "mem_shmem", "mem_u", "mem_u_e", "total_mem", "disk_q", "disk_r",
    "disk_rb", "disk_svc", "disk_u", "disk_w", "disk_wa", "disk_wb", "si", "so", "eth1_fi", "eth1_fo", "eth1_pi",
    "eth1_po", "tcp_tw", "tcp_use", "active_opens", "curr_estab", "in_errs", "in_segs", "listen_overflows",
    "out_rsts", "out_segs", "passive_opens", "retransegs", "tcp_timeouts", "udp_in_dg", "udp_out_dg",
    "udp_rcv_buf_errs", "udp_snd_buf_errs",
)
# fmt: on
SMD_STEP_S = 60.0
TEXT_COLUMNS = ("server", "hostname", "role", "environment", "stage")


class Unusable(Exception):
    """A file or an answer that we can do nothing with; the message says which and why."""


@dataclass(frozen=True)
class Recording:
    """One server: `times` (n,) in seconds, strictly increasing; columns (n,), NaN where nothing was read."""

    server: str
    times: NDArray[np.float64]
    gauges: dict[str, NDArray[np.float64]]
    counters: dict[str, NDArray[np.float64]]
    attributes: dict[str, Any] = field(default_factory=dict)

    def __len__(self) -> int:
        return len(self.times)


def read(path: Path) -> list[Recording]:
    """The servers in a file. Raises Unusable."""
    try:
        if path.suffix == ".npz":
            found = [_read_npz(path)]
        elif path.suffix == ".csv":
            found = _read_csv(path)
        else:
            raise Unusable(f"{path}: is neither .csv nor .npz")
    except (OSError, ValueError, KeyError, csv.Error) as fault:
        raise Unusable(f"{path}: {fault}") from None
    return [replace(r, attributes={"labels": {"replayed": path.name}, **r.attributes}) for r in found]


def _read_npz(path: Path) -> Recording:
    with np.load(path) as archive:
        table = np.asarray(archive["test"], np.float64)
    if table.ndim != 2 or table.shape[1] != len(SMD_COLUMNS):
        raise Unusable(f"{path}: `test` is not (n, {len(SMD_COLUMNS)})")
    metrics, _ = _catalogue()
    # Shares become percent. For the rest 1 stands for as much as the metric's precision tells a thousand steps of:
    # bytes are kept as whole numbers, and 0..1 as such would be rounded to nothing.
    factors = {m.key: m.high or 1000 / 10**m.decimals for m in metrics if m.smd}
    gauges = {m.key: table[:, SMD_COLUMNS.index(m.smd)] * factors[m.key] for m in metrics if m.smd}
    return Recording(path.stem, np.arange(len(table)) * SMD_STEP_S, gauges, {})


def _read_csv(path: Path) -> list[Recording]:
    with path.open(newline="") as file:
        rows = list(csv.DictReader(file))
    if not rows:
        raise Unusable(f"{path}: has no rows")
    if {"ts", "cpu_percent"} <= rows[0].keys():
        return [_psutil(path.stem, rows)]
    if "time" not in rows[0]:
        raise Unusable(f"{path}: has no column `time`")
    _, parts = _catalogue()
    kinds = {}
    for name in rows[0].keys() - {"time", *TEXT_COLUMNS}:
        part = parts.get(name.partition("/")[0])
        if part is None:
            raise Unusable(f"{path}: column {name!r} is not a series of the catalogue")
        kinds[name] = part.kind
    servers: dict[str, list[dict[str, str]]] = {}
    for row in rows:
        servers.setdefault(row.get("server") or path.stem, []).append(row)
    return [_recording(name, theirs, kinds) for name, theirs in servers.items()]


def _recording(server: str, rows: list[dict[str, str]], kinds: dict[str, str]) -> Recording:
    times = np.array([_seconds(row["time"]) for row in rows])
    columns = {name: _column(rows, name) for name in kinds}
    gauges = {name: values for name, values in columns.items() if kinds[name] == "gauge"}
    counters = {name: values for name, values in columns.items() if kinds[name] == "counter"}
    attributes = {name: rows[-1][name] for name in TEXT_COLUMNS[1:] if rows[-1].get(name)}
    return _in_order(Recording(server, times, gauges, counters, attributes))


def _psutil(server: str, rows: list[dict[str, str]]) -> Recording:
    gauges = {key: _column(rows, column) for key, column in PSUTIL_GAUGES.items()}
    used, cached, available = (_column(rows, name) for name in ("mem_used", "mem_cached", "mem_available"))
    # What is not free was not recorded; used and cached are nearly all of it.
    gauges["memory_used"] = np.clip(100 * (used + cached) / (used + available), 0, 100)
    counters = {key: _column(rows, column) * factor for key, (column, factor) in PSUTIL_COUNTERS.items()}
    return _in_order(Recording(server, _column(rows, "ts"), gauges, counters))


def _in_order(recording: Recording) -> Recording:
    """The same with its rows sorted and one row an instant."""
    _, index = np.unique(recording.times, return_index=True)
    return rows_of(recording, index)


def rows_of(recording: Recording, index: Any) -> Recording:
    """Some of a recording's rows."""
    return replace(
        recording,
        times=recording.times[index],
        gauges={key: values[index] for key, values in recording.gauges.items()},
        counters={key: values[index] for key, values in recording.counters.items()},
    )


def _column(rows: list[dict[str, str]], name: str) -> NDArray[np.float64]:
    return np.array([float(row[name]) if row[name] else np.nan for row in rows])


def _seconds(text: str) -> float:
    try:
        return float(text)
    except ValueError:
        moment = datetime.fromisoformat(text)
        return (moment if moment.tzinfo else moment.replace(tzinfo=UTC)).timestamp()


@lru_cache(maxsize=1)
def _catalogue() -> tuple[Any, Any]:
    """(METRICS, PARTS), also where nobody has set the path."""
    sys.path.append(str(ROOT / "layers" / "core" / "python"))
    from openmanager.catalog import METRICS, PARTS

    return METRICS, PARTS


def stretch(recording: Recording, interval_s: float) -> Recording:
    """Rows `interval_s` apart, whatever they were. Counters grow accordingly, so that rates stay what they were."""
    steps = np.diff(recording.times)
    counters = {}
    for key, values in recording.counters.items():
        known = np.maximum.accumulate(np.where(np.isnan(values), 0.0, np.arange(len(values)))).astype(int)
        # A recording that skipped a beat goes on with its rate; a counter that began afresh stands still.
        growth = np.maximum(np.diff(values[known]), 0) / steps * interval_s
        stretched = values[0] + np.concatenate(([0.0], np.cumsum(growth)))
        counters[key] = np.where(np.isnan(values), np.nan, stretched)
    return replace(recording, times=np.arange(len(recording)) * interval_s, counters=counters)


def cut(recording: Recording, start_s: float | None, past_s: float, following: bool) -> tuple[Recording, Recording]:
    """The past and what follows it. Raises Unusable where nothing would be left."""
    times = recording.times - recording.times[0]
    if start_s is None:
        # Without a sequel it is the end of the recording that is wanted.
        start_s = 0.0 if following else max(0.0, times[-1] - past_s + 1e-6)
    if start_s > times[-1]:
        raise Unusable(f"{recording.server} is over after {times[-1] / 60:g} minutes, before --start")
    past = (times >= start_s) & (times < start_s + past_s)
    if past.sum() > MAX_ROWS:
        raise Unusable(f"{recording.server}: {past.sum()} rows are too many for one request; lower --last")
    return rows_of(recording, past), rows_of(recording, times >= start_s + past_s)


def choose(recordings: list[Recording], servers: str) -> list[Recording]:
    """The recordings named in a comma-separated list, or all. Raises Unusable for a name that is not there."""
    names = [recording.server for recording in recordings]
    if doubles := {name for name in names if names.count(name) > 1}:
        raise Unusable(f"several files hold a server named {', '.join(sorted(doubles))}")
    wanted = [name for name in servers.split(",") if name] or names
    if missing := set(wanted) - set(names):
        raise Unusable(f"no server named {', '.join(sorted(missing))}; there are {', '.join(names)}")
    return [recording for recording in recordings if recording.server in wanted]
