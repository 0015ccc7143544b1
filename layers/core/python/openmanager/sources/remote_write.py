"""The wire of Prometheus remote write, 1.0 and 2.0: a snappy block of protobuf, read series by series.

1.0 spells the labels out in every series (`prometheus.WriteRequest`). 2.0 (`io.prometheus.write.v2.Request`) has one
table of symbols, to which the series' labels refer in pairs. Exemplars, histograms and metadata are skipped.
"""

from collections.abc import Container, Iterator, Sequence
from typing import Any

import cramjam

from openmanager.errors import InvalidInput, PayloadTooLarge, UnsupportedMediaType
from openmanager.sources import wire

# 50,000 samples with their labels; Prometheus sends 2,000 at once by default.
MAX_DECOMPRESSED_BYTES = 8 * 2**20
MAX_SERIES = 100_000
MAX_SYMBOLS = 200_000

_V1 = "prometheus.WriteRequest"
_V2 = "io.prometheus.write.v2.Request"
_VERSIONS = {_V1.lower(): 1, _V2.lower(): 2}
_SAMPLE = {"value": (1, "double"), "timestamp": (2, "int64")}
_one = wire.messages(
    "remote_write_1",
    {
        "Label": {"name": (1, "string"), "value": (2, "string")},
        "Sample": _SAMPLE,
        "TimeSeries": {"labels": (1, "Label*"), "samples": (2, "Sample*")},
        "WriteRequest": {"timeseries": (1, "bytes*")},
    },
)
_two = wire.messages(
    "remote_write_2",
    {
        "Sample": _SAMPLE,
        "TimeSeries": {"labels_refs": (1, "uint32*"), "samples": (2, "Sample*")},
        "Request": {"symbols": (4, "string*"), "timeseries": (5, "bytes*")},
    },
)

# The name of a series, its labels (none if nobody asked for that name), and its samples.
Series = tuple[str, dict[str, str], Sequence[Any]]


def version_of(content_type: str) -> int:
    """The protocol version that a Content-Type speaks of. Raises UnsupportedMediaType."""
    kind, *parameters = (part.strip().lower() for part in content_type.split(";"))
    proto = _V1.lower()
    for parameter in parameters:
        name, _, value = parameter.partition("=")
        if name.strip() == "proto":
            proto = value.strip().strip('"')
    if kind != "application/x-protobuf" or proto not in _VERSIONS:
        raise UnsupportedMediaType(
            f"Content-Type: {content_type[:128]!r} is not remote write; send application/x-protobuf, for 2.0 with "
            f";proto={_V2}"
        )
    return _VERSIONS[proto]


def written(samples: int) -> dict[str, str]:
    """The headers by which 2.0 says what has been stored; those of series that are none of ours have not."""
    prefix = "X-Prometheus-Remote-Write"
    return {f"{prefix}-Samples-Written": str(samples)} | {
        f"{prefix}-{kind}-Written": "0" for kind in ("Histograms", "Exemplars")
    }


def read(body: bytes, version: int, wanted: Container[str]) -> Iterator[Series]:
    """The series in a body. Raises InvalidInput where it is damaged, PayloadTooLarge if it is out of bounds."""
    raw = _unsnappy(body)
    return _read_1(raw, wanted) if version == 1 else _read_2(raw, wanted)


def _read_1(raw: bytes, wanted: Container[str]) -> Iterator[Series]:
    request = wire.decode(_one["WriteRequest"], raw, "body", _V1)
    _check_count(len(request.timeseries))
    for series in wire.decode_each(_one["TimeSeries"], request.timeseries, "timeseries", "prometheus.TimeSeries"):
        # Most series are none of ours, so look at the name, which usually comes first, before the rest.
        name = next((label.value for label in series.labels if label.name == "__name__"), "")
        labels = {label.name: label.value for label in series.labels} if name in wanted else {}
        yield name, labels, series.samples


def _read_2(raw: bytes, wanted: Container[str]) -> Iterator[Series]:
    request = wire.decode(_two["Request"], raw, "body", _V2)
    _check_count(len(request.timeseries))
    if len(request.symbols) > MAX_SYMBOLS:
        raise PayloadTooLarge(f"the body has more than {MAX_SYMBOLS} symbols; send less at once")
    symbols = list(request.symbols)
    if symbols and symbols[0]:
        raise InvalidInput("symbols[0]", "must be the empty string")
    title = "io.prometheus.write.v2.TimeSeries"
    for i, series in enumerate(wire.decode_each(_two["TimeSeries"], request.timeseries, "timeseries", title)):
        refs = list(series.labels_refs)
        if len(refs) % 2:
            raise InvalidInput(f"timeseries[{i}].labels_refs", f"has {len(refs)} references, which are not pairs")
        if refs and max(refs) >= len(symbols):
            at = next(at for at, ref in enumerate(refs) if ref >= len(symbols))
            raise InvalidInput(
                f"timeseries[{i}].labels_refs[{at}]", f"{refs[at]} is not one of the {len(symbols)} symbols"
            )
        named = {symbols[key]: symbols[value] for key, value in zip(refs[::2], refs[1::2], strict=True)}
        name = named.get("__name__", "")
        yield name, named if name in wanted else {}, series.samples


def _check_count(series: int) -> None:
    if series > MAX_SERIES:
        raise PayloadTooLarge(f"the body has {series} series, more than {MAX_SERIES}; send less at once")


def _unsnappy(body: bytes) -> bytes:
    declared = _declared_length(body)
    if declared > MAX_DECOMPRESSED_BYTES:
        raise PayloadTooLarge(f"the body unpacks to {declared} bytes, more than {MAX_DECOMPRESSED_BYTES}")
    try:
        return bytes(cramjam.snappy.decompress_raw(body))
    except (cramjam.DecompressionError, ValueError) as fault:
        raise InvalidInput("body", f"is not a snappy block: {fault}") from None


def _declared_length(body: bytes) -> int:
    """The length to which a snappy block says it unpacks: a varint of at most 32 bits at its beginning."""
    length = 0
    for i, byte in enumerate(body[:5]):
        length |= (byte & 0x7F) << (7 * i)
        if byte < 0x80:
            return length
    raise InvalidInput("body", "is not a snappy block: it does not begin with a length")
