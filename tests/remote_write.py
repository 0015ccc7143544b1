"""Prometheus remote write 1.0 written by hand, for what no sender was recorded doing; shares no code with ours."""

import struct

import cramjam

Series = tuple[dict[str, str], list[tuple[float, int]]]


def encode_varint(value: int) -> bytes:
    out = b""
    while value > 127:
        out, value = out + bytes([value & 127 | 128]), value >> 7
    return out + bytes([value])


def field(number: int, content: bytes) -> bytes:
    return encode_varint(number << 3 | 2) + encode_varint(len(content)) + content


def request(*series: Series) -> bytes:
    raw = b""
    for labels, samples in series:
        content = b"".join(field(1, field(1, k.encode()) + field(2, v.encode())) for k, v in sorted(labels.items()))
        for value, time_ms in samples:
            content += field(2, b"\x09" + struct.pack("<d", value) + b"\x10" + encode_varint(time_ms))
        raw += field(1, content)
    return bytes(cramjam.snappy.compress_raw(raw))
