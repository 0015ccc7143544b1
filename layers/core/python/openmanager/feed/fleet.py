"""The fleet as of now: read once, then kept up by what ingest and the rounds put on the streams."""

import json
from collections import defaultdict
from collections.abc import Iterable, Mapping, Sequence
from dataclasses import field
from typing import Any

import numpy as np

from openmanager.catalog import METRICS
from openmanager.errors import DamagedFrame
from openmanager.feed import columns
from openmanager.settings import settings
from openmanager.stores.feed import Fields, place, read_shard
from openmanager.stores.segments import StoredFrame, frames_key, segments_between, stored_frames
from openmanager.telemetry import windows
from openmanager.telemetry.samples import EMPTY, LABEL_PREFIX, Samples, merge
from openmanager.values import mutable

# A counter's rate needs the sample before, of a sender that comes once a minute and may miss once. A metric that did
# not come for so long is unknown.
_TAIL_MS = 150_000
# A frame may hold some minutes.
_FRAMES_MS = 300_000
# Of frames that came at once, so many of a server are read.
_FRAMES = 6
_RECENT = 40
_NAMES = [metric.key for metric in METRICS]
# Baselines that a server's next frames may lean on: those of two segments, however its sender cuts its scrapes.
_BASELINES = 16


@mutable
class Server:
    """One server: its attributes, newest `values` (columns) and when they were taken (s), the last minutes of its line,
    and what the last round said of it in short.

    `news` is the place in om:live of the push that brought the newest sample, `called` of the one that last brought
    other attributes; `tail` the samples that the next rates
    are measured from, `known_ms` by metric when a value of it came last, and `baselines` what frames lean on.
    """

    id: str
    attributes: dict[str, str] = field(default_factory=dict)
    values: columns.Values = field(default_factory=lambda: [None] * len(columns.COLUMNS))
    seen: int = 0
    recent: list[int | None] = field(default_factory=list)
    minute: int = 0
    said: dict[str, Any] | None = None
    news: tuple[int, int] = (0, 0)
    called: tuple[int, int] = (0, 0)
    tail: Samples = EMPTY
    metrics: dict[str, tuple[float, int]] = field(default_factory=dict)
    baselines: dict[str, str] = field(default_factory=dict)

    def about(self) -> dict[str, Any]:
        """What it is."""
        plain = {name: value for name, value in self.attributes.items() if not name.startswith(LABEL_PREFIX)}
        labels = {
            name.removeprefix(LABEL_PREFIX): value
            for name, value in self.attributes.items()
            if name.startswith(LABEL_PREFIX)
        }
        return {**plain, "labels": labels}

    def entry(self) -> dict[str, Any]:
        """The server as a snapshot shows it."""
        return {
            "id": self.id,
            **self.about(),
            "seen": self.seen,
            "values": self.values,
            "recent": self.recent,
            "said": self.said,
        }


class Fleet:
    """Every server by name."""

    def __init__(self) -> None:
        self.servers: dict[str, Server] = {}

    @classmethod
    def read(cls, now_ms: int) -> "Fleet":
        """The fleet from what the rounds left and what came since; one command a shard. Raises StoreUnavailable."""
        fleet = cls()
        for shard in range(settings().shards):
            keys = [frames_key(shard, segment) for segment in segments_between(now_ms, now_ms)]
            latest, frames = read_shard(shard, keys, now_ms - _FRAMES_MS)
            for name, text in latest.items():
                server, _, kind = name.partition("|")
                if kind == "said":
                    left = json.loads(text)
                    one = fleet._of(server)
                    one.minute, one.said, one.recent = left["minute"], left["said"], left["recent"]
                elif not kind:
                    fleet._judged(server, json.loads(text))
            fleet._store([fields for fields in frames.values() if fields], (0, 0))
        return fleet

    def _of(self, server: str) -> Server:
        found = self.servers.get(server)
        if found is None:
            found = self.servers[server] = Server(server)
        return found

    def _judged(self, server: str, left: Mapping[str, Any]) -> None:
        one = self._of(server)
        one.attributes.update(left["attributes"])
        one.seen = int(left["seen"])
        one.metrics = {k: (v, round(1000 * left["seen"])) for k, v in left["metrics"].items() if k in columns.METRICS}
        one.values = columns.whole({name: value for name, (value, _) in one.metrics.items()})

    def take(self, entries: Iterable[tuple[str, Fields]]) -> tuple[set[str], set[str]]:
        """Take in pushes from om:live, oldest first: (servers with newer samples, those whose attributes changed)."""
        moved: set[str] = set()
        changed: set[str] = set()
        # All at once, because a server's frames are read together; the last entry that names it dates its news.
        together: dict[str, str] = {}
        last: dict[str, tuple[int, int]] = {}
        for identity, fields in entries:
            # The mark of the watch's beginning is no push.
            together |= {name: text for name, text in fields.items() if "|" in name}
            for name in fields:
                last[_server(name)] = place(identity)
        if together:
            moved, changed = self._store([together], last)
        return moved, changed

    def note(self, entries: Iterable[tuple[str, Fields]]) -> None:
        """Learn which servers had news in pushes that were read before, as parts of a segment."""
        for identity, fields in entries:
            for name in fields:
                if one := self.servers.get(_server(name)):
                    one.news = max(one.news, place(identity))

    def hear(self, told: Mapping[str, Any]) -> None:
        """Take in what a round said."""
        minute = told["minute"]
        for server, said in told["servers"].items():
            one = self._of(server)
            if minute <= one.minute:
                continue
            missed = (minute - one.minute) // 60 - 1 if one.minute else 0
            line = told["recent"][server]
            one.recent = [*one.recent, *[None] * min(missed, _RECENT), *line][-_RECENT:] if len(line) == 1 else line
            one.minute, one.said = minute, said

    def _store(
        self, parts: Sequence[Fields], news: Mapping[str, tuple[int, int]] | tuple[int, int]
    ) -> tuple[set[str], set[str]]:
        changed: set[str] = set()
        frames: dict[str, list[StoredFrame]] = defaultdict(list)
        known: set[str] = set(self.servers)
        for fields in parts:
            names = {_server(name) for name in fields}
            leaned = {k: v for name in names & known for k, v in self.servers[name].baselines.items()}
            for frame in stored_frames("om:live", {**leaned, **fields}):
                frames[frame.server].append(frame)
            for name, text in fields.items():
                server, _, rest = name.partition("|")
                if rest.startswith("baseline|"):
                    held = self._of(server).baselines
                    held.pop(name, None)
                    held[name] = text
                    while len(held) > _BASELINES:
                        del held[next(iter(held))]
        tables: dict[str, Samples] = {}
        for server, found in frames.items():
            one = self._of(server)
            if (table := self._tail(one, found, changed)) is not None:
                tables[server] = table
        self._measure(tables)
        moved = set(tables)
        for server in moved | changed:
            one, came = self.servers[server], news if isinstance(news, tuple) else news[server]
            one.news = came if server in moved else one.news
            one.called = came if server in changed else one.called
        return moved, changed

    def _tail(self, one: Server, found: Sequence[StoredFrame], changed: set[str]) -> Samples | None:
        """The server's tail with the samples of its newest frames; None if they bring none that is newer."""
        parts = [one.tail]
        for frame in sorted(found, key=lambda f: f.first_ms)[-_FRAMES:]:
            try:
                samples, about = frame.read()
            except DamagedFrame:
                continue  # the round reports it and the archive sets it aside
            parts.append(_only_wanted(samples))
            if not about.items() <= one.attributes.items():
                one.attributes.update(about)
                changed.add(one.id)
        table = merge(parts)
        if not len(table) or _newest(table) <= _newest(one.tail):
            return None
        one.tail = table.rows(table.times > table.times[-1] - _TAIL_MS)
        return one.tail

    def _measure(self, tables: Mapping[str, Samples]) -> None:
        """New values of servers whose tails have grown."""
        if not tables:
            return
        rows = windows.newest(list(tables.values()))
        for (server, table), row in zip(tables.items(), rows, strict=True):
            one = self.servers[server]
            at = int(table.times[-1])
            for i in np.flatnonzero(~np.isnan(row)):
                if _NAMES[i] in columns.METRICS:
                    one.metrics[_NAMES[i]] = (float(row[i]), at)
            fresh = {name: value for name, (value, when) in one.metrics.items() if when > at - _TAIL_MS}
            one.values, one.seen = columns.whole(fresh), max(one.seen, at // 1000)


def _only_wanted(samples: Samples) -> Samples:
    keep = [i for i, name in enumerate(samples.series) if columns.wanted(name)]
    if len(keep) == len(samples.series):
        return samples
    return Samples(tuple(samples.series[i] for i in keep), samples.times, samples.values[:, keep], samples.late)


def _server(field: str) -> str:
    return field.partition("|")[0]


def _newest(table: Samples) -> tuple[int, int]:
    """When the last row was taken and how much of it is there: a scrape may come in several requests."""
    if not len(table):
        return 0, -1
    return int(table.times[-1]), int(np.count_nonzero(~np.isnan(table.values[-1])))
