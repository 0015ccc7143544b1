"""How senders supply the catalogue: node_exporter's series, OpenTelemetry's metrics, and what to leave out."""

import re
from dataclasses import field, replace
from typing import Any

from openmanager.values import frozen


@frozen
class NodeSeries:
    """A node_exporter series that supplies a part: `value * scale`, an instance a value of `instance`."""

    name: str
    instance: str | None = None
    where: dict[str, str] = field(default_factory=dict)
    scale: float = 1.0


@frozen
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


NODE_GAUGES = {
    "load_1m": "node_load1",
    "load_5m": "node_load5",
    "load_15m": "node_load15",
    "tcp_time_wait": "node_sockstat_TCP_tw",
    "tcp_established": "node_netstat_Tcp_CurrEstab",
    "processes": "node_processes_pids",
}
# Rate metrics as counters: (node_exporter series, scale). Busy time in seconds becomes percent-seconds.
NODE_COUNTERS = {
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
OTEL: dict[str, tuple[OtelSeries, ...]] = {
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
