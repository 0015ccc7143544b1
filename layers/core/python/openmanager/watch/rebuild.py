"""A server's record made anew from its samples, and put in the place of one that began too late.

Whoever has the stored history (watch.lost) makes it and leaves it in the shard's state hash, field `server|past`; the
next round adopts it, learns what came since, and judges on. An empty field says that this is still to come.
"""

import logging
from collections.abc import Mapping, Sequence

import numpy as np
from numpy.typing import NDArray

from openmanager.telemetry.samples import MINUTE_MS, Samples
from openmanager.watch.judge import learn
from openmanager.watch.state import WINDOW, States, new_states, unpack
from openmanager.watch.waiting import Waiting, gridded

# Two half-lives of the scaling: three quarters of a long past.
REACH_MIN = 2880

PAST = "|past"

log = logging.getLogger(__name__)


def split(fields: Mapping[str, str]) -> tuple[dict[str, str], dict[str, str]]:
    """A state hash's fields as (records, rebuilt records) by server; the shard's own, which begin with @, left out."""
    records = {name: text for name, text in fields.items() if "|" not in name and "@" not in name}
    pasts = {name.removesuffix(PAST): text for name, text in fields.items() if name.endswith(PAST)}
    return records, pasts


def rebuild(histories: Sequence[Samples], lasts: NDArray[np.int64]) -> States:
    """Records (n,) of servers with these samples, as rounds would have left them after the minutes `lasts` (n,).

    Samples older than REACH_MIN before the end (the newest sample, if that is earlier than `lasts`) are left out.
    """
    waiting = []
    for samples, last in zip(histories, lasts.tolist(), strict=True):
        minutes = samples.times // MINUTE_MS
        minutes = minutes[minutes <= last]
        first = int(minutes[minutes > minutes[-1] - REACH_MIN][0]) if len(minutes) else last + 1
        waiting.append(gridded(samples, first, last))
    states = new_states(len(waiting))
    replay(states, waiting, lasts)
    return states


def replay(states: States, waiting: Sequence[Waiting], lasts: NDArray[np.int64]) -> None:
    """Teach records (n,) what waits for each up to its minute of `lasts` (n,), in place; nothing is said of it."""
    firsts = np.array([w.first for w in waiting], np.int64)
    if not len(waiting):
        return
    start = int(firsts.min())
    telling = np.zeros(max(0, int(lasts.max()) - start + 1), np.bool_)
    for w, last in zip(waiting, lasts.tolist(), strict=True):
        # When the windows have run empty, another empty minute teaches nothing but that a flat line is easily forecast.
        for minute in [*(np.flatnonzero(w.rows) + w.first - start).tolist(), max(0, last - start - WINDOW)]:
            telling[minute : minute + WINDOW + 1] = True
    for minute in (np.flatnonzero(telling) + start).tolist():
        active = np.flatnonzero((firsts <= minute) & (minute <= lasts))
        if len(active):
            at = [(waiting[i], minute - waiting[i].first) for i in active]
            some = states[active]
            learn(
                some,
                minute,
                np.stack([w.table[j] for w, j in at]),
                np.array([w.rows[j] for w, j in at]),
                np.array([w.newest_ms[j] for w, j in at]),
            )
            states[active] = some
    states["judged"] = lasts


def adopt(servers: list[str], states: States, pasts: Mapping[str, str]) -> tuple[list[str], States, dict[str, np.void]]:
    """Put the rebuilt records in; also returns the younger ones they replaced, which know what was judged since."""
    replaced: dict[str, np.void] = {}
    states, row = states.copy(), {server: i for i, server in enumerate(servers)}
    for server, record in zip(*unpack({server: text for server, text in pasts.items() if text}), strict=True):
        if not record["judged"]:
            log.error("the rebuilt record of %s does not read", server)
        elif server not in row:
            servers, states = [*servers, server], np.concatenate((states, record[None]))
        elif 0 < record["first"] < states[row[server]]["first"] or not states[row[server]]["first"]:
            replaced[server] = states[row[server]].copy()
            record = record.copy()
            record["status"] = replaced[server]["status"]
            states[row[server]] = record
    return servers, states, replaced


def catch_up(
    servers: Sequence[str], states: States, waiting: list[Waiting], replaced: Mapping[str, np.void]
) -> list[Waiting]:
    """Teach adopted records what was judged without them; what then still waits of every server.

    Where that fails the younger record stays.
    """
    left = list(waiting)
    for i, server in enumerate(servers):
        if server not in replaced:
            continue
        judged = int(replaced[server]["judged"])
        some = states[i : i + 1].copy()
        try:
            replay(some, [waiting[i]], np.maximum(some["judged"], judged))
            states[i : i + 1] = some
        except Exception:
            log.exception("the rebuilt record of %s is of no use", server)
            states[i] = replaced[server]
        left[i] = waiting[i].after(int(states["judged"][i]))
    return left
