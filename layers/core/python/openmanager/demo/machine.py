"""What a fleet's work does to its machines: the catalogue's metrics from demand, one depending on the other.

Kept true whatever happens: busy = requests x service time, queue = requests x wait (Little's law), memory without cache
below memory with it, the three load averages of one run queue, octets = packets x their size.
"""

from dataclasses import astuple, fields

import numpy as np
from numpy.typing import NDArray

from openmanager.catalog import COLUMN, METRICS
from openmanager.demo.demand import DAY_MIN, nightly, work
from openmanager.demo.effects import Effects
from openmanager.demo.fleet import Profile, Server
from openmanager.demo.noise import Array, bursts, damped, uniforms, wander
from openmanager.values import frozen

# Minutes before the first one asked for that are computed as well: sessions remember an hour and load averages 75
# minutes, one of them after the other.
RUN_IN = 135
_SESSIONS, _LOADS = 60, 76
# Shares of variance by scale (minutes) that give the autocorrelation after 1, 5 and 60 minutes found in the
# training halves of the Server Machine Dataset: CPU .85 .61 .28, network .8 .7 .2, memory .99 .9 .5, disks .3 .2 .1.
_BUSY = {1: 0.12, 8: 0.26, 60: 0.32, 360: 0.3}
_SLOW = {45: 0.4, 360: 0.6}
_ROUGH = {1: 0.68, 8: 0.12, 60: 0.1, 360: 0.1}
_QUICK = {1: 0.6, 4: 0.4}
# The nightly backup reads so much, and sends two fifths of it away, compressed.
_BACKUP_READS, _BACKUP_KB, _BACKUP_SENT = 80.0, 64.0, 0.4
_LARGEST_FRAME = 1448.0


@frozen(eq=False)
class Noise:
    """Everything random about the machines, (servers, n) each, unit variance; bursts are 0 or more."""

    busy: Array
    slow: Array
    rough: Array
    quick: Array
    cpu_burst: Array
    read_burst: Array
    write_burst: Array
    error_burst: Array


def noise(servers: int, seed: int, minutes: NDArray[np.int64]) -> Noise:
    """The noise of so many servers: wandering ones as (4, servers, n)."""
    everyone = range(servers)

    def four(channel: int, shares: dict[int, float]) -> Array:
        return np.stack([wander(seed, i, channel, minutes, shares).T for i in everyone], axis=1)

    def now_and_then(channel: int, every: int, chance: float, tail: float) -> Array:
        return np.stack([bursts(seed, i, channel, minutes, every, chance, tail) for i in everyone])

    return Noise(
        *(four(11, _BUSY), four(12, _SLOW), four(13, _ROUGH), four(14, _QUICK)),
        *(now_and_then(21, 60, 0.12, 2.2), now_and_then(22, 15, 0.5, 2.2)),
        *(now_and_then(23, 20, 0.2, 1.6), now_and_then(24, 240, 0.06, 1.5)),
    )


class Machines:
    """The machines of a fleet over consecutive minutes; `table()` has what they show."""

    def __init__(
        self, fleet: tuple[Server, ...], seed: int, minutes: NDArray[np.int64], started: int, fx: Effects, victim: Array
    ) -> None:
        """`started` is the minute in which the scenario began, `victim` (servers, 1) is 1 for whom it befalls."""
        self.fleet, self.seed, self.minutes, self.started = fleet, seed, minutes, started
        self.fx, self.victim = fx, victim
        self.n = noise(len(fleet), seed, minutes)
        columns = np.array([astuple(server.profile) for server in fleet]).T[:, :, None]
        self.p = {field.name: column for field, column in zip(fields(Profile), columns, strict=True)}
        # No two machines of a role are quite alike: sixteen numbers each, of which these are between −1 and 1.
        self.trait = 2 * np.stack([uniforms(seed, i, 10, 0, 4).ravel() for i in range(len(fleet))]).T[:, :, None] - 1
        self.down = victim * fx.down
        ailing = victim * np.clip((fx.leak - 0.8) / 0.2, 0, 1)
        self.sick = ailing
        self.x = work(fleet, seed, minutes, fx, np.maximum(0.7 * ailing, self.down))
        self.out: dict[str, Array] = {}

    def table(self) -> Array:
        """The metrics, (servers, n, len(METRICS)), rounded to the catalogue's precision; NaN where none is measured."""
        self._memory()
        self._filesystem()
        self._cpu()
        self._disk()
        self._load()
        self._response()
        self._network()
        self._connections()
        whole = np.full((*self.x.shape, len(METRICS)), np.nan)
        for key, values in self.out.items():
            metric = METRICS[COLUMN[key]]
            whole[:, :, COLUMN[key]] = np.round(np.clip(values, 0, metric.high), metric.decimals)
        return whole

    def _tier(self, *tiers: str) -> list[int]:
        return [i for i, server in enumerate(self.fleet) if server.tier in tiers]

    def _memory(self) -> None:
        p, fx = self.p, self.fx
        sessions = damped(self.x, 20, _SESSIONS)
        own = p["memory"] + 2 * self.trait[0] + p["memory_swing"] * (sessions - 0.5) + 0.6 * self.n.slow[0]
        used = own + (100 - own) * fx.leak * self.victim
        # A killed process takes its memory with it:
        used = np.where(self.down > 0, 0.5 * own, used)
        cache = np.clip(p["page_cache"] * (1 + 0.06 * self.trait[1] + 0.03 * self.n.slow[1]), 0.02, 0.97)
        self.swapping = np.square(np.clip((used - 85) / 15, 0, 1))
        self.out["memory_used_effective"] = used
        self.out["memory_used"] = used + (100 - used) * cache
        resting = 1.2 * (1 + self.trait[2])
        self.out["swap_utilization"] = resting + (100 - resting) * self.swapping

    def _filesystem(self) -> None:
        """Logs grow until they are rotated at night, data until it is cleared at the week's end."""
        p = self.p
        day = (self.minutes - 190) % DAY_MIN / DAY_MIN
        week = (self.minutes - 3 * DAY_MIN) % (7 * DAY_MIN) / (7 * DAY_MIN)
        growth = (0.5 + 0.3 * self.trait[3]) * day + (1.4 + self.trait[4]) * week
        own = p["filesystem"] + 6 * self.trait[5] + growth + 0.02 * self.n.slow[2]
        self.out["filesystem_utilization"] = own + (100 - own) * self.fx.fill * self.victim
        self.full = self.victim * (self.fx.fill >= 1)
        free = (100 - own) / 100 * p["filesystem_gb"] * 1e9
        self.dumped = self.victim * self.fx.filling * free

    def _cpu(self) -> None:
        p, fx = self.p, self.fx
        busy = p["cpu_peak"] * (1 + 0.07 * self.trait[6]) * self.x * np.exp(0.19 * self.n.busy[0] - 0.018)
        crons = 3 * np.minimum(self.n.cpu_burst, 5)
        flood = self._flood() * 6 * fx.attack
        collecting = 18 * self.sick
        queries = np.zeros_like(self.x)
        queries[self._tier("primary")] = 5 * (fx.slow - 1)
        self.wanted = (p["cpu_idle"] + busy + crons + flood + collecting + queries) / 100 * (1 - 0.8 * self.down)
        self.cpu = _saturated(self.wanted)
        self.out["cpu_utilization"] = 100 * self.cpu

    def _flood(self) -> Array:
        """How hard attackers' requests hit each server, (servers, 1): those that face the network."""
        hit = np.zeros((len(self.fleet), 1))
        hit[self._tier("load-balancer")] = 1.0
        # Without a load balancer the web servers are the door themselves.
        hit[self._tier("web")] = 0.6 if self._tier("load-balancer") else 1.0
        return hit

    def _disk(self) -> None:
        p, fx, n = self.p, self.fx, self.n
        primary = self._tier("primary")
        reads = p["reads"] * (0.25 + 0.75 * self.x) * np.exp(0.45 * n.rough[0] - 0.1)
        reads = reads + (0.6 + 0.35 * p["reads"]) * n.read_burst
        reads[primary] += 2.5 * p["reads"][primary] * (fx.slow - 1) * np.maximum(self.x[primary], 0.6)
        writes = p["writes"] * (0.2 + 0.8 * self.x) * np.exp(0.3 * n.rough[1] - 0.05)
        writes = (writes + (4 + 0.12 * p["writes"]) * n.write_burst) * (1 - 0.7 * self.full)
        backup = np.zeros_like(self.x)
        for row in primary:
            backup[row] = _BACKUP_READS * nightly(self.seed, row, self.minutes, hour=2.2, lasts=35)
        pages = 250 * self.swapping
        dumps = self.dumped / 512_000
        service = p["service_ms"] * np.exp(0.22 * n.rough[3] + 0.1 * self.trait[7]) * (1 + 2 * self.swapping)
        service[primary] *= 1 + 0.45 * (fx.slow - 1)
        asked = reads + writes + backup + 2 * pages + dumps
        load = asked * service / 1000
        self.busy = _saturated(load)
        # A disk that is asked for more than it can do does what it can:
        done = self.busy / np.maximum(load, 1e-9)
        self.wait = service * (1 + 0.5 * self.busy / (1.01 - self.busy))
        size = np.exp(0.2 * n.rough[2])
        self.backup_kb = backup * _BACKUP_KB
        self.out["disk_reads"] = (reads + backup + pages) * done
        self.out["disk_writes"] = (writes + pages + dumps) * done
        self.out["disk_read_bytes"] = (reads * p["read_kb"] * size + self.backup_kb + pages * 4) * 1000 * done
        self.out["disk_write_bytes"] = (writes * p["write_kb"] * size * 1000 + pages * 4000 + self.dumped) * done
        self.out["disk_service_time"] = service
        self.out["disk_busy"] = 100 * self.busy
        self.out["disk_wait"] = self.wait
        self.queue = asked * done * self.wait / 1000
        self.out["disk_queue"] = self.queue

    def _load(self) -> None:
        """One run queue, damped as Linux damps it: who runs, who waits for a processor, who waits for the disk."""
        cores = self.p["cores"]
        waiting = 0.25 * np.square(np.square(self.cpu)) / (1.03 - self.cpu) + 1.2 * np.maximum(self.wanted - 1, 0)
        blocked = 0.5 * np.minimum(self.queue, 80) + 3 * cores * self.swapping
        ready = cores * (self.cpu + waiting) * np.exp(0.4 * self.n.quick[0] - 0.08) + blocked
        for minutes in (1, 5, 15):
            self.out[f"load_{minutes}m"] = damped(ready, minutes, _LOADS)

    def _response(self) -> None:
        """Answer times: each tier's own, longer the busier it is, and what it waits for behind it."""
        p = self.p
        crowded = 1 + 0.6 * np.square(self.cpu) * self.cpu / (1.05 - self.cpu)
        ailing = 1 + 25 * self.sick + 2 * self.full
        took = p["response_ms"] * crowded * ailing * np.exp(0.1 * self.n.quick[1])
        usual = np.broadcast_to(p["response_ms"], took.shape).copy()
        stores = self._tier("primary", "replica")
        took[stores] += 1.5 * self.wait[stores] + 60 * self.full[stores]
        usual[stores] += 1.5 * p["service_ms"][stores]
        behind = (("api", "primary", 1.6), ("api", "cache", 0.5), ("web", "api", 1.3), ("load-balancer", "web", 1.0))
        for tier, other, times in behind:
            rows, others = self._tier(tier), self._tier(other)
            if rows and others:
                took[rows] += times * took[others].mean(axis=0)
                usual[rows] += times * usual[others].mean(axis=0)
        self.slower = np.clip(took / np.maximum(usual, 0.1), 0.5, 14)
        self.out["response_time"] = np.where(p["response_ms"] > 0, np.minimum(took, 60_000), np.nan)

    def _network(self) -> None:
        p, n, fx = self.p, self.n, self.fx
        # Who waits too long goes away:
        served = self.x / (1 + 0.04 * np.maximum(self.slower - 1.5, 0)) * (1 - self.down)
        flow = 0.16 * n.busy[1]
        received = 1000 * p["receive_kb"] * served * np.exp(flow + 0.08 * self.trait[8])
        sent = 1000 * p["transmit_kb"] * served * np.exp(0.8 * flow + 0.09 * n.busy[2] + 0.08 * self.trait[9])
        size_in = p["receive_packet"] * np.exp(0.05 * n.quick[2])
        size_out = np.minimum(p["transmit_packet"] * np.exp(0.05 * n.quick[3]), _LARGEST_FRAME)
        usual = 1000 * p["receive_kb"] / p["receive_packet"]
        floods = 0.5 * self._flood() * fx.attack * usual
        copied = 1000 * _BACKUP_SENT * self.backup_kb
        self.out["network_receive_bytes"] = received + 74 * floods
        self.out["network_receive_packets"] = received / size_in + floods
        self.out["network_transmit_bytes"] = sent + copied + 54 * 0.3 * floods
        self.out["network_transmit_packets"] = sent / size_out + copied / _LARGEST_FRAME + 0.3 * floods
        self.out["network_errors"] = 0.03 * n.error_burst + 1e-5 * floods

    def _connections(self) -> None:
        p, n, fx = self.p, self.n, self.fx
        # Open connections are arrivals times how long each takes (Little's law), but half of them are kept alive.
        held = self.x * (0.5 + 0.5 * self.slower)
        swarm = self._flood() * fx.attack
        established = p["connections_idle"] + p["connections_peak"] * (held * np.exp(0.08 * n.busy[3]) + 0.12 * swarm)
        self.out["tcp_established"] = established * (1 - 0.95 * self.down)
        closing = p["time_wait"] * self.x * np.exp(0.12 * n.busy[3] + 0.06 * n.quick[2])
        self.out["tcp_time_wait"] = closing + 0.3 * p["time_wait"] * swarm
        workers = 0.03 * p["connections_peak"] * held
        self.out["processes"] = p["processes"] * (1 + 0.12 * self.x) + 2 * n.slow[3] + workers
        booted = self.started - DAY_MIN * (110 + 90 * self.trait[10])
        self.out["uptime"] = 60 * np.maximum(self.minutes - booted, 0)


def _saturated(wanted: Array) -> Array:
    """The share of a machine's time that is used when `wanted` shares of it are asked for: almost that, and below 1."""
    eighth = np.square(np.square(np.square(wanted)))
    used: Array = wanted / np.sqrt(np.sqrt(np.sqrt(1 + eighth)))
    return used
