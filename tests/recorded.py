"""A real host's recording (captures/host) as samples, one row a minute, counters as counters.

Values are at the catalogue's precision, so that what is found afterwards can be compared exactly.
"""

import csv
from functools import lru_cache
from pathlib import Path

import numpy as np
from numpy.typing import NDArray
from openmanager.telemetry.baselines import scales
from openmanager.telemetry.samples import MINUTE_MS, Push, Samples

_FILE = Path(__file__).parent / "captures/host/psutil_1s.csv"
_COLUMNS = {
    "cpu_percent": "cpu_utilization",
    "load1": "load_1m",
    "load5": "load_5m",
    "load15": "load_15m",
    "mem_percent": "memory_used_effective",
    "swap_percent": "swap_utilization",
    "disk_percent": "filesystem_utilization",
    "disk_read_bytes": "disk_read_bytes_total/sda",
    "disk_write_bytes": "disk_write_bytes_total/sda",
    "disk_read_count": "disk_reads_total/sda",
    "disk_write_count": "disk_writes_total/sda",
    "net_rx_bytes": "network_receive_bytes_total/eth0",
    "net_tx_bytes": "network_transmit_bytes_total/eth0",
    "net_rx_packets": "network_receive_packets_total/eth0",
    "net_tx_packets": "network_transmit_packets_total/eth0",
    "tcp_estab": "tcp_established",
    "procs": "processes",
}


@lru_cache(maxsize=1)
def _recording() -> tuple[tuple[str, ...], NDArray[np.float64]]:
    with _FILE.open() as file:
        rows = list(csv.DictReader(file))
    series = tuple(_COLUMNS.values())
    values = np.array([[float(row[c]) for c in _COLUMNS] for row in rows])
    return series, np.rint(values * scales(series)) / scales(series)


def minutes(server: str, first_ms: int, count: int, skip: int = 0, phase_ms: int = 20_000) -> list[Push]:
    """`count` pushes, one a minute from the minute of `first_ms` on, from row `skip` of the recording."""
    series, values = _recording()
    return [
        Push(
            server,
            Samples(
                series,
                np.array([first_ms + i * MINUTE_MS + phase_ms], np.int64),
                values[skip + i][None, :],
                np.zeros(1, np.bool_),
            ),
            {"role": "web"},
        )
        for i in range(count)
    ]
