"""The metric catalogue: the one place that names every metric, its unit, its precision and its suppliers.

Two tables. `METRICS` are what people and models see. `PARTS` are what senders can deliver and frames store:
a metric itself (a gauge), a cumulative counter whose rate is the metric (`network_receive_bytes_total`), or a
raw ingredient from which `telemetry.fold` computes the metric (`cpu_idle_total`, one a core).
A *series* is a part of one instance: `cpu_idle_total/0`, `disk_reads_total/sda`, or just `load_1m`.
"""

import re
from dataclasses import dataclass, field, replace
from typing import Any, Literal

Kind = Literal["gauge", "counter"]
Fold = Literal["sum", "max", "mean"]


@dataclass(frozen=True, slots=True)
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


@dataclass(frozen=True, slots=True)
class NodeSeries:
    """A node_exporter series that supplies a part: `value * scale`, an instance a value of `instance`."""

    name: str
    instance: str | None = None
    where: dict[str, str] = field(default_factory=dict)
    scale: float = 1.0


@dataclass(frozen=True, slots=True)
class OtelSeries:
    """An OpenTelemetry metric that supplies a part: `value * scale + offset`, an instance a value of `instance`.

    Attributes are named as in `OTEL_ATTRIBUTES`; `where` holds the values allowed (lower case). A point without its
    instance is left out unless that is `optional`, and every point if the same resource also sends `unless`, which
    says the same better or shorter.
    """

    name: str
    instance: str | None = None
    where: dict[str, tuple[str, ...]] = field(default_factory=dict)
    scale: float = 1.0
    offset: float = 0.0
    optional: bool = False
    unless: str = ""


@dataclass(frozen=True, slots=True)
class Part:
    """What a frame can hold: a gauge or a cumulative counter, kept exactly to `decimals` decimals.

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

_NODE_GAUGES = {
    "load_1m": "node_load1",
    "load_5m": "node_load5",
    "load_15m": "node_load15",
    "tcp_time_wait": "node_sockstat_TCP_tw",
    "tcp_established": "node_netstat_Tcp_CurrEstab",
    "processes": "node_processes_pids",
}
# Rate metrics as counters: (node_exporter series, scale). Busy time in seconds becomes percent-seconds.
_NODE_COUNTERS = {
    "disk_queue": ("node_disk_io_time_weighted_seconds_total", 1.0),
    "disk_reads": ("node_disk_reads_completed_total", 1.0),
    "disk_read_bytes": ("node_disk_read_bytes_total", 1.0),
    "disk_busy": ("node_disk_io_time_seconds_total", 100.0),
    "disk_writes": ("node_disk_writes_completed_total", 1.0),
    "disk_write_bytes": ("node_disk_written_bytes_total", 1.0),
    "network_receive_bytes": ("node_network_receive_bytes_total", 1.0),
    "network_transmit_bytes": ("node_network_transmit_bytes_total", 1.0),
    "network_receive_packets": ("node_network_receive_packets_total", 1.0),
    "network_transmit_packets": ("node_network_transmit_packets_total", 1.0),
}
# Counters are kept a little finer than their rates: scrapes seconds apart must not lose the rate in rounding.
_COUNTER_DECIMALS = {"disk_queue": 3, "disk_busy": 1}

_READ, _WRITE = {"direction": ("read",)}, {"direction": ("write",)}
_RECEIVE, _TRANSMIT = {"direction": ("receive",)}, {"direction": ("transmit",)}


def _state(*names: str) -> dict[str, tuple[str, ...]]:
    return {"state": names}


def _otel(names: tuple[str, ...], *rest: Any, **more: Any) -> tuple[OtelSeries, ...]:
    """One supplier under each of its names: the semantic conventions', and those that senders used before."""
    return tuple(OtelSeries(name, *rest, **more) for name in names)


_MEMORY, _SHARE = ("system.memory.usage",), "system.memory.utilization"
_PAGING = (
    OtelSeries("system.paging.usage", "device", _state("used"), optional=True, unless="system.paging.utilization"),
    OtelSeries("system.swap.usage", "device", _state("used"), optional=True, unless="system.swap.utilization"),
)
_CONNECTIONS = ("system.network.connections", "system.network.connection.count")
_OPERATION_TIME = ("system.disk.operation_time", "system.disk.time")
_PACKETS = ("system.network.packets", "system.network.packet.count")
_OTEL: dict[str, tuple[OtelSeries, ...]] = {
    "load_1m": _otel(("system.cpu.load_average.1m",)),
    "load_5m": _otel(("system.cpu.load_average.5m",)),
    "load_15m": _otel(("system.cpu.load_average.15m",)),
    "cpu_idle_total": _otel(("system.cpu.time",), "cpu", _state("idle")),
    "cpu_iowait_total": _otel(("system.cpu.time",), "cpu", _state("wait", "iowait")),
    # The share of an interval spent idle is the rate of the time spent idle.
    "cpu_idle": _otel(("system.cpu.utilization",), "cpu", _state("idle"), optional=True, unless="system.cpu.time"),
    "cpu_iowait": _otel(
        ("system.cpu.utilization",), "cpu", _state("wait", "iowait"), optional=True, unless="system.cpu.time"
    ),
    "memory_used": _otel((_SHARE,), None, _state("free"), -100.0, 100.0),
    "memory_used_effective": _otel((_SHARE,), None, _state("used"), 100.0),
    "memory_total_bytes": _otel(("system.memory.limit",)),
    "memory_available_bytes": _otel(("system.linux.memory.available", "system.memory.linux.available")),
    "memory_used_bytes": _otel(_MEMORY, None, _state("used"), unless=_SHARE),
    "memory_free_bytes": _otel(_MEMORY, None, _state("free"), unless=_SHARE),
    # What is cached on Linux is called inactive elsewhere; no system has both.
    "memory_cached_bytes": _otel(_MEMORY, None, _state("cached", "inactive"), unless=_SHARE),
    "memory_buffered_bytes": _otel(_MEMORY, None, _state("buffered", "buffers"), unless=_SHARE),
    "swap_utilization": _otel(
        ("system.paging.utilization", "system.swap.utilization"), "device", _state("used"), 100.0, optional=True
    ),
    "swap_used_bytes": _PAGING,
    "swap_free_bytes": tuple(replace(series, where=_state("free")) for series in _PAGING),
    "disk_read_bytes_total": _otel(("system.disk.io",), "device", _READ),
    "disk_write_bytes_total": _otel(("system.disk.io",), "device", _WRITE),
    "disk_reads_total": _otel(("system.disk.operations",), "device", _READ),
    "disk_writes_total": _otel(("system.disk.operations",), "device", _WRITE),
    "disk_busy_total": _otel(("system.disk.io_time",), "device", scale=100.0),
    "disk_queue_total": _otel(("system.disk.weighted_io_time",), "device"),
    "disk_read_time_total": _otel(_OPERATION_TIME, "device", _READ, 1000.0),
    "disk_write_time_total": _otel(_OPERATION_TIME, "device", _WRITE, 1000.0),
    "network_receive_bytes_total": _otel(("system.network.io",), "device", _RECEIVE),
    "network_transmit_bytes_total": _otel(("system.network.io",), "device", _TRANSMIT),
    "network_receive_packets_total": _otel(_PACKETS, "device", _RECEIVE),
    "network_transmit_packets_total": _otel(_PACKETS, "device", _TRANSMIT),
    "network_receive_errors_total": _otel(("system.network.errors",), "device", _RECEIVE),
    "network_transmit_errors_total": _otel(("system.network.errors",), "device", _TRANSMIT),
    # A point for each address family; together they are the machine's.
    "tcp_established": _otel(_CONNECTIONS, "family", {"protocol": ("tcp",), **_state("established")}, optional=True),
    "tcp_time_wait": _otel(_CONNECTIONS, "family", {"protocol": ("tcp",), **_state("time_wait")}, optional=True),
    "filesystem_utilization": (
        OtelSeries("system.filesystem.utilization", "mountpoint", {"state": ("used", "")}, 100.0),
    ),
    "filesystem_used_bytes": _otel(
        ("system.filesystem.usage",), "mountpoint", _state("used"), unless="system.filesystem.utilization"
    ),
    # What OpenTelemetry calls free is without the reserve, which is a state of its own.
    "filesystem_available_bytes": _otel(
        ("system.filesystem.usage",), "mountpoint", _state("free"), unless="system.filesystem.utilization"
    ),
    "processes": _otel(("system.processes.count", "system.process.count"), "status", optional=True),
    "uptime": _otel(("system.uptime",)),
}
# Attributes of data points by all the names they have had, and ours for them.
OTEL_ATTRIBUTES: dict[str, str] = {
    "cpu": "cpu",
    "cpu.logical_number": "cpu",
    "system.cpu.logical_number": "cpu",
    "state": "state",
    "cpu.mode": "state",
    "system.cpu.state": "state",
    "system.memory.state": "state",
    "system.paging.state": "state",
    "system.filesystem.state": "state",
    "system.network.state": "state",
    "network.connection.state": "state",
    "direction": "direction",
    "disk.io.direction": "direction",
    "system.disk.direction": "direction",
    "network.io.direction": "direction",
    "system.network.direction": "direction",
    "device": "device",
    "system.device": "device",
    "network.interface.name": "device",
    "mountpoint": "mountpoint",
    "system.filesystem.mountpoint": "mountpoint",
    "type": "type",
    "system.filesystem.type": "type",
    "protocol": "protocol",
    "network.transport": "protocol",
    "family": "family",
    "status": "status",
    "process.state": "status",
    "system.process.status": "status",
    "system.processes.status": "status",
}


def _parts() -> tuple[Part, ...]:
    parts: list[Part] = []

    def add(key: str, kind: Kind, decimals: int, node: NodeSeries | None = None) -> None:
        parts.append(Part(key, kind, decimals, node, _OTEL.get(key, ())))

    def add_counter(key: str, decimals: int, rate_decimals: int, node: NodeSeries) -> None:
        add(f"{key}_total", "counter", decimals, node)
        add(key, "gauge", rate_decimals)

    for m in METRICS:
        add(m.key, "gauge", m.decimals, NodeSeries(_NODE_GAUGES[m.key]) if m.key in _NODE_GAUGES else None)
        if m.rate:
            raw = _NODE_COUNTERS.get(m.key)
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

# Instances that would count the same bytes twice or measure nothing real; matched against their beginning.
IGNORED_DEVICES: dict[str, tuple[str, ...]] = {
    "disk": ("loop", "ram", "zram", "dm-", "md", "sr"),
    "network": (
        "lo",
        "veth",
        "docker",
        "br-",
        "virbr",
        "cni",
        "cali",
        "flannel",
        "tun",
        "tap",
        "utun",
        "wg",
        "ifb",
        "dummy",
        "bond",
        "team",
    ),
}
# Partitions, whose disk counts the same once more; node_exporter leaves them out by itself.
PARTITION = re.compile(r"(?:fd|[hsv]d[a-z]+|xvd[a-z]+|nvme\d+n\d+p|mmcblk\d+p)\d+")
IGNORED_FILESYSTEMS = frozenset(
    {
        "autofs",
        "binfmt_misc",
        "bpf",
        "cgroup",
        "cgroup2",
        "configfs",
        "debugfs",
        "devpts",
        "devtmpfs",
        "erofs",
        "fuse.lxcfs",
        "fusectl",
        "hugetlbfs",
        "iso9660",
        "mqueue",
        "nsfs",
        "proc",
        "procfs",
        "pstore",
        "ramfs",
        "rpc_pipefs",
        "securityfs",
        "selinuxfs",
        "squashfs",
        "sysfs",
        "tmpfs",
        "tracefs",
    }
)

ROLES = ("web", "api", "database", "cache", "storage", "k8s-control", "k8s-worker", "load-balancer", "backup")
ENVIRONMENTS = ("on-premise", "aws", "gcp", "azure", "kubernetes")
STATUSES = ("healthy", "warning", "critical", "offline", "maintenance", "unknown")
