"""What a verdict shows of a rule. Pure; `said` is a verdict, `metrics` the minute's values, both as JSON has them."""

from collections.abc import Mapping
from typing import Any

from openmanager.alerts.machine import Condition
from openmanager.alerts.rules import Rule, Severity
from openmanager.stages import Ages

_HOUR_S = 3600
Said = Mapping[str, Any]


def condition(rule: Rule, said: Said, metrics: Mapping[str, float]) -> Condition:
    """The condition of one rule in one minute. What a verdict cannot say is unknown, never all right."""
    return _KINDS[rule.kind](rule, said, metrics)


def _threshold(rule: Rule, _: Said, metrics: Mapping[str, float]) -> Condition:
    # Said where it is not what people take for granted.
    facts = {"metric": rule.metric} | ({} if rule.above else {"above": False})
    return _graded(rule, metrics.get(rule.metric), facts, low_is_worse=not rule.above)


def _offline(_: Rule, said: Said, metrics: Mapping[str, float]) -> Condition:
    silence = said["silence"]
    facts = {"silent_s": silence["silent_s"]}
    if said["status"] == "offline":
        return Condition("critical", "critical", value=silence["silent_s"], limit=silence["allowed_s"], facts=facts)
    # A minute without samples is neither offline nor back.
    if not metrics:
        return Condition(unknown=True)
    return Condition(value=silence["silent_s"], limit=silence["allowed_s"], facts=facts)


def _anomaly(rule: Rule, said: Said, metrics: Mapping[str, float]) -> Condition:
    anomaly = said["anomaly"]
    # During a silence the score stands still, and before the baseline is full it means little.
    if not anomaly or not metrics or _warming_up(said):
        return Condition(unknown=True)
    facts = {key: anomaly[key] for key in ("contributions", "p_value") if key in anomaly}
    return _graded(rule, anomaly["score"] / max(anomaly["threshold"], 1e-9), facts)


def _failure(rule: Rule, said: Said, metrics: Mapping[str, float]) -> Condition:
    failure = said["failure"]
    if not failure or not metrics or _warming_up(said):
        return Condition(unknown=True)
    return _graded(rule, failure["probability"], {"horizon_minutes": failure["horizon_minutes"]})


def _warming_up(said: Said) -> bool:
    return "history_minutes" in said.get("missing", {})


def _exhaustion(rule: Rule, said: Said, _: Mapping[str, float]) -> Condition:
    found = said["exhaustion"].get(rule.metric)
    if found is None:
        return Condition(unknown=True)
    facts = {"metric": rule.metric, **found}
    # A forecast that does not beat the last value on this very series may be shown, but pages nobody.
    if found["outcome"] != "crosses" or not found["skilled"]:
        return Condition(facts=facts)
    return _graded(rule, found["earliest_s"] / _HOUR_S, facts, low_is_worse=True)


def _quality(rule: Rule, said: Said, _: Mapping[str, float]) -> Condition:
    skills: Mapping[str, float] = said["quality"]
    if not skills:
        return Condition(unknown=True)
    worst = min(skills, key=lambda name: (skills[name], name))
    return _graded(rule, skills[worst], {"model": worst, "skills": dict(skills)}, low_is_worse=True)


def _age(rule: Rule, said: Said, _: Mapping[str, float]) -> Condition:
    ages: Ages = said["age"][rule.metric]
    # Nothing that passed is nothing that was late.
    facts = {"stage": rule.metric, "events": ages.count, "late": ages.late, "p95_s": ages.p95_s}
    return _graded(rule, 100 * ages.late_share, facts)


def _rounds(rule: Rule, said: Said, _: Mapping[str, float]) -> Condition:
    return _graded(rule, said["rounds"], {"waited_s": round(said["rounds"] * 60)})


def _arrivals(_: Rule, said: Said, __: Mapping[str, float]) -> Condition:
    silence = said["arrivals"]
    level: Severity | None = "critical" if silence["over"] else None
    facts = {"silent_servers": silence["servers"]}
    return Condition(level, level, value=silence["silent_s"], limit=silence["allowed_s"], facts=facts)


_KINDS = {
    "threshold": _threshold,
    "offline": _offline,
    "anomaly": _anomaly,
    "failure": _failure,
    "exhaustion": _exhaustion,
    "quality": _quality,
    "age": _age,
    "rounds": _rounds,
    "arrivals": _arrivals,
}


def _graded(rule: Rule, value: float | None, facts: dict[str, Any], low_is_worse: bool = False) -> Condition:
    """The level that a value reaches, and the one that it has not recovered from."""
    if value is None:
        return Condition(unknown=True)
    sign = -1 if low_is_worse else 1

    def reaches(level: float | None) -> bool:
        return level is not None and sign * value >= sign * level

    level: Severity | None = None
    held: Severity | None = None
    grades: tuple[tuple[Severity, float | None, float | None], ...] = (
        ("warning", rule.warning, rule.recover_warning),
        ("critical", rule.critical, rule.recover_critical),
    )
    for severity, at, recover in grades:
        if reaches(at):
            level = severity
        if reaches(at if recover is None else recover):
            held = severity
    limit = rule.critical if held == "critical" or rule.warning is None else rule.warning
    return Condition(level, held, value=round(value, 4), limit=limit, facts=facts)
