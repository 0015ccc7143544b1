"""A notice: that something happened to an alert, with the stored figures from which every text about it is made."""

from collections.abc import Mapping
from dataclasses import asdict, field
from typing import Any, Literal, get_args

from openmanager.errors import InvalidInput
from openmanager.values import frozen, known_fields

Event = Literal["firing", "escalated", "repeated", "resolved", "acknowledged", "test"]
Severity = Literal["info", "warning", "critical"]
EVENTS: tuple[Event, ...] = get_args(Event)
SEVERITIES: tuple[Severity, ...] = get_args(Severity)
_TEXTS = ("id", "server", "rule", "title")


@frozen
class Notice:
    """What people are to be told of. `since` is when the alert's condition began, `at` when this happened (s).

    `facts` are figures of the round. Those that texts know: `kind` (threshold, offline, anomaly, failure, exhaustion,
    quality, age, rounds, arrivals), `metric`, `model`, `value`, `limit`, `silent_s`, `horizon_minutes`, `earliest_s`,
    `latest_s`, `coverage`, `contributions` (metric -> share), `stage`, `waited_s`, `silent_servers`, `suppressed` (how
    many alerts this one explains), `by`, `note`; and `worst_severity`, the highest that the alert reached, by which
    those who were told of it are told of its end.
    `predictive` says that it speaks of what has not happened yet. `links` are label -> address. `trace_id` is the trace
    of what made the alert fire (openmanager.tracing), empty if there was none.
    """

    id: str
    event: Event
    server: str
    rule: str
    severity: Severity
    since: float
    at: float
    title: str
    facts: Mapping[str, Any] = field(default_factory=dict)
    incident: str = ""
    links: Mapping[str, str] = field(default_factory=dict)
    role: str = ""
    predictive: bool = False
    trace_id: str = ""

    def as_dict(self) -> dict[str, Any]:
        """The notice as JSON values."""
        return asdict(self)


def read_notice(item: Any) -> Notice:
    """A notice from its JSON values. Raises InvalidInput naming the field."""
    if not isinstance(item, Mapping):
        raise InvalidInput("notice", "must be an object")
    try:
        notice = Notice(**known_fields(Notice, item))
    except TypeError:
        raise InvalidInput("notice", "lacks some fields") from None
    for name in (*_TEXTS, "incident", "role", "trace_id"):
        if not isinstance(getattr(notice, name), str):
            raise InvalidInput(f"notice.{name}", "must be a text")
    for name, known in (("event", EVENTS), ("severity", SEVERITIES)):
        if getattr(notice, name) not in known:
            raise InvalidInput(f"notice.{name}", f"must be one of {', '.join(known)}")
    for name in ("since", "at"):
        value = getattr(notice, name)
        if isinstance(value, bool) or not isinstance(value, int | float):
            raise InvalidInput(f"notice.{name}", "must be a time in seconds")
    for name in ("facts", "links"):
        if not isinstance(getattr(notice, name), Mapping):
            raise InvalidInput(f"notice.{name}", "must be an object")
    return notice
