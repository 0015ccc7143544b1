"""OpenTelemetry: host metrics by the semantic conventions, from a Collector or an SDK.

Counters that are sent as differences (delta temporality) cannot be added up without a memory of what came before, which
ingest has not. A difference over its interval is a rate, though, and is kept as that: `cpu_idle_total/0` as the counter
would be becomes `cpu_idle/0`, per second. A level sent as differences says nothing by itself and is rejected.
"""

from collections import Counter, defaultdict
from typing import NamedTuple

from openmanager.catalog import ENVIRONMENTS, PARTS
from openmanager.errors import PayloadTooLarge
from openmanager.sources import otlp_wire
from openmanager.sources.limits import (
    MAX_CELLS,
    MAX_SAMPLES,
    Parsed,
    Rejection,
    push_of,
    time_refusal,
    value_refusal,
)
from openmanager.sources.naming import add_attribute, counts, server_id
from openmanager.sources.otlp_wire import Encoding, Metric, Point, Resource
from openmanager.suppliers import IGNORED_FILESYSTEMS, OTEL_ATTRIBUTES, OtelSeries
from openmanager.telemetry.samples import LABEL_PREFIX

_SERVER = ("host.name", "host.id", "service.instance.id")
_UNNAMED = f"its resource has none of {', '.join(_SERVER)}"
# Resource attributes that become a server's; of several for one, the first that is there.
_RESOURCE = {
    "host.name": "hostname",
    "role": "role",
    "cloud.provider": "environment",
    "deployment.environment.name": "stage",
    "deployment.environment": "stage",
    "service.name": LABEL_PREFIX + "service",
    "k8s.cluster.name": LABEL_PREFIX + "cluster",
    "cloud.region": LABEL_PREFIX + "region",
    "cloud.availability_zone": LABEL_PREFIX + "zone",
}
# Where this one is nought in every state, its sender has not measured yet.
_UTILIZATION = "system.cpu.utilization"
# An SDK's first and last differences may span microseconds; as rates they would outweigh whole minutes.
_SHORTEST_S = 0.5
_NAMED = 5
_MAX_REASON = 200


class _Target(NamedTuple):
    """What a metric is to us: the values of `part`, as `supplier` says."""

    part: str
    supplier: OtelSeries


def _targets() -> dict[str, list[_Target]]:
    targets: dict[str, list[_Target]] = defaultdict(list)
    for part in PARTS.values():
        for supplier in part.otel:
            targets[supplier.name].append(_Target(part.key, supplier))
    return dict(targets)


_TARGETS = _targets()


class _Body:
    """What has been gathered from one body."""

    def __init__(self, now_ms: int) -> None:
        self.now_ms = now_ms
        self.points: dict[str, list[tuple[str, int, float]]] = defaultdict(list)
        self.attributes: dict[str, dict[str, str]] = defaultdict(dict)
        self.rejected: Counter[tuple[str, str]] = Counter()
        self.ignored = 0
        self.seen = 0

    def add(self, resource: Resource) -> None:
        self.ignored += resource.others
        name = next((value for key in _SERVER if (value := resource.attributes.get(key))), "")
        server = server_id(name)
        sent = {metric.name for metric in resource.metrics}
        for metric in resource.metrics:
            targets = [t for t in _TARGETS[metric.name] if t.supplier.unless not in sent]
            points = metric.points()
            if metric.name == _UTILIZATION:
                known = list(points)
                points = iter(known if any(p.value > 0 for p in known) else ())
            for point in points:
                self.seen += 1
                if self.seen > MAX_SAMPLES:
                    raise PayloadTooLarge(f"the body has more than {MAX_SAMPLES} data points; send less at once")
                found = _match(targets, point.attributes)
                if found is None:
                    self.ignored += 1
                elif server is None:
                    self.rejected[metric.name, _UNNAMED] += 1
                else:
                    self._take(server, metric, point, *found)
        if server in self.points:
            for key, attribute in _RESOURCE.items():
                add_attribute(self.attributes[server], attribute, _attribute(key, resource.attributes.get(key, "")))

    def _take(self, server: str, metric: Metric, point: Point, target: _Target, instance: str) -> None:
        part, value = target.part, point.value
        if value != value:
            return
        value = value * target.supplier.scale + target.supplier.offset
        time_ms = point.time_ns // 1_000_000
        reason = time_refusal(time_ms, self.now_ms)
        if reason is None and (is_counter := PARTS[part].kind == "counter") != (metric.form != "gauge"):
            # An up-down counter that is cumulative is a level, and as good as a gauge.
            if is_counter:
                reason = "is a gauge, where a counter was to be expected"
            elif metric.form == "delta":
                reason = "is a level sent as differences, which do not add up to it; send it cumulative"
        elif reason is None and metric.form == "delta":
            seconds = (point.time_ns - point.start_ns) / 1e9
            if not point.start_ns or seconds <= 0:
                reason = "is a difference without the interval over which it arose"
            elif seconds < _SHORTEST_S:
                reason = f"is a difference over less than {_SHORTEST_S:g} s, too short for a rate"
            else:
                part, value = part.removesuffix("_total"), value / seconds
        reason = reason or value_refusal(part, value)
        if reason:
            self.rejected[f"{server} {metric.name}", reason] += 1
        else:
            self.points[server].append((f"{part}/{instance}" if instance else part, time_ms, value))


def parse(body: bytes, encoding: Encoding, now_ms: int) -> Parsed:
    """The pushes in a body. Raises InvalidInput if it is damaged, PayloadTooLarge if it is out of bounds.

    Metrics and points that are none of ours are counted as `ignored`; a point without a value is no sample; one
    outside the bounds is rejected.
    """
    gathered = _Body(now_ms)
    for resource in otlp_wire.read(body, encoding, _TARGETS):
        gathered.add(resource)
    pushes, cells = [], MAX_CELLS
    for server, rows in gathered.points.items():
        push, cells = push_of(server, rows, gathered.attributes[server], cells)
        pushes.append(push)
    return Parsed(
        pushes,
        sum(len(rows) for rows in gathered.points.values()),
        [Rejection(place, reason, count) for (place, reason), count in gathered.rejected.items()],
        gathered.ignored,
    )


def answer(parsed: Parsed, encoding: Encoding) -> bytes:
    """The response that says what was rejected and, of the first few, why."""
    reasons = [f"{r.field}: {r.reason} ({r.count})"[:_MAX_REASON] for r in parsed.rejected[:_NAMED]]
    if len(parsed.rejected) > _NAMED:
        reasons.append(f"and {len(parsed.rejected) - _NAMED} more")
    return otlp_wire.answer(encoding, parsed.rejected_count, "; ".join(reasons))


def _match(targets: list[_Target], sent: dict[str, str]) -> tuple[_Target, str] | None:
    """The target whose conditions these attributes meet, and the instance; None if the point is none of ours."""
    attributes = {OTEL_ATTRIBUTES[name]: value for name, value in sent.items() if name in OTEL_ATTRIBUTES}
    for target in targets:
        supplier = target.supplier
        if any(attributes.get(name, "").lower() not in allowed for name, allowed in supplier.where.items()):
            continue
        if supplier.instance is None:
            return target, ""
        instance = attributes.get(supplier.instance, "")
        if supplier.optional and not instance:
            return target, ""
        if supplier.instance == "mountpoint" and attributes.get("type") in IGNORED_FILESYSTEMS:
            return None
        if counts(target.part, instance):
            return target, instance
    return None


def _attribute(key: str, value: str) -> str:
    # Other clouds than those we know are no environment of ours.
    return "" if key == "cloud.provider" and value not in ENVIRONMENTS else value
