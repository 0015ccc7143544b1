"""What people read, made of a notice's facts in their language. What the facts do not say is left out."""

from collections.abc import Iterator, Mapping
from typing import Any

from openmanager.alerts.rules import OURSELVES
from openmanager.notify.notice import Notice
from openmanager.notify.words import WORDS, Words, amount, clock, duration, share
from openmanager.values import frozen

_CONTRIBUTIONS = 3


@frozen
class Message:
    """A title of one line, (label, value) lines below it, and (label, address) links; plain text, nothing escaped."""

    title: str
    lines: tuple[tuple[str, str], ...]
    links: tuple[tuple[str, str], ...]

    @property
    def text(self) -> str:
        """All but the title as plain text."""
        rows = [f"{label}: {value}" for label, value in self.lines]
        return "\n".join(rows + [f"{label}: {address}" for label, address in self.links])


def cut(text: str, limit: int) -> str:
    """At most `limit` UTF-16 code units of a text, which is how the strictest receivers count; cut ends show as …"""
    if _units(text) <= limit:
        return text
    kept = text[: limit - 1]
    while _units(kept) > limit - 1:
        kept = kept[:-1]
    return kept + "…"


def cut_octets(text: str, limit: int) -> str:
    """At most `limit` octets of a text in UTF-8."""
    octets = text.encode()
    if len(octets) <= limit:
        return text
    return octets[: limit - 3].decode(errors="ignore") + "…"


def _units(text: str) -> int:
    return len(text.encode("utf-16-le")) // 2


def one_line(text: str) -> str:
    """The text without line breaks and other control characters."""
    return " ".join("".join(c if c.isprintable() else " " for c in text).split())


def compose(notice: Notice, language: str, timezone: str) -> Message:
    """The message of a notice."""
    words = WORDS[language]
    facts = _Facts(notice.facts)
    about = _subject(notice, facts, words)
    # What is said of ourselves is of no server.
    who = "OpenManager" if notice.server == OURSELVES else notice.server
    title = f"[{_tag(notice, words)}] {who}: {about}" if who else f"[{_tag(notice, words)}] {about}"
    lines = tuple((label, one_line(value)) for label, value in _lines(notice, facts, words, timezone))
    return Message(one_line(title), lines, tuple((one_line(k), v) for k, v in notice.links.items() if _is_link(v)))


class _Facts:
    """Figures by name, None where they are missing or not of the kind that is asked for."""

    def __init__(self, facts: Mapping[str, Any]) -> None:
        self._facts = facts

    def number(self, name: str) -> float | None:
        value = self._facts.get(name)
        return float(value) if isinstance(value, int | float) and not isinstance(value, bool) else None

    def text(self, name: str) -> str:
        value = self._facts.get(name)
        return value if isinstance(value, str) else ""

    def shares(self, name: str) -> list[tuple[str, float]]:
        value = self._facts.get(name)
        if not isinstance(value, Mapping):
            return []
        found = [(k, float(v)) for k, v in value.items() if isinstance(k, str) and isinstance(v, int | float)]
        return sorted(found, key=lambda item: -item[1])

    @property
    def kind(self) -> str:
        """What the alert watches, said by the facts or seen from which there are."""
        if self.text("kind"):
            return self.text("kind")
        telling = (
            ("silent_s", "offline"),
            ("horizon_minutes", "failure"),
            ("earliest_s", "exhaustion"),
            ("contributions", "anomaly"),
            ("stage", "age"),
            ("waited_s", "rounds"),
            ("silent_servers", "arrivals"),
            ("metric", "threshold"),
        )
        return next((kind for name, kind in telling if name in self._facts), "")


def _tag(notice: Notice, words: Words) -> str:
    severity = words.severities[notice.severity]
    if notice.event == "firing":
        return severity
    event = words.events[notice.event]
    return f"{event} · {severity}" if notice.event in ("escalated", "repeated") else event


def _subject(notice: Notice, facts: _Facts, words: Words) -> str:
    if notice.event == "test":
        return words.subjects["test"]
    now = notice.event in ("firing", "escalated", "repeated")
    said = _headline(facts, words) if now else ""
    subject = words.subjects.get(facts.kind, "")
    if not said and subject and ("{metric}" not in subject or facts.text("metric")):
        said = subject.format(metric=_metric(facts, words), stage=_stage(facts, words))
    return said or notice.title or notice.rule


def _metric(facts: _Facts, words: Words) -> str:
    key = facts.text("metric")
    return words.metrics.get(key, key)


def _stage(facts: _Facts, words: Words) -> str:
    key = facts.text("stage")
    return words.stages.get(key, key)


def _headline(facts: _Facts, words: Words) -> str:
    """A line with the figures; empty where they lack."""
    kind, value, limit = facts.kind, facts.number("value"), facts.number("limit")
    places: dict[str, str] = {"metric": _metric(facts, words)}
    if kind == "threshold" and value is not None and limit is not None:
        places |= {"value": amount(value, facts.text("metric")), "limit": amount(limit, facts.text("metric"))}
    elif kind == "offline" and (silence := facts.number("silent_s")) is not None:
        places["silence"] = duration(silence, words)
    elif kind == "anomaly" and value is not None:
        places["value"] = f"{value:.2g}"
    elif kind == "failure" and value is not None and (minutes := facts.number("horizon_minutes")) is not None:
        places |= {"value": share(value), "horizon": duration(minutes * 60, words)}
    elif kind == "exhaustion" and (interval := _interval(facts, words)):
        places["interval"] = interval
        kind = "exhaustion" if facts.number("latest_s") is not None else "exhaustion_open"
    elif kind == "quality" and value is not None and facts.text("model"):
        places |= {"value": f"{value:.2f}", "model": facts.text("model")}
    elif kind == "age" and value is not None and limit is not None and facts.text("stage"):
        places |= {"stage": _stage(facts, words), "value": share(value / 100), "limit": share(limit / 100)}
    elif kind == "rounds" and (waited := facts.number("waited_s")) is not None:
        places["silence"] = duration(waited, words)
    elif kind == "arrivals" and value is not None and (count := facts.number("silent_servers")) is not None:
        places |= {"silence": duration(value, words), "servers": f"{count:.0f}"}
    else:
        return ""
    return words.headlines[kind].format(**places)


def _interval(facts: _Facts, words: Words) -> str:
    earliest, latest = facts.number("earliest_s"), facts.number("latest_s")
    if earliest is None:
        return ""
    ends = [duration(earliest, words)] + ([duration(latest, words)] if latest is not None else [])
    return words.between.join(dict.fromkeys(ends))


def _lines(notice: Notice, facts: _Facts, words: Words, timezone: str) -> Iterator[tuple[str, str]]:
    if notice.event == "test":
        return
    label = words.labels
    value, limit = facts.number("value"), facts.number("limit")
    if facts.kind == "threshold" and value is not None:
        shown = amount(value, facts.text("metric"))
        bound = "" if limit is None else f" ({label['limit']} {amount(limit, facts.text('metric'))})"
        yield label["value"], shown + bound
    yield label["since"], clock(notice.since, timezone)
    if notice.event != "firing":
        yield label["lasted" if notice.event == "resolved" else "lasting"], duration(notice.at - notice.since, words)
    coverage, latest = facts.number("coverage"), facts.number("latest_s")
    if notice.event != "resolved" and coverage is not None and latest is not None:
        yield label["interval"], f"{_interval(facts, words)} ({share(coverage)})"
    if shares := facts.shares("contributions")[:_CONTRIBUTIONS]:
        yield label["contributions"], ", ".join(f"{words.metrics.get(k, k)} {share(v)}" for k, v in shares)
    if count := facts.number("suppressed"):
        yield label["suppressed"], words.count.format(count)
    for name in ("by", "note"):
        if facts.text(name):
            yield label[name], facts.text(name)
    if notice.role:
        yield label["role"], notice.role
    yield label["rule"], notice.rule


def _is_link(address: Any) -> bool:
    return isinstance(address, str) and address.startswith(("https://", "http://")) and address.isprintable()
