"""Varints and names: everything comes back, and nothing is read past the end."""

import numpy as np
import pytest
from hypothesis import given
from hypothesis import strategies as st
from openmanager.catalog import PARTS
from openmanager.telemetry import names, varint

SIGNED = st.lists(st.integers(-(2**63), 2**63 - 1))
UNSIGNED = st.lists(st.integers(0, 2**64 - 1))


@given(SIGNED)
def test_signed_numbers_round_trip(numbers: list[int]) -> None:
    assert varint.decode(varint.encode(np.array(numbers, np.int64))).tolist() == numbers


@given(UNSIGNED)
def test_unsigned_numbers_round_trip_and_both_writers_agree(numbers: list[int]) -> None:
    octets = varint.encode_raw(np.array(numbers, np.uint64))
    assert octets == varint.encode_unsigned(numbers)
    assert varint.decode_raw(octets).tolist() == numbers
    reader = varint.Reader(octets)
    assert reader.unsigned(len(numbers)).tolist() == numbers
    assert reader.rest() == b""


@pytest.mark.parametrize("octets", [b"\x80", b"\x01\xff", b"\xff" * 9 + b"\x02", b"\x80" * 10 + b"\x01"])
def test_a_number_cut_off_or_beyond_64_bits_is_refused(octets: bytes) -> None:
    with pytest.raises(ValueError, match=r"cut off|longer than 64 bits"):
        varint.decode_raw(octets)
    with pytest.raises(ValueError, match=r"cut off|longer than 64 bits"):
        varint.Reader(octets).unsigned(2)


def test_a_count_is_checked_against_its_bound_before_anything_is_made() -> None:
    with pytest.raises(ValueError, match="4000000000 rows, where 10 are the most"):
        varint.Reader(varint.encode_unsigned([4_000_000_000])).bounded("rows", 10)


def test_a_reader_gives_nothing_past_the_end() -> None:
    reader = varint.Reader(b"\x01\x02")
    assert reader.take(2) == b"\x01\x02"
    with pytest.raises(ValueError, match="cut off"):
        reader.octet()


@pytest.mark.parametrize("name", ["load_1m", "cpu_idle_total/0", "filesystem_size_bytes//var/lib", "yet_unknown/é"])
def test_names_round_trip(name: str) -> None:
    assert names.decode(varint.Reader(names.encode(name))) == name


def test_every_part_of_the_catalogue_has_a_place_so_that_names_stay_short() -> None:
    assert set(PARTS) <= set(names.PLACES)
    assert all(len(names.encode(part)) == 2 for part in PARTS)


def test_places_never_change_for_stored_data_leans_on_them() -> None:
    assert len(set(names.PLACES)) == len(names.PLACES)
    assert (names.PLACES[0], names.PLACES[37], names.PLACES[51]) == ("cpu_utilization", "cpu_idle_total", "boot_time")
