"""The tools as clients are told of them: names, descriptions, schemas. Every word costs each caller tokens. Pure."""

from collections.abc import Callable, Mapping
from dataclasses import dataclass, field
from functools import cached_property
from typing import Any

from openmanager.alerts import quiet
from openmanager.catalog import METRIC_KEYS, STATUSES
from openmanager.errors import InvalidInput
from openmanager.mcp.answer import Answer
from openmanager.mcp.answers import care, fleet, past, server, trouble
from openmanager.mcp.ask import Asked

_LONGEST_WHY = 200
_TEXT: Mapping[str, Any] = {"type": "string", "maxLength": 200}
_SERVER: Mapping[str, Any] = {"type": "string", "maxLength": 128}
_NAMES: Mapping[str, Any] = {"type": "array", "items": _SERVER, "maxItems": 100}
_TIME: Mapping[str, Any] = {"type": "string", "maxLength": 40, "description": "ISO 8601"}
_CURSOR: Mapping[str, Any] = {"type": "string", "maxLength": 500}
_TEXTS: Mapping[str, Any] = {"type": "array", "items": {"type": "string"}}
_NUMBER: Mapping[str, Any] = {"type": "integer"}
_OBJECT: Mapping[str, Any] = {"type": "object"}
_MAYBE_TEXT: Mapping[str, Any] = {"type": ["string", "null"]}
_MAYBE_OBJECT: Mapping[str, Any] = {"type": ["object", "null"]}


def _rows(*always: str) -> Mapping[str, Any]:
    """A list of objects, with what each of them has: the cheapest way to tell a program the names."""
    return {"type": "array", "items": {"type": "object", "required": list(always)}}


def _limit(usual: int, most: int) -> Mapping[str, Any]:
    return {"type": "integer", "minimum": 1, "maximum": most, "default": usual}


# Without slots, because it keeps what it works out.
@dataclass(frozen=True)
class Listed:
    """A tool: what it is called, what it takes and gives, and what answers."""

    name: str
    run: Callable[[Asked], Answer]
    description: str
    takes: Mapping[str, Mapping[str, Any]] = field(default_factory=dict)
    gives: Mapping[str, Mapping[str, Any]] = field(default_factory=dict)
    needs: tuple[str, ...] = ()
    # Whether it changes something. None of ours destroys anything.
    acts: bool = False

    @cached_property
    def input_schema(self) -> dict[str, Any]:
        needs = {"required": list(self.needs)} if self.needs else {}
        return {"type": "object", "properties": dict(self.takes), **needs, "additionalProperties": False}

    @cached_property
    def output_schema(self) -> dict[str, Any]:
        gives = {"as_of": {"type": "string"}, **self.gives}
        return {"type": "object", "properties": gives, "required": ["as_of"]}

    @cached_property
    def _validator(self) -> Any:
        from jsonschema import Draft202012Validator

        return Draft202012Validator(self.input_schema)

    def read(self, arguments: Mapping[str, Any]) -> dict[str, Any]:
        """Arguments as the schema has them, defaults filled in. Raises InvalidInput naming the argument."""
        # Lists alone are checked by nobody, and the library is a twentieth of a cold start.
        from jsonschema.exceptions import best_match

        if wrong := best_match(self._validator.iter_errors(dict(arguments))):
            where = ".".join(str(step) for step in wrong.absolute_path)
            raise InvalidInput(where or "arguments", wrong.message[:_LONGEST_WHY])
        usual = {name: schema["default"] for name, schema in self.takes.items() if "default" in schema}
        return usual | dict(arguments)


_ALERT = ("server", "rule", "state", "severity", "value", "limit", "unit", "age_s")
_PAGED = {"limit": _limit(10, 50), "cursor": _CURSOR}
_NEXT = {"next": _MAYBE_TEXT}
_UNKNOWN = {"unknown": _TEXTS}
_RECORD = {"window": _OBJECT, "incidents": _NUMBER, "models": _OBJECT, "forecasts": _OBJECT, **_UNKNOWN}

TOOLS: tuple[Listed, ...] = (
    Listed(
        "fleet_overview",
        fleet.fleet_overview,
        "The whole fleet: servers by status, open alerts and incidents, the worst servers and why. Start here.",
        gives={
            "servers": _NUMBER,
            "statuses": _OBJECT,
            "open_alerts": _OBJECT,
            "worst": _rows("server", "status", "why", "risk_percent"),
            **_UNKNOWN,
        },
    ),
    Listed(
        "find_servers",
        fleet.find_servers,
        "Servers with newest figures, filtered by text (name, hostname, label=value), role or status.",
        {
            "text": _TEXT,
            "role": _TEXT,
            "status": {"enum": list(STATUSES)},
            "sort": {"enum": ["worst", "name", *fleet.SORTS], "default": "worst"},
            **_PAGED,
        },
        {"matching": _NUMBER, "servers": _rows("server", "status", *fleet.FIGURES, "figures_age_s"), **_NEXT},
    ),
    Listed(
        "query_metrics",
        server.query_metrics,
        "One server's metrics over time on an even grid; null where nothing is known. Default: the last hour.",
        {
            "server": _SERVER,
            "metrics": {"type": "array", "items": {"enum": list(METRIC_KEYS)}, "minItems": 1, "maxItems": 4},
            "from": _TIME,
            "to": _TIME,
            "stat": {"enum": ["mean", "max", "min", "p95"], "default": "mean"},
            "points": _limit(30, 120),
        },
        {"window": _OBJECT, "step_s": {"type": "number"}, "series": _OBJECT, **_UNKNOWN},
        ("server", "metrics"),
    ),
    Listed(
        "explain_anomaly",
        server.explain_anomaly,
        "Why a server's last minute is judged as it is: metrics that make it unusual, the most similar past minute and "
        "what followed, servers it depends on and affects.",
        {"server": _SERVER},
        {
            "status": {"type": "string"},
            "contributions": _rows("metric", "share_percent", "value", "unit"),
            "nearest_past": _MAYBE_OBJECT,
            **_UNKNOWN,
        },
        ("server",),
    ),
    Listed(
        "predict_failure",
        server.predict_failure,
        "Probability of an incident within 30 minutes, with its parts; without server: those most at risk.",
        {"server": _SERVER, **_PAGED},
        {
            "window_min": _NUMBER,
            "predictions": _rows("server", "risk_percent", "parts_percent", "judged_age_s"),
            **_NEXT,
            **_UNKNOWN,
        },
    ),
    Listed(
        "time_to_exhaustion",
        server.time_to_exhaustion,
        "When disk space, memory or swap reach their limit (80% interval); without server: the soonest.",
        {
            "server": _SERVER,
            "metric": {"enum": ["filesystem_utilization", "memory_used_effective", "swap_utilization"]},
            **_PAGED,
        },
        {
            "exhaustions": _rows("server", "metric", "at_limit", "earliest_s", "likely_s", "latest_s"),
            **_NEXT,
            **_UNKNOWN,
        },
    ),
    Listed(
        "list_alerts",
        trouble.list_alerts,
        "Open alerts, most urgent first.",
        {
            "server": _SERVER,
            "severity": {"enum": ["critical", "warning"]},
            "state": {"enum": ["pending", "firing", "acknowledged", "recovering", "nodata"]},
            **_PAGED,
        },
        {"matching": _NUMBER, "alerts": _rows(*_ALERT), **_NEXT},
    ),
    Listed(
        "get_incident",
        trouble.get_incident,
        "One incident, open or past, with alerts and events; without id: the open ones.",
        {"id": _TEXT, **_PAGED},
        {
            "incident": _OBJECT,
            "incidents": _rows("id", "severity", "root", "age_s"),
            "alerts": _rows(*_ALERT),
            "events": _rows("at", "server", "rule", "what"),
            **_NEXT,
        },
    ),
    Listed(
        "prediction_record",
        past.prediction_record,
        "How good predictions were: hits, false alarms, misses, lead time, skill against doing without.",
        {"server": _SERVER, "days": _limit(28, 90)},
        _RECORD,
    ),
    Listed(
        "replay",
        past.replay,
        "What-if: run up to a day of a server's stored past through models and alert rules, in force or given, and say "
        "what would have fired. Takes seconds. Operators only.",
        {
            "server": _SERVER,
            "from": _TIME,
            "to": _TIME,
            "rules": {
                "type": "array",
                "items": _OBJECT,
                "maxItems": 20,
                "description": 'such as {"id":"cpu","kind":"threshold","metric":"cpu_utilization","warning":85}',
            },
            **_PAGED,
        },
        {"fired": _NUMBER, "notices": _rows("at", "event", "rule", "value", "unit"), **_NEXT, **_RECORD},
        ("server",),
    ),
    Listed(
        "acknowledge",
        care.acknowledge,
        "Take care of an open alert: no reminders unless it worsens. Operators only.",
        {"server": _SERVER, "rule": _TEXT, "note": {"type": "string", "maxLength": 500}},
        {"state": {"type": "string"}},
        ("server", "rule"),
        acts=True,
    ),
    Listed(
        "silence",
        care.silence,
        "Tell nobody of alerts that match all that is named, for some minutes. Operators only.",
        {
            "minutes": {"type": "integer", "minimum": 1, "maximum": quiet.LONGEST_SILENCE_S // 60},
            "servers": _NAMES,
            "roles": _NAMES,
            "rules": _NAMES,
            "reason": _TEXT,
        },
        {"id": {"type": "string"}, "end": {"type": "string"}},
        ("minutes",),
        acts=True,
    ),
)
BY_NAME: Mapping[str, Listed] = {tool.name: tool for tool in TOOLS}
