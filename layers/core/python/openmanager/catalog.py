"""The metric catalogue: the one place that names every metric, its unit, its precision and its suppliers.

Two tables. `METRICS` are what people and models see. `PARTS` are what senders can deliver and frames store:
a metric itself (a gauge), a cumulative counter whose rate is the metric (`network_receive_bytes_total`), or a
raw ingredient from which `telemetry.fold` computes the metric (`cpu_idle_total`, one a core).
A *series* is a part of one instance: `cpu_idle_total/0`, `disk_reads_total/sda`, or just `load_1m`.
"""

from typing import Literal

from openmanager.suppliers import NODE_COUNTERS, NODE_GAUGES, OTEL, NodeSeries, OtelSeries
from openmanager.values import frozen

Kind = Literal["gauge", "counter"]
Fold = Literal["sum", "max", "mean"]


@frozen
class Metric:
    """One metric of the catalogue.

    `decimals` is the precision at which values are kept: what is stored is exact at this many decimals.
    `high` is the upper end of the natural range (100 for shares), None where there is none.
    `rate` says that the metric is a speed, so that it may also arrive as the counter `<key>_total`.
    `fold` says how instances (cores, devices, mount points) become one value.
    `smd` is the column of the Server Machine Dataset on which the models learnt it.
    """

    key: str
    unit: str
    description: str
    decimals: int
    high: float | None = None
    rate: bool = False
    fold: Fold = "sum"
    smd: str | None = None


@frozen
class Part:
    """What a frame can hold: a gauge or a cumulative counter, kept exactly to `decimals` decimals (-3: to thousands).

    A counter `<key>_total` may also arrive as the gauge `<key>`: its rate per second, from a sender of differences.
    """

    key: str
    kind: Kind
    decimals: int
    node: NodeSeries | None = None
    otel: tuple[OtelSeries, ...] = ()


# The order of the first twenty is the input order of the anomaly model.
METRICS: tuple[Metric, ...] = (
    Metric("cpu_utilization", "%", "Share of time the processors were busy", 1, 100, fold="mean", smd="cpu_r"),
    Metric("load_1m", "", "Load average over one minute", 2, fold="mean", smd="load_1"),
    Metric("load_5m", "", "Load average over five minutes", 2, fold="mean", smd="load_5"),
    Metric("load_15m", "", "Load average over fifteen minutes", 2, fold="mean", smd="load_15"),
    Metric("memory_used", "%", "Memory that is not free, buffers and cache included", 1, 100, fold="mean", smd="mem_u"),
    Metric("memory_used_effective", "%", "Memory used without buffers and cache", 1, 100, fold="mean", smd="mem_u_e"),
    Metric("disk_queue", "", "Mean number of requests waiting or in service", 2, rate=True, smd="disk_q"),
    Metric("disk_reads", "1/s", "Completed reads", 1, rate=True, smd="disk_r"),
    Metric("disk_read_bytes", "B/s", "Bytes read", 0, rate=True, smd="disk_rb"),
    Metric("disk_service_time", "ms", "Busy time per completed request", 2, fold="mean", smd="disk_svc"),
    Metric("disk_busy", "%", "Share of time the busiest disk had work", 1, 100, rate=True, fold="max", smd="disk_u"),
    Metric("disk_writes", "1/s", "Completed writes", 1, rate=True, smd="disk_w"),
    Metric("disk_wait", "ms", "Time per request from arrival to completion", 2, fold="mean", smd="disk_wa"),
    Metric("disk_write_bytes", "B/s", "Bytes written", 0, rate=True, smd="disk_wb"),
    Metric("network_receive_bytes", "B/s", "Bytes received", 0, rate=True, smd="eth1_fi"),
    Metric("network_transmit_bytes", "B/s", "Bytes sent", 0, rate=True, smd="eth1_fo"),
    Metric("network_receive_packets", "1/s", "Packets received", 1, rate=True, smd="eth1_pi"),
    Metric("network_transmit_packets", "1/s", "Packets sent", 1, rate=True, smd="eth1_po"),
    Metric("tcp_time_wait", "", "TCP sockets in TIME_WAIT", 0, smd="tcp_tw"),
    Metric("tcp_established", "", "Established TCP connections", 0, smd="curr_estab"),
    Metric("filesystem_utilization", "%", "Used share of the fullest filesystem", 1, 100, fold="max"),
    Metric("swap_utilization", "%", "Used share of swap", 1, 100, fold="mean"),
    Metric("network_errors", "1/s", "Receive and transmit errors", 2, rate=True),
    Metric("processes", "", "Number of processes", 0),
    Metric("uptime", "s", "Time since boot", 0, fold="mean"),
    Metric("response_time", "ms", "Answer time of a probe", 1, fold="mean"),
)
MODEL_METRICS: tuple[str, ...] = tuple(m.key for m in METRICS if m.smd)
METRIC_KEYS: tuple[str, ...] = tuple(m.key for m in METRICS)
METRIC: dict[str, Metric] = {m.key: m for m in METRICS}
COLUMN: dict[str, int] = {key: i for i, key in enumerate(METRIC_KEYS)}

# Counters are kept a little finer than their rates: scrapes seconds apart must not lose the rate in rounding. Octets of
# networks are kept to the thousand, which is 17 B/s in the rate of a minute: they would take a sixth of every frame.
_COUNTER_DECIMALS = {"disk_queue": 3, "disk_busy": 1, "network_receive_bytes": -3, "network_transmit_bytes": -3}


def _parts() -> tuple[Part, ...]:
    parts: list[Part] = []

    def add(key: str, kind: Kind, decimals: int, node: NodeSeries | None = None) -> None:
        parts.append(Part(key, kind, decimals, node, OTEL.get(key, ())))

    def add_counter(key: str, decimals: int, rate_decimals: int, node: NodeSeries) -> None:
        add(f"{key}_total", "counter", decimals, node)
        add(key, "gauge", rate_decimals)

    for m in METRICS:
        add(m.key, "gauge", m.decimals, NodeSeries(NODE_GAUGES[m.key]) if m.key in NODE_GAUGES else None)
        if m.rate:
            raw = NODE_COUNTERS.get(m.key)
            counter = NodeSeries(raw[0], "device", scale=raw[1]) if raw else None
            add(f"{m.key}_total", "counter", _COUNTER_DECIMALS.get(m.key, 0), counter)
    add_counter("cpu_idle", 2, 4, NodeSeries("node_cpu_seconds_total", "cpu", {"mode": "idle"}))
    add_counter("cpu_iowait", 2, 4, NodeSeries("node_cpu_seconds_total", "cpu", {"mode": "iowait"}))
    add("memory_total_bytes", "gauge", 0, NodeSeries("node_memory_MemTotal_bytes"))
    add("memory_free_bytes", "gauge", 0, NodeSeries("node_memory_MemFree_bytes"))
    add("memory_available_bytes", "gauge", 0, NodeSeries("node_memory_MemAvailable_bytes"))
    add("memory_used_bytes", "gauge", 0)
    add("memory_cached_bytes", "gauge", 0)
    add("memory_buffered_bytes", "gauge", 0)
    add("swap_total_bytes", "gauge", 0, NodeSeries("node_memory_SwapTotal_bytes"))
    add("swap_free_bytes", "gauge", 0, NodeSeries("node_memory_SwapFree_bytes"))
    add("swap_used_bytes", "gauge", 0)
    for way in ("read", "write"):
        seconds = NodeSeries(f"node_disk_{way}_time_seconds_total", "device", scale=1000.0)
        add_counter(f"disk_{way}_time", 0, 1, seconds)
    add("filesystem_size_bytes", "gauge", 0, NodeSeries("node_filesystem_size_bytes", "mountpoint"))
    add("filesystem_free_bytes", "gauge", 0, NodeSeries("node_filesystem_free_bytes", "mountpoint"))
    add("filesystem_available_bytes", "gauge", 0, NodeSeries("node_filesystem_avail_bytes", "mountpoint"))
    add("filesystem_used_bytes", "gauge", 0)
    for way in ("receive", "transmit"):
        add_counter(f"network_{way}_errors", 0, 2, NodeSeries(f"node_network_{way}_errs_total", "device"))
    add("boot_time", "gauge", 0, NodeSeries("node_boot_time_seconds"))
    return tuple(parts)


PARTS: dict[str, Part] = {p.key: p for p in _parts()}


def part_of(series: str) -> Part:
    """The part that a series name (`part` or `part/instance`) belongs to. KeyError for an unknown one."""
    return PARTS[series.partition("/")[0]]


# The five inputs of the failure model, each the mean of these metrics.
FAILURE_INPUTS: dict[str, tuple[str, ...]] = {
    "cpu": ("cpu_utilization",),
    "memory": ("memory_used",),
    "disk": ("disk_busy",),
    "network": ("network_receive_bytes", "network_transmit_bytes"),
    "load": ("load_5m",),
}
# What the round forecasts: the metrics with a limit that people run into, and the load.
FORECAST_METRICS: tuple[str, ...] = (
    "cpu_utilization",
    "memory_used_effective",
    "filesystem_utilization",
    "swap_utilization",
    "load_5m",
)

ROLES = ("web", "api", "database", "cache", "storage", "k8s-control", "k8s-worker", "load-balancer", "backup")
ENVIRONMENTS = ("on-premise", "aws", "gcp", "azure", "kubernetes")
# How the names of the demo fleet's servers begin, which nobody is to take for real ones.
DEMO_PREFIX = "demo-"
STATUSES = ("healthy", "warning", "critical", "offline", "maintenance", "unknown")
