"""Baselines: what the frames of a server and segment are told apart from, written once and never changed.

A baseline's identifier is a digest of its content: names, how each series is written, a reference integer for each, the
times they count from and the server's attributes; and its writer's random token, so that deleting one writer's baseline
never takes away another's. Text form: base64 of an octet (1, or 2 if what follows is deflated, without zlib's frame),
and of the body, varints as in telemetry.varint, names as in telemetry.names:

    varint       k series
    k names      in rising order
    k octets     each series' decimals, signed: its values are integers / 10**decimals
    k octets     each series' usual width in bits (lower five) and group (32 = gauge, 64 = counter, else it rests)
    k octets     each series' unit, as a power of two that its integers are usually multiples of
    k integers   signed varints: the references
    2 integers   signed varints: the segment's start (ms since 1970), and how much later the first row was
    token        varint length and UTF-8
    attributes   JSON, to the end
"""

import binascii
import json
import zlib
from collections.abc import Mapping
from functools import lru_cache
from hashlib import blake2s

import numpy as np
from numpy.typing import NDArray

from openmanager.catalog import part_of
from openmanager.errors import DamagedFrame, InvalidInput
from openmanager.telemetry import names, varint
from openmanager.telemetry.samples import Samples
from openmanager.values import frozen

ID_BYTES = 4
GAUGE, COUNTER = 32, 64
# Integers are below this in magnitude.
LIMIT = 2.0**62
_PLAIN, _DEFLATED = 1, 2
_MAX_BODY, _MAX_SERIES = 16 * 2**20, 65_536
_MAX_DECIMALS = 18

Integers = NDArray[np.int64]
Presence = NDArray[np.bool_]

# How many bits a value usually moves from its reference, measured on recorded hosts; frames shift all of a group at
# once, so only the proportions matter. Parts that are 0 here rest most of the time.
_WIDTHS = {
    "cpu_utilization": 1,
    "load_1m": 3,
    "load_5m": 1,
    "load_15m": 1,
    "memory_used": 2,
    "memory_used_effective": 2,
    "memory_total_bytes": 0,
    "memory_free_bytes": 8,
    "memory_available_bytes": 8,
    "memory_used_bytes": 8,
    "memory_cached_bytes": 6,
    "memory_buffered_bytes": 3,
    "swap_used_bytes": 0,
    "swap_utilization": 0,
    "swap_total_bytes": 0,
    "swap_free_bytes": 0,
    "filesystem_utilization": 0,
    "filesystem_size_bytes": 0,
    "filesystem_free_bytes": 6,
    "filesystem_available_bytes": 6,
    "filesystem_used_bytes": 6,
    "disk_reads_total": 7,
    "disk_writes_total": 4,
    "disk_read_bytes_total": 8,
    "disk_write_bytes_total": 6,
    "disk_queue_total": 9,
    "disk_busy_total": 6,
    "disk_read_time_total": 6,
    "disk_write_time_total": 6,
    "disk_read_bytes": 12,
    "disk_write_bytes": 12,
    "network_receive_bytes_total": 5,
    "network_transmit_bytes_total": 4,
    "network_receive_packets_total": 5,
    "network_transmit_packets_total": 5,
    "network_receive_bytes": 10,
    "network_transmit_bytes": 10,
    "network_errors": 0,
    "network_errors_total": 0,
    "network_receive_errors": 0,
    "network_transmit_errors": 0,
    "network_receive_errors_total": 0,
    "network_transmit_errors_total": 0,
    "cpu_idle": 9,
    "cpu_idle_total": 9,
    "cpu_iowait_total": 3,
    "tcp_established": 1,
    "tcp_time_wait": 2,
    "processes": 1,
    "uptime": 5,
    "boot_time": 0,
    "response_time": 4,
}
_OTHER_WIDTH = 3
# What systems hand out in pages and sectors, as powers of two.
PAGE, SECTOR = 12, 9
_IN_PAGES = ("disk_", "memory_", "swap_", "filesystem_")


@frozen(eq=False)
class Baseline:
    """Names, references (k,), segment start (ms) and attributes; `id` is their digest in hex.

    The tuples, k long each, say how frames write a series: 10**decimals, width and group, unit as a shift.
    """

    id: str
    start_ms: int
    first_ms: int
    series: tuple[str, ...]
    values: Integers
    attributes: Mapping[str, str]
    text: str
    scales: tuple[float, ...]
    widths: tuple[int, ...]
    units: tuple[int, ...]
    references: tuple[int, ...]
    columns: Mapping[str, int]


@lru_cache(maxsize=4096)
def scales(series: tuple[str, ...]) -> NDArray[np.float64]:
    """10**decimals of each series (k,)."""
    return np.array([10.0 ** names.decimals_of(name) for name in series])


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
        raise too_large(samples.series[column], float(samples.values[row, column]))
    return scaled.astype(np.int64), present


def too_large(series: str, value: float) -> InvalidInput:
    """The refusal of a value that integers cannot hold."""
    return InvalidInput(series, f"{value!r} is too large to be kept")


def make_baseline(
    start_ms: int, samples: Samples, attributes: Mapping[str, str], token: str, before: Baseline | None = None
) -> Baseline:
    """A baseline for the series of `samples`: each one's first present value. `token` makes its identifier its own.

    From `before`, the one of the segment before where the writer still has it, widths and units are learnt: frames
    become a fifth shorter on steady hosts within some ten segments. Readers need only the new one.
    """
    order = sorted(range(len(samples.series)), key=samples.series.__getitem__)
    numbers, present = quantize(samples)
    values = numbers[present.argmax(axis=0), np.arange(len(samples.series))][order]
    series = tuple(samples.series[i] for i in order)
    forms = [_form(name, value, before) for name, value in zip(series, values.tolist(), strict=True)]
    word = token.encode()
    body = b"".join(
        (
            varint.encode_unsigned([len(series)]),
            *map(names.encode, series),
            bytes(names.decimals_of(name) & 0xFF for name in series),
            bytes(width for width, _ in forms),
            bytes(unit for _, unit in forms),
            varint.encode(values),
            varint.encode(np.array([start_ms, samples.times[0] - start_ms], np.int64)),
            varint.encode_unsigned([len(word)]) + word,
            json.dumps(dict(attributes), separators=(",", ":"), sort_keys=True).encode(),
        )
    )
    small = zlib.compress(body, 6, -15)
    octets = bytes((_DEFLATED,)) + small if len(small) < len(body) else bytes((_PLAIN,)) + body
    return read_baseline(binascii.b2a_base64(octets, newline=False).decode())


def _form(series: str, value: int, before: Baseline | None) -> tuple[int, int]:
    """Width with group, and unit, of a series that stands at `value`."""
    place = before.columns.get(series) if before else None
    if before is None or place is None:
        return _width(series), _unit(series, value)
    moved = value - before.references[place]
    width, unit = before.widths[place], before.units[place]
    if moved:
        unit = _unit(series, moved)
    # A step towards what it just needed leads to the median without remembering more than the width.
    need = max(0, (2 * abs(moved) >> unit).bit_length() - 1)
    order = width & 31
    return width - order + min(31, order + (need > order) - (need < order)), unit


@lru_cache(maxsize=4096)
def _width(series: str) -> int:
    part = part_of(series)
    width = _WIDTHS.get(part.key, _OTHER_WIDTH)
    if not width:
        return 0
    return width | (COUNTER if part.kind == "counter" else GAUGE)


def _unit(series: str, value: int) -> int:
    if "bytes" not in series or not series.startswith(_IN_PAGES):
        return 0
    return next((shift for shift in (PAGE, 10, SECTOR) if value % (1 << shift) == 0), 0)


@lru_cache(maxsize=4096)
def read_baseline(text: str) -> Baseline:
    """The baseline in its text form. Raises DamagedFrame when it does not read."""
    try:
        octets = binascii.a2b_base64(text)
        if octets[:1] not in (bytes((_PLAIN,)), bytes((_DEFLATED,))):
            raise ValueError(f"form {octets[:1].hex() or 'none'} is not known")
        content = octets[1:] if octets[0] == _PLAIN else inflate(octets[1:], _MAX_BODY)
        body = varint.Reader(content)
        k = body.bounded("series", _MAX_SERIES)
        series = tuple(names.decode(body) for _ in range(k))
        decimals = tuple(np.frombuffer(body.take(k), np.int8).tolist())
        widths, units = tuple(body.take(k)), tuple(body.take(k))
        if any(abs(d) > _MAX_DECIMALS for d in decimals) or max(units, default=0) > 62:
            raise ValueError("decimals or units are out of range")
        values = body.signed(k)
        start, later = body.signed(2).tolist()
        token_size = body.bounded("octets of a token", 256)
        body.take(token_size)
        attributes = json.loads(body.rest())
        if not isinstance(attributes, dict):
            raise ValueError("its attributes are no object")
        series, columns = _alike(series)
        if len(columns) != k:
            raise ValueError("a name stands twice")
    except (ValueError, RecursionError, zlib.error) as error:
        raise DamagedFrame(f"baseline: {error}") from error
    return Baseline(
        blake2s(content, digest_size=ID_BYTES).hexdigest(),
        start,
        start + later,
        series,
        values,
        attributes,
        text,
        _powers(decimals),
        widths,
        units,
        tuple(values.tolist()),
        columns,
    )


# Servers of one fleet have the same series, and thousands of baselines are at hand: names were half of what each held.
@lru_cache(maxsize=1024)
def _alike(series: tuple[str, ...]) -> tuple[tuple[str, ...], Mapping[str, int]]:
    """The series as others have them, too, and where each stands."""
    return series, {name: i for i, name in enumerate(series)}


@lru_cache(maxsize=1024)
def _powers(decimals: tuple[int, ...]) -> tuple[float, ...]:
    return tuple(10.0**d for d in decimals)


def inflate(data: bytes, limit: int) -> bytes:
    """What a raw deflate stream holds, if that is at most `limit` octets. Raises ValueError or zlib.error."""
    stream = zlib.decompressobj(-15)
    body = stream.decompress(data, limit + 1)
    if len(body) > limit:
        raise ValueError(f"it unpacks to more than {limit} octets")
    if not stream.eof or stream.unused_data:
        raise ValueError("it does not end where it should")
    return body
