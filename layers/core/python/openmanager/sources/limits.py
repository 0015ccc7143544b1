"""What every format's parser hands back, and the bounds that all of them obey, stated here only."""

import re
from collections.abc import Iterable
from dataclasses import field

from openmanager.catalog import METRIC, PARTS
from openmanager.errors import InvalidInput
from openmanager.telemetry.baselines import LIMIT
from openmanager.telemetry.samples import Push, from_points
from openmanager.values import frozen

LABEL_NAME = re.compile(r"[A-Za-z_][A-Za-z0-9_.-]{0,63}")

MAX_FUTURE_MS = 10 * 60_000
MAX_AGE_MS = 7 * 24 * 3_600_000
# Larger values are none that anything measures.
MAX_VALUE = 1e15
# The largest value of each part: at its decimals it must fit the 64-bit integers of a frame.
HIGHEST = {key: min(MAX_VALUE, LIMIT / 2 / 10.0**part.decimals) for key, part in PARTS.items()}
# Shares are quotients of two clocks and overshoot a little. They are stored as they came, clipped when read.
OVERSHOOT = 1.1
MAX_INSTANCE_LENGTH = 128
# Longest value of an attribute: a full domain name for the hostname; labels share one bound.
MAX_ATTRIBUTE = {"hostname": 253, "role": 64, "environment": 64, "stage": 64}
MAX_LABELS = 32
MAX_LABEL_VALUE = 256
# A push becomes a table of instants × series. Without this bound, a small body in which each sample has
# its own instant and its own series would ask for gigabytes.
MAX_CELLS = 2_000_000
# Values in one request, usable or not: a hundred times what senders put in one, and some 60 MB while it is read.
MAX_SAMPLES = 200_000


@frozen
class Rejection:
    """Why `count` samples were left out; `field` names the place in the body or the series."""

    field: str
    reason: str
    count: int = 1


@frozen
class Parsed:
    """A request body as pushes, one for each server in it.

    `accepted` counts values (one series at one instant), `ignored` counts series that are none of ours.
    """

    pushes: list[Push] = field(default_factory=list)
    accepted: int = 0
    rejected: list[Rejection] = field(default_factory=list)
    ignored: int = 0

    @property
    def rejected_count(self) -> int:
        """Number of samples left out."""
        return sum(r.count for r in self.rejected)


def time_refusal(time_ms: float, now_ms: int) -> str | None:
    """Why a sample of this time cannot be taken, or None."""
    if time_ms > now_ms + MAX_FUTURE_MS:
        return f"lies more than {MAX_FUTURE_MS // 60_000} minutes in the future"
    if time_ms < now_ms - MAX_AGE_MS:
        return f"is older than {MAX_AGE_MS // 86_400_000} days"
    return None


def value_refusal(part: str, value: float) -> str | None:
    """Why a part cannot have this value, or None. Nothing in the catalogue can be negative."""
    highest = HIGHEST[part]
    if 0 <= value <= highest:
        metric = METRIC.get(part)
        if metric is None or metric.high is None or value <= metric.high * OVERSHOOT:
            return None
        return f"{value:g} is above {metric.high:g} {metric.unit}"
    if value < 0:
        # Not every integer of a sender fits a float, and can be printed as one.
        shown = f"{value:g}" if value >= -highest else f"a value below {-highest:g}"
        return f"{shown} is negative, which a {PARTS[part].kind} of ours cannot be"
    if value > highest:
        return f"is above {highest:g}"
    return "is not a number"


def push_of(
    server: str, points: Iterable[tuple[str, int, float]], attributes: dict[str, str], cells: int
) -> tuple[Push, int]:
    """The push made of these points, and what is left of a budget of `cells` table cells."""
    rows = list(points)
    needed = len({name for name, _, _ in rows}) * len({time for _, time, _ in rows})
    if needed > cells:
        raise InvalidInput(server, f"more than {MAX_CELLS} instants × series in one request")
    return Push(server, from_points(rows), attributes), cells - needed
