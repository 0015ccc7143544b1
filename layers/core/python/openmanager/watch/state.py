"""What a round remembers of each server from one minute to the next: a fixed record, so that a shard is one array."""

import base64
import zlib
from collections.abc import Mapping

import numpy as np
from numpy.typing import NDArray

from openmanager.catalog import FAILURE_INPUTS, FORECAST_METRICS, MODEL_METRICS
from openmanager.errors import DamagedFrame

WINDOW = 60
VERSION = 1

# Numbers are float32 in memory as in Redis: judging minutes one by one or many at once then gives the same bits.
STATE = np.dtype(
    [
        ("first", "<i8"),  # first minute with samples
        ("judged", "<i8"),  # last minute judged
        ("seen_ms", "<i8"),  # newest sample used
        ("cadence_s", "<f4"),  # learnt distance of samples
        ("status", "u1"),  # index in catalog.STATUSES
        ("history", "<u8"),  # bit 0 = the last minute had samples, bit 59 = the one an hour ago
        ("mean", "<f4", (len(MODEL_METRICS),)),
        ("deviation", "<f4", (len(MODEL_METRICS),)),
        ("peak", "<f4", (len(MODEL_METRICS),)),
        ("count", "<f4", (len(MODEL_METRICS),)),
        ("score", "<f4"),  # smoothed reconstruction error
        ("quantile", "<f4"),  # running high quantile of the score
        ("inputs", "<f4", (len(FAILURE_INPUTS),)),  # smoothed inputs of the failure model
        ("windows", "<f4", (len(FORECAST_METRICS), WINDOW)),
    ]
)
States = NDArray[np.void]


def new_states(n: int) -> States:
    """Records (n,) of servers that nothing is known about."""
    states = np.zeros(n, STATE)
    states["status"] = 5  # unknown
    for name in ("score", "quantile", "inputs", "windows"):
        states[name] = np.nan
    return states


def pack(state: np.void) -> str:
    """A record as text."""
    return base64.b64encode(bytes((VERSION,)) + zlib.compress(state.tobytes(), 1)).decode()


def unpack(texts: Mapping[str, str]) -> tuple[list[str], States]:
    """(servers, their records). A record that does not read starts anew, as if the server had just appeared."""
    servers, records = [], []
    for server, text in texts.items():
        servers.append(server)
        try:
            records.append(_read(text))
        except DamagedFrame:
            records.append(new_states(1)[0])
    states = np.empty(len(records), STATE)
    for i, record in enumerate(records):
        states[i] = record
    return servers, states


def _read(text: str) -> np.void:
    try:
        octets = base64.b64decode(text)
        body = zlib.decompress(octets[1:])
        if octets[0] != VERSION or len(body) != STATE.itemsize:
            raise ValueError("another version")
    except (ValueError, IndexError, zlib.error) as error:
        raise DamagedFrame(f"state: {error}") from error
    record: np.void = np.frombuffer(body, STATE)[0]
    return record
