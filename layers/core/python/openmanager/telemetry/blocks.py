"""Blocks: the samples of one server and a stretch of time, for the archive.

The first octet says the version (1, upper four bits) and flags (lower four): 1 = the body is stored as it is, else it
is an LZMA stream; 2 = some rows are late. Octets 1-4 are the CRC-32 (zlib's, big-endian) of the first octet and of all
that follow them. Then stands a varint, the body's length, and the body itself or a raw LZMA1 stream of it (lc = lp =
pb = 0, a dictionary of 1 MiB, ended by its end mark). A varint is unsigned LEB128, a *signed* one is zigzagged before
(telemetry.varint). The body:

    varints     n rows, k series
    k names     varint: 1 + the part's place in telemetry.names, or 0, then its length (varint) and UTF-8;
                then the instance's length (varint) and UTF-8, of length 0 where the series has no instance
    k octets    each series' decimals, signed: its values are integers / 10**decimals
    times       n signed varints: the first row's milliseconds since 1970 UTC, the distance to the second row, then
                the differences of successive distances
    late        where flagged, n bits, the first row in the uppermost bit; so are all masks
    k columns   octet: how it is written, transform * 16 + layout; + 128 if a mask follows of the rows in which the
                series is present (else in all). Of the m present values: varint unit g, signed varint origin o;
                from then on an integer x is taken as y = (x - o) / g. Of no value nothing more is written.

Transform 0 writes y itself, never negative; 1 its differences and 2 the differences of those, each sequence beginning
as if 0 had stood before it, zigzagged; 3 numbers the distinct y: a varint of how many, varints of their differences in
rising order, and of each value its place among them. Layout 0 writes m varints after their length in octets (varint);
layout w + 1 writes w planes of m octets, the most significant octet of all values first (w may be 0: all zero).
Differences, and o + g * y, are taken modulo 2**64.

Which transform and layout is the writer's choice; ours takes the smallest after a quick trial. The bounds below are
checked before anything of that size is made.
"""

import lzma
import zlib
from collections.abc import Iterator
from itertools import pairwise

import numpy as np
from numpy.typing import NDArray

from openmanager.errors import DamagedFrame
from openmanager.telemetry import names, varint
from openmanager.telemetry.baselines import quantize
from openmanager.telemetry.samples import Samples

VERSION = 1
_STORED, _LATE = 1, 2
_HEADER = 5
_MASKED = 128
_LEVEL, _DELTA, _DELTA2, _DISTINCT = range(4)
MAX_ROWS, MAX_SERIES, MAX_CELLS, MAX_BODY = 1_000_000, 65_536, 8_000_000, 64 * 2**20
_MAX_DECIMALS = 18
# Our octets are not text in words of four, which the defaults of LZMA assume:
_FILTERS = [
    {
        "id": lzma.FILTER_LZMA1,
        "dict_size": 2**20,
        "lc": 0,
        "lp": 0,
        "pb": 0,
        "mode": lzma.MODE_NORMAL,
        "nice_len": 273,
        "mf": lzma.MF_BT4,
        "depth": 200,
    }
]

Integers = NDArray[np.int64]
Presence = NDArray[np.bool_]


def encode_block(samples: Samples) -> bytes:
    """Samples of one server for the archive, late marks included. At least one row; `quantize` says what may raise."""
    numbers, present = quantize(samples)
    decimals = [names.decimals_of(name) for name in samples.series]
    return encode_table(samples.series, decimals, samples.times, numbers, present, samples.late)


def decode_block(data: bytes) -> Samples:
    """The samples of a block, its series in order of their names. Raises DamagedFrame."""
    try:
        series, decimals, times, numbers, present, late = _read(data)
    except (ValueError, lzma.LZMAError, OverflowError) as error:
        raise DamagedFrame(f"block: {error}") from error
    values = numbers / np.array([10.0**d for d in decimals])
    values[~present] = np.nan
    return Samples(series, times, values, late)


def encode_table(
    series: tuple[str, ...],
    decimals: list[int],
    times: Integers,
    numbers: Integers,
    present: Presence,
    late: NDArray[np.bool_],
) -> bytes:
    """A block of integers (n, k) at each series' decimals. ValueError for what no reader would take."""
    rows, k = present.shape
    if not 0 < rows <= MAX_ROWS or k > MAX_SERIES or rows * k > MAX_CELLS:
        raise ValueError(f"a block cannot hold {rows} rows of {k} series")
    order = sorted(range(len(series)), key=series.__getitem__)
    parts = [
        varint.encode_unsigned([rows, k]),
        *(names.encode(series[i]) for i in order),
        bytes(decimals[i] & 0xFF for i in order),
        varint.encode(_time_codes(times)),
    ]
    flags = 0
    if late.any():
        flags |= _LATE
        parts.append(np.packbits(late).tobytes())
    parts += [_column(numbers[:, i], present[:, i]) for i in order]
    body = b"".join(parts)
    small = lzma.compress(body, lzma.FORMAT_RAW, filters=_FILTERS)
    if len(small) >= len(body):
        small, flags = body, flags | _STORED
    first = bytes((VERSION << 4 | flags,))
    rest = varint.encode_unsigned([len(body)]) + small
    return first + _checksum(first, rest) + rest


def _checksum(first: bytes, rest: bytes) -> bytes:
    return zlib.crc32(rest, zlib.crc32(first)).to_bytes(4, "big")


def _time_codes(times: Integers) -> Integers:
    distances = np.diff(times)
    return np.concatenate((times[:1], distances[:1], np.diff(distances)))


def _column(x: Integers, present: Presence) -> bytes:
    """One series: how it is written, its mask if it has gaps, its values in the form that deflates best."""
    mask = b""
    if not present.all():
        x, mask = x[present], np.packbits(present).tobytes()
    masked = _MASKED if mask else 0
    if not len(x):
        return bytes((masked,)) + mask
    origin = int(x.min())
    y = x - origin
    unit = int(np.gcd.reduce(y)) or 1
    how, best = min(_forms(y // unit), key=lambda form: (len(zlib.compress(form[1], 6)), form[0]))
    scale = varint.encode_unsigned([unit]) + varint.encode(np.array([origin], np.int64))
    return bytes((masked | how,)) + mask + scale + best


def _forms(y: Integers) -> Iterator[tuple[int, bytes]]:
    """Every way to write a series that is worth a trial."""
    if not y.any():
        yield _LEVEL << 4 | 1, b""
        return
    delta = np.diff(y, prepend=0)
    for transform, z in (
        (_LEVEL, y.astype(np.uint64)),
        (_DELTA, varint.zigzag(delta)),
        (_DELTA2, varint.zigzag(np.diff(delta, prepend=0))),
    ):
        yield from _layouts(transform, z)
    distinct, place = np.unique(y, return_inverse=True)
    if len(distinct) <= len(y) // 2:
        table = varint.encode_unsigned([len(distinct), *np.diff(distinct, prepend=0).tolist()])
        for how, data in _layouts(_DISTINCT, place.astype(np.uint64)):
            yield how, table + data


def _layouts(transform: int, z: NDArray[np.uint64]) -> Iterator[tuple[int, bytes]]:
    run = varint.encode_raw(z)
    yield transform << 4, varint.encode_unsigned([len(run)]) + run
    width = (int(z.max()).bit_length() + 7) // 8
    planes = z.astype(">u8").view(np.uint8).reshape(-1, 8)[:, 8 - width :].T
    yield transform << 4 | width + 1, planes.tobytes()


def _read(
    data: bytes,
) -> tuple[tuple[str, ...], list[int], Integers, Integers, Presence, NDArray[np.bool_]]:
    """All of a block. Raises ValueError saying what is wrong."""
    if len(data) < _HEADER or data[0] >> 4 != VERSION:
        raise ValueError(f"version {data[0] >> 4 if data else 'none'} is not {VERSION}")
    if _checksum(data[:1], data[_HEADER:]) != data[1:_HEADER]:
        raise ValueError("its content does not match its checksum")
    flags = data[0] & 0x0F
    if flags & ~(_STORED | _LATE):
        raise ValueError(f"flags {flags} are not known")
    outer = varint.Reader(data, _HEADER)
    size = outer.bounded("octets", MAX_BODY)
    body = varint.Reader(_inflate(outer.rest(), size, bool(flags & _STORED)))
    rows, k = body.bounded("rows", MAX_ROWS), body.bounded("series", MAX_SERIES)
    if not rows or rows * k > MAX_CELLS:
        raise ValueError(f"{rows} rows of {k} series")
    series = tuple(names.decode(body) for _ in range(k))
    if any(a >= b for a, b in pairwise(series)):
        raise ValueError("its names are not in order")
    decimals = np.frombuffer(body.take(k), np.int8).tolist()
    if any(abs(d) > _MAX_DECIMALS for d in decimals):
        raise ValueError("its decimals are out of range")
    codes = body.signed(rows)
    times = np.cumsum(np.concatenate((codes[:1], np.cumsum(codes[1:]))))
    if (times[1:] <= times[:-1]).any():
        raise ValueError("its times do not increase")
    late = _bits(body, rows) if flags & _LATE else np.zeros(rows, np.bool_)
    numbers, present = np.zeros((rows, k), np.int64, order="F"), np.ones((rows, k), np.bool_, order="F")
    for i in range(k):
        how = body.octet()
        if how & _MASKED:
            present[:, i] = _bits(body, rows)
        m = int(np.count_nonzero(present[:, i]))
        if m:
            numbers[present[:, i], i] = _values(body, how & ~_MASKED, m)
    if body.rest():
        raise ValueError("more follows its end")
    return series, decimals, times, numbers, present, late


def _inflate(data: bytes, size: int, stored: bool) -> bytes:
    if stored:
        body = data
    else:
        stream = lzma.LZMADecompressor(lzma.FORMAT_RAW, filters=_FILTERS)
        # One octet more than announced tells whether the stream goes on.
        body = stream.decompress(data, size + 1)
        if stream.unused_data:
            raise ValueError("more follows its end")
    if len(body) != size:
        raise ValueError(f"{len(body)} octets or more where {size} were announced")
    return body


def _bits(body: varint.Reader, count: int) -> NDArray[np.bool_]:
    octets = np.frombuffer(body.take((count + 7) // 8), np.uint8)
    return np.unpackbits(octets, count=count).astype(np.bool_)


def _values(body: varint.Reader, how: int, m: int) -> Integers:
    """The m values of a series whose form is `how`."""
    transform, layout = how >> 4, how & 0x0F
    if transform > _DISTINCT or layout > 9:
        raise ValueError(f"form {how} is not known")
    unit = np.array(body.unsigned(1), np.uint64)
    origin = body.signed(1)
    table = None
    if transform == _DISTINCT:
        count = body.bounded("distinct values", m)
        table = np.cumsum(body.unsigned(count)).astype(np.int64)
    if layout == 0:
        run = varint.Reader(body.take(body.bounded("octets", MAX_BODY)))
        z = run.unsigned(m)
        if run.rest():
            raise ValueError("a series is longer than announced")
    else:
        width = layout - 1
        octets = np.zeros((m, 8), np.uint8)
        octets[:, 8 - width :] = np.frombuffer(body.take(width * m), np.uint8).reshape(width, m).T
        z = octets.view(">u8")[:, 0].astype(np.uint64)
    if table is not None:
        if int(z.max()) >= len(table):
            raise ValueError("a value is not among the distinct ones")
        y = table[z.astype(np.int64)]
    elif transform == _LEVEL:
        y = z.astype(np.int64)
    else:
        y = np.cumsum(varint.unzigzag(z))
        if transform == _DELTA2:
            y = np.cumsum(y)
    return np.asarray(origin + unit.astype(np.int64) * y)
