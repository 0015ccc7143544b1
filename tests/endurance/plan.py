"""What goes wrong when: drawn from a seed, so that the same seed goes wrong in the same way. Pure."""

import random
from collections.abc import Mapping, Sequence
from dataclasses import dataclass

# Faults of one lane come one after the other, those of different lanes whenever they like. Each with how long it may
# last (real seconds).
LANES: Mapping[str, Sequence[tuple[str, float, float]]] = {
    "redis": (
        ("refuses", 2, 8),
        ("is slow", 4, 12),
        ("answers 502 pages", 2, 8),
        ("loses its answers", 2, 6),
        ("cuts its answers short", 2, 6),
        ("is restarted", 1, 2),
        ("is full (maxmemory)", 3, 8),
    ),
    "postgres": (
        ("refuses", 3, 12),
        ("is slow", 6, 12),
        ("cuts its connections", 1, 2),
        ("loses its answers", 2, 8),
        ("is restarted", 1, 3),
        ("has no disk left", 4, 10),
    ),
    "deaths": (
        ("ingest before its push is stored", 5, 9),
        ("ingest after its push was stored", 5, 9),
        ("tick after it took its minute", 12, 15),
        ("round before it commits", 12, 15),
        ("round after it committed", 12, 15),
        ("delivery before it settles", 25, 30),
        ("delivery after it settled", 25, 30),
        ("gateway at any moment", 1, 3),
        ("scheduler at any moment", 1, 3),
        ("worker at any moment", 1, 3),
        ("agent at any moment", 1, 3),
    ),
    # It runs every five minutes of the stack's.
    "deaths of the archive": (
        ("while it writes to Postgres", 52, 56),
        ("before it deletes from Redis", 52, 56),
        ("after it deleted from Redis", 52, 56),
    ),
    "clocks of functions": (
        ("scheduler is minutes ahead", 5, 15),
        ("scheduler is minutes behind", 5, 15),
        ("gateway is minutes ahead", 5, 15),
        ("gateway is minutes behind", 5, 15),
        ("worker is minutes ahead", 5, 15),
        ("worker is minutes behind", 5, 15),
    ),
    "queue": (
        ("hands on twice", 22, 28),
        ("hands on in another order", 22, 28),
        ("is late", 22, 28),
    ),
    "receivers": (
        ("answers 500", 5, 15),
        ("answers 429 with Retry-After", 5, 15),
        ("hangs", 5, 12),
        ("takes and does not answer", 5, 15),
    ),
    "pushes": (
        ("refuses", 2, 6),
        ("loses its answers", 3, 6),
        ("answers 502 pages", 2, 6),
    ),
    "senders": (
        ("is silent", 40, 60),
        ("sends everything again", 1, 2),
        ("has its clock minutes ahead", 10, 20),
        ("has its clock minutes behind", 10, 20),
        ("has its clock hours ahead", 10, 20),
        ("has its clock hours behind", 10, 20),
    ),
    "readers": (("lose their connection", 2, 6),),
}
# Nobody is promised anything then, so it comes once and is counted by itself.
LOSS = ("redis", "is restarted and has lost its data")


@dataclass(frozen=True)
class Fault:
    """One fault: from `at_s` (real seconds after the beginning) on for `for_s`; `chance` seeds what it draws itself."""

    lane: str
    kind: str
    at_s: float
    for_s: float
    chance: int

    @property
    def name(self) -> str:
        return f"{self.lane}: {self.kind}"


def draw(seed: int, seconds: float, *, each: int, loss: bool) -> list[Fault]:
    """The faults of a run of so many seconds, in order; each kind at least `each` times if there is time for it.

    With `loss` Redis loses its data once, in the middle third.
    """
    faults: list[Fault] = []
    for lane, kinds in LANES.items() if each else ():
        chance = random.Random(f"{seed} {lane}")
        wanted = [(kind, chance.uniform(low, high)) for _ in range(each) for kind, low, high in kinds]
        chance.shuffle(wanted)
        # What does not fit all at once is shortened, so that a short run has the same faults in short.
        busy = sum(length for _, length in wanted)
        shrink = min(1.0, 0.8 * seconds / busy)
        gaps = [chance.uniform(0.3, 1) for _ in range(len(wanted) + 1)]
        idle = (seconds - busy * shrink) / sum(gaps)
        at = gaps[0] * idle
        for (kind, length), gap in zip(wanted, gaps[1:], strict=True):
            faults.append(Fault(lane, kind, round(at, 2), round(length * shrink, 2), chance.randrange(1 << 30)))
            at += length * shrink + gap * idle
    if loss:
        chance = random.Random(f"{seed} loss")
        faults.append(Fault(*LOSS, round(seconds * chance.uniform(0.4, 0.6), 2), 2.0, 0))
    return sorted(faults, key=lambda fault: (fault.at_s, fault.lane))
