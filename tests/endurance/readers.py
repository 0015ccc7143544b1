"""Who follows the feed meanwhile, by the client that we ship, and what of it each has missed or heard twice."""

import threading
from collections import Counter
from collections.abc import Iterable, Sequence
from dataclasses import dataclass, field
from typing import Any

from openmanager.stores.feed import place

from infra.clients.follow import follow
from tests.endurance.stack import World

# Which of a cursor's three places is that of an event (openmanager.feed.cursor).
_STREAM = {"alert": 0, "model": 0, "prediction": 1, "metrics": 2}
Place = tuple[int, int]


@dataclass
class Heard:
    """What one reader was told, in order: (event, cursor, data)."""

    events: list[tuple[str, str, Any]] = field(default_factory=list)

    @property
    def gaps(self) -> int:
        """How often it was told that something in between is lost."""
        return sum(name == "snapshot" and bool(data["gap"]) for name, _, data in self.events)

    def repeated(self) -> int:
        """Events that came more than once."""
        found: Counter[tuple[str, str]] = Counter()
        for name, cursor, _ in self.events:
            if name in ("alert", "prediction"):
                found[name, cursor.split("_")[_STREAM[name]]] += 1
        return sum(count - 1 for count in found.values())

    def missed(self, name: str, there_were: Iterable[str]) -> list[str]:
        """Of the places of all events of a name, those that this reader should have heard of and did not.

        What came before its first snapshot is in that; what a snapshot with `gap` stands for was told to be lost.
        """
        part = _STREAM[name]
        heard: set[Place] = set()
        excused: list[tuple[Place, Place]] = []
        before: Place = (0, 0)
        for event, cursor, data in self.events:
            at = place(cursor.split("_")[part])
            if event == "snapshot" and (data["gap"] or not excused):
                excused.append((before, at))
            elif event == name:
                heard.add(at)
            before = at
        return [
            one
            for one in there_were
            if (at := place(one)) not in heard and not any(first < at <= stop for first, stop in excused)
        ]


class Reader(threading.Thread):
    """Follows to the end of the run, through a door that drops its connections."""

    def __init__(self, world: World, name: str, topics: str) -> None:
        super().__init__(name=name, daemon=True)
        self.world, self.topics = world, topics
        self.heard = Heard()
        self.failed: list[str] = []
        self.stopping = threading.Event()

    def run(self) -> None:
        url = f"http://127.0.0.1:{self.world.readers.port}"
        while not self.stopping.is_set():
            try:
                for event in follow(url, self.world.api_key, f"?topics={self.topics}"):
                    self.heard.events.append((event[0], event[1], event[2]))
                    if self.stopping.is_set():
                        return
            except Exception as error:
                # The client gives up on what is not its to wait for: that is counted.
                self.failed.append(f"{type(error).__name__}: {error}")
                self.stopping.wait(1)


def places(readers: Sequence[Reader], name: str) -> list[str]:
    """The places of all events of a name that any reader heard of."""
    part = _STREAM[name]
    return sorted(
        {cursor.split("_")[part] for reader in readers for event, cursor, _ in reader.heard.events if event == name},
        key=place,
    )
