"""Integers as LEB128 varints, whole arrays at a time.

LEB128 writes seven bits a byte, lowest first, the top bit set on every byte but a number's last (the encoding of
Protocol Buffers). Signed numbers are zigzagged before, 0, -1, 1, -2, … becoming 0, 1, 2, 3, … (its sint64).
"""

from collections.abc import Iterable

import numpy as np
from numpy.typing import NDArray

_MAX_BYTES = 10


def zigzag(numbers: NDArray[np.int64]) -> NDArray[np.uint64]:
    """Signed as unsigned, small ones staying small."""
    return ((numbers << 1) ^ (numbers >> 63)).astype(np.uint64)


def unzigzag(numbers: NDArray[np.uint64]) -> NDArray[np.int64]:
    """The inverse of `zigzag`."""
    return (numbers >> np.uint64(1)).astype(np.int64) ^ -(numbers & np.uint64(1)).astype(np.int64)


def encode(numbers: NDArray[np.int64]) -> bytes:
    """Signed numbers (n,), zigzagged, one after the other."""
    return encode_raw(zigzag(numbers))


def encode_raw(numbers: NDArray[np.uint64]) -> bytes:
    """Unsigned numbers (n,) as they are."""
    if not len(numbers):
        return b""
    columns = max(1, -(-int(numbers.max()).bit_length() // 7))
    if columns == 1:
        return numbers.astype(np.uint8).tobytes()
    shifts = np.arange(columns, dtype=np.uint64) * np.uint64(7)
    groups = numbers[:, None] >> shifts
    used = groups > 0
    used[:, 0] = True
    octets = (groups & np.uint64(0x7F)).astype(np.uint8)
    octets[:, :-1] |= used[:, 1:].astype(np.uint8) << np.uint8(7)
    return octets[used].tobytes()


def encode_unsigned(numbers: Iterable[int]) -> bytes:
    """A few unsigned numbers, without the cost of an array."""
    out = bytearray()
    for number in numbers:
        while number > 0x7F:
            out.append(number & 0x7F | 0x80)
            number >>= 7
        out.append(number)
    return bytes(out)


def decode(data: bytes) -> NDArray[np.int64]:
    """All signed numbers in `data`. Raises ValueError when the last one is cut off or one is longer than 64 bits."""
    return unzigzag(decode_raw(data))


def decode_raw(data: bytes) -> NDArray[np.uint64]:
    """All unsigned numbers in `data`. Raises ValueError as `decode` does."""
    octets = np.frombuffer(data, np.uint8)
    if not len(octets):
        return np.empty(0, np.uint64)
    last = octets < 0x80
    if not last[-1]:
        raise ValueError("the last number is cut off")
    if last.all():
        return octets.astype(np.uint64)
    ends = np.flatnonzero(last)
    starts = np.concatenate(([0], ends[:-1] + 1))
    lengths = ends - starts + 1
    # Ten bytes hold 70 bits; of the tenth only the lowest may be set.
    longest = ends[lengths >= _MAX_BYTES]
    if lengths.max() > _MAX_BYTES or (octets[longest] > 1).any():
        raise ValueError("a number is longer than 64 bits")
    place = np.arange(len(octets)) - np.repeat(starts, lengths)
    bits = (octets & 0x7F).astype(np.uint64) << (place * 7).astype(np.uint64)
    return np.add.reduceat(bits, starts)


class Reader:
    """Walks through octets; everything it is asked for beyond their end raises ValueError."""

    def __init__(self, data: bytes, at: int = 0) -> None:
        self._data = data
        self._at = at

    def take(self, count: int) -> bytes:
        """The next octets."""
        end = self._at + count
        if end > len(self._data):
            raise ValueError("it is cut off")
        piece = self._data[self._at : end]
        self._at = end
        return piece

    def octet(self) -> int:
        """The next octet as a number."""
        return self.take(1)[0]

    def rest(self) -> bytes:
        """What is left; nothing after it."""
        piece = self._data[self._at :]
        self._at = len(self._data)
        return piece

    def bounded(self, what: str, limit: int) -> int:
        """The next unsigned varint, which says how many of something there are: at most `limit`."""
        number = shift = 0
        while True:
            octet = self.octet()
            number |= (octet & 0x7F) << shift
            shift += 7
            if octet < 0x80:
                break
            if shift >= 70:
                raise ValueError("a number is longer than 64 bits")
        if number > limit:
            raise ValueError(f"{number} {what}, where {limit} are the most")
        return number

    def unsigned(self, count: int) -> NDArray[np.uint64]:
        """The next unsigned varints."""
        if not count:
            return np.empty(0, np.uint64)
        window = np.frombuffer(self._data, np.uint8)[self._at : self._at + _MAX_BYTES * count]
        ends = np.flatnonzero(window < 0x80)
        if len(ends) < count:
            raise ValueError("it is cut off")
        return decode_raw(self.take(int(ends[count - 1]) + 1))

    def signed(self, count: int) -> NDArray[np.int64]:
        """The next zigzagged varints."""
        return unzigzag(self.unsigned(count))
