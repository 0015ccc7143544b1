"""The few metrics that the live feed carries, as whole numbers, and when a change of one is worth telling. Pure."""

from collections.abc import Mapping, Sequence
from typing import Any

from openmanager.values import frozen

# A share moves when it is two points off what was told, any other value when it is five percent off.
_POINTS, _SHARE = 2, 0.05


@frozen
class Column:
    """A place in a server's values: the sum of `metrics` times `scale`; below `least` no change of it is news."""

    key: str
    unit: str
    scale: int
    metrics: tuple[str, ...]
    least: int = 0

    def whole(self, metrics: Mapping[str, float]) -> int | None:
        """The value as a whole number; None where nothing of it is known."""
        known = [metrics[name] for name in self.metrics if name in metrics]
        return round(sum(known) * self.scale) if known else None

    def moved(self, now: int | None, told: int | None) -> bool:
        """Whether a value has left the dead band around what was told last."""
        if now is None or told is None:
            return now is not told
        if self.unit == "%":
            return abs(now - told) >= _POINTS * self.scale
        return abs(now - told) > max(_SHARE * abs(told), self.least)


COLUMNS = (
    Column("cpu_utilization", "%", 10, ("cpu_utilization",)),
    Column("memory_used_effective", "%", 10, ("memory_used_effective",)),
    Column("filesystem_utilization", "%", 10, ("filesystem_utilization",)),
    Column("disk_busy", "%", 10, ("disk_busy",)),
    Column("load_5m", "", 100, ("load_5m",), 5),
    Column("network", "B/s", 1, ("network_receive_bytes", "network_transmit_bytes"), 1_000),
)
METRICS = frozenset(name for column in COLUMNS for name in column.metrics)
# Parts (catalog.PARTS) from which the columns' metrics are folded begin so.
_PARTS = ("cpu_", "memory_", "filesystem_", "disk_busy", "load_5m", "network_receive_bytes", "network_transmit_bytes")

Values = list[int | None]


def described() -> list[dict[str, Any]]:
    """The columns as a reader is told of them."""
    return [{"key": c.key, "unit": c.unit, "scale": c.scale} for c in COLUMNS]


def whole(metrics: Mapping[str, float]) -> Values:
    """A server's values from its metrics."""
    return [column.whole(metrics) for column in COLUMNS]


def moved(now: Sequence[int | None], told: Sequence[int | None]) -> bool:
    """Whether any value has left its dead band."""
    return any(c.moved(a, b) for c, a, b in zip(COLUMNS, now, told, strict=True))


def wanted(series: str) -> bool:
    """Whether a column may need this series."""
    return series.startswith(_PARTS)
