"""The bounded metrics on the grids of five minutes and of an hour, where a disk that fills in a day is seen.

om:{shard}:coarse holds a record a server; it is read and written only in rounds that close a step of five minutes.
"""

import base64
import logging
import zlib
from collections.abc import Callable, Mapping, Sequence

import numpy as np
from numpy.typing import NDArray

from openmanager.errors import ModelUnavailable
from openmanager.inference import backtest, forecast
from openmanager.inference.exhaustion import Exhaustion, View, exhaustion
from openmanager.watch.outlook import BOUNDED_AT, skilled
from openmanager.watch.state import BOUNDED, OUTCOME, REASONS, WINDOW, States, shuffle, unshuffle

VERSION = 1
STEP_MIN, STEPS_AN_HOUR = 5, 12
LIMIT = 100.0
_GRIDS = ("five", "hour")
_GRID_S = {"five": 300, "hour": 3600}
# Steps of a day, where one fits into the window that candidates see.
_SEASON = {"five": None, "hour": 24}
_FLOOR = 0.001 * LIMIT
_SCALE = 100.0
_MISSING = np.int32(-(2**31))
_SHAPE = (len(_GRIDS) * len(BOUNDED), WINDOW)

COARSE = np.dtype(
    [
        ("five", "<f4", (len(BOUNDED), WINDOW)),
        ("hour", "<f4", (len(BOUNDED), WINDOW)),
        ("five_tests", backtest.RECORD, (len(BOUNDED),)),
        ("hour_tests", backtest.RECORD, (len(BOUNDED),)),
    ]
)
Coarse = NDArray[np.void]
_TESTS = np.dtype([(name, COARSE[name]) for name in ("five_tests", "hour_tests")])
_PLANES = 5
_ITEM = _TESTS.itemsize + _PLANES * _SHAPE[0] * _SHAPE[1]

log = logging.getLogger(__name__)


def new(n: int) -> Coarse:
    """Records (n,) of servers that nothing is known about."""
    records = np.zeros(n, COARSE)
    for grid in _GRIDS:
        records[grid] = np.nan
        records[f"{grid}_tests"] = backtest.new(len(BOUNDED))
    return records


def closes(minute: int) -> bool:
    """Whether a minute (since 1970) ends a step of five minutes."""
    return minute % STEP_MIN == STEP_MIN - 1


def learn(coarse: Coarse, states: States, minute: int, absent: list[str]) -> None:
    """After a minute that closes a step: the grids go on, are back-tested and say when the metrics meet their limit.

    `coarse` (n,) and the states' `outcome` change in place. A step is the mean of its minutes as the windows hold them.
    """
    _push(coarse, "five", states["windows"][:, BOUNDED_AT, -STEP_MIN:])
    hour = minute % 60 == 59
    if hour:
        _push(coarse, "hour", coarse["five"][:, :, -STEPS_AN_HOUR:])
    try:
        _test(coarse, "five", (minute // STEP_MIN - states["first"]) % 3 == 0)
        if hour:
            _test(coarse, "hour", np.ones(len(coarse), np.bool_))
        _conclude(coarse, states, minute)
    except ModelUnavailable as reason:
        absent.append(str(reason))


class Grids:
    """The coarse records of a shard's servers, as far as a round needs them."""

    def __init__(self, texts: Mapping[str, str] | None, read: Callable[[], Mapping[str, str]]) -> None:
        """`texts` as stored; None if they were not asked for, and then `read` gets them when a minute needs them."""
        self._records = None if texts is None else unpack(texts)
        self._read = read
        self._touched: set[str] = set()

    def learn(self, servers: Sequence[str], states: States, minute: int) -> None:
        """Take in a minute that closes a step, of these servers with their states (n,). See the module's `learn`."""
        if self._records is None:
            self._records = unpack(self._read())
        records = new(len(servers))
        for i, server in enumerate(servers):
            if server in self._records:
                records[i] = self._records[server]
        absent: list[str] = []
        learn(records, states, minute, absent)
        for reason in absent:
            log.error("coarse grids: %s", reason)
        for i, server in enumerate(servers):
            self._records[server] = records[i].copy()
        self._touched |= set(servers)

    def changed(self) -> dict[str, str]:
        """Server -> text of the records that changed since this was last asked."""
        names = sorted(self._touched)
        self._touched = set()
        if not names or self._records is None:
            return {}
        records = new(len(names))
        for i, name in enumerate(names):
            records[i] = self._records[name]
        return dict(zip(names, pack(records), strict=True))


def _push(coarse: Coarse, grid: str, values: NDArray[np.float32]) -> None:
    total = np.zeros(values.shape[:2])
    for i in range(values.shape[2]):
        total += values[:, :, i]
    mean = np.rint(total / values.shape[2] * _SCALE) / _SCALE
    window = coarse[grid]
    window[:, :, :-1] = window[:, :, 1:].copy()
    window[:, :, -1] = mean


def _test(coarse: Coarse, grid: str, due: NDArray[np.bool_]) -> None:
    rows, series = np.nonzero(due[:, None] & ~np.isnan(coarse[grid]).any(axis=2))
    if len(rows):
        history = coarse[grid][rows, series].astype(np.float64)
        floor = np.full(len(rows), _FLOOR)
        tests = coarse[f"{grid}_tests"]
        tests[rows, series] = backtest.learn(tests[rows, series], history, floor, _SEASON[grid])


def _conclude(coarse: Coarse, states: States, minute: int) -> None:
    """The outcome of each server's bounded metrics on both grids together."""
    views = [view for grid in _GRIDS if (view := _view(coarse, grid, minute)) is not None]
    if not views:
        return
    earned = {_GRID_S[grid]: skilled(coarse[f"{grid}_tests"].reshape(-1)) for grid in _GRIDS}
    outcomes = np.zeros(len(coarse) * len(BOUNDED), OUTCOME)
    for i, found in enumerate(exhaustion(views, LIMIT)):
        outcomes[i] = record(found, 60 * (minute + 1), bool(found.grid_s and earned[int(found.grid_s)][i]))
    states["outcome"] = outcomes.reshape(len(coarse), len(BOUNDED))


def record(found: Exhaustion, now_s: float, earned: bool) -> tuple[int, int, int, float, float, float]:
    """An OUTCOME with absolute times, from one that counts from `now_s`."""
    earliest = np.nan if found.earliest_s is None else now_s + found.earliest_s
    latest = np.inf if found.latest_s is None else now_s + found.latest_s
    likely = np.nan if found.likely_s is None else now_s + found.likely_s
    return REASONS.index(found.reason), int(earned), int(found.grid_s or 0), earliest, latest, likely


def _view(coarse: Coarse, grid: str, minute: int) -> View | None:
    history = coarse[grid].reshape(-1, WINDOW).astype(np.float64)
    known = np.flatnonzero(~np.isnan(history[:, WINDOW - forecast.WINDOW :]).any(axis=1))
    if not len(known):
        return None
    windows = history[known, WINDOW - forecast.WINDOW :]
    tests = coarse[f"{grid}_tests"].reshape(-1)[known]
    ahead = backtest.ahead(tests, windows, np.full(len(known), _FLOOR), 0.0, LIMIT, _SEASON[grid])
    n = len(history)
    path = np.full((n, forecast.STEPS), np.nan)
    lower = np.full((n, len(backtest.COVERAGES), forecast.STEPS), np.nan)
    upper = lower.copy()
    winner, tested = np.zeros(n, np.uint8), np.zeros(n, np.float32)
    path[known], lower[known], upper[known] = ahead.path, ahead.lower, ahead.upper
    winner[known], tested[known] = ahead.winner, ahead.tested
    age_s = 0.0 if grid == "five" else 60.0 * ((minute + 1) % 60)
    return View(_GRID_S[grid], history, backtest.Ahead(path, lower, upper, winner, tested), age_s)


def pack(coarse: Coarse) -> list[str]:
    """Records (n,) as texts, in the manner of watch.state."""
    tests = np.zeros(len(coarse), _TESTS)
    for name in _TESTS.names or ():
        tests[name] = coarse[name]
    values = np.concatenate((coarse["five"], coarse["hour"]), axis=1).astype(np.float64)
    integers = np.where(np.isnan(values), _MISSING, np.rint(values * _SCALE)).astype(np.int32)
    body = np.concatenate((tests.view(np.uint8).reshape(len(coarse), -1), shuffle(integers)), axis=1)
    mark = bytes((VERSION,))
    return [base64.b64encode(mark + zlib.compress(row.tobytes(), 1)).decode() for row in body]


def unpack(texts: Mapping[str, str]) -> dict[str, np.void]:
    """Server -> its record. One that does not read starts anew."""
    found = {}
    for server, text in texts.items():
        record = new(1)
        try:
            octets = base64.b64decode(text)
            if octets[:1] != bytes((VERSION,)):
                raise ValueError("another version")
            body = np.frombuffer(zlib.decompress(octets[1:]), np.uint8)
            if len(body) != _ITEM:
                raise ValueError("another length")
            tests = body[: _TESTS.itemsize].copy().view(_TESTS)
            for name in _TESTS.names or ():
                record[name] = tests[name]
            integers = unshuffle(body[None, _TESTS.itemsize :], _SHAPE)
            values = np.where(integers == _MISSING, np.nan, integers / _SCALE).astype(np.float32)
            record["five"], record["hour"] = values[:, : len(BOUNDED)], values[:, len(BOUNDED) :]
        except (ValueError, zlib.error) as error:
            log.warning("coarse grids of %s: %s", server, error)
            record = new(1)
        found[server] = record[0]
    return found
