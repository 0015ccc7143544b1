"""Gradual exhaustion, simulated: a fault's arithmetic on top of what a real server recorded on a normal day.

The background is a stretch of the unlabelled part of a server; a fault starts a day into it, changes the metrics
that it would change, and ends in the minute its resource is exhausted. Sources: load as the kernel averages it
(Linux, kernel/sched/loadavg.c), waiting in a queue of one server (M/M/1: L = u / (1 - u)), connections by
Little's law (L = arrivals x time), TCP throughput under loss (Mathis et al., ACM CCR 1997: rate ~ 1 / sqrt(p)).
Ranges that have no source are assumptions, drawn wide because nobody knows them. Values are shares of each
column's recorded maximum, which stands for the whole: recordings have no other unit.
"""

from collections.abc import Callable
from dataclasses import dataclass

import numpy as np
from numpy.typing import NDArray
from openmanager.catalog import MODEL_METRICS

from models.training.data import Floats, Server, scaled

Values = NDArray[np.float64]
Metrics = dict[str, Values]
# Minutes of background before the fault: enough for the baseline to be trusted, and for pages without a fault.
HISTORY_MIN = 1440
# Minutes that the fault takes; what is asked goes beyond what was learnt on both sides.
LEARNT, ASKED = (60.0, 360.0), (45.0, 720.0)
NETWORK = ("network_receive_bytes", "network_transmit_bytes", "network_receive_packets", "network_transmit_packets")
BUSIEST = 0.98


@dataclass(frozen=True, eq=False)
class Episode:
    """One fault on one server: `values` and `z` (n, 20) a minute a row, from `onset` on with the fault.

    The resource is exhausted in the last row.
    """

    server: str
    kind: str
    values: Floats
    z: Floats
    onset: int


def episodes(fleet: list[Server], seed: int, minutes: tuple[float, float], each: int = 3) -> list[Episode]:
    """`each` episodes a server and kind that take between `minutes` (drawn evenly on a logarithmic scale)."""
    drawn = [
        (server.name, kind, _episode(server, fault, minutes, np.random.default_rng([seed, i, k, n])))
        for i, server in enumerate(fleet)
        for k, (kind, fault) in enumerate(FAULTS.items())
        for n in range(each)
    ]
    z = scaled([values for _, _, values in drawn])
    return [Episode(name, kind, v, s, HISTORY_MIN) for (name, kind, v), s in zip(drawn, z, strict=True)]


def _episode(
    server: Server,
    fault: Callable[[Metrics, float, np.random.Generator], Values],
    minutes: tuple[float, float],
    rng: np.random.Generator,
) -> Floats:
    duration = float(np.exp(rng.uniform(*np.log(minutes))))
    # Fluctuations of the background may delay exhaustion beyond the drawn duration.
    length = HISTORY_MIN + int(2 * duration)
    start = int(rng.integers(0, server.labelled - length))
    values = server.values[start : start + length].astype(np.float64)
    during = {key: values[HISTORY_MIN:, i] for i, key in enumerate(MODEL_METRICS)}
    left = fault(during, duration, rng)
    end = HISTORY_MIN + int(np.argmax(left <= 0)) + 1 if (left <= 0).any() else length
    return values[:end].astype(np.float32)


def memory_leak(m: Metrics, duration: float, rng: np.random.Generator) -> Values:
    """Anonymous memory grows evenly: it takes free memory, then page cache; the share of the cache left.

    Once the cache is smaller than the files in use, their reads reach the disk: misses = 1 - cache / in use.
    """
    used = m["memory_used"].copy()
    cache = rng.uniform(0.1, 0.5) * used[0]
    in_use = rng.uniform(0.3, 0.7) * cache
    leaked = (1 - used[0] + cache) * _elapsed(used, duration)
    m["memory_used"][:] = np.minimum(1, used + leaked)
    m["memory_used_effective"][:] = np.minimum(1, m["memory_used_effective"] + leaked)
    left = cache - np.maximum(0, used + leaked - 1)
    misses = np.clip(1 - left / in_use, 0, 1)
    waiting = _disk(m, rng.uniform(0.3, 1) * misses, "read", rng)
    # Reclaiming pages costs processor time.
    m["cpu_utilization"][:] = np.minimum(1, m["cpu_utilization"] + rng.uniform(0.05, 0.2) * misses)
    _run_queue(m, waiting, rng)
    # The kernel kills when it can reclaim no more, a little before nothing is left.
    return np.asarray(left - 0.05 * cache)


def disk_filling(m: Metrics, duration: float, rng: np.random.Generator) -> Values:
    """A writer fills the file system evenly; over nine tenths, free extents get scarce and writes slower."""
    at_first = rng.uniform(0.5, 0.9)
    full = at_first + (1 - at_first) * _elapsed(m["disk_busy"], duration)
    slower = 1 + rng.uniform(0, 3) * np.clip((full - 0.9) / 0.1, 0, 1) ** 2
    m["disk_service_time"][:] *= slower
    waiting = _disk(m, rng.uniform(0.02, 0.3) * slower, "write", rng)
    _run_queue(m, waiting, rng)
    return np.asarray(1 - full)


def cpu_hog(m: Metrics, duration: float, rng: np.random.Generator) -> Values:
    """Runaway workers appear one by one until demand is 1.2 times the processors; the share still missing.

    Above 1 everyone gets 1 / demand (fair scheduling): throughput falls by that, and connections stay longer.
    """
    cores = int(rng.choice([2, 4, 8, 16, 32]))
    cpu = m["cpu_utilization"].copy()
    workers = np.ceil(1.2 * cores * _elapsed(cpu, duration))
    demand = cpu + workers / cores
    served = np.minimum(1, 1 / np.maximum(demand, 1e-9))
    m["cpu_utilization"][:] = np.minimum(1, demand)
    _slow_down(m, served)
    _run_queue(m, workers + cores * np.maximum(0, demand - 1), rng, cores)
    return np.asarray(1.2 - demand)


def packet_loss(m: Metrics, duration: float, rng: np.random.Generator) -> Values:
    """Loss grows exponentially from below the rate p0 that limits TCP to a hundred times it: a tenth is left.

    Throughput is min(1, sqrt(p0 / p)); lost segments are sent again; the work per request falls with it.
    """
    limiting = np.exp(rng.uniform(*np.log((0.0005, 0.005))))
    loss = 0.5 * limiting * 200 ** _elapsed(m["tcp_established"], duration)
    rate = np.minimum(1, np.sqrt(limiting / loss))
    _slow_down(m, rate)
    for key in NETWORK:
        m[key][:] *= 1 + np.minimum(loss, 1)
    by_requests = rng.uniform(0.3, 0.7)
    for key in ("cpu_utilization", "load_1m", "load_5m", "load_15m"):
        m[key][:] *= 1 - by_requests * (1 - rate)
    return np.asarray(rate - 0.1)


def connection_pile_up(m: Metrics, duration: float, rng: np.random.Generator) -> Values:
    """Connections are not given back until their limit, 2 to 5 times the ordinary number; the share still free.

    Each holds memory and is polled, held workers no longer serve, and clients try again (TIME_WAIT).
    """
    ordinary = max(float(np.quantile(m["tcp_established"], 0.99)), 0.02)
    limit = rng.uniform(2, 5) * ordinary
    held = (limit - ordinary) * _elapsed(m["tcp_established"], duration)
    share = held / limit
    m["tcp_established"][:] += held
    m["tcp_time_wait"][:] *= 1 + rng.uniform(0.5, 3) * share
    for key in ("memory_used", "memory_used_effective"):
        m[key][:] = np.minimum(1, m[key] + rng.uniform(0.05, 0.3) * share)
    m["cpu_utilization"][:] = np.minimum(1, m["cpu_utilization"] + rng.uniform(0.05, 0.2) * share)
    served = 1 - rng.uniform(0.2, 0.8) * share
    for key in NETWORK:
        m[key][:] *= served
    cores = int(rng.choice([2, 4, 8, 16, 32]))
    _run_queue(m, rng.uniform(0, 0.5) * cores * share, rng, cores)
    return np.asarray(limit - m["tcp_established"])


FAULTS: dict[str, Callable[[Metrics, float, np.random.Generator], Values]] = {
    "memory_leak": memory_leak,
    "disk_filling": disk_filling,
    "cpu_hog": cpu_hog,
    "packet_loss": packet_loss,
    "connection_pile_up": connection_pile_up,
}


def _elapsed(like: Values, duration: float) -> Values:
    """Share of the duration that has passed, a value a minute."""
    return np.arange(1, len(like) + 1) / duration


def _disk(m: Metrics, extra: Values, way: str, rng: np.random.Generator) -> Values:
    """The disk is busier by `extra`; the requests that wait for it more than before (tasks)."""
    before = np.minimum(m["disk_busy"], BUSIEST)
    after = np.minimum(m["disk_busy"] + extra, BUSIEST)
    waiting = after / (1 - after) - before / (1 - before)
    m["disk_busy"][:] = np.maximum(after, before)
    m["disk_wait"][:] *= (1 - before) / (1 - after)
    m["disk_queue"][:] += waiting / rng.uniform(4, 32)
    per_busy = rng.uniform(0.3, 1)
    m[f"disk_{way}s"][:] += per_busy * (after - before)
    m[f"disk_{way}_bytes"][:] += per_busy * (after - before)
    return np.asarray(waiting)


def _run_queue(m: Metrics, tasks: Values, rng: np.random.Generator, cores: int = 8) -> None:
    """Tasks that run or wait for the disk enter the load averages: l += (1 - exp(-1 / minutes)) (tasks - l)."""
    at_maximum = rng.uniform(1, 4) * cores
    for minutes in (1, 5, 15):
        weight, load = 1 - np.exp(-1 / minutes), 0.0
        for t, n in enumerate(tasks):
            load += weight * (n - load)
            m[f"load_{minutes}m"][t] += load / at_maximum


def _slow_down(m: Metrics, rate: Values) -> None:
    """Requests are served at a `rate` below 1: less traffic, and connections that stay open longer (at most 5 x)."""
    for key in NETWORK:
        m[key][:] *= rate
    m["tcp_established"][:] /= np.maximum(rate, 0.2)
    m["tcp_time_wait"][:] *= rate
