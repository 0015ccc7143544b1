"""Settles warnings and incidents of one server from its verdicts, minute by minute. Pure.

An *incident* is what a failure prediction is judged against: the server is offline (silent beyond its own cadence) or
stays critical for five minutes. It begins with the first such minute and ends with the first after it that is neither.

A *warning episode* is a run of minutes in which a model warns, gaps of up to a quarter of an hour included. It is

    hit          an incident begins after it did, and within the horizon of its last warning; the lead lies between
    during       it began while an incident was on, or within its last quarter of an hour: neither right nor wrong
    false alarm  the horizon of its last warning passed without an incident

and an incident that no episode of a model announced is a *miss* of that model. Probabilities are settled once it is
known whether an incident was on or began within their horizon.
"""

from collections.abc import Mapping
from dataclasses import asdict, field
from datetime import UTC, date, datetime
from typing import Any

from openmanager.ledger.scores import Cells, Errors
from openmanager.values import known_fields, mutable

FAILURE = "failure"
CRITICAL_MIN = 5
GAP_MIN = 15
# How far ahead each model's warnings claim to see.
HORIZON_MIN = {"anomaly": 30, "failure": 30, "exhaustion": 24 * 60}
# From which probability on the failure model warns.
WARNS_AT = 0.5
PROBABILITY_MIN = HORIZON_MIN[FAILURE]
_NOTHING = (0, 0)

Said = Mapping[str, Any]


@mutable
class Episode:
    """A settled warning episode; times in minutes since 1970."""

    model: str
    began: int
    ended: int
    outcome: str
    lead_min: int | None = None
    incident: int | None = None


@mutable
class Incident:
    """An incident that is over; `announced` says by which model, how many minutes ahead."""

    began: int
    ended: int
    kind: str
    announced: dict[str, int] = field(default_factory=dict)


@mutable
class Settled:
    """What a run of verdicts settled: episodes, incidents, and by week (its first minute) the failure probabilities'
    cells and, by (week, metric, method), the errors of forecasts."""

    episodes: list[Episode] = field(default_factory=list)
    incidents: list[Incident] = field(default_factory=list)
    cells: dict[int, Cells] = field(default_factory=dict)
    forecasts: dict[tuple[int, str, str], Errors] = field(default_factory=dict)

    def sums(self) -> dict[tuple[date, str], dict[str, Any]]:
        """(week, what) -> sums as JSON values; `what` is "failure", or metric and method of a forecast."""
        cells = {(_date(week), FAILURE): found.as_dict() for week, found in self.cells.items()}
        return cells | {
            (_date(week), f"{metric}|{method}"): found.as_dict()
            for (week, metric, method), found in self.forecasts.items()
        }


@mutable
class Track:
    """What is known of one server so far; as_dict and Track(**…) keep it.

    `minute` is the last verdict taken in; `critical` since when it has been critical; `incident` (began, last minute),
    `kind` and `announced` are of the one that is on, `over` when the last one ended; `warning` model -> (began, last
    warned) of episodes that are on or wait for their horizon; `ahead` the (minute, probability) pairs not yet settled,
    `paths` the forecasts that are compared with what comes, by metric.
    """

    minute: int = 0
    critical: int = 0
    incident: tuple[int, int] = _NOTHING
    kind: str = ""
    over: int = 0
    warning: dict[str, tuple[int, int]] = field(default_factory=dict)
    ahead: list[tuple[int, float]] = field(default_factory=list)
    paths: dict[str, dict[str, Any]] = field(default_factory=dict)
    announced: dict[str, int] = field(default_factory=dict)

    def as_dict(self) -> dict[str, Any]:
        """The track as JSON values."""
        return asdict(self)

    @classmethod
    def of(cls, item: Mapping[str, Any]) -> "Track":
        """A track from its JSON values."""
        track = cls(**known_fields(cls, item))
        track.incident = (track.incident[0], track.incident[1])
        track.warning = {model: (a, b) for model, (a, b) in track.warning.items()}
        track.ahead = [(m, p) for m, p in track.ahead]
        return track

    def take(self, said: Said, settled: Settled) -> None:
        """Take in the next verdict; one that is not newer than the last changes nothing."""
        minute = said["minute"] // 60
        if minute <= self.minute:
            return
        self.minute = minute
        self._incident(said["status"], minute, settled)
        for model, horizon in HORIZON_MIN.items():
            self._warning(model, horizon, _warns(model, said), minute, settled)
        if said["failure"]:
            self.ahead.append((minute, said["failure"]["probability"]))
        self._probabilities(minute, settled)
        self._forecasts(said, minute, settled)

    def end(self, settled: Settled) -> None:
        """End the incident that is on: the server is no longer watched, and nothing more will be heard of it."""
        began, last = self.incident
        if began:
            settled.incidents.append(Incident(began, last + 1, self.kind, self.announced))
            self.incident = _NOTHING

    def _incident(self, status: str, minute: int, settled: Settled) -> None:
        began, _ = self.incident
        if status == "critical":
            self.critical = self.critical or minute
        elif status != "offline":
            self.critical = 0
        bad = status == "offline" or (status == "critical" and (began or minute - self.critical >= CRITICAL_MIN - 1))
        if bad and not began:
            start = minute if status == "offline" else self.critical
            self._begin(start, minute, status, settled)
        elif bad:
            self.incident = (began, minute)
        elif began:
            settled.incidents.append(Incident(began, minute, self.kind, self.announced))
            self.incident, self.kind, self.over, self.announced = _NOTHING, "", minute, {}

    def _begin(self, start: int, minute: int, kind: str, settled: Settled) -> None:
        self.incident, self.kind, self.announced = (start, minute), kind, {}
        for model, (began, last) in list(self.warning.items()):
            if began >= start:
                # It began in the minutes that made the incident one.
                settled.episodes.append(Episode(model, began, last, "during", None, start))
            elif start - last <= HORIZON_MIN[model]:
                self.announced[model] = start - began
                settled.episodes.append(Episode(model, began, last, "hit", start - began, start))
            else:
                continue
            del self.warning[model]

    def _warning(self, model: str, horizon: int, warns: bool, minute: int, settled: Settled) -> None:
        episode = self.warning.get(model)
        if episode and minute - episode[1] > horizon:
            settled.episodes.append(Episode(model, *episode, "false alarm"))
            del self.warning[model]
            episode = None
        if not warns:
            return
        troubled = self.incident[0] or (self.over and minute - self.over <= GAP_MIN)
        if troubled:
            # What is said in trouble is neither right nor wrong; an episode from before goes on waiting.
            return
        if episode and minute - episode[1] > GAP_MIN:
            settled.episodes.append(Episode(model, *episode, "false alarm"))
            episode = None
        self.warning[model] = (episode[0], minute) if episode else (minute, minute)

    def _probabilities(self, minute: int, settled: Settled) -> None:
        """Settle those of half an hour ago and older: an incident began within it, was on, or was not."""
        waiting = []
        began = self.incident[0]
        for at, probability in self.ahead:
            if began and at >= began - PROBABILITY_MIN:
                settled.cells.setdefault(_week(at), Cells()).add(probability, True)
            # An incident of critical minutes is known as one only after a while.
            elif minute - at >= PROBABILITY_MIN + CRITICAL_MIN:
                settled.cells.setdefault(_week(at), Cells()).add(probability, False)
            else:
                waiting.append((at, probability))
        self.ahead = waiting

    def _forecasts(self, said: Said, minute: int, settled: Settled) -> None:
        values = said.get("values", {})
        for metric, path in list(self.paths.items()):
            step = minute - path["minute"] - 1
            if step < len(path["path"]) and metric in values:
                key = (_week(path["minute"]), metric, path["method"])
                settled.forecasts.setdefault(key, Errors()).add(path, step, values[metric])
            if step >= len(path["path"]) - 1:
                del self.paths[metric]
        for metric, found in said.get("forecasts", {}).items():
            if "path" in found and metric in values and metric not in self.paths:
                self.paths[metric] = found | {"minute": minute, "last": values[metric]}


def _warns(model: str, said: Said) -> bool:
    if model == "anomaly":
        return bool(said["anomaly"] and said["anomaly"]["anomalous"])
    if model == "failure":
        return bool(said["failure"] and said["failure"]["probability"] >= WARNS_AT)
    return any(
        found["outcome"] == "crosses" and found["skilled"] and found["earliest_s"] <= 60 * HORIZON_MIN["exhaustion"]
        for found in said["exhaustion"].values()
    )


def _date(minute: int) -> date:
    return datetime.fromtimestamp(minute * 60, UTC).date()


def _week(minute: int) -> int:
    """The Monday, 00:00 UTC, of a minute's week, in minutes since 1970 (which began on a Thursday)."""
    day = minute // 1440
    return (day - (day + 3) % 7) * 1440
