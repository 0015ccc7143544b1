"""What a round remembers of each server from one minute to the next: a fixed record, so that a shard is one array.

Text form: base64 of a version octet and of a deflated body: the record without its windows, then the windows as signed
32-bit integers at a tenth of the metric's precision, differences along time, octets of equal weight together (which is
what makes them small).
"""

import base64
import logging
import zlib
from collections.abc import Mapping
from typing import Any

import numpy as np
from numpy.typing import NDArray

from openmanager.catalog import FAILURE_INPUTS, FORECAST_METRICS, METRIC, MODEL_METRICS, STATUSES
from openmanager.errors import DamagedFrame
from openmanager.inference import backtest
from openmanager.watch.past import BINS

HOUR = 60
WINDOW = backtest.HISTORY
VERSION = 3
# The bounded metrics that are also looked at on coarser grids (watch.coarse), and what was last found there.
BOUNDED: tuple[str, ...] = ("memory_used_effective", "filesystem_utilization", "swap_utilization")
REASONS = ("unknown", "not_within_horizon", "resets_before_limit", "crosses", "at_limit")
OUTCOME = np.dtype(
    [
        ("reason", "u1"),  # index in REASONS
        ("skilled", "u1"),  # whether the forecast beat the last value on this series and grid
        ("grid_s", "<u2"),
        ("earliest", "<f8"),  # s since 1970; NaN where there is none
        ("latest", "<f8"),  # s since 1970; inf where it may lie beyond the horizon
        ("likely", "<f8"),  # s since 1970, where the forecast itself is there; NaN where there is none
    ]
)

# Numbers are float32 in memory as in Redis: judging minutes one by one or many at once then gives the same bits.
STATE = np.dtype(
    [
        ("role", "S48"),
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
        ("past", "<f4", (BINS,)),  # how often which score was seen (watch.past)
        ("inputs", "<f4", (len(FAILURE_INPUTS),)),  # smoothed inputs of the failure model
        ("tests", backtest.RECORD, (len(FORECAST_METRICS),)),  # back-tests of the minute grid
        ("outcome", OUTCOME, (len(BOUNDED),)),  # what the coarser grids said last
        ("windows", "<f4", (len(FORECAST_METRICS), WINDOW)),  # minute values, oldest first
    ]
)
States = NDArray[np.void]
Values = NDArray[np.float64]

_PLAIN = np.dtype([(name, STATE[name]) for name in STATE.names or () if name != "windows"])
_SCALES = np.array([10.0 ** (METRIC[key].decimals + 1) for key in FORECAST_METRICS])[:, None]
_SHAPE = (len(FORECAST_METRICS), WINDOW)
# Differences of 32-bit integers, zigzagged, take five octets at most.
_PLANES = 5
_ITEM = _PLAIN.itemsize + _PLANES * _SHAPE[0] * _SHAPE[1]
_MISSING = np.int32(-(2**31))
_LARGEST = 2**30

log = logging.getLogger(__name__)


def new_states(n: int) -> States:
    """Records (n,) of servers that nothing is known about."""
    states = np.zeros(n, STATE)
    states["status"] = STATUSES.index("unknown")
    for name in ("score", "quantile", "inputs", "windows"):
        states[name] = np.nan
    states["tests"] = backtest.new(len(FORECAST_METRICS))
    states["outcome"]["earliest"] = np.nan
    states["outcome"]["latest"] = np.nan
    states["outcome"]["likely"] = np.nan
    return states


def kept(values: Values) -> NDArray[np.float32]:
    """Values (n, forecast metrics) as windows keep them: at a tenth of the metric's precision."""
    return _values(_integers(values[:, :, None]))[:, :, 0]


def pack(states: States) -> list[str]:
    """Records (n,) as texts."""
    plain = np.zeros(len(states), _PLAIN)
    for name in _PLAIN.names or ():
        plain[name] = states[name]
    head = plain.view(np.uint8).reshape(len(states), -1)
    body = np.concatenate((head, shuffle(_integers(states["windows"]))), axis=1)
    mark = bytes((VERSION,))
    return [base64.b64encode(mark + zlib.compress(row.tobytes(), 1)).decode() for row in body]


def unpack(texts: Mapping[str, str]) -> tuple[list[str], States]:
    """(servers, their records). A record that does not read starts anew, as if the server had just appeared."""
    states = new_states(len(texts))
    found: list[int] = []
    rows = bytearray()
    for i, text in enumerate(texts.values()):
        try:
            rows += _octets(text)
        except DamagedFrame as error:
            log.warning("%s", error)
        else:
            found.append(i)
    if found:
        body = np.frombuffer(rows, np.uint8).reshape(len(found), _ITEM)
        plain = np.ascontiguousarray(body[:, : _PLAIN.itemsize]).view(_PLAIN)[:, 0]
        for name in _PLAIN.names or ():
            states[name][found] = plain[name]
        states["windows"][found] = _values(unshuffle(body[:, _PLAIN.itemsize :], _SHAPE))
    return list(texts), states


def _octets(text: str) -> bytes:
    try:
        octets = base64.b64decode(text)
        body = zlib.decompress(octets[1:])
        if octets[0] != VERSION:
            raise ValueError("another version")
        if len(body) != _ITEM:
            raise ValueError("another length")
    except (ValueError, IndexError, zlib.error) as error:
        raise DamagedFrame(f"state: {error}") from error
    return body


def _integers(values: NDArray[np.floating[Any]]) -> NDArray[np.int32]:
    with np.errstate(invalid="ignore"):
        scaled = np.clip(np.rint(values.astype(np.float64) * _SCALES), -_LARGEST, _LARGEST)
    return np.where(np.isnan(scaled), _MISSING, scaled).astype(np.int32)


def _values(integers: NDArray[np.int32]) -> NDArray[np.float32]:
    return np.where(integers == _MISSING, np.nan, integers / _SCALES).astype(np.float32)


def shuffle(integers: NDArray[np.int32]) -> NDArray[np.uint8]:
    """Integers (n, k, w) as octets (n, 5 k w): differences along w, first all the lowest octets, then the next ones."""
    delta = np.diff(integers.astype(np.int64), prepend=0, axis=2)
    zigzag = ((delta << 1) ^ (delta >> 63)).astype(np.uint64)
    planes = zigzag.reshape(len(integers), -1, 1).view(np.uint8)[:, :, :_PLANES]
    return np.ascontiguousarray(planes.transpose(0, 2, 1)).reshape(len(integers), -1)


def unshuffle(octets: NDArray[np.uint8], shape: tuple[int, int]) -> NDArray[np.int32]:
    """The integers (n, k, w) that `shuffle` wrote, from octets (n, 5 k w); `shape` is (k, w)."""
    n = len(octets)
    wide = np.zeros((n, shape[0] * shape[1], 8), np.uint8)
    wide[:, :, :_PLANES] = octets.reshape(n, _PLANES, -1).transpose(0, 2, 1)
    zigzag = wide.view(np.uint64).reshape(n, *shape)
    delta = (zigzag >> np.uint64(1)).astype(np.int64) ^ -(zigzag & np.uint64(1)).astype(np.int64)
    return np.asarray(np.cumsum(delta, axis=2), np.int32)
