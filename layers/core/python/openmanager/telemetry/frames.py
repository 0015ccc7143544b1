"""The frame codec: what one push said about one server, as differences from a baseline, in text.

Text form: base64 of

    octet 0      format version (1) in the upper two bits; then two bits, the first of the baseline's identifier
                 (telemetry.baselines): of several baselines of a server in one segment, those that begin so are tried,
                 and the content digest tells which one it was. Flags: 1 = every cell is present, 2 = the long form.
                 Short form: 8 = differences are in the baseline's units, 4 = in these, but at most 2**9, else in ones.
                 Long form: 4 = the body is deflated
    body         short form: telemetry.bits. Long form, a run of varints (telemetry.varint), signed but for the first:
                   number of rows n
                   n time codes: the first row's milliseconds since the baseline's first row, then the distance to the
                   second row, then the differences of successive distances
                   unless flag 1: ceil(n*k/8) presence octets, row by row, k series in the baseline's order
                   for each series its present values: the first as difference from the baseline's integer, the others
                   from the value before

Either form holds any frame; the writer takes the short one for what a push usually brings. A frame needs nothing but
its baseline. Numbers are integers at the baseline's decimals, so decoding gives back what encoding rounded to.

The content digest covers names, times and integers, not the baseline: the same samples have the same digest
whichever function encoded them, which makes a repeated push land on itself, and it proves the decoding. It stands in
the frame's field name (stores.segments): blake2s, 6 octets, of the names with a present value, in rising order, zero
octets between them; the times and, row by row, their integers (0 where absent), each as 8 octets, little-endian; and
the presence, a bit a cell, packed as above.
"""

import binascii
import zlib
from array import array
from collections.abc import Sequence
from hashlib import blake2s

import numpy as np
from numpy.typing import NDArray

from openmanager.errors import DamagedFrame
from openmanager.telemetry import bits, varint
from openmanager.telemetry.baselines import (
    LIMIT,
    Baseline,
    Integers,
    Presence,
    inflate,
    make_baseline,
    quantize,
    read_baseline,
    scales,
    too_large,
)
from openmanager.telemetry.samples import Samples

__all__ = [
    "VERSION",
    "Baseline",
    "baseline_mark",
    "decode_frame",
    "encode_frame",
    "make_baseline",
    "mark_of",
    "read_baseline",
    "scales",
]

VERSION = 1
DIGEST_BYTES = 6
Values = NDArray[np.float64]
_COMPLETE, _LONG, _DEFLATED = 1, 2, 4
_UNITS_AT = 2
_HEADER = 1
_MAX_ROWS, _MAX_CELLS, _MAX_BODY = 1_000_000, 8_000_000, 64 * 2**20
# Above this many cells arrays are faster than plain integers, and deflating pays.
_SHORT_CELLS = 512
_MOST_SHORT_CELLS = 65_536


def encode_frame(samples: Samples, baseline: Baseline) -> tuple[str, str]:
    """(frame text, content digest in hex). The baseline must know every series of `samples`.

    Raises InvalidInput for a value that integers cannot hold (`baselines.quantize`).
    """
    if len(samples) * len(baseline.series) <= _SHORT_CELLS:
        flags, body, digest = _encode_short(samples, baseline)
    else:
        flags, body, digest = _encode_long(samples, baseline)
    octets = bytes((VERSION << 6 | mark_of(baseline.id) << 4 | flags,)) + body
    return binascii.b2a_base64(octets, newline=False).decode(), digest.hex()


def mark_of(baseline_id: str) -> int:
    """What a frame says of its baseline: the first two bits of the identifier."""
    return int(baseline_id[0], 16) >> 2


def baseline_mark(text: str) -> int:
    """The mark of the baseline that a frame was written against (`mark_of`). Raises DamagedFrame."""
    try:
        octets = binascii.a2b_base64(text[:4])
        _flags(octets)
    except ValueError as error:
        raise DamagedFrame(f"frame: {error}") from error
    return octets[0] >> 4 & 3


def decode_frame(text: str, baseline: Baseline, digest: str, late: bool = False) -> Samples:
    """The samples of a frame; rows carry `late`. Raises DamagedFrame unless they have the content digest (hex)."""
    try:
        octets = binascii.a2b_base64(text)
        flags = _flags(octets)
        decode = _decode_long if flags & _LONG else _decode_short
        times, values, found = decode(octets[_HEADER:], flags, baseline)
        if found.hex() != digest:
            raise ValueError("its content does not match its digest")
    except (ValueError, OverflowError, zlib.error) as error:
        raise DamagedFrame(f"frame: {error}") from error
    return Samples(baseline.series, times, values, np.full(len(times), late))


def _flags(octets: bytes) -> int:
    """The flags of a frame's first octet. Raises ValueError for another version."""
    if len(octets) < _HEADER or octets[0] >> 6 != VERSION:
        raise ValueError(f"version {octets[0] >> 6 if octets else 'none'} is not {VERSION}")
    return octets[0] & 0x0F


def _encode_short(samples: Samples, baseline: Baseline) -> tuple[int, bytes, bytes]:
    k = len(baseline.series)
    places = [baseline.columns[name] for name in samples.series]
    factors = [baseline.scales[i] for i in places]
    complete = True
    rows: list[bits.Row] = []
    for values in samples.values.tolist():
        row: bits.Row = [None] * k
        for i, value, factor in zip(places, values, factors, strict=True):
            if value == value:  # not NaN
                scaled = value * factor
                if not -LIMIT < scaled < LIMIT:
                    raise too_large(baseline.series[i], value)
                row[i] = round(scaled)
        complete = complete and None not in row
        rows.append(row)
    times = samples.times.tolist()
    coarseness = bits.coarsest(rows, baseline)
    body = bits.pack(times, rows, baseline, complete, coarseness)
    return (_COMPLETE * complete) | coarseness << _UNITS_AT, body, _digest_rows(baseline.series, times, rows, complete)


def _decode_short(octets: bytes, flags: int, baseline: Baseline) -> tuple[Integers, Values, bytes]:
    complete = bool(flags & _COMPLETE)
    times, rows = bits.unpack(octets, baseline, complete, flags >> _UNITS_AT, _MOST_SHORT_CELLS)
    digest = _digest_rows(baseline.series, times, rows, complete)
    nan = float("nan")
    values = [[nan if x is None else x / scale for x, scale in zip(row, baseline.scales, strict=True)] for row in rows]
    table = np.array(values, np.float64).reshape(len(rows), len(baseline.series))
    return np.array(times, np.int64), table, digest


def _digest_rows(series: tuple[str, ...], times: Sequence[int], rows: Sequence[bits.Row], complete: bool) -> bytes:
    """`_digest`, of plain integers."""
    if not complete:
        used = [any(row[i] is not None for row in rows) for i in range(len(series))]
        series = tuple(name for name, u in zip(series, used, strict=True) if u)
        rows = [[x for x, u in zip(row, used, strict=True) if u] for row in rows]
    cells = len(rows) * len(series)
    mask = 0
    numbers = array("q")
    for row in rows:
        if complete:
            numbers.extend(row)  # type: ignore[arg-type]
            continue
        for x in row:
            mask = mask << 1 | (x is not None)
            numbers.append(x or 0)
    if complete:
        mask = (1 << cells) - 1
    presence = (mask << -cells % 8).to_bytes((cells + 7) // 8, "big")
    text = b"".join(("\0".join(series).encode(), array("q", times).tobytes(), numbers.tobytes(), presence))
    return blake2s(text, digest_size=DIGEST_BYTES).digest()


def _digest(series: tuple[str, ...], times: Integers, numbers: Integers, present: Presence) -> bytes:
    """Digest of the content, whatever other series the table has room for."""
    used = present.any(axis=0)
    names = "\0".join(name for name, u in zip(series, used.tolist(), strict=True) if u)
    state = blake2s(names.encode(), digest_size=DIGEST_BYTES)
    state.update(times.tobytes())
    state.update(np.where(present, numbers, 0)[:, used].tobytes())
    state.update(np.packbits(present[:, used]).tobytes())
    return state.digest()


def _encode_long(samples: Samples, baseline: Baseline) -> tuple[int, bytes, bytes]:
    into = [baseline.columns[name] for name in samples.series]
    shape = (len(samples), len(baseline.series))
    numbers, present = np.zeros(shape, np.int64), np.zeros(shape, np.bool_)
    numbers[:, into], present[:, into] = quantize(samples)
    complete = bool(present.all())
    body = _pack(samples.times, numbers, present, complete, baseline)
    flags = _LONG | (_COMPLETE * complete)
    deflated = zlib.compress(body, 9, -15)
    if len(deflated) < len(body):
        body, flags = deflated, flags | _DEFLATED
    return flags, body, _digest(baseline.series, samples.times, numbers, present)


def _decode_long(body: bytes, flags: int, baseline: Baseline) -> tuple[Integers, Values, bytes]:
    if flags & _DEFLATED:
        body = inflate(body, _MAX_BODY)
    times, numbers, present = _unpack(body, bool(flags & _COMPLETE), baseline)
    values = numbers / np.array(baseline.scales)
    values[~present] = np.nan
    return times, values, _digest(baseline.series, times, numbers, present)


def _pack(times: Integers, numbers: Integers, present: Presence, complete: bool, baseline: Baseline) -> bytes:
    """Rows, times, presence (unless complete) and value differences, as in the module's description."""
    distances = np.diff(times, prepend=baseline.first_ms)
    codes = np.concatenate((distances[:2], np.diff(distances[1:])))
    mask = b"" if complete else np.packbits(present).tobytes()
    present_t = present.T
    flat = numbers.T[present_t]
    counts = present_t.sum(axis=1)
    first = np.concatenate(([0], np.cumsum(counts)[:-1]))[counts > 0]
    deltas = np.diff(flat, prepend=0)
    deltas[first] = flat[first] - baseline.values[counts > 0]
    return varint.encode_unsigned([len(times)]) + varint.encode(codes) + mask + varint.encode(deltas)


def _unpack(data: bytes, complete: bool, baseline: Baseline) -> tuple[Integers, Integers, Presence]:
    """Times (n,), integers (n, k) and presence (n, k) of a packed run. Raises ValueError on any inconsistency."""
    body = varint.Reader(data)
    rows, k, origin = body.bounded("rows", _MAX_ROWS), len(baseline.series), baseline.values
    if not rows or rows * k > _MAX_CELLS:
        raise ValueError(f"{rows} rows of {k} series")
    codes = body.signed(rows)
    times = baseline.first_ms + np.cumsum(np.concatenate((codes[:1], np.cumsum(codes[1:]))))
    if (times[1:] <= times[:-1]).any():
        raise ValueError("its times do not increase")
    present = np.ones((rows, k), np.bool_)
    if not complete:
        octets = np.frombuffer(body.take((rows * k + 7) // 8), np.uint8)
        present = np.unpackbits(octets, count=rows * k).reshape(rows, k).astype(np.bool_)
    counts = present.sum(axis=0)
    flat = body.signed(int(counts.sum()))
    if body.rest():
        raise ValueError("more follows its end")
    totals = np.cumsum(flat)
    used = counts > 0
    first = np.concatenate(([0], np.cumsum(counts)[:-1]))[used]
    # A running sum over everything, less what stood before each series, plus where that series starts.
    before = np.concatenate(([0], totals))[first]
    numbers = np.zeros((k, rows), np.int64)
    numbers[present.T] = totals + np.repeat(origin[used] - before, counts[used])
    return times, numbers.T, present
