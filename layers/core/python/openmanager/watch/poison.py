"""Judging goes on without the server that makes it raise."""

import logging

import numpy as np
from numpy.typing import NDArray

from openmanager.telemetry.samples import MINUTE_MS
from openmanager.watch.judge import Table, Verdict, judge
from openmanager.watch.state import States, new_states

log = logging.getLogger(__name__)


def judge_apart(
    servers: list[str],
    states: States,
    minute: int,
    x: Table,
    rows: NDArray[np.int64],
    newest_ms: NDArray[np.int64],
    poison: dict[str, str],
) -> list[Verdict]:
    """As `judge`, but a server that makes it raise gets a verdict that says why, and its name into `poison`.

    Halves are tried apart until the server is found, which costs some 2 log2(n) calls. Its minute is passed over: the
    next one is tried anew. If its record is at fault, it goes on with a new one.
    """
    before = states.copy()
    try:
        return judge(servers, states, minute, x, rows, newest_ms)
    except Exception as error:
        states[:] = before
        if len(servers) == 1:
            log.exception("cannot judge %s", servers[0])
            return [_alone(servers[0], states, minute, x, rows, newest_ms, poison, error)]
    middle = len(servers) // 2
    said: list[Verdict] = []
    for half in (slice(None, middle), slice(middle, None)):
        said += judge_apart(servers[half], states[half], minute, x[half], rows[half], newest_ms[half], poison)
    return said


def _alone(
    server: str,
    states: States,
    minute: int,
    x: Table,
    rows: NDArray[np.int64],
    newest_ms: NDArray[np.int64],
    poison: dict[str, str],
    error: Exception,
) -> Verdict:
    reason = poison[server] = f"{type(error).__name__}: {error}"
    before = states.copy()
    states[:] = anew(states, minute - 1)
    try:
        (verdict,) = judge([server], states, minute, x, rows, newest_ms)
    except Exception:
        states[:] = before
        states["judged"] = minute
        # That it sent something is known, whatever it was:
        states["seen_ms"] = np.maximum(states["seen_ms"], newest_ms)
        return Verdict.unknown(server, minute, reason)
    verdict.missing["record"] = reason
    return verdict


def anew(states: States, judged: int) -> States:
    """New records (n,) in the place of unusable ones, as if judged up to a minute and heard of within it."""
    fresh = new_states(len(states))
    fresh["judged"] = judged
    # Silence counts from here, or a server would be called offline for what we lost.
    fresh["seen_ms"] = (judged + 1) * MINUTE_MS
    return fresh
