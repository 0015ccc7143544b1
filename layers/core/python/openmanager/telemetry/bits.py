"""Short frames, bit by bit, in plain integers: on twenty numbers these are several times faster than arrays.

Bits fill each octet from the top; zeros fill the last one. eg(k) is the exponential Golomb code of order k of a number
v that is never negative: v + 2**k in binary, L bits long, after L - 1 - k zeros. A signed number is zigzagged before.

    eg(0)      n - 1, of n rows
    eg(2)      signed: the first row's distance from the baseline's first, in whole minutes, rounded
    1 bit      0 if that is exact, else 1 and eg(6), signed: the milliseconds it is off
    n > 1      eg(13): the distance to the second row in ms; for each further row a bit, 0 if its distance is that of
               the row before, else 1 and eg(6), signed: their difference
    presence   unless the frame is complete: k bits; for each further row a bit, 0 if the same, else 1 and k bits
    4 bits     what widens counters, + 8
    3 bits     what widens gauges, + 2
    values     row by row, the present ones: eg(width + what widens its group, but at least 0), signed, of the
               difference from the series' value before in this frame, or else from its reference, divided by 2**unit
"""

from collections.abc import Sequence
from itertools import pairwise

from openmanager.telemetry.baselines import COUNTER, GAUGE, SECTOR, Baseline

MINUTE_MS = 60_000
_COUNTER_BIAS, _GAUGE_BIAS = 8, 2
_COUNTER_WIDEST, _GAUGE_WIDEST = 7, 5
# Coarseness of the units, as a frame's flags say it.
ONE, CAPPED, WHOLE = range(3)

Row = list[int | None]


class _Writer:
    def __init__(self) -> None:
        self.bits = 1  # a leading one keeps the zeros after it
        self.length = 0

    def put(self, value: int, width: int) -> None:
        self.bits = self.bits << width | value
        self.length += width

    def golomb(self, value: int, order: int) -> None:
        value += 1 << order
        self.put(value, 2 * value.bit_length() - 1 - order)

    def octets(self) -> bytes:
        self.put(0, -self.length % 8)
        return (self.bits ^ 1 << self.length).to_bytes(self.length // 8, "big")


def _zigzag(value: int) -> int:
    return value << 1 if value >= 0 else ~(value << 1)


def _unzigzag(value: int) -> int:
    return ~(value >> 1) if value & 1 else value >> 1


def coarsest(rows: Sequence[Row], baseline: Baseline) -> int:
    """How coarse the units may be that divide every difference: as the baseline says, capped at a sector, or one."""
    for coarseness in (WHOLE, CAPPED):
        masks = [(i, (1 << u) - 1) for i, u in enumerate(_units(baseline, coarseness)) if u]
        if not any(
            (value - baseline.references[i]) & mask
            for row in rows
            for i, mask in masks
            if (value := row[i]) is not None
        ):
            return coarseness
    return ONE


def _units(baseline: Baseline, coarseness: int) -> Sequence[int]:
    if coarseness == WHOLE:
        return baseline.units
    return [min(u, SECTOR) if coarseness == CAPPED else 0 for u in baseline.units]


def pack(times: Sequence[int], rows: Sequence[Row], baseline: Baseline, complete: bool, coarseness: int) -> bytes:
    """Rows of integers, None where absent, in the order of the baseline's series."""
    out = _Writer()
    out.golomb(len(times) - 1, 0)
    _pack_times(out, times, baseline.first_ms)
    if not complete:
        _pack_presence(out, rows)
    before = list(baseline.references)
    units = _units(baseline, coarseness)
    codes: list[tuple[int, int]] = []
    widths = baseline.widths
    for row in rows:
        for i, value in enumerate(row):
            if value is not None:
                codes.append((widths[i], _zigzag((value - before[i]) >> units[i])))
                before[i] = value
    counters = _widening(codes, COUNTER, -_COUNTER_BIAS, _COUNTER_WIDEST)
    gauges = _widening(codes, GAUGE, -_GAUGE_BIAS, _GAUGE_WIDEST)
    out.put(counters + _COUNTER_BIAS, 4)
    out.put(gauges + _GAUGE_BIAS, 3)
    orders = {width: _order(width, counters, gauges) for width, _ in codes}
    bits, length = out.bits, out.length
    for width, code in codes:
        order = orders[width]
        code += 1 << order
        size = 2 * code.bit_length() - 1 - order
        bits = bits << size | code
        length += size
    out.bits, out.length = bits, length
    return out.octets()


def _pack_times(out: _Writer, times: Sequence[int], first_ms: int) -> None:
    minutes, rest = divmod(times[0] - first_ms + MINUTE_MS // 2, MINUTE_MS)
    rest -= MINUTE_MS // 2
    out.golomb(_zigzag(minutes), 2)
    _pack_change(out, rest)
    distance = None
    for earlier, later in pairwise(times):
        if distance is None:
            out.golomb(later - earlier, 13)
        else:
            _pack_change(out, later - earlier - distance)
        distance = later - earlier


def _pack_change(out: _Writer, change: int) -> None:
    out.put(1 if change else 0, 1)
    if change:
        out.golomb(_zigzag(change), 6)


def _pack_presence(out: _Writer, rows: Sequence[Row]) -> None:
    last = None
    for row in rows:
        mask = 0
        for value in row:
            mask = mask << 1 | (value is not None)
        if last is not None:
            out.put(mask != last, 1)
        if mask != last:
            out.put(mask, len(row))
        last = mask


def _widening(codes: Sequence[tuple[int, int]], group: int, least: int, most: int) -> int:
    """What to add to the widths of a group: near the median of what its numbers need."""
    needs = sorted(code.bit_length() - 1 - (width & 31) for width, code in codes if width & group)
    if not needs:
        return 0
    return min(max(needs[len(needs) // 2], least), most)


def _order(width: int, counters: int, gauges: int) -> int:
    order = width & 31
    if width & COUNTER:
        return max(0, order + counters)
    if width & GAUGE:
        return max(0, order + gauges)
    return order


class _Reader:
    """Reads from text of zeros and ones, which Python searches and converts fastest."""

    def __init__(self, octets: bytes) -> None:
        self.text = f"{int.from_bytes(octets, 'big'):0{8 * len(octets)}b}" if octets else ""
        self.at = 0

    def take(self, width: int) -> int:
        end = self.at + width
        if end > len(self.text):
            raise ValueError("it is cut off")
        piece = self.text[self.at : end]
        self.at = end
        return int(piece, 2) if piece else 0

    def golomb(self, order: int) -> int:
        one = self.text.find("1", self.at)
        zeros = one - self.at
        if one < 0 or zeros > 70:
            raise ValueError("it is cut off" if one < 0 else "a number is longer than 64 bits")
        self.at = one
        return self.take(zeros + 1 + order) - (1 << order)


def unpack(
    octets: bytes, baseline: Baseline, complete: bool, coarseness: int, most_cells: int
) -> tuple[list[int], list[Row]]:
    """The inverse of `pack`. Raises ValueError on any inconsistency."""
    body = _Reader(octets)
    n, k = body.golomb(0) + 1, len(baseline.series)
    if n * max(k, 1) > most_cells:
        raise ValueError(f"{n} rows of {k} series")
    times = _unpack_times(body, n, baseline.first_ms)
    masks = [(1 << k) - 1] * n if complete else _unpack_presence(body, n, k)
    counters, gauges = body.take(4) - _COUNTER_BIAS, body.take(3) - _GAUGE_BIAS
    orders = [_order(width, counters, gauges) for width in baseline.widths]
    units = _units(baseline, coarseness)
    before = list(baseline.references)
    text, at, find = body.text, body.at, body.text.find
    rows: list[Row] = []
    for mask in masks:
        row: Row = [None] * k
        for i, order in enumerate(orders):
            if not complete and not mask >> (k - 1 - i) & 1:
                continue
            one = find("1", at)
            end = 2 * one - at + 1 + order
            if one < 0 or end > len(text) or one - at > 70:
                raise ValueError("it is cut off")
            code = int(text[one:end], 2) - (1 << order)
            at = end
            before[i] += (~(code >> 1) if code & 1 else code >> 1) << units[i]
            row[i] = before[i]
        rows.append(row)
    if len(text) - at >= 8 or "1" in text[at:]:
        raise ValueError("more follows its end")
    return times, rows


def _unpack_times(body: _Reader, n: int, first_ms: int) -> list[int]:
    minutes = _unzigzag(body.golomb(2))
    times = [first_ms + minutes * MINUTE_MS + _unpack_change(body)]
    distance = 0
    for i in range(1, n):
        distance = body.golomb(13) if i == 1 else distance + _unpack_change(body)
        times.append(times[-1] + distance)
    return times


def _unpack_change(body: _Reader) -> int:
    return _unzigzag(body.golomb(6)) if body.take(1) else 0


def _unpack_presence(body: _Reader, n: int, k: int) -> list[int]:
    masks = [body.take(k)]
    for _ in range(n - 1):
        masks.append(body.take(k) if body.take(1) else masks[-1])
    return masks
