"""The codec gives back what it was given, or says that it cannot."""

import base64

import numpy as np
import pytest
from hypothesis import given, settings
from hypothesis import strategies as st
from openmanager.catalog import PARTS
from openmanager.errors import DamagedFrame
from openmanager.telemetry import blocks, frames, varint
from openmanager.telemetry.samples import Samples, from_points, merge

START_MS = 1_764_000_000_000
SERIES = (*PARTS, "cpu_idle_total/0", "disk_reads_total/sda", "filesystem_size_bytes//var/lib")


@st.composite
def tables(draw: st.DrawFn) -> Samples:
    """Any samples a push can carry, already at the catalogue's precision."""
    series = tuple(draw(st.lists(st.sampled_from(SERIES), min_size=1, max_size=6, unique=True)))
    offsets = draw(st.lists(st.integers(0, 3_600_000), min_size=1, max_size=20, unique=True))
    times = np.array(sorted(offsets), np.int64) + START_MS
    cells = st.one_of(st.none(), st.integers(-(10**9), 10**15))
    rows = draw(st.lists(st.tuples(*[cells] * len(series)), min_size=len(times), max_size=len(times)))
    numbers = np.array([[np.nan if c is None else float(c) for c in row] for row in rows])
    return Samples(series, times, numbers / frames.scales(series), np.zeros(len(times), np.bool_))


def same(a: Samples, b: Samples) -> bool:
    """Equal where either has samples, whatever the order of series."""
    both = sorted(set(a.series) | set(b.series))

    def full(s: Samples) -> np.ndarray:
        return np.column_stack(
            [s.values[:, s.series.index(n)] if n in s.series else np.full(len(s), np.nan) for n in both]
        )

    return bool(
        np.array_equal(a.times, b.times)
        and np.array_equal(full(a), full(b), equal_nan=True)
        and np.array_equal(a.late, b.late)
    )


@given(st.lists(st.integers(-(2**63), 2**63 - 1)))
def test_varints_round_trip(numbers: list[int]) -> None:
    assert varint.decode(varint.encode(np.array(numbers, np.int64))).tolist() == numbers


@given(tables(), st.data())
def test_a_frame_decodes_to_what_was_encoded_against_any_baseline(samples: Samples, data: st.DataObject) -> None:
    other = data.draw(tables())
    baseline = frames.make_baseline(START_MS, merge([other, samples]), {"role": "web"}, "token")
    read = frames.read_baseline(baseline.text)
    text, digest = frames.encode_frame(samples, baseline)
    assert read.id == baseline.id == frames.baseline_id(text)
    assert read.attributes == {"role": "web"}
    assert same(frames.decode_frame(text, read, digest), samples)


@given(tables())
def test_a_block_decodes_to_what_was_encoded_late_marks_included(samples: Samples) -> None:
    late = np.arange(len(samples)) % 3 == 0
    marked = Samples(samples.series, samples.times, samples.values, late)
    assert same(blocks.decode_block(blocks.encode_block(marked)), marked)


@given(tables())
def test_the_digest_depends_on_the_samples_alone(samples: Samples) -> None:
    one = frames.make_baseline(START_MS, samples, {}, "one")
    reversed_ = Samples(samples.series[::-1], samples.times, samples.values[:, ::-1], samples.late)
    wider = merge([samples, from_points([("load_15m", START_MS, 1.0)])])
    two = frames.make_baseline(START_MS - 1000, wider, {"role": "api"}, "two")
    assert frames.encode_frame(samples, one)[1] == frames.encode_frame(reversed_, two)[1]


@settings(max_examples=300)
@given(tables(), st.data())
def test_a_damaged_frame_or_block_is_an_error_and_never_a_wrong_number(samples: Samples, data: st.DataObject) -> None:
    baseline = frames.make_baseline(START_MS, samples, {}, "token")
    text, digest = frames.encode_frame(samples, baseline)
    octets = bytearray(base64.b64decode(text))
    at = data.draw(st.integers(0, len(octets) - 1))
    octets[at] ^= data.draw(st.integers(1, 255))
    try:
        # Which baseline to take is decided by the identifier; here the reader has only the right one.
        read = frames.decode_frame(base64.b64encode(octets).decode(), baseline, digest)
    except DamagedFrame:
        pass
    else:
        assert same(read, samples)
    block = blocks.encode_block(samples)
    cut = data.draw(st.integers(0, len(block) - 1))
    with pytest.raises(DamagedFrame):
        blocks.decode_block(block[:cut])


@pytest.mark.parametrize("text", ["", "A", "AAAA", "!!!!", "IAAAAAA="])
def test_what_is_not_a_frame_says_so(text: str) -> None:
    baseline = frames.make_baseline(START_MS, from_points([("load_1m", START_MS, 1.0)]), {}, "token")
    with pytest.raises(DamagedFrame, match="frame: "):
        frames.decode_frame(text, baseline, "00")


def test_values_are_kept_at_the_precision_of_the_catalogue() -> None:
    samples = from_points([("cpu_utilization", START_MS, 12.3456), ("load_1m", START_MS, 1.239)])
    baseline = frames.make_baseline(START_MS, samples, {}, "token")
    text, digest = frames.encode_frame(samples, baseline)
    read = frames.decode_frame(text, baseline, digest)
    assert dict(zip(read.series, read.values[0], strict=True)) == {"cpu_utilization": 12.3, "load_1m": 1.24}
