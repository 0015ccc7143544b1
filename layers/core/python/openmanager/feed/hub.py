"""One hub a process: it looks at the streams once for all of its readers, and gives each what it asked for.

A reader is handed octets that are the same for everybody with the same wish. It holds a bounded number of them: whoever
does not fetch them is let go of, and nobody waits for anybody.
"""

import asyncio
import logging
import time
from collections import deque
from typing import Any
from weakref import WeakKeyDictionary

from openmanager.errors import StoreUnavailable
from openmanager.feed import events
from openmanager.feed.cursor import Cursor, lost
from openmanager.feed.events import Group, Happening, News, Wish
from openmanager.feed.fleet import Fleet
from openmanager.oncall.standing import open_alerts, shown
from openmanager.settings import settings
from openmanager.stores import feed
from openmanager.stores.feed import FIRST, NEWEST, Look, place
from openmanager.stores.redis import CommandFailed

# All values, whether they moved or not, so that a reader is never wrong for longer.
KEY_S = 60.0
# Polls that a reader may be behind.
HELD = 32
# A hub that has not looked for so long, as that of a function that was asleep, reads the fleet anew: cheaper than all
# that came meanwhile.
_ASLEEP_S = 20.0
# What stays at hand for readers that come back; who was away for longer is led to the streams. So many happenings, all
# those of a round in one event, and so many rounds of each shard: of 500 servers that is half a megabyte a minute.
_KEPT, _ROUNDS = 500, 3
# Snapshots, of as many wishes, are kept until something changes, for many come back at once.
_WRITTEN = 32

log = logging.getLogger(__name__)


class Reader:
    """What waits for one reader, oldest first; `ended` is why nothing more will come."""

    def __init__(self, group: Group, cursor: Cursor) -> None:
        self.group = group
        self.cursor = cursor
        self.ended = ""
        self._waiting: deque[tuple[bytes, Cursor]] = deque()
        self._stirred = asyncio.Event()

    def put(self, octets: bytes, cursor: Cursor) -> bool:
        """Hold this for the reader; False if it has too much to fetch already."""
        if len(self._waiting) >= HELD:
            self._waiting.clear()
            self.end("slow")
            return False
        self._waiting.append((octets, cursor))
        self._stirred.set()
        return True

    def end(self, reason: str) -> None:
        """Nothing more comes; what waits may still be fetched."""
        self.ended = self.ended or reason
        self._stirred.set()

    async def next(self) -> bytes | None:
        """What comes next, None when it has ended."""
        while not self._waiting:
            if self.ended:
                return None
            self._stirred.clear()
            await self._stirred.wait()
        octets, self.cursor = self._waiting.popleft()
        return octets

    @property
    def has_next(self) -> bool:
        """Whether something waits."""
        return bool(self._waiting)


class Hub:
    """The fleet as of now, and those who follow it, on one event loop."""

    def __init__(self) -> None:
        self._fleet = Fleet()
        # How far the streams have been read, and from where on what came is at hand.
        self._at = self._floor = Cursor(FIRST, FIRST, FIRST)
        self._look: Look | None = None
        self._looked = float("-inf")
        self._keyed = float("-inf")
        self._happened: deque[Happening] = deque()
        self._said: deque[Happening] = deque()
        self._groups: dict[Wish, tuple[Group, set[Reader]]] = {}
        self._alerts: tuple[float, list[dict[str, Any]]] = (float("-inf"), [])
        self._written: dict[tuple[Wish, bool], bytes] = {}
        self._lock = asyncio.Lock()
        self._task: asyncio.Task[None] | None = None

    @property
    def readers(self) -> int:
        """How many follow now."""
        return sum(len(readers) for _, readers in self._groups.values())

    async def snapshot(self, wish: Wish, about: dict[str, Any]) -> dict[str, Any]:
        """The fleet as of now. Raises StoreUnavailable."""
        async with self._lock:
            await self._refresh()
            return await self._snapshot(wish, about, gap=False)

    async def join(self, wish: Wish, after: Cursor | None, about: dict[str, Any], *, keep: bool = True) -> Reader:
        """A reader that begins with a snapshot, or with exactly what came after a cursor while that is still held.

        With `keep` it is told what comes until it leaves; without, what there is now is all it gets. Raises
        StoreUnavailable.
        """
        async with self._lock:
            if not keep or time.monotonic() - self._looked > settings().stream_poll_s:
                await self._refresh()
            group, readers = self._groups.get(wish) or (Group(wish), set[Reader]())
            reader = Reader(group, after or self._at)
            missing = after is None or not await self._reach(after, wish)
            if missing:
                await self._put_snapshot(reader, wish, about, gap=after is not None)
            elif after is not None:
                caught_up = self._since(after)
                octets = group.news(caught_up, self._fleet.servers, all_moved=True)
                reader.put(octets or events.PING, self._at)
            if keep:
                group.begin(self._fleet.servers)
                readers.add(reader)
                self._groups[wish] = (group, readers)
                if self._task is None:
                    self._task = asyncio.create_task(self._follow())
            return reader

    def leave(self, reader: Reader) -> None:
        """The reader has gone."""
        group, readers = self._groups.get(reader.group.wish) or (None, set[Reader]())
        readers.discard(reader)
        if group is not None and not readers:
            del self._groups[reader.group.wish]

    async def _follow(self) -> None:
        """Look again and again as long as anybody reads."""
        try:
            due = time.monotonic()
            while True:
                # Never catching up on looks that were missed: one look finds all that came.
                due = max(due + settings().stream_poll_s, time.monotonic())
                await asyncio.sleep(due - time.monotonic())
                # A look of nobody would have senders and rounds believe that somebody watches.
                if not self.readers:
                    return
                async with self._lock:
                    await self._refresh()
        except (StoreUnavailable, CommandFailed) as error:
            log.warning("the live feed breaks off: %s", error)
        except Exception:
            log.exception("the live feed breaks off")
        finally:
            self._task = None
            self._end_all("store")

    def _end_all(self, reason: str) -> None:
        for _, readers in self._groups.values():
            for reader in readers:
                reader.end(reason)
        self._groups.clear()

    async def _refresh(self) -> None:
        """Look at the streams, take in what came, and tell it. Raises StoreUnavailable."""
        if time.monotonic() - self._looked > _ASLEEP_S:
            await self._begin()
        more = True
        while more:
            more = await self._look_once()

    async def _look_once(self) -> bool:
        """Whether there may be more than one look gives."""
        count = 1_000
        look = await asyncio.to_thread(feed.look, self._at.feed, self._at.said, self._at.live, count)
        if place(self._at.live) < place(look.since) or lost(self._at.live, look.live):
            await self._begin()
            return True
        before, self._look = self._look, look
        moved, changed = await asyncio.to_thread(self._fleet.take, look.live.entries)
        news = self._take(look)
        news.moved, news.changed = moved, changed
        news.key = time.monotonic() - self._keyed >= KEY_S
        if news.key:
            self._keyed = time.monotonic()
        self._looked = time.monotonic()
        if news.happened:
            self._alerts = (float("-inf"), [])
        if news.happened or moved or changed or before is None or before.models != look.models:
            self._written.clear()
        self._tell(news)
        return any(len(part.entries) >= count for part in (look.feed, look.said, look.live))

    async def _begin(self) -> None:
        """Read the fleet anew. Whoever follows comes back, and hears from where they were what can be told."""
        self._end_all("store")
        look = await asyncio.to_thread(feed.look, NEWEST, NEWEST, NEWEST)
        before = self._fleet.servers
        self._fleet = await self._read_fleet()
        for server, one in self._fleet.servers.items():
            one.news = before[server].news if server in before else one.news
        self._look = look
        self._at = self._floor = Cursor(look.feed.place, look.said.place, look.live.place)
        self._happened.clear()
        self._said.clear()
        self._written.clear()
        self._looked = time.monotonic()
        self._keyed = float("-inf")

    async def _read_fleet(self) -> Fleet:
        """The fleet from the stores. A large one takes longer than a watch lasts, and one that lapsed meanwhile would
        have it all read again, and again.
        """
        reading = asyncio.ensure_future(asyncio.to_thread(Fleet.read, int(time.time() * 1000)))
        while not (await asyncio.wait((reading,), timeout=feed.WATCH_S / 3))[0]:
            await asyncio.to_thread(feed.look, NEWEST, NEWEST, NEWEST, 1)
        return await reading

    def _take(self, look: Look) -> News:
        """What happened according to a look, in order; the hub has then come as far."""
        told = _Told(self._at)
        happened = [told.event(identity, fields, look) for identity, fields in look.feed.entries]
        said = []
        for identity, fields in look.said.entries:
            happening = told.said(identity, fields)
            self._fleet.hear(happening.data)
            said.append(_without_recent(happening))
        self._happened.extend(happened)
        self._said.extend(said)
        if look.live.entries:
            told.at = Cursor(told.at.feed, told.at.said, look.live.entries[-1][0])
        self._at = told.at
        self._forget()
        return News(self._at, round(time.time(), 1), [*happened, *said])

    def _forget(self) -> None:
        """Let go of what happened long ago; readers that come back from before are led to the streams."""
        kept = sum(map(_size, self._happened))
        while kept > _KEPT:
            kept -= _size(self._happened[0])
            self._floor = Cursor(self._happened.popleft().cursor.feed, self._floor.said, self._floor.live)
        while len(self._said) > _ROUNDS * settings().shards:
            self._floor = Cursor(self._floor.feed, self._said.popleft().cursor.said, self._floor.live)

    def _tell(self, news: News) -> None:
        for group, readers in list(self._groups.values()):
            octets = group.news(news, self._fleet.servers)
            # A comment tells a dead line from a quiet one.
            for reader in [r for r in readers if not r.put(octets or events.PING, news.cursor)]:
                self.leave(reader)

    async def _reach(self, after: Cursor, wish: Wish) -> bool:
        """Have at hand what came after a cursor; False if some of it is lost."""
        look = self._look
        assert look is not None
        # While nobody watched, neither values nor verdicts were put on the streams.
        if wish.events & {"metrics", "prediction"} and place(after.live) < place(look.since):
            return False
        if self._floor.reaches(after):
            return True
        look = await asyncio.to_thread(feed.look, after.feed, after.said, after.live, 5_000)
        gaps = {"alert": look.feed, "model": look.feed, "prediction": look.said, "metrics": look.live}
        places = {"alert": after.feed, "model": after.feed, "prediction": after.said, "metrics": after.live}
        if any(lost(places[name], gaps[name]) for name in wish.events):
            return False
        self._extend(after, look)
        return True

    def _extend(self, after: Cursor, look: Look) -> None:
        """Put what a look from an earlier place found before what is at hand; what came after that stays as it is."""
        floor = self._floor
        told = _Told(after)
        earlier = [told.event(i, fields, look) for i, fields in look.feed.entries if place(i) <= place(floor.feed)]
        self._happened.extendleft(reversed(earlier))
        told = _Told(after)
        spoken = [told.said(i, fields) for i, fields in look.said.entries if place(i) <= place(floor.said)]
        self._said.extendleft(_without_recent(h) for h in reversed(spoken))
        self._fleet.note((i, fields) for i, fields in look.live.entries if place(i) <= place(floor.live))
        self._floor = floor.lower(after)

    def _since(self, after: Cursor) -> News:
        """What came after a cursor, of what is at hand."""
        told = _Told(after)
        happened = [told.again(h, of_said=False) for h in self._happened if place(h.cursor.feed) > place(after.feed)]
        happened += [told.again(h, of_said=True) for h in self._said if place(h.cursor.said) > place(after.said)]
        servers, from_ = self._fleet.servers.items(), place(after.live)
        moved = {name for name, one in servers if one.news > from_}
        changed = {name for name, one in servers if one.called > from_}
        return News(self._at, round(time.time(), 1), happened, moved, changed)

    async def _put_snapshot(self, reader: Reader, wish: Wish, about: dict[str, Any], *, gap: bool) -> None:
        octets = self._written.get((wish, gap))
        if octets is None or time.monotonic() - self._alerts[0] > settings().stream_poll_s:
            data = await self._snapshot(wish, about, gap=gap)
            octets = events.write("snapshot", data, self._at)
            if len(self._written) < _WRITTEN:
                self._written[wish, gap] = octets
        reader.put(octets, self._at)

    async def _snapshot(self, wish: Wish, about: dict[str, Any], *, gap: bool) -> dict[str, Any]:
        if time.monotonic() - self._alerts[0] > settings().stream_poll_s:
            # Read, not followed: an alert's value goes on without an event, and somebody may have taken it just now.
            found = await asyncio.to_thread(open_alerts)
            self._alerts = (time.monotonic(), found)
            self._written.clear()
        servers = [one for name, one in sorted(self._fleet.servers.items()) if wish.wants(name)]
        models = self._look.models if self._look else {}
        running = {**about, "time": round(time.time(), 1), "gap": gap}
        return events.snapshot(self._at, servers, self._alerts[1], models, running, wish)


class _Told:
    """Gives events their cursors: each says that all events before it were told, too, and nothing beyond."""

    def __init__(self, at: Cursor) -> None:
        self.at = at

    def event(self, identity: str, fields: dict[str, str], look: Look) -> Happening:
        """An event of om:feed."""
        self.at = Cursor(identity, self.at.said, self.at.live)
        name = fields["event"]
        if name == "model":
            return Happening(self.at, name, {"models": look.models})
        transitions = [{**t, "alert": shown(t["alert"], None)} for t in feed.read_event(fields)["transitions"]]
        return Happening(self.at, name, {"transitions": transitions})

    def said(self, identity: str, fields: dict[str, str]) -> Happening:
        """What a round said."""
        self.at = Cursor(self.at.feed, identity, self.at.live)
        return Happening(self.at, "prediction", feed.unpack(fields["said"]))

    def again(self, happening: Happening, *, of_said: bool) -> Happening:
        """An event for somebody who has come less far with the other streams."""
        there, at = happening.cursor, self.at
        self.at = Cursor(at.feed, there.said, at.live) if of_said else Cursor(there.feed, at.said, at.live)
        return Happening(self.at, happening.name, happening.data)


def _size(happening: Happening) -> int:
    """How many things an event of om:feed tells."""
    return len(happening.data["transitions"]) if happening.name == "alert" else 1


def _without_recent(happening: Happening) -> Happening:
    """What a round said, as readers are told it: the line's newest minute is for hubs, readers have the values."""
    data = {"minute": happening.data["minute"], "servers": happening.data["servers"]}
    return Happening(happening.cursor, happening.name, data)


_hubs: WeakKeyDictionary[asyncio.AbstractEventLoop, Hub] = WeakKeyDictionary()


def hub() -> Hub:
    """The hub of this event loop, of which a server's process has one."""
    return _hubs.setdefault(asyncio.get_running_loop(), Hub())


def forget() -> None:
    """Begin anew with the next reader."""
    _hubs.clear()
