"""Bytes a sample, names, times and headers included, and samples a second, of blocks and hot frames."""

import base64
import json
import time
import zlib
from collections.abc import Callable, Iterable, Iterator, Sequence
from itertools import islice

import numpy as np
from openmanager.catalog import METRICS, MODEL_METRICS
from openmanager.telemetry import blocks, frames
from openmanager.telemetry.samples import MINUTE_MS, Samples, merge

from tests.bench import recordings, references
from tests.bench.output import say
from tests.bench.recordings import Recording
from tests.recorded import minutes

START = 1_764_000_000_000
# Data set -> (how it is cut, what it must reach, what we aim at), bytes a sample.
BLOCKS: dict[str, tuple[Callable[[], Iterator[Recording]], float, float]] = {
    "host, 29 series a second, rounded, 600 rows": (recordings.host, 0.76, 0.69),
    "SMD, 38 series a minute, .001, 1,440 rows": (recordings.smd, 0.45, 0.38),
    "NAB, single series, 1,024 rows": (recordings.nab, 1.80, 1.75),
}
HOT_GOAL = 1.0
FLEET, FRAMES = 250, 20


def main() -> None:
    """Both tables."""
    block_table()
    say()
    frame_table()


def block_table() -> None:
    say("Blocks, bytes a sample, names, times and headers included; every block is decoded and compared")
    others = "".join(f"{name:>9}" for name in ("Gorilla", "gzip col", "zstd row"))
    say(f"  {'data':45}{'blocks':>8}{'must':>6}{'aim':>6}{others}   enc, dec samples/s")
    for name, (cut, must, aim) in BLOCKS.items():
        pieces = list(cut())
        if not pieces:
            say(f"  {name:45}  absent: it is no part of the repository and not in {recordings.SHARED}")
            continue
        count = sum(p.numbers.size for p in pieces)
        began = time.perf_counter()
        encoded = [_encode(p) for p in pieces]
        middle = time.perf_counter()
        decoded = [blocks.decode_block(data) for data in encoded]
        end = time.perf_counter()
        for piece, samples in zip(pieces, decoded, strict=True):
            order = [samples.series.index(f"processes/{n}") for n in piece.names]
            assert np.array_equal(samples.times, piece.times)
            assert np.array_equal(samples.values[:, order], piece.values)
        ours = sum(map(len, encoded)) / count
        sizes = (
            sum(references.gorilla(p.times, p.values) for p in pieces),
            sum(references.json_columns_gzip(p.names, p.times, p.values) for p in pieces),
            sum(references.zstd_rows(p.names, p.times, p.values) for p in pieces),
        )
        theirs = "".join(f"{size / count:9.2f}" for size in sizes)
        say(
            f"  {name:45}{ours:8.3f}{must:6.2f}{aim:6.2f}{theirs}"
            f"   {count / (middle - began):,.0f}  {count / (end - middle):,.0f}"
            f"   {'met' if ours <= aim else 'within' if ours <= must else 'OVER'}"
        )
    say("  host of the tests (17 series, raw octets), a row a minute, in blocks of:")
    whole = _seconds_as_minutes(600)
    for rows in (10, 60, 144, 600):
        tables = [merge(whole[i : i + rows]) for i in range(0, len(whole) - rows + 1, rows)]
        size = sum(len(blocks.encode_block(t)) for t in tables)
        say(f"    {rows:5} rows {size / sum(t.count for t in tables):6.2f}")


def _encode(p: Recording) -> bytes:
    # These columns are not all in the catalogue; as instances of a part their names count in full.
    names = tuple(f"processes/{name}" for name in p.names)
    present, late = np.ones(p.numbers.shape, np.bool_), np.zeros(len(p.times), np.bool_)
    return blocks.encode_table(names, list(p.decimals), p.times, p.numbers, present, late)


def frame_table() -> None:
    say(f"Hot frames, bytes a sample before text encoding, goal {HOT_GOAL}; a baseline a server and ten minutes beside")
    say(f"  {'pushes':58}{'frames':>8}{'B/frame':>9}{'baseline':>10}{'JSON':>7}{'deflated':>10}")
    for name, pushes, rows_a_segment in _pushes():
        size = count = number = bases = 0
        text = deflated = 0
        for push, baseline, fresh in _against_baselines(pushes, rows_a_segment):
            frame, digest = frames.encode_frame(push, baseline)
            read = frames.decode_frame(frame, baseline, digest)
            assert np.array_equal(read.values[:, [read.series.index(s) for s in push.series]], push.values)
            size += len(base64.b64decode(frame))
            bases += len(base64.b64decode(baseline.text)) * fresh
            count += push.count
            number += 1
            row = references.json_rows(push.series, push.times, push.values)
            text += len(row)
            deflated += len(zlib.compress(row, 9))
        if not number:
            say(f"  {name:58}  absent: it is no part of the repository and not in {recordings.SHARED}")
            continue
        say(
            f"  {name:58}{size / count:8.2f}{size / number:9.1f}{bases / count:10.2f}{text / count:7.1f}"
            f"{deflated / count:10.1f}   {'met' if size / count <= HOT_GOAL else 'OVER'}"
        )
    _frame_speed()


def _pushes() -> Iterator[tuple[str, Iterable[Samples], int]]:
    """(what, pushes, pushes a segment)."""
    host = _seconds_as_minutes(2320)
    yield "host, 17 series, its seconds taken for minutes, 1 row", host[:600], 10
    yield "host, 17 series, true minutes, 1 row", _spaced(host[::60], MINUTE_MS), 10
    quarter = _spaced(host[::15], 15_000)
    yield "host, 17 series, 4 true rows at 15 s", [merge(quarter[i : i + 4]) for i in range(0, len(quarter) - 3, 4)], 10
    quick = _spaced(host[:600], 15_000)
    yield "host, 17 series, seconds taken for 15 s, 4 rows", [merge(quick[i : i + 4]) for i in range(0, 600, 4)], 10
    yield "SMD, its 20 model metrics at .001, 1 row a minute", _smd_minutes(), 10


def _seconds_as_minutes(count: int) -> list[Samples]:
    return [p.samples for p in minutes("host", START, count)]


def _spaced(rows: Sequence[Samples], step_ms: int) -> list[Samples]:
    return [
        Samples(s.series, np.array([START + 20_000 + i * step_ms], np.int64), s.values, s.late)
        for i, s in enumerate(rows)
    ]


def _smd_minutes() -> Iterator[Samples]:
    """SMD's columns under our names, a thousandth of each one's range being a unit of the catalogue's precision."""
    wanted = [m.smd for m in METRICS if m.smd]
    late = np.zeros(1, np.bool_)
    for piece in recordings.smd(200) if recordings.SHARED.is_dir() else ():
        columns = [piece.names.index(name) for name in wanted]
        values = piece.numbers[:, columns] / frames.scales(MODEL_METRICS)
        for i in range(len(piece.times)):
            yield Samples(MODEL_METRICS, piece.times[i : i + 1], values[i : i + 1], late)


def _against_baselines(pushes: Iterable[Samples], each: int) -> Iterator[tuple[Samples, frames.Baseline, bool]]:
    """As a warm writer does it: each segment's baseline learns from the one before."""
    baseline = None
    for i, push in enumerate(pushes):
        if i % each == 0:
            baseline = frames.make_baseline(START, push, {"role": "web"}, "a1b2c3d4", baseline)
        assert baseline
        yield push, baseline, i % each == 0


def _frame_speed() -> None:
    pushes = list(islice(_against_baselines(_seconds_as_minutes(FRAMES), FRAMES), FRAMES)) * FLEET
    samples = sum(push.count for push, _, _ in pushes)

    def encode() -> list[tuple[str, str]]:
        return [frames.encode_frame(push, baseline) for push, baseline, _ in pushes]

    texts = encode()

    def decode() -> None:
        for (push, baseline, _), (text, digest) in zip(pushes, texts, strict=True):
            assert len(frames.decode_frame(text, frames.read_baseline(baseline.text), digest)) == len(push)

    def reference() -> None:
        row = json.dumps(dict(zip(pushes[0][0].series, pushes[0][0].values[0].tolist(), strict=True))).encode()
        for _ in pushes:
            json.loads(zlib.decompress(zlib.compress(row)))

    encoding, decoding, there_and_back = map(_best, (encode, decode, reference))
    say(
        f"  {FLEET} servers x {FRAMES} one-row frames: encode {1e6 * encoding / len(pushes):.0f} us a frame,"
        f" {samples / encoding:,.0f} samples/s; decode {1e6 * decoding / len(pushes):.0f} us,"
        f" {samples / decoding:,.0f} samples/s; zipped JSON there and back"
        f" {1e6 * there_and_back / len(pushes):.0f} us"
    )


def _best(work: Callable[[], object]) -> float:
    """The shortest of three runs, in seconds."""
    spent = []
    for _ in range(3):
        began = time.perf_counter()
        work()
        spent.append(time.perf_counter() - began)
    return min(spent)
