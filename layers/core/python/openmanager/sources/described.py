"""Bodies of the ingest doors in the words of JSON Schema: what is refused whole, beside what is left out and named."""

from typing import Any

from openmanager.catalog import METRIC, PARTS
from openmanager.names import SERVER_ID
from openmanager.sources.limits import HIGHEST, LABEL_NAME, MAX_ATTRIBUTE, MAX_LABEL_VALUE, OVERSHOOT
from openmanager.sources.native import MAX_SERVERS

JSON = dict[str, Any]


def _or_named(shape: JSON) -> JSON:
    """This shape is meant. Any other value is left out, counted and named, and does not sink the rest."""
    return {"anyOf": [shape, {"description": "anything else is named in `rejected`"}]}


def _number(part: str) -> JSON:
    metric = METRIC.get(part)
    high = HIGHEST[part] if metric is None or metric.high is None else metric.high * OVERSHOOT
    return {"type": ["number", "null"], "minimum": 0, "maximum": high}


def _readings(kind: str) -> JSON:
    known = {key: _number(key) for key, part in PARTS.items() if part.kind == kind}
    return {"type": ["object", "null"], "properties": known, "description": "a key may end in `/instance`"}


def _optional(shape: JSON) -> JSON:
    return shape | {"type": [shape["type"], "null"]}


_SAMPLE: JSON = {
    "type": "object",
    "properties": {
        "time": {
            "anyOf": [{"type": "number"}, {"type": "string", "format": "date-time"}, {"type": "null"}],
            "description": "seconds since 1970 or ISO 8601; else now",
        },
        "metrics": _readings("gauge"),
        "counters": _readings("counter"),
    },
    "anyOf": [{"required": ["metrics"]}, {"required": ["counters"]}],
}
_LABELS: JSON = {
    "type": ["object", "null"],
    "propertyNames": {"pattern": f"^{LABEL_NAME.pattern}$"},
    "additionalProperties": {"type": "string", "maxLength": MAX_LABEL_VALUE},
}
_SERVER: JSON = {
    "type": "object",
    "properties": {
        "server": {"type": "string", "pattern": f"^{SERVER_ID.pattern}$"},
        **{name: _or_named({"type": ["string", "null"], "maxLength": n}) for name, n in MAX_ATTRIBUTE.items()},
        "labels": _or_named(_LABELS),
        "samples": {"type": "array", "items": _or_named(_SAMPLE)},
    },
    "required": ["server", "samples"],
}
_EXAMPLE = {"server": "web-01", "role": "web", "samples": [{"metrics": {"cpu_utilization": 12.5, "load_1m": 0.4}}]}
INGEST: JSON = {
    "examples": [_EXAMPLE],
    "anyOf": [
        _SERVER | {"title": "one server", "properties": _SERVER["properties"] | {"servers": False}},
        {
            "title": "many servers, of which at least one can be read",
            "type": "object",
            "properties": {
                "servers": {
                    "type": "array",
                    "description": f"at most {MAX_SERVERS}",
                    "anyOf": [{"maxItems": 0}, {"contains": _SERVER}],
                }
            },
            "required": ["servers"],
        },
    ],
}

_INTEGER: JSON = {"anyOf": [{"type": "integer"}, {"type": "string", "pattern": "^-?[0-9]{1,18}$"}, {"type": "null"}]}


def _list(item: JSON) -> JSON:
    return {"type": ["array", "null"], "items": item}


_ATTRIBUTES = _list(
    {
        "type": "object",
        "properties": {
            "key": {"type": "string"},
            # A value of another kind is none.
            "value": {"type": ["object", "null"], "anyOf": [{"properties": {"stringValue": {"type": "string"}}}, {}]},
        },
        "required": ["key"],
    }
)
_POINTS: JSON = {
    "type": ["object", "null"],
    "properties": {
        "dataPoints": _list(
            {
                "type": "object",
                "properties": {
                    "attributes": _ATTRIBUTES,
                    "startTimeUnixNano": _INTEGER,
                    "timeUnixNano": _INTEGER,
                    "asDouble": {"type": "number"},
                    "flags": {"type": "integer", "minimum": 0, "maximum": 2**32 - 1},
                },
            }
        ),
        "aggregationTemporality": {"enum": [1, 2]},
        "isMonotonic": {"type": "boolean"},
    },
}
_METRIC: JSON = {
    "anyOf": [
        {
            "type": "object",
            "properties": {
                "name": {"enum": sorted({s.name for part in PARTS.values() for s in part.otel})},
                "gauge": _POINTS,
                "sum": _POINTS,
            },
            "required": ["name"],
        },
        {"type": "object", "description": "others are skipped, whatever is in them"},
    ]
}
# As https://opentelemetry.io/docs/specs/otlp/#json-protobuf-encoding maps it; fields not named here are skipped.
OTLP: JSON = {
    "type": "object",
    "properties": {
        "resourceMetrics": _list(
            {
                "type": "object",
                "properties": {
                    "resource": {"type": ["object", "null"], "properties": {"attributes": _ATTRIBUTES}},
                    "scopeMetrics": _list({"type": "object", "properties": {"metrics": _list(_METRIC)}}),
                },
            }
        )
    },
}

_PROTOBUF = "application/x-protobuf"
_OCTETS: JSON = {"type": "string", "format": "binary"}
_SNAPPY = {"name": "Content-Encoding", "in": "header", "required": True, "schema": {"const": "snappy"}}
# Of a whole operation, as OpenAPI has it.
WRITE: JSON = {
    "parameters": [_SNAPPY],
    "requestBody": {"required": True, "content": {_PROTOBUF: {"schema": _OCTETS}}},
}
METRICS: JSON = {
    "requestBody": {
        "required": True,
        "content": {_PROTOBUF: {"schema": _OCTETS}, "application/json": {"schema": OTLP}},
    }
}
METRICS_ANSWER: dict[int | str, JSON] = {200: {"content": {_PROTOBUF: {"schema": _OCTETS}}}}
