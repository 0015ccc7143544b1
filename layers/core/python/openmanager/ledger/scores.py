"""Brier score and reliability of probabilities, from sums that add up over servers and weeks. Pure."""

from collections.abc import Mapping
from dataclasses import asdict, field
from typing import Any

from openmanager.values import mutable

BINS = 10


@mutable
class Cells:
    """Sums over settled probabilities: squared errors, and by tenth how many, their sum and how many came true."""

    squared: float = 0.0
    count: list[int] = field(default_factory=lambda: [0] * BINS)
    said: list[float] = field(default_factory=lambda: [0.0] * BINS)
    true: list[int] = field(default_factory=lambda: [0] * BINS)

    def add(self, probability: float, came: bool) -> None:
        """One settled probability."""
        i = min(int(probability * BINS), BINS - 1)
        self.squared += (probability - came) ** 2
        self.count[i] += 1
        self.said[i] += probability
        self.true[i] += came

    def merge(self, other: "Cells") -> None:
        """Add another's sums."""
        self.squared += other.squared
        for i in range(BINS):
            self.count[i] += other.count[i]
            self.said[i] += other.said[i]
            self.true[i] += other.true[i]

    def as_dict(self) -> dict[str, Any]:
        """The sums as JSON values."""
        return asdict(self)


@mutable
class Errors:
    """Sums over forecast steps: absolute errors, those of the last value, and how many lay inside the interval."""

    count: int = 0
    error: float = 0.0
    naive: float = 0.0
    inside: int = 0

    def add(self, path: Mapping[str, Any], step: int, value: float) -> None:
        """One step of a path (with `path`, `low`, `high`, and the `last` value before it) and what came."""
        self.count += 1
        self.error += abs(path["path"][step] - value)
        self.naive += abs(path["last"] - value)
        self.inside += path["low"][step] <= value <= path["high"][step]

    def merge(self, other: "Errors") -> None:
        """Add another's sums."""
        self.count += other.count
        self.error += other.error
        self.naive += other.naive
        self.inside += other.inside

    def as_dict(self) -> dict[str, Any]:
        """The sums as JSON values."""
        return asdict(self)


def summary(cells: Cells) -> dict[str, Any] | None:
    """Brier score, that of always saying the prevalence, skill, calibration error and reliability; None of nothing."""
    n = sum(cells.count)
    if not n:
        return None
    prevalence = sum(cells.true) / n
    brier, constant = cells.squared / n, prevalence * (1 - prevalence)
    return {
        "count": n,
        "prevalence": round(prevalence, 5),
        "brier": round(brier, 5),
        "brier_of_prevalence": round(constant, 5),
        "skill": round(1 - brier / constant, 4) if constant else None,
        "calibration_error": round(sum(abs(s - t) for s, t in zip(cells.said, cells.true, strict=True)) / n, 5),
        "reliability": [
            {"said": round(s / c, 4), "came_true": round(t / c, 4), "count": c}
            for c, s, t in zip(cells.count, cells.said, cells.true, strict=True)
            if c
        ],
    }
