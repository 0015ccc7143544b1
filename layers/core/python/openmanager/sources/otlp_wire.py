"""The wire of OTLP metrics: an `ExportMetricsServiceRequest` in protobuf or JSON, read point by point.

Only sums and gauges are read, and only those that somebody wants; what else a body holds (histograms, exemplars,
fields we do not know) is skipped. JSON is as OTLP maps it: camelCase, 64-bit integers as text, enums as numbers.
"""

import json
import re
from collections.abc import Callable, Container, Iterator
from dataclasses import field
from typing import Any, Literal, NamedTuple

from openmanager.errors import InvalidInput, PayloadTooLarge, UnsupportedMediaType
from openmanager.json_body import json_object
from openmanager.sources import wire
from openmanager.values import frozen, mutable

Encoding = Literal["application/x-protobuf", "application/json"]
Form = Literal["gauge", "cumulative", "delta"]

# Resources, scopes and metrics together.
MAX_METRICS = 100_000
_DELTA, _CUMULATIVE = 1, 2
_NO_VALUE = 1

_of = wire.messages(
    "otlp",
    {
        "ExportMetricsServiceRequest": {"resource_metrics": (1, "bytes*")},
        "ResourceMetrics": {"resource": (1, "bytes"), "scope_metrics": (2, "bytes*")},
        "Resource": {"attributes": (1, "KeyValue*")},
        "KeyValue": {"key": (1, "string"), "value": (2, "AnyValue")},
        "AnyValue": {
            "string_value": (1, "string?"),
            "bool_value": (2, "bool?"),
            "int_value": (3, "int64?"),
            "double_value": (4, "double?"),
        },
        "ScopeMetrics": {"metrics": (2, "bytes*")},
        "Metric": {"name": (1, "string"), "gauge": (5, "Gauge"), "sum": (7, "Sum")},
        "Gauge": {"data_points": (1, "bytes*")},
        "Sum": {"data_points": (1, "bytes*"), "aggregation_temporality": (2, "int32"), "is_monotonic": (3, "bool")},
        "NumberDataPoint": {
            "start_time_unix_nano": (2, "fixed64"),
            "time_unix_nano": (3, "fixed64"),
            "as_double": (4, "double?"),
            "as_int": (6, "sfixed64?"),
            "attributes": (7, "KeyValue*"),
            "flags": (8, "uint32"),
        },
        "ExportMetricsServiceResponse": {"partial_success": (1, "PartialSuccess")},
        "PartialSuccess": {"rejected_data_points": (1, "int64"), "error_message": (2, "string")},
    },
)


class Point(NamedTuple):
    """A data point. `value` is NaN where nothing was recorded."""

    attributes: dict[str, str]
    start_ns: int
    time_ns: int
    value: float


@frozen
class Metric:
    """A sum or a gauge with its points, which are decoded as they are read."""

    name: str
    form: Form
    monotonic: bool
    points: Callable[[], Iterator[Point]]


@mutable
class Resource:
    """What one source reports; `others` counts the metrics that nobody wanted."""

    attributes: dict[str, str]
    metrics: list[Metric] = field(default_factory=list)
    others: int = 0


def encoding_of(content_type: str) -> Encoding:
    """The encoding that a Content-Type names. Raises UnsupportedMediaType."""
    kind = content_type.partition(";")[0].strip().lower()
    if kind == "application/json":
        return "application/json"
    if kind == "application/x-protobuf":
        return "application/x-protobuf"
    raise UnsupportedMediaType(
        f"Content-Type: {content_type[:128]!r} is not OTLP; send application/x-protobuf or application/json"
    )


def read(body: bytes, encoding: Encoding, wanted: Container[str]) -> Iterator[Resource]:
    """The resources in a body. Raises InvalidInput where it is damaged, PayloadTooLarge if it is out of bounds."""
    return _read_json(body, wanted) if encoding == "application/json" else _read_protobuf(body, wanted)


def answer(encoding: Encoding, rejected: int, message: str) -> bytes:
    """An `ExportMetricsServiceResponse`; without a partial success where there is nothing to tell."""
    told = bool(rejected or message)
    if encoding == "application/json":
        partial = {"rejectedDataPoints": str(rejected), "errorMessage": message}
        return json.dumps({"partialSuccess": partial} if told else {}).encode()
    response = _of["ExportMetricsServiceResponse"]()
    if told:
        response.partial_success.rejected_data_points = rejected
        response.partial_success.error_message = message
    return bytes(response.SerializeToString())


# Protobuf


def _read_protobuf(body: bytes, wanted: Container[str]) -> Iterator[Resource]:
    request = wire.decode(_of["ExportMetricsServiceRequest"], body, "body", "ExportMetricsServiceRequest")
    seen = _count(0, len(request.resource_metrics))
    for i, encoded in enumerate(request.resource_metrics):
        # These two hold nothing but octets until what is in them is decoded, so their size is no matter.
        group = wire.decode(_of["ResourceMetrics"], encoded, f"resourceMetrics[{i}]", "ResourceMetrics")
        (described,) = wire.decode_each(_of["Resource"], [group.resource], f"resourceMetrics[{i}].resource", "Resource")
        resource = Resource(_attributes(described.attributes))
        seen = _count(seen, len(group.scope_metrics))
        for j, scope in enumerate(group.scope_metrics):
            path = f"resourceMetrics[{i}].scopeMetrics[{j}]"
            metrics = wire.decode(_of["ScopeMetrics"], scope, path, "ScopeMetrics").metrics
            seen = _count(seen, len(metrics))
            for k, metric in enumerate(metrics):
                _add(resource, wire.decode(_of["Metric"], metric, f"{path}.metrics[{k}]", "Metric"), path, k, wanted)
        yield resource


def _add(resource: Resource, metric: Any, path: str, k: int, wanted: Container[str]) -> None:
    form: Form | None = None
    if metric.name in wanted:
        form = _form(metric.HasField("gauge"), metric.HasField("sum"), metric.sum.aggregation_temporality)
    if form is None:
        resource.others += 1
        return
    points = metric.gauge.data_points if form == "gauge" else metric.sum.data_points

    def decoded() -> Iterator[Point]:
        place = f"{path}.metrics[{k}].dataPoints"
        for point in wire.decode_each(_of["NumberDataPoint"], points, place, "NumberDataPoint"):
            value = float("nan")
            if not point.flags & _NO_VALUE:
                if point.HasField("as_int"):
                    value = float(point.as_int)
                elif point.HasField("as_double"):
                    value = point.as_double
            yield Point(_attributes(point.attributes), point.start_time_unix_nano, point.time_unix_nano, value)

    resource.metrics.append(Metric(metric.name, form, metric.sum.is_monotonic, decoded))


def _attributes(pairs: Any) -> dict[str, str]:
    found = {}
    for pair in pairs:
        value = pair.value
        # By far the most common first.
        if value.string_value:
            found[pair.key] = value.string_value
        elif value.HasField("int_value"):
            found[pair.key] = str(value.int_value)
        elif value.HasField("bool_value"):
            found[pair.key] = str(value.bool_value).lower()
        elif value.HasField("double_value"):
            found[pair.key] = repr(value.double_value)
    return found


def _form(gauge: bool, sum_: bool, temporality: int) -> Form | None:
    if gauge:
        return "gauge"
    if sum_ and temporality == _CUMULATIVE:
        return "cumulative"
    return "delta" if sum_ and temporality == _DELTA else None


def _count(seen: int, more: int) -> int:
    if seen + more > MAX_METRICS:
        raise PayloadTooLarge(f"the body has more than {MAX_METRICS} resources, scopes and metrics; send less at once")
    return seen + more


# JSON


def _read_json(body: bytes, wanted: Container[str]) -> Iterator[Resource]:
    document = json_object(body)
    seen = 0
    for path, group in _objects(document, "resourceMetrics", ""):
        seen = _count(seen, 1)
        resource = Resource(_json_attributes(_object(group, "resource", path), f"{path}.resource"))
        for scope_path, scope in _objects(group, "scopeMetrics", f"{path}."):
            seen = _count(seen, 1)
            for metric_path, metric in _objects(scope, "metrics", f"{scope_path}."):
                seen = _count(seen, 1)
                _add_json(resource, metric, metric_path, wanted)
        yield resource


def _add_json(resource: Resource, metric: dict[str, Any], path: str, wanted: Container[str]) -> None:
    name = metric.get("name")
    form: Form | None = None
    data: dict[str, Any] = {}
    if isinstance(name, str) and name in wanted:
        sum_ = _object(metric, "sum", path)
        temporality = _integer(sum_, "aggregationTemporality", f"{path}.sum")
        form = _form("gauge" in metric, "sum" in metric, temporality)
        data = _object(metric, "gauge", path) if form == "gauge" else sum_
    if form is None:
        resource.others += 1
        return
    place = f"{path}.{'gauge' if form == 'gauge' else 'sum'}."

    def decoded() -> Iterator[Point]:
        for at, point in _objects(data, "dataPoints", place):
            value = float("nan")
            if not _integer(point, "flags", at) & _NO_VALUE:
                value = _number(point, "asInt" if "asInt" in point else "asDouble", at)
            start = _integer(point, "startTimeUnixNano", at)
            yield Point(_json_attributes(point, at), start, _integer(point, "timeUnixNano", at), value)

    resource.metrics.append(Metric(str(name), form, data.get("isMonotonic") is True, decoded))


def _json_attributes(holder: dict[str, Any], path: str) -> dict[str, str]:
    found = {}
    for at, pair in _objects(holder, "attributes", f"{path}."):
        key, value = pair.get("key"), _object(pair, "value", at)
        if not isinstance(key, str):
            raise InvalidInput(f"{at}.key", "must be text")
        for kind in ("stringValue", "intValue", "doubleValue"):
            if isinstance(value.get(kind), str | int | float):
                found[key] = str(value[kind])
        if isinstance(value.get("boolValue"), bool):
            found[key] = str(value["boolValue"]).lower()
    return found


def _object(holder: dict[str, Any], name: str, path: str) -> dict[str, Any]:
    value = holder.get(name)
    if value is None:
        return {}
    if not isinstance(value, dict):
        raise InvalidInput(f"{path}.{name}", "must be an object")
    return value


def _objects(holder: dict[str, Any], name: str, prefix: str) -> Iterator[tuple[str, dict[str, Any]]]:
    values = holder.get(name)
    if values is None:
        return
    if not isinstance(values, list):
        raise InvalidInput(f"{prefix}{name}", "must be a list")
    for i, value in enumerate(values):
        if not isinstance(value, dict):
            raise InvalidInput(f"{prefix}{name}[{i}]", "must be an object")
        yield f"{prefix}{name}[{i}]", value


def _integer(holder: dict[str, Any], name: str, path: str) -> int:
    """A 64-bit integer, which may come as text; 0 where it is absent."""
    value = holder.get(name, 0)
    if isinstance(value, str) and re.fullmatch("-?[0-9]{1,20}", value):
        value = int(value)
    if value is None:
        return 0
    if not isinstance(value, int) or isinstance(value, bool) or not -(2**63) <= value < 2**64:
        raise InvalidInput(f"{path}.{name}", "must be a 64-bit integer, as a number or as text")
    return value


def _number(holder: dict[str, Any], name: str, path: str) -> float:
    """A double or an integer, either of which may come as text; NaN where it is absent."""
    value = holder.get(name)
    if value is None:
        return float("nan")
    try:
        if isinstance(value, bool) or not isinstance(value, str | int | float):
            raise ValueError
        return float(value)
    except (ValueError, OverflowError):
        raise InvalidInput(f"{path}.{name}", "must be a number") from None
