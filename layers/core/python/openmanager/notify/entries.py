"""Entries of the outbox: reading them, in which order they are tried, what becomes of them. Pure."""

import json
from collections import defaultdict
from collections.abc import Iterable, Mapping
from dataclasses import asdict, replace
from itertools import takewhile
from typing import Any

from openmanager.errors import InvalidInput
from openmanager.notify.backoff import next_try_ms
from openmanager.notify.notice import Notice, read_notice
from openmanager.notify.outcome import Outcome
from openmanager.stores.outbox import Settlement
from openmanager.values import frozen, known_fields

# Notices of one alert from the same minute, in the order in which they make sense.
_ORDER = {"firing": 0, "escalated": 1, "repeated": 1, "acknowledged": 2, "resolved": 3, "test": 4}


@frozen
class Entry:
    """One notice for one target; `text` is the entry as it stands in the outbox.

    `due` is when it may be tried (ms), `first` when it failed first, `hold` until when the receiver wants nothing at
    all, `failed` when it was parked; 0 is never. `reason` and `status` tell of the last failure.
    """

    key: str
    text: str
    notice: Notice
    target: str
    tries: int = 0
    due: int = 0
    first: int = 0
    hold: int = 0
    failed: int = 0
    reason: str = ""
    status: int | None = None

    def stored(self) -> str:
        """The entry's JSON."""
        plain = asdict(self)
        del plain["key"], plain["text"]
        return json.dumps(plain, separators=(",", ":"))


def read_entry(key: str, text: str) -> Entry:
    """An entry of the outbox. Raises InvalidInput naming the field."""
    try:
        item = json.loads(text)
        notice = read_notice(item.pop("notice"))
        entry = Entry(key, text, notice, **known_fields(Entry, item))
    except (ValueError, TypeError, AttributeError, KeyError, RecursionError):
        raise InvalidInput("entry", "does not read as one") from None
    numbers = (entry.tries, entry.due, entry.first, entry.hold, entry.failed)
    if not isinstance(entry.target, str) or not all(isinstance(n, int) for n in numbers):
        raise InvalidInput("entry", "does not read as one")
    return entry


def plan(entries: Iterable[Entry], now_ms: int) -> dict[str, list[Entry]]:
    """Target -> its entries that are to be tried now, in order.

    What is told of an alert stays in order: nothing overtakes an earlier notice that waits. Alerts never tried come
    first, so that one notice that a receiver cannot digest does not stand before all others. A receiver that asked for
    patience gets nothing until then.
    """
    of_target: dict[str, list[Entry]] = defaultdict(list)
    for entry in entries:
        of_target[entry.target].append(entry)
    planned = {}
    for target, waiting in of_target.items():
        if any(entry.hold > now_ms for entry in waiting):
            continue
        alerts: dict[tuple[str, str], list[Entry]] = defaultdict(list)
        for entry in sorted(waiting, key=_when):
            alerts[entry.notice.server, entry.notice.rule].append(entry)
        ready = [list(takewhile(lambda e: e.due <= now_ms, alert)) for alert in alerts.values()]
        ready = sorted((alert for alert in ready if alert), key=lambda alert: (alert[0].tries, _when(alert[0])))
        if ready:
            planned[target] = [entry for alert in ready for entry in alert]
    return planned


def _when(entry: Entry) -> tuple[float, int, str]:
    return entry.notice.at, _ORDER[entry.notice.event], entry.key


def settled(entry: Entry, outcome: Outcome, now_ms: int) -> Settlement:
    """What becomes of an entry after an attempt."""
    after = replace(
        entry, tries=entry.tries + 1, first=entry.first or now_ms, reason=outcome.detail, status=outcome.status
    )
    due = None
    if outcome.kind == "later":
        due = next_try_ms(entry.key, after.tries, after.first, now_ms, outcome.retry_after_s)
    if outcome.kind == "delivered":
        return Settlement(entry.key, entry.text, "gone", "", _outcome(after, "delivered", now_ms))
    if due is None:
        parked = replace(after, failed=now_ms)
        return Settlement(entry.key, entry.text, "park", parked.stored(), _outcome(after, "failed", now_ms))
    waiting = replace(after, due=due, hold=due if outcome.retry_after_s else 0)
    return Settlement(entry.key, entry.text, "stay", waiting.stored(), _outcome(after, "later", now_ms))


def unreadable(key: str, text: str, reason: str, now_ms: int) -> Settlement:
    """An entry that does not read is parked with its text, for a person to look at."""
    target = key.rpartition("|")[2]
    outcome = {"key": key, "target": target, "outcome": "failed", "detail": reason, "at_ms": now_ms}
    parked = {"unreadable": text, "failed": now_ms}
    return Settlement(key, text, "park", json.dumps(parked), json.dumps(outcome))


def again(entry: Entry) -> str:
    """The JSON of an entry that is to be tried at once, with all its patience before it."""
    return replace(entry, tries=0, due=0, first=0, hold=0, failed=0).stored()


def shown(entry: Entry) -> dict[str, Any]:
    """An entry for people."""
    notice: Mapping[str, Any] = entry.notice.as_dict()
    named = {name: notice[name] for name in ("event", "server", "rule", "severity", "title", "at")}
    return {
        "key": entry.key,
        "target": entry.target,
        "tries": entry.tries,
        "due": entry.due / 1000 or None,
        "failed": entry.failed / 1000 or None,
        "reason": entry.reason,
        "status": entry.status,
        "notice": named,
    }


def _outcome(entry: Entry, outcome: str, now_ms: int) -> str:
    notice = entry.notice
    told = {
        "key": entry.key,
        "notice": notice.id,
        "event": notice.event,
        "server": notice.server,
        "rule": notice.rule,
        "severity": notice.severity,
        "target": entry.target,
        "tries": entry.tries,
        "outcome": outcome,
        "status": entry.status,
        "detail": entry.reason,
        "at_ms": now_ms,
    }
    return json.dumps(told, separators=(",", ":"))
