"""Prometheus: the series of node_exporter in a remote write, from a sender that is not ours.

A sender cuts a scrape anywhere between two requests, so nothing is combined here: the raw series of
node_exporter that the catalogue names become parts of it, and are folded when read. Recording rules may also
send finished metrics as `openmanager_<metric>`.
"""

from collections import Counter, defaultdict
from collections.abc import Sequence
from typing import Any, NamedTuple

from openmanager.catalog import METRIC_KEYS, PARTS
from openmanager.errors import PayloadTooLarge
from openmanager.sources import remote_write
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
from openmanager.suppliers import IGNORED_FILESYSTEMS
from openmanager.telemetry.samples import LABEL_PREFIX

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


def _targets() -> dict[str, list[_Target]]:
    targets: dict[str, list[_Target]] = defaultdict(list)
    for part in PARTS.values():
        if node := part.node:
            targets[node.name].append(_Target(part.key, node.instance, node.where, node.scale))
    for key in METRIC_KEYS:
        targets[OWN_PREFIX + key] = [_Target(key, None, {}, 1.0)]
    return dict(targets)


_TARGETS = _targets()
_WANTED = frozenset({*_TARGETS, _INFO})


def parse(body: bytes, now_ms: int, version: int = 1) -> Parsed:
    """The pushes in a body of remote write 1.0 or 2.0. Raises InvalidInput if damaged, PayloadTooLarge if too much.

    A body of metadata only is fine and holds no push. Series that are none of ours are counted as `ignored`;
    a sample that is NaN (such as the mark of a series' end) is no sample; one outside the bounds is rejected.
    """
    points: dict[str, list[tuple[str, int, float]]] = defaultdict(list)
    attributes: dict[str, dict[str, str]] = defaultdict(dict)
    rejected: Counter[tuple[str, str]] = Counter()
    ignored = seen = 0
    for name, labels, samples in remote_write.read(body, version, _WANTED):
        if not labels:
            ignored += 1
            continue
        targets = _TARGETS.get(name)
        server = _server(labels)
        seen += len(samples)
        if seen > MAX_SAMPLES:
            raise PayloadTooLarge(f"the body has more than {MAX_SAMPLES} samples; send less at once")
        if server is None:
            if samples:
                rejected[name, "has neither a host nor an instance label"] += len(samples)
            continue
        if targets is None:
            add_attribute(attributes[server], "hostname", labels.get("nodename", ""))
            continue
        target, instance = _match(targets, labels)
        if target is None:
            ignored += 1
            continue
        if server not in points:
            for label, attribute in _ATTRIBUTE_LABELS.items():
                add_attribute(attributes[server], attribute, labels.get(label, ""))
        _take(samples, target, instance, server, now_ms, points[server], rejected)
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


def refusal(parsed: Parsed) -> dict[str, str]:
    """What the sender is told of samples that were left out, as `field` and `detail`; empty if there were none.

    A sender logs one line and does not come back with these, so the first reason stands for all.
    """
    if not parsed.rejected:
        return {}
    first = parsed.rejected[0]
    detail = f"{first.field}: {first.reason} ({parsed.rejected_count} samples rejected in all, the others are stored)"
    return {"field": first.field, "detail": detail}


def _server(labels: dict[str, str]) -> str | None:
    """The server that a series is about: its `host`, else its `instance` without node_exporter's own port."""
    return server_id(labels.get("host") or labels.get("instance", "").removesuffix(":" + NODE_EXPORTER_PORT))


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
        if counts(target.part, instance):
            return target, instance
    return None, ""


def _take(
    samples: Sequence[Any],
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
