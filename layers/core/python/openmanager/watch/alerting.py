"""The alerts of one shard, minute by minute: conditions, suppression, incidents, and what people are told. Pure."""

import json
import logging
from collections.abc import Callable, Iterable, Mapping, Sequence
from dataclasses import replace
from typing import Any

from openmanager.alerts import incidents, rules
from openmanager.alerts.conditions import condition
from openmanager.alerts.incidents import Member
from openmanager.alerts.machine import Alert, Transition, acknowledge, step, unacknowledge
from openmanager.alerts.rules import Rule
from openmanager.catalog import DEMO_PREFIX
from openmanager.settings import settings
from openmanager.stages import Ages
from openmanager.watch.book import Book
from openmanager.watch.config import SILENT, Config

# Of the time that a server may be silent: who has let two of three cadences pass is waited for. All of a fleet have
# done so before the first of them is offline, and of a fleet half of which is there only that half has.
_WAITED_FOR = 2 / 3

# Server -> id of the trace of the samples by which it was judged.
TraceOf = Callable[[str], str]

log = logging.getLogger(__name__)


def _wish(text: str) -> dict[str, Any] | None:
    """What a request asks for; None where it does not read."""
    try:
        return dict(json.loads(text))
    except (ValueError, TypeError) as error:
        log.error("request %s: %s", text, error)
        return None


class Desk:
    """The alerts of a shard's servers while its minutes are judged."""

    def __init__(self, config: Config, books: Mapping[str, str], told_from: int = 0) -> None:
        """`books` as `changed` gave them; of what happens before minute `told_from` nobody is told any more."""
        self.config = config
        self._told_from = told_from
        self.books = {server: Book.read(text) for server, text in books.items()}
        self._texts = dict(books)
        # The requests that have been carried out, or found nothing to do, as they were written.
        self.answered: dict[str, str] = {}
        # The active alerts by server, as the grouping sees them.
        self._active: dict[str, list[Member]] = {}
        # The rules that concern a server, by its name and role.
        self._watching: dict[tuple[str, str], dict[str, Rule]] = {}
        # Whether nothing comes from any server, and since when nothing does from those of this shard.
        self.nothing_comes = False
        self._silent_since = config.silent.get(config.shard, 0) if config.shard is not None else 0
        self._arrivals: dict[str, Any] = {}
        self._newest, self._ages = 0, dict[str, Ages]()

    def hear(self, newest: int, ages: Mapping[str, Ages]) -> None:
        """How old what passes each stage is; it is of now, and belongs to minute `newest`."""
        self._newest, self._ages = newest, dict(ages)

    def minute(
        self,
        minute: int,
        said: Sequence[Mapping[str, Any]],
        metrics: Sequence[Mapping[str, float]],
        roles: Sequence[str],
        trace_of: TraceOf = lambda _: "",
    ) -> list[Transition]:
        """Take in one minute's verdicts (as JSON), values and roles of some servers; what happened to their alerts."""
        for verdict, role in zip(said, roles, strict=True):
            self._note(verdict["server"], role)
        depth = {role: len(incidents.upstream(self.config.graph, role)) for role in set(roles)}
        self._listen(minute, said, roles)
        happened = self._of_ourselves(minute)
        # The most fundamental servers first: what goes wrong there explains what goes wrong above.
        for i in sorted(range(len(said)), key=lambda i: (depth[roles[i]], said[i]["server"])):
            happened += self._apart(minute, said[i], metrics[i], roles[i], trace_of)
        return happened

    def _listen(self, minute: int, said: Sequence[Mapping[str, Any]], roles: Sequence[str]) -> None:
        """Whether anything comes: from this shard's servers, and from others' as last heard."""
        windows = [window for window in self.config.maintenance if window.is_open(minute * 60)]
        awaited = [
            v
            for v, role in zip(said, roles, strict=True)
            if not v["server"].startswith(DEMO_PREFIX) and not any(w.concerns(v["server"], role) for w in windows)
        ]
        silences = [v["silence"] for v in awaited]
        silent = all(s["silent_s"] > _WAITED_FOR * s["allowed_s"] for s in silences)
        self._silent_since = (self._silent_since or minute) if silent else 0
        others = [since for shard, since in self.config.silent.items() if shard != self.config.shard]
        self.nothing_comes = silent and all(others) and any(v["status"] == "offline" for v in awaited)
        # Of a single server its own alert says as much, and which one it is.
        over = self.nothing_comes and (len(awaited) > 1 or bool(others))
        newest = min(silences, key=lambda s: s["silent_s"], default={"silent_s": 0, "allowed_s": 0})
        self._arrivals = {**newest, "over": over, "servers": len(awaited)}

    def _of_ourselves(self, minute: int) -> list[Transition]:
        about: dict[str, Any] = {}
        if self.config.quality is not None:
            about["quality"] = self.config.quality
        if self.config.shard == 0:
            about["arrivals"] = self._arrivals
            if minute == self._newest:
                # That this is said at all says that rounds are committed.
                about |= {"age": self._ages, "rounds": 0.0}
        return self._apart(minute, {"server": rules.OURSELVES, **about}, {}, "") if about else []

    def wait(self, minute: int, waited_min: float) -> list[Transition]:
        """Take in, in the place of a round, for how long none has been committed."""
        return self._apart(minute, {"server": rules.OURSELVES, "rounds": waited_min}, {}, "")

    def heard(self) -> dict[str, Any]:
        """What other shards should know of this one's servers: fields of the configuration that changed."""
        shard, since = self.config.shard, self._silent_since
        if shard is None or settings().shards == 1 or self.config.silent.get(shard) == since:
            return {}
        return {f"{SILENT}{shard}": since}

    def _apart(
        self,
        minute: int,
        said: Mapping[str, Any],
        metrics: Mapping[str, float],
        role: str,
        trace_of: TraceOf = lambda _: "",
    ) -> list[Transition]:
        """One server's minute; where it raises, this server's alerts stay as they were, and no others suffer."""
        server = said["server"]
        before = self.books.get(server)
        kept = replace(before, alerts=dict(before.alerts), paged=dict(before.paged)) if before else None
        try:
            return self._server(minute, said, metrics, role, trace_of)
        except Exception:
            log.exception("alerts of %s", server)
            if kept is not None:
                self.books[server] = kept
            else:
                self.books.pop(server, None)
            return []

    def _server(
        self, minute: int, said: Mapping[str, Any], metrics: Mapping[str, float], role: str, trace_of: TraceOf
    ) -> list[Transition]:
        server = said["server"]
        book = self.books.get(server) or Book()
        book.forget_pages(minute)
        happened = self._requested(minute, server, book) if self.config.requests else []
        watching = self._rules(server, role)
        for rule in watching.values():
            if rule.kind in rules.OF_OURSELVES and rule.kind not in said:
                continue
            shown = condition(rule, said, metrics)
            alert = book.alerts.get(rule.id)
            if alert is None and shown.level is None:
                continue
            why = self._suppression(rule, server, role, minute, alert, book)
            trace_id = "" if alert and alert.active else trace_of(server)
            after, now = step(rule, server, alert, shown, minute, why, trace_id)
            happened += now
            self._keep(book, rule, after, now, minute)
        for name in [name for name in book.alerts if name not in watching]:
            gone = replace(book.alerts.pop(name), facts={"reason": "its rule is gone"})
            happened.append(Transition("resolved", minute, gone, "resolved" if gone.told else ""))
        if book.alerts or book.paged:
            happened = self._grouped(server, role, book, happened)
            self.books[server] = book
            self._note(server, role)
        elif server in self.books:
            del self.books[server]
            self._note(server, role)
        return happened

    def _rules(self, server: str, role: str) -> dict[str, Rule]:
        found = self._watching.get((server, role))
        if found is None:
            found = {rule.id: rule for rule in self.config.rules if rule.concerns(server, role)}
            self._watching[server, role] = found
        return found

    def _note(self, server: str, role: str) -> None:
        book = self.books.get(server)
        active = [Member.of(alert, role) for alert in book.alerts.values() if alert.active] if book else []
        if active:
            self._active[server] = active
        else:
            self._active.pop(server, None)

    def _keep(self, book: Book, rule: Rule, after: Alert | None, now: Sequence[Transition], minute: int) -> None:
        if after is None:
            book.alerts.pop(rule.id, None)
        else:
            book.alerts[rule.id] = after
        if rule.weekly_budget and any(t.notice == "firing" for t in now):
            book.paged[rule.id] = [*book.paged.get(rule.id, ()), minute]

    def _requested(self, minute: int, server: str, book: Book) -> list[Transition]:
        """Carry out what people asked for of a server's alerts."""
        happened: list[Transition] = []
        for name, text in self.config.requests.items():
            of, _, rule = name.rpartition("|")
            if of != server or name in self.answered:
                continue
            self.answered[name] = text
            alert, wish = book.alerts.get(rule), _wish(text)
            if alert is None or wish is None:
                continue
            if wish.get("acknowledged"):
                after, now = acknowledge(alert, str(wish.get("by", "")), str(wish.get("note", "")), minute)
            else:
                after, now = unacknowledge(alert, minute)
            if after:
                book.alerts[rule] = after
            happened += now
        return happened

    def _suppression(self, rule: Rule, server: str, role: str, minute: int, alert: Alert | None, book: Book) -> str:
        """Why nobody is to be told of this alert now; empty if they are."""
        at = minute * 60
        for window in self.config.maintenance:
            if window.covers(server, role, at):
                return f"maintenance {window.id}"
        for silence in self.config.silences:
            if silence.covers(server, role, rule.id, at):
                return f"silence {silence.id}"
        if rule.kind == "offline" and server.startswith(DEMO_PREFIX):
            return "demo: it has ended"
        # Who has been told of an alert is also told how it goes on.
        if alert is not None and alert.told:
            return ""
        if minute < self._told_from:
            return "past: it was judged long after it happened"
        if rule.predictive and rule.id in self.config.muted:
            return f"muted: {self.config.muted[rule.id]}"
        if rule.weekly_budget and len(book.paged.get(rule.id, ())) >= rule.weekly_budget:
            return f"budget: {rule.weekly_budget} a week for this server"
        if rule.kind == "offline" and (cause := self._nothing_arrives(minute)):
            return f"parent: {rules.OURSELVES} {cause}"
        parent = incidents.cause(self.config.graph, server, role, self._around(server))
        return f"parent: {parent.server} {parent.rule}" if parent else ""

    def _nothing_arrives(self, minute: int) -> str:
        """The rule by which people are told that nothing comes from any server; empty where something does.

        It explains silences until it is over, so that nobody is told of servers that are only the last to come back.
        """
        if self.config.shard is None:
            return ""
        rule = next((r for r in self.config.rules if r.kind == "arrivals" and r.enabled), None)
        if rule is None or any(s.covers(rules.OURSELVES, "", rule.id, minute * 60) for s in self.config.silences):
            return ""
        told = any(m.server == rules.OURSELVES and m.rule == rule.id for m in self._around(rules.OURSELVES))
        return rule.id if told or self._arrivals["over"] else ""

    def own_members(self) -> list[Member]:
        """The active alerts of this shard."""
        return [m for server in sorted(self._active) for m in sorted(self._active[server], key=lambda m: m.rule)]

    def _around(self, server: str) -> list[Member]:
        """The active alerts of this shard and, as last heard, of the others, that may have to do with a server.

        The demo fleet's have nothing to do with real servers, whatever their roles.
        """
        demo = server.startswith(DEMO_PREFIX)
        everybody = (*self.config.elsewhere, *(m for own in self._active.values() for m in own))
        return [m for m in everybody if m.server.startswith(DEMO_PREFIX) == demo]

    def _grouped(self, server: str, role: str, book: Book, happened: list[Transition]) -> list[Transition]:
        """Give new alerts their incident."""
        fresh = [a for a in book.alerts.values() if a.active and not a.incident]
        if not fresh:
            return happened
        others = [m for m in self._around(server) if m.incident]
        named = {a.id: a for a in incidents.assign(self.config.graph, [(a, role) for a in fresh], others)}
        book.alerts = {rule: named.get(a.id, a) for rule, a in book.alerts.items()}
        return [
            replace(t, alert=replace(t.alert, incident=named[t.alert.id].incident)) if t.alert.id in named else t
            for t in happened
        ]

    def forget(self, servers: Iterable[str], minute: int) -> list[Transition]:
        """End the alerts of servers that are no longer watched."""
        happened = []
        for server in servers:
            self._active.pop(server, None)
            self.answered |= {n: t for n, t in self.config.requests.items() if n.rpartition("|")[0] == server}
            for alert in self.books.pop(server, Book()).alerts.values():
                gone = replace(alert, facts={"reason": "the server is no longer watched"})
                happened.append(Transition("resolved", minute, gone, "resolved" if gone.told else ""))
        return happened

    def changed(self) -> dict[str, str]:
        """Books that differ from what was read or last asked for: server -> text, empty where nothing is left."""
        texts = {server: book.text() for server, book in self.books.items()}
        texts = {server: text for server, text in texts.items() if text}
        changes = {s: t for s, t in texts.items() if self._texts.get(s) != t}
        changes |= dict.fromkeys(set(self._texts) - set(texts), "")
        self._texts = texts
        return changes
