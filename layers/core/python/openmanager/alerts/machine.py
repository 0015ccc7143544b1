"""The life of an alert: a pure function of its rule, what it was, and what this minute shows.

    (ok) -> pending -> firing <-> acknowledged -> recovering -> (resolved), and nodata beside the last three

`ok` and `resolved` are no record at all. A condition must hold for the rule's `for_min` before it fires; then it is
over only once it has passed the recovery level, and has been over for `keep_firing_min` on end. So a value that flaps
around a level fires once and resolves once. A suppressed alert lives on without anybody being told; if it still fires
when the suppression ends, it is told then.
"""

from dataclasses import field, fields, replace
from typing import Any, Literal

from openmanager.alerts.rules import Rule, Severity
from openmanager.values import frozen

State = Literal["pending", "firing", "acknowledged", "recovering", "nodata"]
# Minutes without knowledge that leave an alert as it is.
NODATA_AFTER_MIN = 3
_RANK = {None: 0, "warning": 1, "critical": 2}


@frozen
class Condition:
    """What a minute shows of a rule: the `level` reached, and the one not yet recovered from (`held`, never lower).

    `unknown` says that nothing can be said; then the rest does not count. `facts` are for people.
    """

    level: Severity | None = None
    held: Severity | None = None
    unknown: bool = False
    value: float | None = None
    limit: float | None = None
    facts: dict[str, Any] = field(default_factory=dict)


@frozen
class Alert:
    """An alert of one server and rule. Times are minutes since 1970; 0 is never.

    `since` is when the condition began, `fired` when it fired, `changed` when `state` last did; `clear` is since when
    it has been over, `easing` since when no longer critical, `blind` since when nothing is known. `told` is when
    people were last told, `tellings` how often; `worst` is the highest severity since it fired. `was` is the state that
    a recovering or blind alert goes back to. `trace_id` is the trace of the push that made it fire.
    """

    server: str
    rule: str
    state: State
    severity: Severity
    since: int
    changed: int
    fired: int = 0
    clear: int = 0
    easing: int = 0
    blind: int = 0
    told: int = 0
    tellings: int = 0
    worst: Severity = "warning"
    escalated: bool = False
    was: State = "firing"
    value: float | None = None
    limit: float | None = None
    facts: dict[str, Any] = field(default_factory=dict)
    suppressed: str = ""
    incident: str = ""
    acknowledged: int = 0
    by: str = ""
    note: str = ""
    trace_id: str = ""

    @property
    def id(self) -> str:
        """Its name, the same whoever computes it: a server and rule begin at most one alert a minute."""
        return f"{self.server}|{self.rule}|{self.since}"

    @property
    def active(self) -> bool:
        """Whether it has fired and is not resolved."""
        return self.fired > 0

    def as_dict(self) -> dict[str, Any]:
        """The alert as JSON values, which it shares: they are not to be changed."""
        return {name: getattr(self, name) for name in _FIELDS}


_FIELDS = tuple(f.name for f in fields(Alert))


@frozen
class Transition:
    """That something happened to an alert in a minute; `alert` is how it stands after it.

    `what` is a state entered, or: cleared (a pending alert that did not fire), worsened, eased, relapsed, resolved,
    data (after nodata), unacknowledged, escalated, repeated, suppressed, unsuppressed, told. `notice` is what people
    are told of it: firing, escalated, repeated, acknowledged, resolved, or nothing ("").
    """

    what: str
    minute: int
    alert: Alert
    notice: str = ""

    @property
    def id(self) -> str:
        """Its name: the same transition computed twice has the same one."""
        return f"{self.alert.id}|{self.minute}|{self.what}"


Outcome = tuple[Alert | None, list[Transition]]


def step(
    rule: Rule,
    server: str,
    alert: Alert | None,
    condition: Condition,
    minute: int,
    suppressed: str = "",
    trace_id: str = "",
) -> Outcome:
    """The alert after this minute, None if there is none, and what happened on the way.

    `suppressed` says why nobody is to be told now; empty if they are. `trace_id` is the trace of what this minute
    shows, which the alert keeps if it fires now.
    """
    if alert is None:
        if condition.unknown or condition.level is None:
            return None, []
        alert = Alert(server, rule.id, "pending", condition.level, minute, minute)
        life = _Life(rule, alert, minute, trace_id)
        life.to("pending")
    else:
        life = _Life(rule, alert, minute, trace_id)
    life.suppress(suppressed)
    if condition.unknown:
        life.see_nothing()
    else:
        life.see(condition)
    life.tell()
    return (None if life.over else life.alert), life.happened


def acknowledge(alert: Alert, by: str, note: str, minute: int) -> Outcome:
    """Somebody takes care of it: no more reminders, unless it worsens. A pending alert stays as it is."""
    if not alert.active or "acknowledged" in (alert.state, _base(alert)):
        return alert, []
    taken = replace(_based(alert, "acknowledged", minute), acknowledged=minute, by=by, note=note)
    told = "" if alert.suppressed or not alert.told else "acknowledged"
    return taken, [Transition("acknowledged", minute, taken, told)]


def unacknowledge(alert: Alert, minute: int) -> Outcome:
    """It is everybody's again, and reminders go on."""
    if not alert.acknowledged:
        return alert, []
    free = replace(_based(alert, "firing", minute), acknowledged=0, by="", note="")
    return free, [Transition("unacknowledged", minute, free)]


def _base(alert: Alert) -> State:
    """The state beneath recovering and nodata."""
    return alert.was if alert.state in ("recovering", "nodata") else alert.state


def _based(alert: Alert, state: State, minute: int) -> Alert:
    if alert.state in ("recovering", "nodata"):
        return replace(alert, was=state)
    return replace(alert, state=state, changed=minute)


class _Life:
    """One step of one alert, gathering what happens."""

    def __init__(self, rule: Rule, alert: Alert, minute: int, trace_id: str) -> None:
        self.rule, self.alert, self.minute, self.trace_id = rule, alert, minute, trace_id
        self.happened: list[Transition] = []
        self.over = False

    def set(self, **changes: Any) -> None:
        self.alert = replace(self.alert, **changes)

    def to(self, what: str, **changes: Any) -> None:
        if "state" in changes:
            changes["changed"] = self.minute
        self.set(**changes)
        self.happened.append(Transition(what, self.minute, self.alert))

    def see_nothing(self) -> None:
        if not self.alert.blind:
            self.set(blind=self.minute)
        if self.alert.state == "nodata" or self.minute - self.alert.blind < NODATA_AFTER_MIN:
            return
        if self.alert.state == "pending":
            self.to("cleared")
            self.over = True
        else:
            self.to("nodata", state="nodata", was=_base(self.alert), clear=0)

    def see(self, condition: Condition) -> None:
        if self.alert.state == "nodata":
            self.to("data", state=self.alert.was)
        self.set(blind=0, value=condition.value, limit=condition.limit, facts=condition.facts)
        if self.alert.state == "pending":
            self._wait(condition)
        else:
            self._weigh(condition)
            self._hold(condition)

    def _wait(self, condition: Condition) -> None:
        if condition.level is None:
            self.to("cleared")
            self.over = True
            return
        self.set(severity=condition.level)
        if self.minute - self.alert.since >= self.rule.for_min:
            found = {"fired": self.minute, "worst": condition.level, "trace_id": self.trace_id}
            self.to("firing", state="firing", **found)

    def _weigh(self, condition: Condition) -> None:
        """A worse level counts at once, a better one after the keep-firing time."""
        severity = _RANK[self.alert.severity]
        if _RANK[condition.level] > severity:
            self.set(easing=0)
            self.to("worsened", **self._freed(), severity=condition.level, worst=condition.level)
        elif condition.held is None or _RANK[condition.held] >= severity:
            self.set(easing=0)
        elif not self.alert.easing:
            self.set(easing=self.minute)
        elif self.minute - self.alert.easing >= self.rule.keep_firing_min:
            self.set(easing=0)
            self.to("eased", severity=condition.held)

    def _freed(self) -> dict[str, Any]:
        """Who acknowledged the warning has not seen the worse that it became."""
        if not self.alert.acknowledged:
            return {}
        free = _based(self.alert, "firing", self.minute)
        return {"state": free.state, "was": free.was, "acknowledged": 0, "by": "", "note": ""}

    def _hold(self, condition: Condition) -> None:
        if condition.held is not None:
            if self.alert.state == "recovering":
                self.to("relapsed", state=self.alert.was, clear=0)
            return
        if self.alert.state != "recovering":
            self.to("recovering", was=self.alert.state, state="recovering", clear=self.minute)
        if self.minute - self.alert.clear >= self.rule.keep_firing_min:
            self.to("resolved")
            self.over = True

    def suppress(self, reason: str) -> None:
        if reason == self.alert.suppressed:
            return
        if self.alert.active:
            self.to("suppressed" if reason else "unsuppressed", suppressed=reason)
        else:
            self.set(suppressed=reason)

    def tell(self) -> None:
        """Mark the one thing of this minute that people are told, if any."""
        event, what = self._news()
        if not event:
            return
        if not any(h.what == what for h in self.happened):
            self.to(what, escalated=self.alert.escalated or event == "escalated")
        self.set(told=self.minute, tellings=self.alert.tellings + 1)
        for i, h in enumerate(self.happened):
            if h.what == what:
                self.happened[i] = replace(h, notice=event, alert=replace(h.alert, tellings=self.alert.tellings))

    def _news(self) -> tuple[str, str]:
        """(the notice, the transition that it is of)."""
        alert, rule = self.alert, self.rule
        names = {h.what for h in self.happened}
        if not alert.active or alert.suppressed:
            return "", ""
        if self.over:
            return ("resolved", "resolved") if alert.told else ("", "")
        if "worsened" in names and alert.told:
            return "escalated", "worsened"
        if alert.state != "firing":
            return "", ""
        if not alert.told:
            return "firing", "firing" if "firing" in names else "told"
        if rule.escalate_min and not alert.escalated and self.minute - alert.fired >= rule.escalate_min:
            return "escalated", "escalated"
        if rule.repeat_min and self.minute - alert.told >= rule.repeat_min:
            return "repeated", "repeated"
        return "", ""
