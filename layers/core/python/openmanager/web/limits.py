"""How often a caller may ask, decided after who the caller is and before anything is done for them.

people   every call of people and programs: by caller and by address, counted exactly, one command a request
stream   GET /api/stream and its tickets: a dashboard comes back every few seconds; by caller
ingest   pushes: by caller

Stream and ingest are counted in this process and told to Redis a batch at a time, so that a push costs no more than
1.01 commands. Up to a batch for each warm process may so be let in beyond the limit.
While Redis is away, each process counts for itself. Logging in is counted, and then closed, by `security.login`.
"""

import asyncio
import logging
import math
import time
from collections.abc import Mapping, Sequence
from functools import lru_cache
from typing import TypeVar

from fastapi import Request

from openmanager.errors import SlowDown, StoreUnavailable, TooManyRequests
from openmanager.settings import Settings, settings
from openmanager.stores import limits
from openmanager.stores.limits import Count
from openmanager.stores.redis import CommandFailed
from openmanager.values import frozen
from openmanager.web.client import client_address

WINDOW_S = 900
# A household or an office shares one address.
_ADDRESS_FACTOR = 5
# A dashboard asks for the stream every three seconds where replies are buffered: 300 times in a window, with a ticket
# each time 600; for two of them:
_STREAM_FACTOR = 12
_BATCHES = {"stream": 10, "ingest": 100}
# After Redis did not answer, nobody waits for it again so soon.
_AWAY_S = 5.0
_HELD = 10_000

_INGEST = frozenset({"/api/ingest", "/api/v1/write", "/v1/metrics"})
# Prometheus repeats after a 503 and throws away after a 429:
# https://prometheus.io/docs/specs/prw/remote_write_spec/#retries--backoff
_DROPS_ON_429 = frozenset({"/api/v1/write"})
# RateLimit fields: draft-ietf-httpapi-ratelimit-headers-10.
POLICY_FIELD, LIMIT_FIELD = "RateLimit-Policy", "RateLimit"

Value = TypeVar("Value")

log = logging.getLogger(__name__)


@frozen
class Budget:
    """A name in the store and in the answer's fields, and its limit a window."""

    key: str
    name: str
    limit: int


class Local:
    """What this process counted itself. The oldest budgets are forgotten first, so that no flood of names fills it."""

    def __init__(self) -> None:
        self._counts: dict[str, Count] = {}
        self._pending: dict[str, int] = {}
        self._closed_until: dict[str, float] = {}
        self.away_until = 0.0

    def take(self, allowed: Mapping[str, int], now_s: float, cost: int, force: bool) -> tuple[bool, list[Count]]:
        """As `stores.limits.take`, from this process's knowledge."""
        counts = [self._counts.get(key, Count()).at(now_s, WINDOW_S) for key in allowed]
        room = all(c.used(now_s, WINDOW_S) + cost <= n for c, n in zip(counts, allowed.values(), strict=True))
        if room or force:
            counts = [count.plus(cost) for count in counts]
            for key, count in zip(allowed, counts, strict=True):
                _keep(self._counts, key, count)
        return room, counts

    def closed_s(self, key: str, now_s: float) -> int:
        """Seconds until the budget opens again; 0 if it is open."""
        return max(0, math.ceil(self._closed_until.get(key, 0.0) - now_s))

    def close(self, key: str, until_s: float) -> None:
        _keep(self._closed_until, key, until_s)

    def batch(self, key: str, size: int) -> int:
        """Count one request; the batch's cost when it is full, else 0."""
        pending = self._pending.pop(key, 0) + 1
        if pending >= size:
            return pending
        _keep(self._pending, key, pending)
        return 0


def _keep(held: dict[str, Value], key: str, value: Value) -> None:
    held.pop(key, None)
    held[key] = value
    if len(held) > _HELD:
        del held[next(iter(held))]


@lru_cache(maxsize=1)
def local() -> Local:
    """This process's counts."""
    return Local()


async def admit(request: Request, who: str) -> None:
    """Count a request of a caller whose credential has been checked.

    Raises TooManyRequests, or SlowDown to senders that drop data on a 429, with the time to wait.
    """
    s = settings()
    path = request.url.path
    if path in _INGEST:
        await _in_batches(request, Budget(f"ingest|{who}", "ingest", s.ingest_limit))
    elif path.startswith("/api/stream"):
        budget = Budget(f"stream|{who}", "stream", s.request_limit * _STREAM_FACTOR)
        await _in_batches(request, budget)
    else:
        await _exactly(request, Budget(f"people|{who}", "people", s.request_limit), _of_address(request, s))


async def admit_stranger(request: Request) -> None:
    """Count a stream's ticket before it is looked up, by address, or guessing would cost us a command each time.

    Raises TooManyRequests.
    """
    name = f"stream|address|{client_address(request.scope)}"
    await _in_batches(request, Budget(name, "stream", settings().request_limit * _STREAM_FACTOR * _ADDRESS_FACTOR))


def _of_address(request: Request, s: Settings) -> Budget:
    address = client_address(request.scope)
    return Budget(f"address|{address}", "address", s.request_limit * _ADDRESS_FACTOR)


async def _exactly(request: Request, *budgets: Budget) -> None:
    now_s = time.time()
    room, counts = await asyncio.to_thread(_take, {b.key: b.limit for b in budgets}, now_s, 1, False)
    _tell(request, budgets, counts, now_s, room)


async def _in_batches(request: Request, budget: Budget) -> None:
    now_s = time.time()
    here = local()
    request.state.rate_limit = {POLICY_FIELD: _policies(budget)}
    if wait_s := here.closed_s(budget.key, now_s):
        request.state.rate_limit[LIMIT_FIELD] = f'"{budget.name}";r=0;t={wait_s}'
        raise _refusal(request, wait_s)
    cost = here.batch(budget.key, min(_BATCHES[budget.name], max(1, budget.limit // 10)))
    if not cost:
        return
    room, (count,) = await asyncio.to_thread(_take, {budget.key: budget.limit}, now_s, cost, True)
    if not room or count.used(now_s, WINDOW_S) >= budget.limit:
        here.close(budget.key, now_s + count.wait_s(now_s, WINDOW_S, budget.limit))


def _take(allowed: Mapping[str, int], now_s: float, cost: int, force: bool) -> tuple[bool, list[Count]]:
    here = local()
    if time.monotonic() >= here.away_until:
        try:
            return limits.take(allowed, now_s, WINDOW_S, cost, force)
        except (StoreUnavailable, CommandFailed) as error:
            here.away_until = time.monotonic() + _AWAY_S
            log.warning("requests are counted in this process only: %s", error)
    return here.take(allowed, now_s, cost, force)


def _tell(request: Request, budgets: Sequence[Budget], counts: Sequence[Count], now_s: float, room: bool) -> None:
    """Leave the fields for the answer. Raises as `admit` does unless there is room."""
    items, waits = [], [1]
    for budget, count in zip(budgets, counts, strict=True):
        left = max(0, math.floor(budget.limit - count.used(now_s, WINDOW_S)))
        if left == 0:
            waits.append(count.wait_s(now_s, WINDOW_S, budget.limit))
        reset_s = waits[-1] if left == 0 else max(1, math.ceil((count.window + 1) * WINDOW_S - now_s))
        items.append(f'"{budget.name}";r={left};t={reset_s}')
    request.state.rate_limit = {POLICY_FIELD: _policies(*budgets), LIMIT_FIELD: ", ".join(items)}
    if not room:
        raise _refusal(request, max(waits))


def _policies(*budgets: Budget) -> str:
    return ", ".join(f'"{budget.name}";q={budget.limit};w={WINDOW_S}' for budget in budgets)


def _refusal(request: Request, wait_s: int) -> TooManyRequests:
    kind = SlowDown if request.url.path in _DROPS_ON_429 else TooManyRequests
    return kind(f"too many requests; come back in {wait_s} s", wait_s)
