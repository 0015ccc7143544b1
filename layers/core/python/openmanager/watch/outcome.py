"""What a round has to write: verdicts, values, alerts and notices, gathered minute by minute. Pure."""

import json
from collections import Counter
from collections.abc import Mapping, Sequence
from dataclasses import asdict, replace
from typing import Any

from openmanager import notify
from openmanager.alerts.machine import Alert, Transition
from openmanager.alerts.rules import Rule
from openmanager.catalog import FORECAST_METRICS
from openmanager.stores.hot import Writes
from openmanager.watch.alerting import Desk, TraceOf
from openmanager.watch.brief import brief, outlook, recent
from openmanager.watch.config import FIRING, REQUEST
from openmanager.watch.judge import Verdict
from openmanager.watch.state import States

# Forecast paths are archived once in so many minutes, for their errors to be known; all are shown live.
PATHS_EVERY_MIN = 30


class Outcome:
    """The outcome of some minutes of one shard, until it is committed."""

    def __init__(self, desk: Desk, targets: Sequence[notify.Target] | None) -> None:
        self.desk = desk
        self._targets = targets
        self._rules: Mapping[str, Rule] = {rule.id: rule for rule in desk.config.rules}
        self._firing = desk.config.own
        self.verdicts: list[Verdict] = []
        self._values: dict[tuple[str, int], Mapping[str, float]] = {}
        self.latest: dict[str, Any] = {}
        self.transitions: list[tuple[Transition, str]] = []

    def minute(
        self,
        minute: int,
        said: Sequence[Verdict],
        latest: Mapping[str, Any],
        roles: Sequence[str],
        trace_of: TraceOf,
    ) -> None:
        """Take in a minute's verdicts, and values and roles of their servers (values only where samples came)."""
        self.verdicts += self._maintained(minute, said, roles)
        self._values |= {(v.server, v.minute): latest[v.server]["metrics"] for v in said if v.server in latest}
        self.latest |= latest
        metrics = [latest[v.server]["metrics"] if v.server in latest else {} for v in said]
        role = {v.server: r for v, r in zip(said, roles, strict=True)}
        happened = self.desk.minute(minute, [v.as_dict() for v in said], metrics, roles, trace_of)
        self.transitions += [(t, role.get(t.alert.server, "")) for t in happened]

    def fired(self) -> list[Alert]:
        """The alerts that have fired since the last commit."""
        return [t.alert for t, _ in self.transitions if t.what == "firing"]

    def predictive(self, alert: Alert) -> bool:
        """Whether an alert speaks of what has not happened yet."""
        rule = self._rules.get(alert.rule)
        return rule is not None and rule.predictive

    def _maintained(self, minute: int, said: Sequence[Verdict], roles: Sequence[str]) -> list[Verdict]:
        """The verdicts as people are to see them: a server whose window is open is in maintenance, whatever it does.

        So it is in the archive too, from which the ledger learns of incidents: what people do on purpose is nothing
        that should have been foreseen. Alerts are judged by what the server does, and suppressed.
        """
        windows = [window for window in self.desk.config.maintenance if window.is_open(minute * 60)]
        return [
            replace(v, status="maintenance") if any(w.concerns(v.server, role) for w in windows) else v
            for v, role in zip(said, roles, strict=True)
        ]

    def writes(self, shard: int, gone: set[str], newest: bool, servers: Sequence[str], states: States) -> Writes:
        """What to commit; servers of `gone` are forgotten. The live feed hears of verdicts only in the newest minute.

        `states` (n,) are the records of all `servers` after the minutes that were judged.
        """
        line = dict(zip(servers, recent(states), strict=True))
        place = {server: i for i, server in enumerate(servers)}
        minute = self.verdicts[-1].minute
        self.transitions += [(t, "") for t in self.desk.forget(gone, minute // 60)]
        kept = [v for v in self.verdicts if v.server not in gone]
        last = {v.server: v for v in kept}
        short = {server: brief(v) for server, v in last.items()}
        writes = Writes(
            latest=self.latest
            | {f"{server}|verdict": v.as_dict() for server, v in last.items()}
            | {f"{server}|outlook": outlook(v, states[place[server]]) for server, v in last.items()}
            | {
                f"{server}|said": {"minute": last[server].minute, "said": said, "recent": line[server]}
                for server, said in short.items()
            },
            verdicts={f"{v.server}|{v.minute}": archived(v, self._values.get((v.server, v.minute), {})) for v in kept},
            forget=sorted(gone),
        )
        if newest and (now := {server: short[server] for server, v in last.items() if v.minute == minute}):
            # So that whoever follows can draw on; who was judged for longer than a minute has a new line.
            judged = Counter(v.server for v in kept)
            lines = {server: line[server][-1:] if judged[server] == 1 else line[server] for server in now}
            writes.said = {"minute": minute, "servers": now, "recent": lines}
        self._tell(writes)
        if (firing := [asdict(m) for m in self.desk.own_members()]) != self._firing:
            writes.config[f"{FIRING}{shard}"] = self._firing = firing
        self.verdicts, self._values, self.latest = [], {}, {}
        return writes

    def beside_a_round(self, happened: Sequence[Transition]) -> Writes:
        """What to commit of what happened to alerts while no round came."""
        self.transitions += [(t, "") for t in happened]
        writes = Writes(judged=False)
        self._tell(writes)
        return writes

    def _tell(self, writes: Writes) -> None:
        """Write down what happened to alerts, for the record and for people."""
        for t, role in self.transitions:
            if t.notice:
                writes.notices |= notify.route(notice(t, self._rules.get(t.alert.rule), role), self._targets)
        writes.transitions = {t.id: recorded(t) for t, _ in self.transitions}
        writes.books = self.desk.changed()
        writes.answered = {f"{REQUEST}{name}": text for name, text in self.desk.answered.items()}
        if self.transitions:
            writes.events.append(("alert", {"transitions": [recorded(t) for t, _ in self.transitions]}))
        self.transitions = []


def recorded(transition: Transition) -> dict[str, Any]:
    """A transition as JSON values."""
    t = transition
    return {"id": t.id, "what": t.what, "at": t.minute * 60, "notice": t.notice, "alert": t.alert.as_dict()}


def archived(verdict: Verdict, metrics: Mapping[str, float]) -> dict[str, Any]:
    """A verdict as it is kept: with the values of what is forecast, and the paths of one minute in thirty."""
    said = verdict.as_dict() | {"values": {key: metrics[key] for key in FORECAST_METRICS if key in metrics}}
    if verdict.minute // 60 % PATHS_EVERY_MIN:
        said["forecasts"] = {
            metric: {"method": f["method"], "skilled": f["skilled"]} for metric, f in said["forecasts"].items()
        }
    return said


def notice(transition: Transition, rule: Rule | None, role: str) -> notify.Notice:
    """What people are told of a transition."""
    alert = transition.alert
    facts = dict(alert.facts) | {"kind": rule.kind if rule else "", "worst_severity": alert.worst}
    facts |= {k: v for k, v in (("value", alert.value), ("limit", alert.limit)) if v is not None}
    facts |= {k: v for k, v in (("by", alert.by), ("note", alert.note)) if v}
    return notify.Notice(
        id=f"{alert.id}|{transition.notice}|{alert.tellings}",
        event=transition.notice,  # type: ignore[arg-type]
        server=alert.server,
        rule=alert.rule,
        severity=alert.severity,
        since=alert.since * 60,
        at=transition.minute * 60,
        title=f"{alert.server}: {alert.rule}",
        facts=json.loads(json.dumps(facts)),
        incident=alert.incident,
        role=role,
        predictive=bool(rule and rule.predictive),
        trace_id=alert.trace_id,
    )
