"""Alert rules: validated data with good defaults. What a rule watches, from where on, and how it behaves over time."""

import re
from collections.abc import Mapping, Sequence
from dataclasses import MISSING, asdict, fields
from typing import Any, Literal, get_args

from openmanager.alerts.texts import MOST_NAMES, NAMES, are_names
from openmanager.catalog import METRIC
from openmanager.errors import InvalidInput
from openmanager.stages import STAGES, TOLERATED
from openmanager.values import frozen
from openmanager.whole import whole

Kind = Literal["threshold", "offline", "anomaly", "failure", "exhaustion", "quality", "age", "rounds", "arrivals"]
Severity = Literal["warning", "critical"]
KINDS: tuple[Kind, ...] = get_args(Kind)
PREDICTIVE: frozenset[Kind] = frozenset({"failure", "exhaustion"})
# What is said of no server but of us.
OF_OURSELVES: frozenset[Kind] = frozenset({"quality", "age", "rounds", "arrivals"})
# What is there or not: always critical, without levels.
_PLAIN: frozenset[Kind] = frozenset({"offline", "arrivals"})
MAX_RULES = 200
ID = re.compile(r"[A-Za-z0-9_.-]{1,64}")
_WEEK_MIN = 7 * 1440


@frozen
class Rule:
    """One rule; levels are in the unit of what its kind watches, and None switches a level off.

    threshold: the metric's value, `above` or below the level; it is over once the value has passed `recover_*`.
    offline: no samples for as long as the server's cadence allows; always critical.
    anomaly: the smoothed reconstruction error as a multiple of the server's own threshold.
    failure: the probability of an incident within 30 minutes.
    exhaustion: hours until the metric may cross its limit, at the earliest; `above` does not matter.
    Of no server but us (OF_OURSELVES):
    quality: the lowest skill of our own predictions by the ledger (below 0: worse than no model).
    age: percent of the last hour's events that were late at a stage, which is the `metric` (openmanager.stages).
    rounds: minutes for which samples have waited for any round to be committed (watch.deadman).
    arrivals: no samples of any server, for as long as their cadences allow; always critical.

    `for_min` minutes a condition must hold before it fires, `keep_firing_min` minutes it must be over before it is
    resolved. Unacknowledged alerts are told again every `repeat_min` and escalated once after `escalate_min` (0: no).
    `servers` and `roles` restrict the rule; empty means all. `weekly_budget` bounds how often a predictive rule may
    page for one server in a week (0: no bound).
    """

    id: str
    kind: Kind
    metric: str = ""
    warning: float | None = None
    critical: float | None = None
    recover_warning: float | None = None
    recover_critical: float | None = None
    above: bool = True
    for_min: int = 0
    keep_firing_min: int = 5
    repeat_min: int = 240
    escalate_min: int = 0
    weekly_budget: int = 0
    enabled: bool = True
    servers: tuple[str, ...] = ()
    roles: tuple[str, ...] = ()

    @property
    def predictive(self) -> bool:
        """Whether it speaks of what has not happened yet."""
        return self.kind in PREDICTIVE

    def concerns(self, server: str, role: str) -> bool:
        """Whether the rule watches this server."""
        if not self.enabled or (self.kind in OF_OURSELVES) != (server == OURSELVES):
            return False
        return (not self.servers or server in self.servers) and (not self.roles or role in self.roles)

    def as_dict(self) -> dict[str, Any]:
        """The rule as JSON values."""
        return asdict(self) | {"servers": list(self.servers), "roles": list(self.roles)}


DEFAULTS: tuple[Rule, ...] = (
    Rule("cpu", "threshold", "cpu_utilization", 80, 90, 65, 75, for_min=5),
    Rule("memory", "threshold", "memory_used_effective", 80, 90, 75, 85, for_min=5),
    Rule("filesystem", "threshold", "filesystem_utilization", 80, 90, 78, 88, for_min=5, repeat_min=1440),
    Rule("offline", "offline", keep_firing_min=2, escalate_min=30),
    # A minute is anomalous from 1 on, and shown so; people are only told of what is rare. Chosen with the failure rule
    # so that twelve ordinary servers page at most once a week: of the labelled incidents of the development servers
    # 20 % are told then, at .01 false pages a server and day, against 51 % and .59 at level 1 and three minutes
    # (tests/bench/pages.py).
    Rule("anomaly", "anomaly", warning=2.5, recover_warning=1.75, for_min=5, keep_firing_min=15),
    Rule("failure", "failure", warning=0.8, recover_warning=0.5, for_min=5, keep_firing_min=15, weekly_budget=1),
    *(
        Rule(
            f"{metric.partition('_')[0]}_exhaustion",
            "exhaustion",
            metric,
            warning=24,
            critical=4,
            recover_warning=30,
            recover_critical=6,
            for_min=15,
            keep_firing_min=30,
            weekly_budget=2,
        )
        for metric in ("filesystem_utilization", "memory_used_effective", "swap_utilization")
    ),
    Rule("prediction_quality", "quality", warning=0.0, recover_warning=0.02, keep_firing_min=60, repeat_min=7 * 1440),
    # An hour's share moves slowly, and what has to be done about it is no matter of minutes.
    *(
        Rule(
            f"{stage}_age",
            "age",
            stage,
            warning=100 * TOLERATED,
            recover_warning=60 * TOLERATED,
            for_min=5,
            keep_firing_min=15,
            repeat_min=1440,
        )
        for stage in STAGES
    ),
    # Ticks come every minute: five that did nothing are no accident (infra/cloud/alarms.yml takes it for the same).
    Rule("rounds", "rounds", critical=5, keep_firing_min=2),
    Rule("arrivals", "arrivals", keep_firing_min=2, repeat_min=60),
)
# Whose alerts those about ourselves are; no server can have this name (openmanager.names).
OURSELVES = "@openmanager"
_LARGEST = 1e15
_NUMBERS = {"warning", "critical", "recover_warning", "recover_critical"}
_MINUTES = {"for_min", "keep_firing_min", "repeat_min", "escalate_min"}
_NAMES = {"servers", "roles"}


def _described(name: str) -> dict[str, Any]:
    """What `_value` and `_check` take for a field, in the words of JSON Schema."""
    if name in _NUMBERS:
        return {"type": ["number", "null"], "minimum": -_LARGEST, "maximum": _LARGEST}
    if name in _MINUTES or name == "weekly_budget":
        return {"type": "integer", "minimum": 0, "maximum": _WEEK_MIN}
    if name in ("above", "enabled"):
        return {"type": "boolean"}
    if name in _NAMES:
        return NAMES
    if name == "kind":
        return {"enum": list(KINDS)}
    if name == "metric":
        return {
            "enum": [*METRIC, *STAGES, ""],
            "description": "of the kinds threshold and exhaustion; of the kind age the stage",
        }
    return {"type": "string", "description": "that of the address, or left out"}


SCHEMA: dict[str, Any] = {
    "type": "object",
    "examples": [{"kind": "threshold", "metric": "cpu_utilization", "warning": 85, "for_min": 10}],
    "properties": {f.name: _described(f.name) for f in fields(Rule)},
    "additionalProperties": False,
}


def parse_rules(items: Any) -> tuple[Rule, ...]:
    """The rules of a JSON list. Raises InvalidInput naming rule and field."""
    if not isinstance(items, Sequence) or isinstance(items, str) or len(items) > MAX_RULES:
        raise InvalidInput("rules", f"must be a list of at most {MAX_RULES}")
    rules = tuple(parse_rule(item) for item in items)
    for rule in rules:
        if sum(r.id == rule.id for r in rules) > 1:
            raise InvalidInput(f"rules.{rule.id}", "stands twice")
    return rules


def parse_rule(item: Any) -> Rule:
    """One rule from JSON. Raises InvalidInput naming the field."""
    if not isinstance(item, Mapping):
        raise InvalidInput("rule", "must be an object")
    known = {f.name for f in fields(Rule)}
    if unknown := sorted(set(item) - known):
        raise InvalidInput(unknown[0], f"is not a field of a rule; these are: {', '.join(sorted(known))}")
    for f in fields(Rule):
        if f.default is MISSING and f.name not in item:
            raise InvalidInput(f.name, "is missing")
    values = {name: _value(name, value) for name, value in item.items()}
    rule = Rule(**values)
    _check(rule)
    return rule


def _value(name: str, value: Any) -> Any:
    if name in _NUMBERS:
        # JSON's readers let pass NaN and infinities, which compare with nothing, and integers that no float can hold.
        if value is not None and (
            isinstance(value, bool) or not isinstance(value, int | float) or not abs(value) <= _LARGEST
        ):
            raise InvalidInput(name, f"{str(value)[:64]!r} is not a number up to {_LARGEST:g}")
        return None if value is None else float(value)
    if name in _MINUTES or name == "weekly_budget":
        minutes = whole(value)
        if minutes is None or not 0 <= minutes <= _WEEK_MIN:
            raise InvalidInput(name, f"{value!r} is not a whole number from 0 to {_WEEK_MIN}")
        return minutes
    if name in ("above", "enabled"):
        if not isinstance(value, bool):
            raise InvalidInput(name, f"{value!r} is not true or false")
        return value
    if name in _NAMES:
        if not are_names(value):
            raise InvalidInput(name, f"must be a list of at most {MOST_NAMES} names")
        return tuple(value)
    if not isinstance(value, str):
        raise InvalidInput(name, f"{value!r} is not a text")
    return value


def _check(rule: Rule) -> None:
    """Raises InvalidInput where the fields contradict each other."""
    if not ID.fullmatch(rule.id):
        raise InvalidInput("id", "must be 1 to 64 letters, digits, '-', '_' or '.'")
    if rule.kind not in KINDS:
        raise InvalidInput("kind", f"{rule.kind!r} is none of {', '.join(KINDS)}")
    needs_metric = rule.kind in ("threshold", "exhaustion", "age")
    if needs_metric and rule.metric not in (STAGES if rule.kind == "age" else METRIC):
        known = f"none of {', '.join(STAGES)}" if rule.kind == "age" else "not in the catalogue"
        raise InvalidInput("metric", f"{rule.metric!r} is {known}")
    if rule.kind == "exhaustion" and METRIC[rule.metric].high is None:
        raise InvalidInput("metric", f"{rule.metric!r} has no natural limit to run into")
    if not needs_metric and rule.metric:
        raise InvalidInput("metric", f"a rule of kind {rule.kind} takes none")
    if rule.kind not in _PLAIN and rule.warning is None and rule.critical is None:
        raise InvalidInput("warning", "a rule needs a warning or a critical level")
    low_is_worse = rule.kind in ("exhaustion", "quality") or (rule.kind == "threshold" and not rule.above)
    sign = -1 if low_is_worse else 1
    if rule.warning is not None and rule.critical is not None and sign * rule.critical < sign * rule.warning:
        raise InvalidInput("critical", "must be worse than the warning level")
    for level, recover in (("warning", rule.recover_warning), ("critical", rule.recover_critical)):
        at = getattr(rule, level)
        if recover is not None and at is None:
            raise InvalidInput(f"recover_{level}", f"there is no {level} level to recover from")
        if recover is not None and sign * recover > sign * at:
            raise InvalidInput(f"recover_{level}", f"must not be worse than the {level} level")
