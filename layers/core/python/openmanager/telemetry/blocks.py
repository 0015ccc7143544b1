"""Blocks: the samples of one server and segment for the archive.

A block is a frame (telemetry.frames) that carries its own names and stands in Postgres: version, number of rows, then
zlib of a JSON line of names and start, the content digest, the late marks, and the same run as in a frame.
"""

import json
import zlib

import numpy as np

from openmanager.errors import DamagedFrame
from openmanager.telemetry.frames import DIGEST_BYTES, VERSION, content_digest, pack, quantize, to_values, unpack
from openmanager.telemetry.samples import Samples


def encode_block(samples: Samples) -> bytes:
    """Samples of one server and segment for the archive, late marks included."""
    order = sorted(range(len(samples.series)), key=samples.series.__getitem__)
    series = tuple(samples.series[i] for i in order)
    numbers, present = quantize(samples)
    numbers, present = numbers[:, order], present[:, order]
    start = int(samples.times[0])
    origin = numbers[present.argmax(axis=0), np.arange(len(series))]
    header = json.dumps(
        {"start": start, "complete": bool(present.all()), "series": series, "values": origin.tolist()},
        separators=(",", ":"),
    ).encode()
    late = np.packbits(samples.late).tobytes()
    digest = content_digest(series, samples.times, numbers, present)
    body = header + b"\n" + digest + late + pack(samples.times, numbers, present, start, origin)
    return bytes((VERSION,)) + len(samples).to_bytes(4, "big") + zlib.compress(body, 9)


def decode_block(data: bytes) -> Samples:
    """The samples of a block. Raises DamagedFrame."""
    try:
        if not data or data[0] != VERSION:
            raise ValueError(f"version {data[0] if data else 'none'} is not {VERSION}")
        rows = int.from_bytes(data[1:5], "big")
        head, _, body = zlib.decompress(data[5:]).partition(b"\n")
        header = json.loads(head)
        series = tuple(header["series"])
        digest, body = body[:DIGEST_BYTES], body[DIGEST_BYTES:]
        size = (rows + 7) // 8
        late = np.unpackbits(np.frombuffer(body[:size], np.uint8), count=rows).astype(np.bool_)
        times, numbers, present = unpack(
            body[size:], header["complete"], header["start"], np.array(header["values"], np.int64)
        )
        if len(times) != rows or content_digest(series, times, numbers, present) != digest:
            raise ValueError("its content does not match its digest")
    except (ValueError, KeyError, TypeError, IndexError, zlib.error) as error:
        raise DamagedFrame(f"block: {error}") from error
    return Samples(series, times, to_values(series, numbers, present), late)
