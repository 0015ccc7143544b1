"""Series names in few octets, for baselines and blocks.

A part that `PLACES` lists is written as its place there, any other in full, and then the instance. The list belongs to
the stored formats: entries keep their places for ever, even when the catalogue drops a part; new ones go to the end.
"""

from functools import lru_cache

from openmanager.catalog import part_of
from openmanager.telemetry.varint import Reader, encode_unsigned

# fmt: off
PLACES = (
    "cpu_utilization", "load_1m", "load_5m", "load_15m", "memory_used", "memory_used_effective", "disk_queue",
    "disk_queue_total", "disk_reads", "disk_reads_total", "disk_read_bytes", "disk_read_bytes_total",
    "disk_service_time", "disk_busy", "disk_busy_total", "disk_writes", "disk_writes_total", "disk_wait",
    "disk_write_bytes", "disk_write_bytes_total", "network_receive_bytes", "network_receive_bytes_total",
    "network_transmit_bytes", "network_transmit_bytes_total", "network_receive_packets",
    "network_receive_packets_total", "network_transmit_packets", "network_transmit_packets_total", "tcp_time_wait",
    "tcp_established", "filesystem_utilization", "swap_utilization", "network_errors", "network_errors_total",
    "processes", "uptime", "response_time", "cpu_idle_total", "cpu_iowait_total", "memory_total_bytes",
    "memory_free_bytes", "memory_available_bytes", "swap_total_bytes", "swap_free_bytes", "disk_read_time_total",
    "disk_write_time_total", "filesystem_size_bytes", "filesystem_free_bytes", "filesystem_available_bytes",
    "network_receive_errors_total", "network_transmit_errors_total", "boot_time", "cpu_idle", "cpu_iowait",
    "memory_used_bytes", "memory_cached_bytes", "memory_buffered_bytes", "swap_used_bytes", "disk_read_time",
    "disk_write_time", "filesystem_used_bytes", "network_receive_errors", "network_transmit_errors",
)
# fmt: on
_PLACE = {part: i + 1 for i, part in enumerate(PLACES)}
_MAX_NAME = 4096


@lru_cache(maxsize=16384)
def decimals_of(series: str) -> int:
    """The decimals at which a series is kept. KeyError for one the catalogue does not know."""
    return part_of(series).decimals


@lru_cache(maxsize=16384)
def encode(series: str) -> bytes:
    """A name as blocks and baselines hold it: varint 1 + place, or 0, length, part; then length and instance."""
    part, slash, instance = series.partition("/")
    if slash and not instance:
        raise ValueError(f"{series!r} names no instance")
    known = _PLACE.get(part)
    head = encode_unsigned([known]) if known else b"\0" + _text(part)
    return head + _text(instance)


def decode(body: Reader) -> str:
    """The next name. Raises ValueError."""
    place = body.bounded("parts", len(PLACES))
    part = PLACES[place - 1] if place else _read(body)
    instance = _read(body)
    return f"{part}/{instance}" if instance else part


def _text(text: str) -> bytes:
    octets = text.encode()
    return encode_unsigned([len(octets)]) + octets


def _read(body: Reader) -> str:
    return body.take(body.bounded("octets of a name", _MAX_NAME)).decode()
