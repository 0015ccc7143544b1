"""Signed integers as zigzag LEB128 varints, whole arrays at a time.

zigzag maps 0, -1, 1, -2, … to 0, 1, 2, 3, …; LEB128 writes seven bits a byte, lowest first, the top bit set on every
byte but a number's last (the encoding of Protocol Buffers' sint64).
"""

import numpy as np
from numpy.typing import NDArray

_MAX_BYTES = 10


def encode(numbers: NDArray[np.int64]) -> bytes:
    """The numbers (n,) as varints, one after the other."""
    if not len(numbers):
        return b""
    zigzag = ((numbers << 1) ^ (numbers >> 63)).astype(np.uint64)
    columns = int(zigzag.max()).bit_length() // 7 + 1
    shifts = np.arange(columns, dtype=np.uint64) * np.uint64(7)
    groups = zigzag[:, None] >> shifts
    used = groups > 0
    used[:, 0] = True
    more = np.zeros_like(used)
    more[:, :-1] = used[:, 1:]
    octets = (groups & np.uint64(0x7F)).astype(np.uint8) | (more.astype(np.uint8) << 7)
    return octets[used].tobytes()


def decode(data: bytes) -> NDArray[np.int64]:
    """All numbers in `data`. Raises ValueError when the last one is cut off or one is longer than 64 bits."""
    octets = np.frombuffer(data, np.uint8)
    if not len(octets):
        return np.empty(0, np.int64)
    last = octets < 0x80
    if not last[-1]:
        raise ValueError("the last number is cut off")
    ends = np.flatnonzero(last)
    starts = np.concatenate(([0], ends[:-1] + 1))
    lengths = ends - starts + 1
    if lengths.max() > _MAX_BYTES:
        raise ValueError("a number is longer than 64 bits")
    place = np.arange(len(octets)) - np.repeat(starts, lengths)
    bits = (octets & 0x7F).astype(np.uint64) << (place * 7).astype(np.uint64)
    zigzag = np.add.reduceat(bits, starts)
    return (zigzag >> np.uint64(1)).astype(np.int64) ^ -(zigzag & np.uint64(1)).astype(np.int64)
