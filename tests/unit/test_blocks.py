"""A block gives back what it was given, or says what is wrong with it."""

import lzma
import random
import tracemalloc
import zlib
from contextlib import suppress

import numpy as np
import pytest
from hypothesis import given, settings
from hypothesis import strategies as st
from openmanager.errors import DamagedFrame, InvalidInput
from openmanager.telemetry import blocks, names, varint
from openmanager.telemetry.samples import Samples, from_points

from tests.recorded import minutes
from tests.unit.tables import START_MS, same, tables


def sealed(body: bytes, flags: int = 1, size: int | None = None) -> bytes:
    """A block whose checksum is right, whatever stands in it."""
    first = bytes((blocks.VERSION << 4 | flags,))
    rest = varint.encode_unsigned([len(body) if size is None else size]) + body
    return first + zlib.crc32(rest, zlib.crc32(first)).to_bytes(4, "big") + rest


def numbers(*values: int) -> bytes:
    return varint.encode_unsigned(values)


# One row of load_1m at 0 ms, up to its column.
HEAD = numbers(1, 1) + names.encode("load_1m") + b"\x02" + numbers(0)


@given(tables())
def test_a_block_decodes_to_what_was_encoded_late_marks_included(samples: Samples) -> None:
    assert same(blocks.decode_block(blocks.encode_block(samples)), samples)


@given(
    st.lists(st.integers(-(2**62) + 1, 2**62 - 1), min_size=1, max_size=60),
    st.sampled_from([1, 7, 4096]),
    st.booleans(),
)
def test_integers_of_62_bits_survive_every_transform(column: list[int], unit: int, repeat: bool) -> None:
    x = np.array((column * 5 if repeat else column), np.int64) // unit * unit
    x = np.clip(x, -(2**62) + 1, 2**62 - 1)
    octets = blocks._column(x, np.ones(len(x), np.bool_))
    body = varint.Reader(octets)
    assert blocks._values(body, body.octet(), len(x)).tolist() == x.tolist()
    for how, form in blocks._forms(x - x.min()):
        whole = numbers(1) + varint.encode(x.min(keepdims=True)) + form
        assert blocks._values(varint.Reader(whole), how, len(x)).tolist() == x.tolist()


def test_late_marks_cost_nothing_while_no_row_is_late() -> None:
    points = [("load_1m", START_MS + i * 1000, float(i % 7)) for i in range(400)]
    on_time = from_points(points)
    late = Samples(on_time.series, on_time.times, on_time.values, np.arange(400) % 13 == 0)
    assert len(blocks.encode_block(on_time)) < len(blocks.encode_block(late))


def test_the_recorded_host_stays_within_its_budget() -> None:
    parts = [p.samples for p in minutes("host", START_MS, 600)]
    whole = Samples(
        parts[0].series,
        np.concatenate([p.times for p in parts]),
        np.concatenate([p.values for p in parts]),
        np.zeros(600, np.bool_),
    )
    block = blocks.encode_block(whole)
    assert same(blocks.decode_block(block), whole)
    assert len(block) / whole.count <= 0.69


@given(tables(), st.data())
def test_a_changed_octet_or_a_cut_is_an_error_and_never_a_wrong_number(samples: Samples, data: st.DataObject) -> None:
    block = bytearray(blocks.encode_block(samples))
    cut = data.draw(st.integers(0, len(block) - 1))
    with pytest.raises(DamagedFrame):
        blocks.decode_block(bytes(block[:cut]))
    block[cut] ^= data.draw(st.integers(1, 255))
    with pytest.raises(DamagedFrame):
        blocks.decode_block(bytes(block))


@settings(max_examples=300)
@given(st.one_of(st.binary(max_size=200), st.binary(max_size=80).map(HEAD.__add__)), st.sampled_from([0, 1, 2, 3]))
def test_hostile_content_under_a_right_checksum_raises_damaged_frame_only(body: bytes, flags: int) -> None:
    with suppress(DamagedFrame):
        blocks.decode_block(sealed(body, flags))


def test_mutated_bodies_under_a_right_checksum_raise_damaged_frame_only() -> None:
    chance = random.Random(20)
    streams, bodies = [], []
    for push in minutes("host", START_MS, 3):
        outer = varint.Reader(blocks.encode_block(push.samples), blocks._HEADER)
        size = outer.bounded("octets", blocks.MAX_BODY)
        streams.append((size, outer.rest()))
        bodies.append((size, blocks._inflate(streams[-1][1], size, False)))
    for _ in range(3000):
        flags = chance.choice((0, 1, 2, 3))
        size, octets = chance.choice(bodies if flags & 1 else streams)
        mutated = bytearray(octets)
        for _ in range(chance.randint(1, 4)):
            mutated[chance.randrange(len(mutated))] = chance.choice((0, 1, 127, 128, 255, chance.randrange(256)))
        with suppress(DamagedFrame):
            blocks.decode_block(sealed(bytes(mutated), flags, size))


@pytest.mark.parametrize(
    ("body", "fault"),
    [
        (numbers(2**40, 1), "rows, where"),
        (numbers(1, 2**40), "series, where"),
        (numbers(0, 1), "0 rows"),
        (numbers(900_000, 60_000), "900000 rows of 60000 series"),
        (numbers(1, 1) + numbers(0, 2**30), "octets of a name"),
        (numbers(2, 0) + varint.encode(np.array([5, 0])), "times do not increase"),
        (HEAD + b"\x7f", "form 127"),
        (HEAD + b"\x40" + numbers(1, 0), "form 64"),
        (HEAD + b"\x30" + numbers(1, 0, 9), "distinct values"),
        (HEAD + b"\x31" + numbers(1, 0, 0), "not among the distinct"),
        (HEAD + b"\x01" + numbers(1, 0) + b"?", "more follows"),
        (HEAD + b"\x00" + numbers(1, 0, 2, 7, 7), "longer than announced"),
        (HEAD[:-2] + b"\x7f" + numbers(0), "decimals"),
        (HEAD + b"\x09" + numbers(1, 0), "cut off"),
    ],
)
def test_each_fault_is_named(body: bytes, fault: str) -> None:
    with pytest.raises(DamagedFrame, match=fault):
        blocks.decode_block(sealed(body))


@pytest.mark.parametrize(
    ("data", "fault"), [(b"", "version none"), (b"\x20" * 9, "version 2"), (b"\x10" * 9, "checksum")]
)
def test_what_is_not_a_block_says_so(data: bytes, fault: str) -> None:
    with pytest.raises(DamagedFrame, match=fault):
        blocks.decode_block(data)


def test_a_bomb_is_not_unpacked_beyond_what_it_announced() -> None:
    bomb = lzma.compress(bytes(200 * 2**20), lzma.FORMAT_RAW, filters=blocks._FILTERS)
    tracemalloc.start()
    try:
        with pytest.raises(DamagedFrame, match="where 1000 were announced"):
            blocks.decode_block(sealed(bomb, 0, 1000))
        with pytest.raises(DamagedFrame, match="octets, where"):
            blocks.decode_block(sealed(bomb, 0, 200 * 2**20))
        assert tracemalloc.get_traced_memory()[1] < 4 * 2**20
    finally:
        tracemalloc.stop()


def test_a_value_beyond_the_integers_is_refused_by_name_and_not_wrapped() -> None:
    with pytest.raises(InvalidInput, match=r"load_1m: 1e\+18 is too large"):
        blocks.encode_block(from_points([("load_1m", START_MS, 1e18)]))
    kept = from_points([("disk_queue_total/sda", START_MS, 1e15), ("load_1m", START_MS, -1e15)])
    assert same(blocks.decode_block(blocks.encode_block(kept)), kept)


def test_more_than_a_reader_takes_is_not_written() -> None:
    with pytest.raises(ValueError, match="cannot hold 0 rows"):
        blocks.encode_block(Samples((), np.empty(0, np.int64), np.empty((0, 0)), np.empty(0, np.bool_)))
