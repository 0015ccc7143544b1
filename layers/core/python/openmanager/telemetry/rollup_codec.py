"""Rollups as bytes: all buckets of one server, day and level.

    byte 0      format version (1)
    bytes 1-6   digest of what follows, unpacked
    the rest    zlib of a JSON line {"start", "bucket", "n", "metrics"}, the late marks (ceil(n/8) octets), for each
                metric named a presence mask (ceil(n/8) octets), and varints (telemetry.varint): as differences of
                successive values judged and anomalous; then for each metric, over the buckets in which it is known,
                as differences of successive values count and the mean at the metric's own precision, and as
                differences from that the mean at its finer one (in its units), min, max, last, p95

Numbers are integers at the precision of telemetry.rollups. Where a bucket holds one sample the last five rows are
zeros and cost next to nothing.
"""

import json
import zlib
from hashlib import blake2s

import numpy as np
from numpy.typing import NDArray

from openmanager.catalog import COLUMN, METRIC_KEYS
from openmanager.errors import DamagedFrame
from openmanager.telemetry import varint
from openmanager.telemetry.rollups import MEAN_DECIMALS, SCALES, Rollup, blank

VERSION = 1
_DIGEST_BYTES = 6
_FINER = 10**MEAN_DECIMALS
_AROUND_MEAN = ("min", "max", "last", "p95")
_ROWS = 3 + len(_AROUND_MEAN)
_MOST_BUCKETS = 100_000

Integers = NDArray[np.int64]


def encode(rollup: Rollup) -> bytes:
    """The rollup as bytes; the same rollup gives the same bytes."""
    known = rollup.count > 0
    columns = np.flatnonzero(known.any(axis=0))
    head = {
        "start": rollup.start_ms,
        "bucket": rollup.bucket_ms,
        "n": len(rollup),
        "metrics": [METRIC_KEYS[i] for i in columns],
    }
    masks = [np.packbits(rollup.late), *(np.packbits(known[:, i]) for i in columns)]
    rows = [_steps(rollup.judged), _steps(rollup.anomalous)]
    for i in columns:
        here = known[:, i]
        mean = np.rint(rollup.mean[here, i] * (SCALES[i] * _FINER)).astype(np.int64)
        near = (mean + _FINER // 2) // _FINER
        rows += [_steps(rollup.count[here, i]), _steps(near), mean - near * _FINER]
        for name in _AROUND_MEAN:
            rows.append(np.rint(getattr(rollup, name)[here, i] * SCALES[i]).astype(np.int64) - near)
    text = json.dumps(head, separators=(",", ":")).encode() + b"\n"
    body = text + b"".join(m.tobytes() for m in masks) + varint.encode(np.concatenate(rows))
    return bytes((VERSION,)) + blake2s(body, digest_size=_DIGEST_BYTES).digest() + zlib.compress(body, 9)


def decode(data: bytes) -> Rollup:
    """The rollup. Raises DamagedFrame."""
    try:
        if not data or data[0] != VERSION:
            raise ValueError(f"version {data[0] if data else 'none'} is not {VERSION}")
        body = zlib.decompress(data[1 + _DIGEST_BYTES :])
        if blake2s(body, digest_size=_DIGEST_BYTES).digest() != data[1 : 1 + _DIGEST_BYTES]:
            raise ValueError("its content does not match its digest")
        text, _, rest = body.partition(b"\n")
        head = json.loads(text)
        n = int(head["n"])
        if not 0 < n <= _MOST_BUCKETS:
            raise ValueError(f"{n} buckets")
        columns = [COLUMN[key] for key in head["metrics"]]
        return _read(blank(int(head["start"]), n, int(head["bucket"])), columns, rest)
    except (ValueError, KeyError, TypeError, IndexError, zlib.error) as error:
        raise DamagedFrame(f"rollup: {error}") from error


def _read(out: Rollup, columns: list[int], rest: bytes) -> Rollup:
    n, size = len(out), (len(out) + 7) // 8
    masks = np.frombuffer(rest[: size * (1 + len(columns))], np.uint8).reshape(1 + len(columns), size)
    known = np.unpackbits(masks, axis=1, count=n).astype(np.bool_)
    numbers = varint.decode(rest[masks.size :])
    out.late[:] = known[0]
    out.judged[:], out.anomalous[:] = np.cumsum(numbers[:n]), np.cumsum(numbers[n : 2 * n])
    at = 2 * n
    for i, here in zip(columns, known[1:], strict=True):
        k = int(here.sum())
        count, near, finer, *around = numbers[at : at + _ROWS * k].reshape(_ROWS, k)
        at += _ROWS * k
        near = np.cumsum(near)
        out.count[here, i] = np.cumsum(count)
        out.mean[here, i] = (near * _FINER + finer) / (SCALES[i] * _FINER)
        for name, row in zip(_AROUND_MEAN, around, strict=True):
            getattr(out, name)[here, i] = (row + near) / SCALES[i]
    if at != len(numbers):
        raise ValueError(f"{len(numbers)} numbers where {at} were announced")
    return out


def _steps(row: Integers) -> Integers:
    return np.diff(row, prepend=0)
