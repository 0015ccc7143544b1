"""The stages between a sample and a person, how old what passes them is, and when that is too old. Pure.

Each stage has an objective: of what passes it, 95 % is no older than so many seconds (stores.stages says how many, and
counts). A share adds up over any number of instances, where a percentile does not; and each event is held to what the
cadence allowed when it passed, so a month that is slowed down on purpose (bill.cap) misses nothing by that.
"""

from collections.abc import Iterator, Mapping
from dataclasses import field
from typing import Any, Literal

from openmanager.values import frozen

# Stage -> what its age is: since when, until when.
STAGES: Mapping[str, str] = {
    "ingest": "from the newest sample of a server's push until the push is stored",
    "verdict": "from the end of a minute until its verdict is committed",
    "notice": "from the end of the minute in which something happened to an alert until a receiver took the notice",
    "client": "from the commit of a verdict or event until it is written to a reader of the live feed",
}
# The upper ends of classes of ages, in s; every usual objective is one of them.
BOUNDS_S = (1, 2, 5, 10, 30, 60, 90, 120, 150, 210, 300, 600, 3600)
# Of what passes a stage in an hour, so much may be late; https://sre.google/sre-book/service-level-objectives/
TOLERATED = 0.05
# One or two late ones are an accident, whatever share of few they are.
_FEWEST_LATE = 3
_PREFIX = "age_"

State = Literal["unknown", "ok", "at_risk", "missed"]


@frozen
class Ages:
    """What passed a stage in a while: how many, how many of them late, their ages' sum (s), and how many in each class
    of BOUNDS_S (by its upper end; older ones are in none)."""

    count: int = 0
    late: int = 0
    sum_s: float = 0.0
    within: Mapping[int, int] = field(default_factory=dict)

    @property
    def late_share(self) -> float:
        """The share that was late, 0 where that says nothing: nothing passed, or next to nothing was late."""
        return self.late / self.count if self.late >= _FEWEST_LATE else 0.0

    @property
    def state(self) -> State:
        """missed: more was late than may be; at_risk: more than half of that."""
        if not self.count:
            return "unknown"
        if self.late_share > TOLERATED:
            return "missed"
        return "at_risk" if self.late_share > TOLERATED / 2 else "ok"

    @property
    def p95_s(self) -> int | None:
        """The end of the class within which 95 % are; None where nothing passed, or it is beyond the last class."""
        under = 0
        for bound in BOUNDS_S:
            under += self.within.get(bound, 0)
            if self.count and under >= (1 - TOLERATED) * self.count:
                return bound
        return None

    def as_dict(self) -> dict[str, Any]:
        """How the stage was kept, as JSON values."""
        return {"state": self.state, "events": self.count, "late": self.late, "p95_s": self.p95_s}


def quantities() -> Iterator[tuple[str, str]]:
    """What is counted of the stages, beside the other quantities of `meter`: (name, what it is)."""
    for stage, text in STAGES.items():
        yield f"{_PREFIX}{stage}", f"what passed the stage: {text}"
        yield f"{_PREFIX}{stage}_late", "of these, how many were older than the stage's objective allows"
        yield f"{_PREFIX}{stage}_ms", "their ages, in ms"
        for bound in BOUNDS_S:
            yield f"{_PREFIX}{stage}_within_{bound}_s", "that were no older, and older than the class below"


def counted(stage: str, age_ms: float, limit_s: float, count: int, late: bool) -> dict[str, int]:
    """What `count` events of an age count as; with `late` they are so at any age."""
    # Clocks differ a little: what seems to come from ahead is new.
    age_ms = max(0.0, age_ms)
    found = {f"{_PREFIX}{stage}": count, f"{_PREFIX}{stage}_ms": round(age_ms) * count}
    if late or age_ms > limit_s * 1000:
        found[f"{_PREFIX}{stage}_late"] = count
    if (bound := next((b for b in BOUNDS_S if age_ms <= b * 1000), None)) is not None:
        found[f"{_PREFIX}{stage}_within_{bound}_s"] = count
    return found


def is_age(quantity: str) -> bool:
    """Whether a counted quantity is of a stage."""
    return quantity.startswith(_PREFIX)


def ages(sums: Mapping[str, int], stage: str) -> Ages:
    """A stage's ages from sums of what `counted` gave."""
    name = f"{_PREFIX}{stage}"
    within = {b: n for b in BOUNDS_S if (n := sums.get(f"{name}_within_{b}_s"))}
    return Ages(sums.get(name, 0), sums.get(f"{name}_late", 0), sums.get(f"{name}_ms", 0) / 1000, within)
