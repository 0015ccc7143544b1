"""Prometheus remote write 1.0: a snappy block of a protobuf `WriteRequest`, from a sender that is not ours.

A sender cuts a scrape anywhere between two requests, so nothing is combined here: the raw series of
node_exporter that the catalogue names become parts of it, and are folded when read. Recording rules may also
send finished metrics as `openmanager_<metric>`.
"""

import re
from collections import Counter, defaultdict
from collections.abc import Iterable
from typing import Any, NamedTuple

import cramjam
from google.protobuf import descriptor_pb2, descriptor_pool, message, message_factory

from openmanager.catalog import IGNORED_DEVICES, IGNORED_FILESYSTEMS, METRIC_KEYS, PARTS
from openmanager.errors import InvalidInput, PayloadTooLarge
from openmanager.sources.limits import (
    MAX_ATTRIBUTE,
    MAX_CELLS,
    MAX_INSTANCE_LENGTH,
    MAX_LABEL_VALUE,
    SERVER_ID,
    Parsed,
    Rejection,
    push_of,
    time_refusal,
    value_refusal,
)
from openmanager.telemetry.samples import LABEL_PREFIX

# 50,000 samples with their labels; Prometheus sends 2,000 at once by default. The bound is this low because
# a body made of empty messages takes up to thirty times its size once it is decoded.
MAX_DECOMPRESSED_BYTES = 8 * 2**20

NODE_EXPORTER_PORT = "9100"
OWN_PREFIX = "openmanager_"
_INFO = "node_uname_info"
# Labels that people put on a target to say what it is, and the attribute that each becomes.
_ATTRIBUTE_LABELS = {
    "role": "role",
    "environment": "environment",
    "env": "environment",
    "stage": "stage",
    **{
        name: LABEL_PREFIX + name
        for name in ("job", "cluster", "region", "zone", "datacenter", "rack", "team", "service")
    },
}


class _Target(NamedTuple):
    """What a series of a sender is to us: the values of `part`, one instance for each value of a label."""

    part: str
    instance: str | None
    where: dict[str, str]
    scale: float
    ignored: tuple[str, ...]


def _targets() -> dict[str, list[_Target]]:
    targets: dict[str, list[_Target]] = defaultdict(list)
    for part in PARTS.values():
        if node := part.node:
            ignored = IGNORED_DEVICES.get(part.key.partition("_")[0], ())
            targets[node.name].append(_Target(part.key, node.instance, node.where, node.scale, ignored))
    for key in METRIC_KEYS:
        targets[OWN_PREFIX + key] = [_Target(key, None, {}, 1.0, ())]
    return dict(targets)


def _write_request() -> Any:
    """The message class of a `WriteRequest`, as far as we read it: metadata (field 3) is skipped."""
    field = descriptor_pb2.FieldDescriptorProto
    layout = {
        "Label": [("name", 1, field.TYPE_STRING, ""), ("value", 2, field.TYPE_STRING, "")],
        "Sample": [("value", 1, field.TYPE_DOUBLE, ""), ("timestamp", 2, field.TYPE_INT64, "")],
        "TimeSeries": [
            ("labels", 1, field.TYPE_MESSAGE, "Label"),
            ("samples", 2, field.TYPE_MESSAGE, "Sample"),
        ],
        "WriteRequest": [("timeseries", 1, field.TYPE_MESSAGE, "TimeSeries")],
    }
    package = "openmanager.remote_write"
    file = descriptor_pb2.FileDescriptorProto(name="remote_write.proto", package=package, syntax="proto3")
    for name, fields in layout.items():
        described = file.message_type.add(name=name)
        for label, number, kind, of in fields:
            described.field.add(
                name=label,
                number=number,
                type=kind,
                label=field.LABEL_REPEATED if of else field.LABEL_OPTIONAL,
                type_name=f".{package}.{of}" if of else None,
            )
    pool = descriptor_pool.DescriptorPool()
    pool.AddSerializedFile(file.SerializeToString())
    return message_factory.GetMessageClass(pool.FindMessageTypeByName(f"{package}.WriteRequest"))


_TARGETS = _targets()
_WriteRequest = _write_request()


def parse(body: bytes, now_ms: int) -> Parsed:
    """The pushes in a body. Raises InvalidInput if it is damaged, PayloadTooLarge if it unpacks too far.

    A body of metadata only is fine and holds no push. Series that are none of ours are counted as `ignored`;
    a sample that is NaN (such as the mark of a series' end) is no sample; one outside the bounds is rejected.
    """
    points: dict[str, list[tuple[str, int, float]]] = defaultdict(list)
    attributes: dict[str, dict[str, str]] = defaultdict(dict)
    rejected: Counter[tuple[str, str]] = Counter()
    ignored = 0
    for series in _decode(body).timeseries:
        # Most series are none of ours, so look at the name, which usually comes first, before the rest.
        name = next((label.value for label in series.labels if label.name == "__name__"), "")
        targets = _TARGETS.get(name)
        if targets is None and name != _INFO:
            ignored += 1
            continue
        labels = {label.name: label.value for label in series.labels}
        server = _server(labels)
        if server is None:
            rejected[name, "has neither a host nor an instance label"] += len(series.samples)
            continue
        if targets is None:
            _add_attribute(attributes[server], "hostname", labels.get("nodename", ""))
            continue
        target, instance = _match(targets, labels)
        if target is None:
            ignored += 1
            continue
        if server not in points:
            for label, attribute in _ATTRIBUTE_LABELS.items():
                _add_attribute(attributes[server], attribute, labels.get(label, ""))
        _take(series.samples, target, instance, server, now_ms, points[server], rejected)
    pushes, cells = [], MAX_CELLS
    for server, rows in points.items():
        if rows:
            push, cells = push_of(server, rows, attributes[server], cells)
            pushes.append(push)
    return Parsed(
        pushes,
        sum(len(rows) for rows in points.values()),
        [Rejection(place, reason, count) for (place, reason), count in rejected.items()],
        ignored,
    )


def _decode(body: bytes) -> Any:
    declared = _declared_length(body)
    if declared > MAX_DECOMPRESSED_BYTES:
        raise PayloadTooLarge(f"the body unpacks to {declared} bytes, more than {MAX_DECOMPRESSED_BYTES}")
    try:
        raw = bytes(cramjam.snappy.decompress_raw(body))
    except (cramjam.DecompressionError, ValueError) as fault:
        raise InvalidInput("body", f"is not a snappy block: {fault}") from None
    try:
        return _WriteRequest.FromString(raw)
    except message.DecodeError:
        raise InvalidInput("body", "is not a protobuf prometheus.WriteRequest") from None


def _declared_length(body: bytes) -> int:
    """The length to which a snappy block says it unpacks: a varint of at most 32 bits at its beginning."""
    length = 0
    for i, byte in enumerate(body[:5]):
        length |= (byte & 0x7F) << (7 * i)
        if byte < 0x80:
            return length
    raise InvalidInput("body", "is not a snappy block: it does not begin with a length")


def _server(labels: dict[str, str]) -> str | None:
    """The server that a series is about: its `host`, else its `instance` without node_exporter's own port."""
    name = labels.get("host") or labels.get("instance", "").removesuffix(":" + NODE_EXPORTER_PORT)
    if SERVER_ID.fullmatch(name):
        return name
    # An IPv6 address comes in brackets, which are no part of it.
    name = re.sub(r"[^A-Za-z0-9._:-]", "-", name.replace("[", "").replace("]", ""))
    return name.lstrip("._:-")[:128] or None


def _match(targets: list[_Target], labels: dict[str, str]) -> tuple[_Target | None, str]:
    """The target whose conditions these labels meet, and the instance; None if the series is none of ours."""
    if labels.get("fstype") in IGNORED_FILESYSTEMS:
        return None, ""
    for target in targets:
        if any(labels.get(name) != value for name, value in target.where.items()):
            continue
        if target.instance is None:
            return target, ""
        instance = labels.get(target.instance, "")
        usable = 0 < len(instance) <= MAX_INSTANCE_LENGTH and instance.isprintable()
        if usable and not instance.startswith(target.ignored):
            return target, instance
    return None, ""


def _take(
    samples: Iterable[Any],
    target: _Target,
    instance: str,
    server: str,
    now_ms: int,
    points: list[tuple[str, int, float]],
    rejected: Counter[tuple[str, str]],
) -> None:
    """Append one series' usable samples to `points`; count the others in `rejected` by place and reason."""
    name = f"{target.part}/{instance}" if instance else target.part
    for sample in samples:
        value = sample.value * target.scale
        if value != value:
            continue
        time_ms = sample.timestamp
        if reason := time_refusal(time_ms, now_ms):
            rejected[server, reason] += 1
        elif reason := value_refusal(target.part, value):
            rejected[f"{server} {name}", reason] += 1
        else:
            points.append((name, time_ms, value))


def _add_attribute(attributes: dict[str, str], name: str, value: str) -> None:
    if value and len(value) <= MAX_ATTRIBUTE.get(name, MAX_LABEL_VALUE) and value.isprintable():
        attributes.setdefault(name, value)
