"""A frame gives back what it was given, or says that it cannot."""

import base64
import itertools
import random
import zlib
from contextlib import suppress

import numpy as np
import pytest
from hypothesis import given, settings
from hypothesis import strategies as st
from openmanager.errors import DamagedFrame, InvalidInput
from openmanager.stores.segments import stored_frames
from openmanager.telemetry import frames
from openmanager.telemetry.samples import Samples, from_points, merge

from tests.recorded import minutes
from tests.unit.tables import START_MS, same, tables


def on_time(samples: Samples) -> Samples:
    """The same with no row late: a frame is late as a whole, which stands in its field name."""
    return Samples(samples.series, samples.times, samples.values, np.zeros(len(samples), np.bool_))


def octets_of(text: str) -> bytearray:
    return bytearray(base64.b64decode(text))


def text_of(octets: bytes) -> str:
    return base64.b64encode(octets).decode()


@given(tables(), st.data())
def test_a_frame_decodes_to_what_was_encoded_against_any_baseline(samples: Samples, data: st.DataObject) -> None:
    other = data.draw(tables())
    baseline = frames.make_baseline(START_MS, merge([other, samples]), {"role": "web"}, "token")
    read = frames.read_baseline(baseline.text)
    text, digest = frames.encode_frame(samples, baseline)
    assert read.id == baseline.id
    assert frames.baseline_mark(text) == frames.mark_of(baseline.id)
    assert read.attributes == {"role": "web"}
    assert same(frames.decode_frame(text, read, digest), on_time(samples))


@given(tables(), st.data())
def test_both_forms_hold_the_same_samples_under_the_same_digest(samples: Samples, data: st.DataObject) -> None:
    baseline = frames.make_baseline(START_MS, merge([data.draw(tables()), samples]), {}, "token")
    digests = set()
    for encode in (frames._encode_short, frames._encode_long):
        flags, body, digest = encode(samples, baseline)
        digests.add(digest)
        text = text_of(bytes((frames.VERSION << 6 | flags,)) + body)
        assert same(frames.decode_frame(text, baseline, digest.hex()), on_time(samples))
    assert len(digests) == 1


def test_a_late_frame_says_so_in_every_row() -> None:
    samples = from_points([("load_1m", START_MS + i, 1.0) for i in range(3)])
    baseline = frames.make_baseline(START_MS, samples, {}, "token")
    text, digest = frames.encode_frame(samples, baseline)
    assert frames.decode_frame(text, baseline, digest, True).late.all()


@given(tables())
def test_the_digest_depends_on_the_samples_alone(samples: Samples) -> None:
    one = frames.make_baseline(START_MS, samples, {}, "one")
    reversed_ = Samples(samples.series[::-1], samples.times, samples.values[:, ::-1], samples.late)
    wider = merge([samples, from_points([("load_15m", START_MS, 1.0)])])
    two = frames.make_baseline(START_MS - 1000, wider, {"role": "api"}, "two")
    assert frames.encode_frame(samples, one)[1] == frames.encode_frame(reversed_, two)[1]
    assert one.id != two.id


@given(tables())
def test_a_baseline_of_another_writer_has_another_identifier(samples: Samples) -> None:
    one, two = (frames.make_baseline(START_MS, samples, {}, token) for token in ("one", "two"))
    assert one.id != two.id
    assert np.array_equal(one.values, two.values)


@settings(max_examples=300)
@given(tables(), st.data())
def test_a_damaged_frame_is_an_error_and_never_a_wrong_number(samples: Samples, data: st.DataObject) -> None:
    baseline = frames.make_baseline(START_MS, samples, {}, "token")
    text, digest = frames.encode_frame(samples, baseline)
    octets = octets_of(text)
    octets[data.draw(st.integers(0, len(octets) - 1))] ^= data.draw(st.integers(1, 255))
    try:
        # Which baseline to take is decided by the identifier; here the reader has only the right one.
        read = frames.decode_frame(text_of(octets), baseline, digest)
    except DamagedFrame:
        return
    assert same(read, on_time(samples))


@settings(max_examples=200)
@given(tables(), st.binary(max_size=120), st.integers(0, 15))
def test_random_octets_are_damaged_frames(samples: Samples, body: bytes, flags: int) -> None:
    baseline = frames.make_baseline(START_MS, samples, {}, "token")
    octets = bytes((frames.VERSION << 6 | flags,)) + body
    with pytest.raises(DamagedFrame, match="frame: "):
        frames.decode_frame(text_of(octets), baseline, "000000000000")


def test_a_run_of_mutations_and_cuts_gives_damaged_frames_only() -> None:
    chance = random.Random(3)
    pushes = [p.samples for p in minutes("host", START_MS, 64)]
    baseline = frames.make_baseline(START_MS, pushes[0], {"role": "web"}, "token")
    whole = [(p, *frames.encode_frame(p, baseline)) for p in (*pushes[:20], merge(pushes))]
    for _ in range(2000):
        samples, text, digest = chance.choice(whole)
        octets = octets_of(text)
        for _ in range(chance.randint(1, 3)):
            octets[chance.randrange(len(octets))] = chance.randrange(256)
        del octets[chance.choice((len(octets), chance.randrange(len(octets)))) :]
        with suppress(DamagedFrame):
            assert same(frames.decode_frame(text_of(octets), baseline, digest), samples)
    good = octets_of(baseline.text)
    for _ in range(2000):
        octets = bytearray(good)
        for _ in range(chance.randint(1, 3)):
            octets[chance.randrange(len(octets))] = chance.randrange(256)
        del octets[chance.choice((len(octets), chance.randrange(len(octets)))) :]
        with suppress(DamagedFrame):
            frames.read_baseline(text_of(octets))


@pytest.mark.parametrize("text", ["", "A", "AAAA", "!!!!", "IAAAAAA=", "ÄÖÜ"])
def test_what_is_not_a_frame_or_baseline_says_so(text: str) -> None:
    baseline = frames.make_baseline(START_MS, from_points([("load_1m", START_MS, 1.0)]), {}, "token")
    with pytest.raises(DamagedFrame, match="frame: "):
        frames.decode_frame(text, baseline, "00")
    with pytest.raises(DamagedFrame, match="frame: "):
        frames.baseline_mark(text)
    with pytest.raises(DamagedFrame, match="baseline: "):
        frames.read_baseline(text)


def test_neither_frame_nor_baseline_unpacks_further_than_its_bound() -> None:
    baseline = frames.make_baseline(START_MS, from_points([("load_1m", START_MS, 1.0)]), {}, "token")
    packer = zlib.compressobj(9, wbits=-15)
    bomb = b"".join(packer.compress(bytes(2**20)) for _ in range(80)) + packer.flush()
    head = bytes((frames.VERSION << 6 | 6,))
    with pytest.raises(DamagedFrame, match="unpacks to more"):
        frames.decode_frame(text_of(head + bomb), baseline, "00")
    with pytest.raises(DamagedFrame, match="unpacks to more"):
        frames.read_baseline(text_of(b"\x02" + bomb))
    # A billion rows announced in a few octets, in either form.
    with pytest.raises(DamagedFrame, match="rows"):
        frames.decode_frame(text_of(b"\x43" + b"\xff\xff\xff\xff\x03"), baseline, "00")
    with pytest.raises(DamagedFrame, match="rows"):
        frames.decode_frame(text_of(b"\x41" + b"\0\0\0\0" + b"\xff" * 5), baseline, "00")


def test_values_are_kept_at_the_precision_of_the_catalogue() -> None:
    samples = from_points([("cpu_utilization", START_MS, 12.3456), ("load_1m", START_MS, 1.239)])
    baseline = frames.make_baseline(START_MS, samples, {}, "token")
    text, digest = frames.encode_frame(samples, baseline)
    read = frames.decode_frame(text, baseline, digest)
    assert dict(zip(read.series, read.values[0], strict=True)) == {"cpu_utilization": 12.3, "load_1m": 1.24}


@pytest.mark.parametrize("value", [1e18, -1e18, float("inf"), 1e308])
@pytest.mark.parametrize("rows", [1, 600])
def test_a_value_beyond_the_integers_is_refused_by_name_and_not_wrapped(value: float, rows: int) -> None:
    good = from_points([("load_1m", START_MS + i, 1.0) for i in range(rows)])
    bad = Samples(good.series, good.times, np.full((rows, 1), value), good.late)
    baseline = frames.make_baseline(START_MS, good, {}, "token")
    with pytest.raises(InvalidInput, match=r"load_1m: .* too large"):
        frames.encode_frame(bad, baseline)
    with pytest.raises(InvalidInput, match=r"load_1m: .* too large"):
        frames.make_baseline(START_MS, bad, {}, "token")


def test_a_minute_of_the_recorded_host_stays_within_its_octets() -> None:
    pushes = [p.samples for p in minutes("host", START_MS, 200)]
    size = count = 0
    for first in range(0, len(pushes), 10):
        baseline = frames.make_baseline(START_MS, pushes[first], {}, "token")
        for push in pushes[first : first + 10]:
            size += len(octets_of(frames.encode_frame(push, baseline)[0]))
            count += push.count
    assert size / count <= 1.2


@given(tables(), tables(), st.data())
def test_what_a_writer_learnt_from_the_segment_before_changes_no_sample(
    earlier: Samples, samples: Samples, data: st.DataObject
) -> None:
    baseline = frames.make_baseline(START_MS - 600_000, earlier, {}, "one")
    for i in range(data.draw(st.integers(1, 4))):
        baseline = frames.make_baseline(START_MS, merge([earlier, samples]), {}, f"next {i}", baseline)
    text, digest = frames.encode_frame(samples, baseline)
    assert same(frames.decode_frame(text, frames.read_baseline(baseline.text), digest), on_time(samples))
    fresh = frames.make_baseline(START_MS, samples, {}, "fresh")
    assert frames.encode_frame(samples, fresh)[1] == digest


def test_a_writer_that_knows_the_segment_before_writes_shorter_frames() -> None:
    chance = np.random.default_rng(5)
    series = ("load_1m", "swap_utilization", "uptime")
    rest = np.zeros(1, np.bool_)
    pushes = [
        Samples(series, np.array([START_MS + i * 60_000]), chance.integers(0, 9000, (1, 3)) / [100, 10, 1], rest)
        for i in range(300)
    ]
    sizes = []
    for learns in (False, True):
        baseline, size = None, 0
        for i, push in enumerate(pushes):
            if i % 10 == 0:
                baseline = frames.make_baseline(START_MS, push, {}, "token", baseline if learns else None)
            size += len(octets_of(frames.encode_frame(push, baseline)[0]))
        sizes.append(size)
    assert sizes[1] < 0.95 * sizes[0]


@pytest.mark.parametrize("step", [4096, 512, 1])
def test_octets_in_pages_in_sectors_or_neither_come_back(step: int) -> None:
    name = "disk_read_bytes_total/sda"
    first = from_points([(name, START_MS, 4096.0 * 10**6)])
    baseline = frames.make_baseline(START_MS, first, {}, "token")
    push = from_points([(name, START_MS + 60_000, 4096.0 * 10**6 + 999 * step)])
    text, digest = frames.encode_frame(push, baseline)
    assert same(frames.decode_frame(text, baseline, digest), push)


def test_of_baselines_that_begin_alike_the_digest_tells_the_right_one() -> None:
    """Two bits name the baseline; a wrong one is never taken for it."""
    samples = from_points([("cpu_utilization", START_MS, 12.3), ("disk_reads_total/sda", START_MS, 1234.0)])
    others = [
        from_points([("cpu_utilization", START_MS, 50.0), ("disk_reads_total/sda", START_MS, 9.0)]),
        from_points([("cpu_utilization", START_MS, 50.0), ("disk_reads_total/sdb", START_MS, 1234.0)]),
        from_points([(f"cpu_idle_total/{i}", START_MS, 1e6 * i) for i in range(8)]),
    ]
    right = frames.make_baseline(START_MS, samples, {}, "token")
    text, digest = frames.encode_frame(samples, right)
    fields = {f"web-01|{START_MS}|{digest}": text}
    wrong = (frames.make_baseline(START_MS, others[i % 3], {}, f"{i}") for i in itertools.count())
    alike = (b for b in wrong if frames.mark_of(b.id) == frames.mark_of(right.id))
    for baseline in (*itertools.islice(alike, 6), right):
        fields[f"web-01|baseline|{baseline.id}"] = baseline.text
    (frame,) = stored_frames("key", fields)
    assert len(frame.baselines) == 7
    assert same(frame.read()[0], samples)
