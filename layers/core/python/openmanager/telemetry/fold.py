"""Raw parts folded into the metrics of the catalogue: cores, devices and mount points become one value each.

Folding happens when samples are read, for a sender may deliver one scrape in several requests.
Everywhere NaN means "not known": an instance that is NaN in a bucket is left out, and is not a zero.
"""

from collections.abc import Mapping, Sequence

import numpy as np
from numpy.typing import NDArray

from openmanager.catalog import COLUMN, METRICS, PARTS, Fold

Values = NDArray[np.float64]
# part → instance ("" for none) → its values
Parts = Mapping[str, Mapping[str, Values]]


def fold(series: Mapping[str, Values], times_ms: NDArray[np.int64]) -> Values:
    """Every metric of the catalogue, (n, len(METRICS)) in its order, from the series (n,) that were received.

    Gauges come as their mean in a bucket, counters as their rate per second in it; `times_ms` (n,) are the
    times as of which the buckets are read. Of several ways to a metric the most direct wins bucket by bucket:
    the metric itself, its counter, its ingredients. Shares are clipped to their range.
    """
    parts: dict[str, dict[str, Values]] = {}
    for name, values in series.items():
        part, _, instance = name.partition("/")
        parts.setdefault(part, {})[instance] = values
    _add_rates(parts)
    out = np.full((len(times_ms), len(METRICS)), np.nan)
    for metric in METRICS:
        for part in (metric.key, f"{metric.key}_total"):
            if part in parts:
                _fill(out, metric.key, _direct(parts[part], metric.fold))
    for key, values in _derived(parts, out, times_ms).items():
        _fill(out, key, values)
    for metric in METRICS:
        if metric.high is not None:
            column = out[:, COLUMN[metric.key]]
            np.clip(column, 0.0, metric.high, out=column)
    return out


def _add_rates(parts: dict[str, dict[str, Values]]) -> None:
    """Lay what came as a rate (`cpu_idle/0`) beside what came as a counter (`cpu_idle_total/0`), read as its rate."""
    for key in [key for key in parts if f"{key}_total" in PARTS]:
        # A metric of the whole machine is that metric already, not one more device.
        rates = {name: values for name, values in parts[key].items() if name or key not in COLUMN}
        for name, rate in rates.items():
            counters = parts.setdefault(f"{key}_total", {})
            counters[name] = _first(rate, counters.get(name, rate))


def _derived(parts: Parts, out: Values, times_ms: NDArray[np.int64]) -> dict[str, Values]:
    """The metrics that are computed from ingredients; `out` holds what came directly."""
    n = len(times_ms)

    def total(part: str) -> Values:
        return _direct(parts[part], "sum") if part in parts else np.full(n, np.nan)

    requests = out[:, COLUMN["disk_reads"]] + out[:, COLUMN["disk_writes"]]
    service = _per_request(parts, n, "disk_busy_total")
    wait = _per_request(parts, n, "disk_read_time_total", "disk_write_time_total")
    # A percent of busy time is 10 ms a second.
    service *= 10
    service_of_all = 10 * _ratio(out[:, COLUMN["disk_busy"]], requests)
    wait_of_all = _ratio(total("disk_read_time_total") + total("disk_write_time_total"), requests)
    errors = [
        values
        for part in ("network_receive_errors_total", "network_transmit_errors_total")
        for values in parts.get(part, {}).values()
    ]
    # OpenTelemetry sends no total: the states add up to it.
    memory_states = total("memory_used_bytes") + total("memory_free_bytes")
    for state in ("memory_cached_bytes", "memory_buffered_bytes"):
        memory_states = memory_states + np.nan_to_num(total(state))
    memory = _first(total("memory_total_bytes"), memory_states)
    memory = np.where(memory > 0, memory, np.nan)
    swap = _first(total("swap_total_bytes"), total("swap_used_bytes") + total("swap_free_bytes"))
    return {
        "cpu_utilization": _busy_share(parts, n),
        "memory_used": 100 * (1 - total("memory_free_bytes") / memory),
        "memory_used_effective": 100
        * _first(1 - total("memory_available_bytes") / memory, total("memory_used_bytes") / memory),
        "swap_utilization": 100 * _ratio(swap - total("swap_free_bytes"), swap),
        "filesystem_utilization": _fullest(parts, n),
        "disk_service_time": _first(service, service_of_all),
        "disk_wait": _first(wait, wait_of_all),
        "network_errors": _combined(errors, "sum", n),
        "uptime": np.maximum(times_ms / 1000 - total("boot_time"), 0),
    }


def _busy_share(parts: Parts, n: int) -> Values:
    """Percent of time not idle, over all cores; waiting for a disk counts as idle, as in psutil."""
    waiting = parts.get("cpu_iowait_total", {})
    cores = []
    for core, idle in parts.get("cpu_idle_total", {}).items():
        # Systems other than Linux have no iowait. The kernel may set both counters back, hence the clip.
        cores.append(np.clip(idle + np.nan_to_num(waiting.get(core, np.zeros(n))), 0, 1))
    return 100 * (1 - _combined(cores, "mean", n))


def _fullest(parts: Parts, n: int) -> Values:
    """Percent used of the fullest mount point as `df` counts it: space reserved for root is not to be had."""
    shares = []
    unknown = np.full(n, np.nan)
    sizes, taken = parts.get("filesystem_size_bytes", {}), parts.get("filesystem_used_bytes", {})
    for mount in {**sizes, **taken}:
        free = parts.get("filesystem_free_bytes", {}).get(mount, unknown)
        available = parts.get("filesystem_available_bytes", {}).get(mount, unknown)
        # Either of the two does for the other where only one was sent.
        used = _first(taken.get(mount, unknown), sizes.get(mount, unknown) - _first(free, available))
        reachable = used + _first(available, free)
        shares.append(100 * used / np.where(reachable > 0, reachable, np.nan))
    return _combined(shares, "max", n)


def _per_request(parts: Parts, n: int, *costs: str) -> Values:
    """What a completed disk request took of `costs`, over the disks for which all of it is known."""
    reads, writes = parts.get("disk_reads_total", {}), parts.get("disk_writes_total", {})
    spent, requests = [], []
    for disk in reads:
        if disk not in writes or not all(disk in parts.get(c, {}) for c in costs):
            continue
        cost = np.sum([parts[c][disk] for c in costs], axis=0)
        count = reads[disk] + writes[disk]
        spent.append(cost + 0 * count)  # NaN unless both are known
        requests.append(count + 0 * cost)
    return _ratio(_combined(spent, "sum", n), _combined(requests, "sum", n))


def _ratio(part: Values, whole: Values) -> Values:
    """part / whole; 0 where there is nothing to divide by, NaN where either is unknown."""
    return np.asarray(np.where(whole == 0, 0 * part, part / np.where(whole == 0, 1, whole)))


def _first(values: Values, otherwise: Values) -> Values:
    """`values` where they are known, else `otherwise`."""
    return np.where(np.isnan(values), otherwise, values)


def _direct(instances: Mapping[str, Values], how: Fold) -> Values:
    """The value without an instance where there is one, else the instances folded."""
    plain = instances.get("")
    others = [values for name, values in instances.items() if name]
    if plain is None:
        return _combined(others, how, len(others[0]))
    return np.where(np.isnan(plain), _combined(others, how, len(plain)), plain) if others else plain


def _combined(rows: Sequence[Values], how: Fold, n: int) -> Values:
    """Rows (k, n) as one (n,), leaving out what is NaN; NaN where all are."""
    if not rows:
        return np.full(n, np.nan)
    table = np.array(rows, np.float64)
    known = ~np.isnan(table)
    if how == "max":
        best = np.max(np.where(known, table, -np.inf), axis=0)
        return np.where(known.any(axis=0), best, np.nan)
    count = known.sum(axis=0)
    total = np.sum(np.where(known, table, 0), axis=0)
    return np.where(count > 0, total if how == "sum" else total / np.maximum(count, 1), np.nan)


def _fill(out: Values, key: str, values: Values) -> None:
    """Write `values` into a metric's column where it is still unknown."""
    column = out[:, COLUMN[key]]
    np.copyto(column, values, where=np.isnan(column))
