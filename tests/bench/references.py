"""What others would make of the same numbers; sizes only, in octets. None of this is part of the product."""

import gzip
import json
import struct
from collections.abc import Sequence

import cramjam
import numpy as np
from numpy.typing import NDArray

Values = NDArray[np.float64]
Times = NDArray[np.int64]


def json_rows(names: Sequence[str], times: Times, values: Values) -> bytes:
    """A JSON object a row, a row a line, values at their shortest."""
    lines = [
        json.dumps({"t": t, **dict(zip(names, row, strict=True))}, separators=(",", ":"))
        for t, row in zip(times.tolist(), _shortest(values), strict=True)
    ]
    return "\n".join(lines).encode()


def json_columns_gzip(names: Sequence[str], times: Times, values: Values) -> int:
    """One JSON object of columns, gzip -6; the times as distances, which suits it best."""
    distances = np.diff(times, prepend=0).tolist()
    columns = {"t": distances, **dict(zip(names, map(list, zip(*_shortest(values), strict=True)), strict=True))}
    return len(gzip.compress(json.dumps(columns, separators=(",", ":")).encode(), 6))


def zstd_rows(names: Sequence[str], times: Times, values: Values, level: int = 3) -> int:
    """JSON rows, zstd at its usual level."""
    return len(bytes(cramjam.zstd.compress(json_rows(names, times, values), level)))


def gorilla(times: Times, values: Values) -> int:
    """Every series with its own timestamps (Pelkonen et al., VLDB 2015, section 4.1), block after block of its own.

    Timestamps in seconds: 64 bits in the block's header, 14 for the first distance, then differences of distances in
    1, 9, 12, 16 or 36 bits. Values: 64 bits, then the XOR with the one before: `0` if none; `10` and the meaningful
    bits if they fit into the previous window; else `11`, 5 bits of leading zeros, 6 of length, and the bits.
    """
    seconds = times // 1000
    return sum((_gorilla_times(seconds) + _gorilla_values(column) + 7) // 8 for column in values.T.tolist())


def _gorilla_times(seconds: Times) -> int:
    size = 64 + 14 * (len(seconds) > 1)
    change = np.diff(np.diff(seconds))
    classes = [change == 0, (change >= -63) & (change <= 64), (change >= -255) & (change <= 256)]
    classes.append((change >= -2047) & (change <= 2048))
    return size + int(np.select(classes, [1, 2 + 7, 3 + 9, 4 + 12], 4 + 32).sum())


def _gorilla_values(column: list[float]) -> int:
    words = struct.unpack(f">{len(column)}Q", struct.pack(f">{len(column)}d", *column))
    size, before = 64, words[0]
    lead = trail = 64  # no window yet
    for word in words[1:]:
        xor, before = word ^ before, word
        if not xor:
            size += 1
            continue
        leading = min(64 - xor.bit_length(), 31)
        trailing = (xor & -xor).bit_length() - 1
        if lead + trail < 64 and leading >= lead and trailing >= trail:
            size += 2 + 64 - lead - trail
        else:
            lead, trail = leading, trailing
            size += 2 + 5 + 6 + 64 - lead - trail
    return size


def _shortest(values: Values) -> list[list[float | int]]:
    """Whole numbers without a point, as a sender would write them."""
    return [[int(x) if x.is_integer() else x for x in row] for row in values.tolist()]
