"""The frame codec: samples as differences from a baseline, in text, and blocks for the archive.

A *baseline* is made once for a server and segment and never changed: its identifier is a digest of its content.
It holds the series names in order, one reference integer a series, the segment's start and the server's attributes,
and its writer's random token, so that deleting one writer's baseline never takes away another's.
Text form: base64 of zlib of JSON.

A *frame* is what one push said about one server. Text form: base64 of

    byte 0      format version (1) in the upper four bits; flags: 1 = every cell is present, 2 = the body is deflated
    bytes 1-4   the baseline's identifier
    body        a run of varints (telemetry.varint):
                  number of rows n
                  n time codes: the first row's milliseconds since the segment's start, then the differences of
                  successive distances (so an even cadence costs one byte a row)
                  unless flag 1: ceil(n*k/8) presence octets, row by row, k series in the baseline's order
                  for each series its present values: the first as difference from the baseline's integer, the others
                  from the value before

Numbers are integers at the catalogue's precision (`Part.decimals`), so decoding gives back exactly what encoding
rounded to.

The content digest covers names, times and integers, not the baseline: the same samples have the same digest
whichever function encoded them, which makes a repeated push land on itself, and it proves the decoding. A frame's
digest stands in its field name (stores.segments), a block's in the block (telemetry.blocks).
"""

import binascii
import json
import zlib
from collections.abc import Mapping
from dataclasses import dataclass
from functools import lru_cache
from hashlib import blake2s

import numpy as np
from numpy.typing import NDArray

from openmanager.catalog import part_of
from openmanager.errors import DamagedFrame, InvalidInput
from openmanager.telemetry import varint
from openmanager.telemetry.samples import Samples

VERSION = 1
_COMPLETE, _DEFLATED = 1, 2
_ID_BYTES, DIGEST_BYTES = 4, 6
_HEADER = 1 + _ID_BYTES
_MAX_ROWS = 1_000_000
# Integers are below this in magnitude.
LIMIT = 2.0**62

Integers = NDArray[np.int64]
Presence = NDArray[np.bool_]


@dataclass(frozen=True, slots=True, eq=False)
class Baseline:
    """Names, reference integers (k,), segment start (ms) and attributes; `id` is their digest in hex."""

    id: str
    start_ms: int
    series: tuple[str, ...]
    values: Integers
    attributes: Mapping[str, str]
    text: str


@lru_cache(maxsize=4096)
def scales(series: tuple[str, ...]) -> NDArray[np.float64]:
    """10**decimals of each series (k,)."""
    return np.array([10.0 ** part_of(name).decimals for name in series])


def quantize(samples: Samples) -> tuple[Integers, Presence]:
    """Values as integers at the catalogue's precision (n, k), 0 where absent, and which are present (n, k).

    Raises InvalidInput for a value whose integer is not below 2**62 in magnitude (differences must fit into 64 bits).
    """
    present = ~np.isnan(samples.values)
    with np.errstate(over="ignore"):
        scaled = np.rint(np.where(present, samples.values, 0.0) * scales(samples.series))
    beyond = np.abs(scaled) >= LIMIT
    if beyond.any():
        row, column = np.argwhere(beyond)[0]
        raise InvalidInput(samples.series[column], f"{samples.values[row, column]!r} is too large to be kept")
    return scaled.astype(np.int64), present


def make_baseline(start_ms: int, samples: Samples, attributes: Mapping[str, str], token: str) -> Baseline:
    """A baseline for the series of `samples`: each one's first present value. `token` makes its identifier its own."""
    order = sorted(range(len(samples.series)), key=samples.series.__getitem__)
    numbers, present = quantize(samples)
    first = present.argmax(axis=0)
    values = numbers[first, np.arange(len(samples.series))][order]
    series = tuple(samples.series[i] for i in order)
    body = json.dumps(
        {
            "start": start_ms,
            "series": series,
            "values": values.tolist(),
            "attributes": dict(attributes),
            "token": token,
        },
        separators=(",", ":"),
        sort_keys=True,
    ).encode()
    text = binascii.b2a_base64(zlib.compress(body, 6), newline=False).decode()
    return Baseline(blake2s(body, digest_size=_ID_BYTES).hexdigest(), start_ms, series, values, attributes, text)


def read_baseline(text: str) -> Baseline:
    """The baseline in its text form. Raises DamagedFrame when it does not read."""
    try:
        body = zlib.decompress(binascii.a2b_base64(text))
        data = json.loads(body)
        series = tuple(data["series"])
        values = np.array(data["values"], np.int64)
        if len(series) != len(values):
            raise ValueError(f"{len(series)} names but {len(values)} values")
        identity = blake2s(body, digest_size=_ID_BYTES).hexdigest()
        return Baseline(identity, int(data["start"]), series, values, data["attributes"], text)
    except (ValueError, KeyError, TypeError, zlib.error) as error:
        raise DamagedFrame(f"baseline: {error}") from error


def content_digest(series: tuple[str, ...], times: Integers, numbers: Integers, present: Presence) -> bytes:
    """Digest of the content, whatever other series the table has room for."""
    used = present.any(axis=0)
    names = "\0".join(name for name, u in zip(series, used, strict=True) if u)
    state = blake2s(names.encode(), digest_size=DIGEST_BYTES)
    state.update(times.tobytes())
    state.update(np.where(present, numbers, 0)[:, used].tobytes())
    state.update(np.packbits(present[:, used]).tobytes())
    return state.digest()


def _time_codes(times: Integers, start_ms: int) -> Integers:
    distances = np.diff(times, prepend=start_ms)
    return np.concatenate((distances[:2], np.diff(distances[1:])))


def _times(codes: Integers, start_ms: int) -> Integers:
    distances = np.concatenate((codes[:1], np.cumsum(codes[1:])))
    times: Integers = start_ms + np.cumsum(distances)
    return times


def pack(times: Integers, numbers: Integers, present: Presence, start_ms: int, origin: Integers) -> bytes:
    """Rows, times, presence (unless complete) and value differences, as in the module's description."""
    head = varint.encode(np.concatenate(([len(times)], _time_codes(times, start_ms))))
    complete = bool(present.all())
    mask = b"" if complete else np.packbits(present).tobytes()
    by_series, present_t = numbers.T, present.T
    flat = by_series[present_t]
    counts = present_t.sum(axis=1)
    first = np.concatenate(([0], np.cumsum(counts)[:-1]))[counts > 0]
    deltas = np.diff(flat, prepend=0)
    deltas[first] = flat[first] - origin[counts > 0]
    return head + mask + varint.encode(deltas)


def _split_varints(data: bytes, count: int) -> int:
    """Length in octets of the first `count` varints of `data`."""
    ends = np.flatnonzero(np.frombuffer(data, np.uint8) < 0x80)
    if len(ends) < count:
        raise ValueError("it is cut off")
    return int(ends[count - 1]) + 1 if count else 0


def unpack(data: bytes, complete: bool, start_ms: int, origin: Integers) -> tuple[Integers, Integers, Presence]:
    """Times (n,), integers (n, k) and presence (n, k) of a packed run. Raises ValueError on any inconsistency."""
    at = _split_varints(data, 1)
    rows = int(varint.decode(data[:at])[0])
    if not 0 < rows <= _MAX_ROWS:
        raise ValueError(f"{rows} rows")
    end = at + _split_varints(data[at:], rows)
    times = _times(varint.decode(data[at:end]), start_ms)
    if (np.diff(times) <= 0).any():
        raise ValueError("its times do not increase")
    k = len(origin)
    if complete:
        present = np.ones((rows, k), np.bool_)
    else:
        size = (rows * k + 7) // 8
        bits = np.frombuffer(data[end : end + size], np.uint8)
        if len(bits) < size:
            raise ValueError("it is cut off")
        present = np.unpackbits(bits, count=rows * k).reshape(rows, k).astype(np.bool_)
        end += size
    flat = varint.decode(data[end:])
    counts = present.sum(axis=0)
    if len(flat) != counts.sum():
        raise ValueError(f"{len(flat)} values where {counts.sum()} were announced")
    totals = np.cumsum(flat)
    used = counts > 0
    first = np.concatenate(([0], np.cumsum(counts)[:-1]))[used]
    # A running sum over everything, less what stood before each series, plus where that series starts.
    before = np.concatenate(([0], totals))[first]
    values = totals + np.repeat(origin[used] - before, counts[used])
    numbers = np.zeros((k, rows), np.int64)
    numbers[present.T] = values
    return times, numbers.T, present


def to_values(series: tuple[str, ...], numbers: Integers, present: Presence) -> NDArray[np.float64]:
    values = numbers / scales(series)
    values[~present] = np.nan
    return values


def encode_frame(samples: Samples, baseline: Baseline) -> tuple[str, str]:
    """(frame text, content digest in hex). The baseline must know every series of `samples`."""
    column = {name: i for i, name in enumerate(baseline.series)}
    into = [column[name] for name in samples.series]
    shape = (len(samples), len(baseline.series))
    numbers, present = np.zeros(shape, np.int64), np.zeros(shape, np.bool_)
    numbers[:, into], present[:, into] = quantize(samples)
    body = pack(samples.times, numbers, present, baseline.start_ms, baseline.values)
    flags = _COMPLETE if present.all() else 0
    deflated = zlib.compress(body, 9, -15)
    if len(deflated) < len(body):
        body, flags = deflated, flags | _DEFLATED
    digest = content_digest(baseline.series, samples.times, numbers, present)
    octets = bytes((VERSION << 4 | flags,)) + bytes.fromhex(baseline.id) + body
    return binascii.b2a_base64(octets, newline=False).decode(), digest.hex()


def _open(octets: bytes) -> int:
    """The flags of a frame's first octet. Raises ValueError for another version."""
    if len(octets) < _HEADER or octets[0] >> 4 != VERSION:
        raise ValueError(f"version {octets[0] >> 4 if octets else 'none'} is not {VERSION}")
    return octets[0] & 0x0F


def baseline_id(text: str) -> str:
    """Identifier of the baseline that a frame was written against. Raises DamagedFrame."""
    try:
        octets = binascii.a2b_base64(text[:8])
        _open(octets)
    except ValueError as error:
        raise DamagedFrame(f"frame: {error}") from error
    return octets[1:_HEADER].hex()


def decode_frame(text: str, baseline: Baseline, digest: str, late: bool = False) -> Samples:
    """The samples of a frame; rows carry `late`. Raises DamagedFrame unless they have the content digest (hex)."""
    try:
        octets = binascii.a2b_base64(text)
        flags = _open(octets)
        body = octets[_HEADER:]
        if flags & _DEFLATED:
            body = zlib.decompress(body, -15)
        times, numbers, present = unpack(body, bool(flags & _COMPLETE), baseline.start_ms, baseline.values)
        if content_digest(baseline.series, times, numbers, present).hex() != digest:
            raise ValueError("its content does not match its digest")
    except (ValueError, zlib.error) as error:
        raise DamagedFrame(f"frame: {error}") from error
    values = to_values(baseline.series, numbers, present)
    return Samples(baseline.series, times, values, np.full(len(times), late))
