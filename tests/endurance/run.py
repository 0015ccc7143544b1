"""The run: start, let people, senders and readers be, bring the plan about, heal, wait, count."""

import contextlib
import logging
import os
import tempfile
import time
from collections import Counter
from collections.abc import Callable, Iterator, Mapping, Sequence
from dataclasses import dataclass
from pathlib import Path

from openmanager import archive, notify
from openmanager.errors import StoreUnavailable
from openmanager.settings import settings
from openmanager.stores import reset

from tests.bench.output import say
from tests.endurance import account
from tests.endurance.account import Loss, Row
from tests.endurance.people import People, ask
from tests.endurance.plan import LOSS, Fault, draw
from tests.endurance.post import Post
from tests.endurance.readers import Reader
from tests.endurance.senders import Ledger, Overheard, Sender
from tests.endurance.stack import AGENT_NAME, World
from tests.endurance.trouble import Receivers, Trouble, told
from tests.receivers import Receiver, running
from tests.sqs import endpoint

FORMS = ("json", "json", "json", "json", "json", "prometheus", "prometheus", "otlp")
# After healing, at most so long (real seconds) until everything has settled; nothing is judged by it.
_PATIENCE_S = 300.0


@dataclass(frozen=True)
class Wanted:
    """A run: `minutes` of the stack's clock, which shows `rate` of them in one; each kind of fault so often."""

    seed: int
    minutes: float
    rate: float
    each: int
    loss: bool

    @property
    def seconds(self) -> float:
        """How long the faults take, in real seconds."""
        return self.minutes * 60 / self.rate


class Unsettled(Exception):
    """What was to come did not come in all our patience; the message says what."""


def run(wanted: Wanted, keep: Path | None = None) -> bool:
    """Do it and print the tables; whether everything promised was kept. Logs and data stay in the folder `keep`."""
    plan = draw(wanted.seed, wanted.seconds, each=wanted.each, loss=wanted.loss)
    say(
        f"Endurance: seed {wanted.seed}, {wanted.minutes:g} minutes at {wanted.rate:g} a minute,"
        f" {len(plan)} faults planned of {len({fault.name for fault in plan})} kinds"
    )
    logging.getLogger("openmanager").setLevel(logging.CRITICAL)
    with _folder(keep) as folder, endpoint() as sqs, running(Receiver()) as receiver:
        (folder / "plan").write_text(told(plan))
        with World(folder / "data", wanted.rate, sqs) as world, _stores_of(world):
            return _Run(world, wanted, plan, receiver).run()


@contextlib.contextmanager
def _folder(keep: Path | None) -> Iterator[Path]:
    """The folder that is asked for, or one that goes with the run."""
    if keep is not None:
        keep.mkdir(parents=True, exist_ok=True)
        yield keep
    else:
        with tempfile.TemporaryDirectory(prefix="endurance-") as folder:
            yield Path(folder)


@contextlib.contextmanager
def _stores_of(world: World) -> Iterator[None]:
    """This process reaches the world's stores, past the doors."""
    before = dict(os.environ)
    os.environ.update(world.past_the_doors())
    settings.cache_clear()
    reset()
    try:
        yield
    finally:
        reset()
        os.environ.clear()
        os.environ.update(before)
        settings.cache_clear()


class _Run:
    def __init__(self, world: World, wanted: Wanted, plan: Sequence[Fault], receiver: Receiver) -> None:
        self.world, self.wanted, self.plan, self.receiver = world, wanted, plan, receiver
        self.receivers = Receivers()
        receiver.answers = self.receivers.answer
        wave = max(3, round(wanted.minutes / 8))
        self.senders = [Sender(world, f"{form}-{i:02}", form, 20, wave, wanted.seed) for i, form in enumerate(FORMS)]
        agent = Overheard(world, AGENT_NAME)
        world.pushes.before, world.pushes.answered = agent.begin, agent.hear
        self.ledgers: dict[str, Ledger] = {sender.server: sender.ledger for sender in self.senders}
        self.ledgers[AGENT_NAME] = agent.ledger
        self.readers = [
            Reader(world, "reader-1", "alerts,predictions"),
            Reader(world, "reader-2", "alerts,predictions,metrics"),
            Reader(world, "reader-3", "alerts"),
        ]
        self.people = People(world)
        self.post = Post(world, wanted.seed)
        self.loss: Loss | None = None

    def run(self) -> bool:
        """Whether everything promised was kept."""
        self._prepare()
        self.post.start()
        for thread in (*self.senders, *self.readers, self.people):
            thread.start()
        over = time.monotonic() + self.wanted.seconds
        trouble = Trouble(self.world, self.post, self.senders, self.receivers, self._losing)
        for lane in trouble.run(self.plan):
            lane.join()
        time.sleep(max(0.0, over - time.monotonic()))
        self._heal()
        last = self._settle()
        rows = self._count(last)
        for line in (*faults_table(self.plan, trouble.injected), "", *table(rows)):
            say(line)
        kept = all(row.kept for row in rows)
        say(f"\nseed {self.wanted.seed}: " + ("everything promised was kept" if kept else "NOT everything was kept"))
        return kept

    def _prepare(self) -> None:
        """Rules that are quick to tell, and where to."""
        for name in account.TARGETS:
            address = f"http://127.0.0.1:{self.receiver.server_port}/{name}"
            self._must(
                "PUT", f"/api/notifications/targets/{name}",
                {
                    "channel": "webhook", "settings": {"url": address, "secret": "s" * 24}, "severity": "info",
                    "classes": ["measured", "predictive"],
                },
            )  # fmt: skip
        self._must("PUT", "/api/rules/cpu", {"for_min": 1, "keep_firing_min": 1})
        self._must("PUT", "/api/rules/offline", {"keep_firing_min": 1})

    def _must(self, method: str, path: str, body: object) -> None:
        status, answer = ask(self.world, method, path, body)
        if not 200 <= status < 300:
            raise Unsettled(f"{method} {path}: {status} {answer}")

    def _losing(self, lose: Callable[[], None]) -> None:
        loss = account.about_to_lose(self.world, self.ledgers)
        lose()
        # Until then what was acknowledged may have been stored where it is no more.
        loss.at_s = time.monotonic()
        self.loss = loss

    def _heal(self) -> None:
        world = self.world
        world.redis.fault = world.postgres.fault = world.pushes.fault = world.readers.fault = ""
        world.disk.clear()
        for clock in world.clocks.values():
            clock.set_off(0)
        for sender in self.senders:
            sender.silent, sender.off_s = False, 0.0
        self.receivers.fault = self.post.fault = ""
        self.people.stopping.set()
        self.people.join()
        world.wait_until_up(_PATIENCE_S)

    def _settle(self) -> int:
        """Wait for what is to come; the last minute that every server is to have been judged for."""
        for sender in self.senders:
            sender.stopping.set()
        self._until("every sender has delivered what it kept", lambda: not any(s.waiting for s in self.senders))
        last = int(self.world.now() // 60) - 1
        servers = {server for server, ledger in self.ledgers.items() if ledger.acknowledged}
        self._until("every server is judged", lambda: self._judged(servers, last))
        self.world.retire("schedule", "agent")
        self.post.stop()
        self.world.retire("predict-1", "predict-2")
        self._until("every notice is delivered", self._delivered)
        self._archive()
        return last

    def _judged(self, servers: set[str], last: int) -> bool:
        if not self._archive():
            return False
        newest: dict[str, int] = {}
        for server, minute in account.verdicts(self.world):
            newest[server] = max(minute, newest.get(server, 0))
        return all(newest.get(server, 0) >= last for server in servers)

    def _archive(self) -> bool:
        try:
            archive.run(int(self.world.now() * 1000))
        except StoreUnavailable:
            return False
        return True

    def _delivered(self) -> bool:
        """Deliver as the next ticks would, at once: nothing else runs any more."""
        self.world.redis_command("DEL", "om:lease:notify")
        now_ms = int(self.world.now() * 1000)
        report = notify.deliver(now_ms)
        while report.waiting > report.delivered + report.failed:
            # Each may be due later, and what is told of one alert goes one by one.
            now_ms += 900_000
            self.world.redis_command("DEL", "om:lease:notify")
            report = notify.deliver(now_ms)
            if report.without_targets:
                self._archive()
        return True

    def _until(self, what: str, condition: Callable[[], bool]) -> None:
        give_up = time.monotonic() + _PATIENCE_S
        while not condition():
            if time.monotonic() > give_up:
                raise Unsettled(f"waited in vain until {what}; logs are in {self.world.folder.path}")
            time.sleep(0.5)

    def _count(self, last: int) -> list[Row]:
        world, loss = self.world, self.loss
        alerts = account.alert_places(world)
        following = [reader for reader in self.readers if not reader.failed or reader.is_alive()]
        with contextlib.suppress(Unsettled):
            self._until(
                "every reader has heard the last of it",
                lambda: not any(reader.heard.missed("alert", alerts[-1:]) for reader in following),
            )
        for reader in self.readers:
            reader.stopping.set()
        return [
            account.samples(world, self.ledgers, loss),
            account.judged(world, self.ledgers, last, loss, self.readers),
            account.happened(world, loss),
            *account.notices(world, self.receivers, loss),
            *account.audited(world, self.people),
            *account.followed(world, self.readers, alerts),
        ]


def faults_table(plan: Sequence[Fault], injected: Mapping[str, int]) -> Iterator[str]:
    """Per kind, how often it was planned and how often it really happened."""
    planned = Counter(fault.name for fault in plan)
    yield "  fault                                                     planned   injected"
    for name, count in sorted(planned.items()):
        yield f"  {name:55}{count:10}{injected.get(name, 0):11}"
    loss = ": ".join(LOSS)
    if loss in injected:
        yield f"  ({loss} is counted apart: what it takes is not promised)"


def table(rows: Sequence[Row]) -> Iterator[str]:
    """The account."""
    yield "  what                                              expected     found      lost   doubled   not promised"
    for row in rows:
        yield (
            f"  {row.what:46}{row.expected:12,}{row.found:10,}{row.lost:10,}{row.doubled:10,}"
            f"{row.excused:15,}{'' if row.kept else '   BROKEN'}"
        )
    for row in rows:
        if row.why:
            yield f"  not promised, {row.what}: {row.why}"
        if not row.kept:
            for one in list(row.named)[:10]:
                yield f"  BROKEN {row.what}: {one}"
