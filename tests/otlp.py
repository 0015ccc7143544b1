"""OTLP bodies made by hand, in both encodings, by OpenTelemetry's own generated messages."""

import json
import math
from typing import Any

from google.protobuf import json_format
from openmanager.sources.otlp_wire import Encoding
from opentelemetry.proto.collector.metrics.v1.metrics_service_pb2 import ExportMetricsServiceRequest

PROTOBUF: Encoding = "application/x-protobuf"
JSON: Encoding = "application/json"
HOST = {"host.name": "web-01"}


def attributes(pairs: dict[str, Any]) -> list[dict[str, Any]]:
    kinds = {str: "stringValue", bool: "boolValue", int: "intValue", float: "doubleValue"}
    return [
        {"key": key, "value": {kinds[type(value)]: str(value) if type(value) is int else value}}
        for key, value in pairs.items()
    ]


def point(value: float, time_ms: int, start_ms: int = 0, **more: Any) -> dict[str, Any]:
    """A data point; `attrs` are its attributes, anything else goes in as it is."""
    known: dict[str, Any] = {"asInt": str(value)} if isinstance(value, int) else {"asDouble": value}
    if not math.isfinite(value):
        known = {"asDouble": {"nan": "NaN", "inf": "Infinity", "-inf": "-Infinity"}[repr(value)]}
    found = {"timeUnixNano": str(time_ms * 1_000_000), **known}
    if start_ms:
        found["startTimeUnixNano"] = str(start_ms * 1_000_000)
    return found | {"attributes": attributes(more.pop("attrs", {}))} | more


def gauge(name: str, *points: dict[str, Any]) -> dict[str, Any]:
    return {"name": name, "gauge": {"dataPoints": list(points)}}


def counter(name: str, *points: dict[str, Any], delta: bool = False, monotonic: bool = True) -> dict[str, Any]:
    temporality = 1 if delta else 2
    data = {"dataPoints": list(points), "aggregationTemporality": temporality, "isMonotonic": monotonic}
    return {"name": name, "sum": data}


def document(*metrics: dict[str, Any], resource: dict[str, Any] = HOST) -> dict[str, Any]:
    return {
        "resourceMetrics": [
            {"resource": {"attributes": attributes(resource)}, "scopeMetrics": [{"metrics": list(metrics)}]}
        ]
    }


def encoded(body: dict[str, Any], encoding: Encoding) -> bytes:
    if encoding == JSON:
        return json.dumps(body).encode()
    octets: bytes = json_format.ParseDict(body, ExportMetricsServiceRequest()).SerializeToString()
    return octets
