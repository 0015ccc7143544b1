"""Our own JSON: what the agents send, and small enough to write by hand.

    {"server": "web-01", "role": "web", "labels": {"rack": "b4"},
     "samples": [{"time": 1764000000.5, "metrics": {"cpu_utilization": 41.5},
                  "counters": {"network_receive_bytes/eth0": 118208}}]}

or `{"servers": [...]}` with many of these. `metrics` are instantaneous values of catalogue metrics or gauge
parts, `counters` cumulative values of counter parts, with or without `_total`; a key may end in `/instance`.
"""

from dataclasses import asdict, field
from datetime import UTC, datetime
from difflib import get_close_matches
from functools import lru_cache
from typing import Any

from openmanager.catalog import PARTS, Kind
from openmanager.errors import InvalidInput, PayloadTooLarge
from openmanager.json_body import json_object
from openmanager.names import SERVER_ID, SERVER_ID_RULE
from openmanager.sources.limits import (
    LABEL_NAME,
    MAX_ATTRIBUTE,
    MAX_CELLS,
    MAX_INSTANCE_LENGTH,
    MAX_LABEL_VALUE,
    MAX_LABELS,
    MAX_SAMPLES,
    Parsed,
    Rejection,
    push_of,
    time_refusal,
    value_refusal,
)
from openmanager.telemetry.samples import LABEL_PREFIX
from openmanager.values import mutable

MAX_NAMED = 100
MAX_SERVERS = 10_000
_UNKNOWN = "unknown metric"

_GAUGES = {key: key for key, part in PARTS.items() if part.kind == "gauge"}
_COUNTERS = {
    name: key for key, part in PARTS.items() if part.kind == "counter" for name in (key, key.removesuffix("_total"))
}
_NAMES: dict[Kind, dict[str, str]] = {"gauge": _GAUGES, "counter": _COUNTERS}


@mutable
class _Server:
    """What has been gathered about one server, which may occur more than once in a body."""

    attributes: dict[str, str] = field(default_factory=dict)
    points: list[tuple[str, int, float]] = field(default_factory=list)


def parse(body: bytes, now_ms: int) -> Parsed:
    """The pushes in a body. Raises InvalidInput where it is not of the shape above.

    A sample, attribute or server that cannot be taken is reported in `rejected` and does not sink the others;
    only when no server at all could be read is the first fault raised.
    """
    entries, prefix = _entries(body)
    servers: dict[str, _Server] = {}
    rejected: list[Rejection] = []
    faults: list[InvalidInput] = []
    for i, entry in enumerate(entries):
        path = prefix.format(i)
        try:
            name, samples = _server_and_samples(entry, path)
        except InvalidInput as fault:
            faults.append(fault)
            continue
        server = servers.setdefault(name, _Server())
        server.attributes.update(_attributes(entry, path, rejected))
        for j, sample in enumerate(samples):
            if len(rejected) > MAX_SAMPLES:
                raise PayloadTooLarge(f"the body has more than {MAX_SAMPLES} faults; send less at once")
            _take(sample, f"{path}samples[{j}]", now_ms, server.points, rejected)
    if faults and not servers:
        raise faults[0]
    rejected += [Rejection(fault.field, fault.reason) for fault in faults]
    pushes, cells = [], MAX_CELLS
    for name, server in servers.items():
        push, cells = push_of(name, server.points, server.attributes, cells)
        pushes.append(push)
    return Parsed(pushes, sum(len(s.points) for s in servers.values()), rejected)


def answer(parsed: Parsed) -> dict[str, Any]:
    """What the sender is told: how much was taken, and the first of what was not."""
    return {
        "accepted": parsed.accepted,
        "rejected": [asdict(r) for r in parsed.rejected[:MAX_NAMED]],
        "rejected_count": parsed.rejected_count,
    }


def _entries(body: bytes) -> tuple[list[Any], str]:
    """The server objects in a body, and the pattern of their path."""
    document = json_object(body)
    if "servers" not in document:
        return [document], ""
    if not isinstance(document["servers"], list):
        raise InvalidInput("servers", "must be a list")
    if len(document["servers"]) > MAX_SERVERS:
        raise PayloadTooLarge(f"the body has more than {MAX_SERVERS} servers; send less at once")
    return document["servers"], "servers[{}]."


def _server_and_samples(entry: Any, path: str) -> tuple[str, list[Any]]:
    if not isinstance(entry, dict):
        raise InvalidInput(path.rstrip("."), "must be an object")
    name = entry.get("server")
    if not isinstance(name, str) or not SERVER_ID.fullmatch(name):
        raise InvalidInput(f"{path}server", SERVER_ID_RULE)
    samples = entry.get("samples")
    if not isinstance(samples, list):
        raise InvalidInput(f"{path}samples", "must be a list")
    return name, samples


def _attributes(entry: dict[str, Any], path: str, rejected: list[Rejection]) -> dict[str, str]:
    found: dict[str, str] = {}
    for name, longest in MAX_ATTRIBUTE.items():
        value = entry.get(name)
        if value is None or value == "":
            continue
        if refusal := _text_refusal(value, longest):
            rejected.append(Rejection(f"{path}{name}", refusal))
        else:
            found[name] = value
    reason: str | None
    labels = entry.get("labels") or {}
    if not isinstance(labels, dict):
        rejected.append(Rejection(f"{path}labels", "must be an object"))
        return found
    for i, (name, value) in enumerate(labels.items()):
        if i >= MAX_LABELS:
            rejected.append(Rejection(f"{path}labels", f"only the first {MAX_LABELS} are kept"))
            break
        if not LABEL_NAME.fullmatch(name):
            reason = "a label's name must be 1 to 64 letters, digits and _ . -"
        else:
            reason = _text_refusal(value, MAX_LABEL_VALUE)
        if reason:
            rejected.append(Rejection(f"{path}labels.{_shown(name)}", reason))
        else:
            found[LABEL_PREFIX + name] = value
    return found


def _take(sample: Any, path: str, now_ms: int, points: list[tuple[str, int, float]], rejected: list[Rejection]) -> None:
    """Append what is usable in one sample to `points` and say in `rejected` what is not."""
    if not isinstance(sample, dict):
        rejected.append(Rejection(path, "must be an object"))
        return
    try:
        time_ms = _time_ms(sample.get("time"), now_ms)
    except ValueError as fault:
        rejected.append(Rejection(f"{path}.time", str(fault)))
        return
    if "metrics" not in sample and "counters" not in sample:
        rejected.append(Rejection(path, "has neither metrics nor counters"))
    groups: tuple[tuple[str, Kind], ...] = (("metrics", "gauge"), ("counters", "counter"))
    for group, kind in groups:
        values = sample.get(group)
        if values is None:
            continue
        if not isinstance(values, dict):
            rejected.append(Rejection(f"{path}.{group}", "must be an object"))
            continue
        if len(points) + len(rejected) + len(values) > MAX_SAMPLES:
            raise PayloadTooLarge(f"the body has more than {MAX_SAMPLES} values; send less at once")
        for key, value in values.items():
            if value is None:  # how many senders write "no reading"
                continue
            series, reason = _series(key, kind)
            reason = reason or _value_refusal(series, value)
            if reason:
                # Looking for what was meant takes a thousand times as long as seeing that it is not there.
                if reason is _UNKNOWN and len(rejected) < MAX_NAMED:
                    reason = _unknown(key.partition("/")[0], kind)
                rejected.append(Rejection(f"{path}.{group}.{_shown(key)}", reason))
            else:
                points.append((series, time_ms, float(value)))


def _time_ms(time: Any, now_ms: int) -> int:
    """Milliseconds from seconds since 1970 or ISO 8601 text (UTC unless it says otherwise), or ValueError."""
    if time is None:
        return now_ms
    if isinstance(time, str):
        try:
            moment = datetime.fromisoformat(time)
            time_ms = (moment if moment.tzinfo else moment.replace(tzinfo=UTC)).timestamp() * 1000
        except (ValueError, OverflowError):
            raise ValueError("is not an ISO 8601 time") from None
    elif isinstance(time, int | float) and not isinstance(time, bool) and abs(time) < 1e12:
        time_ms = time * 1000
    else:
        raise ValueError("must be seconds since 1970 (not milliseconds) or an ISO 8601 time")
    if reason := time_refusal(time_ms, now_ms):
        raise ValueError(reason)
    return round(time_ms)


# Remembered, because a fleet sends the same few hundred keys for ever.
@lru_cache(maxsize=4096)
def _series(key: str, kind: Kind) -> tuple[str, str | None]:
    """(series name, None), or ("", why there is no such series)."""
    name, slash, instance = key.partition("/")
    part = _NAMES[kind].get(name)
    if part is None:
        return "", _UNKNOWN
    if slash and not instance:
        return "", "has an empty instance after the slash"
    if reason := _text_refusal(instance, MAX_INSTANCE_LENGTH):
        return "", f"its instance {reason}"
    return part + slash + instance, None


def _unknown(name: str, kind: Kind) -> str:
    other: Kind = "counter" if kind == "gauge" else "gauge"
    if name in _NAMES[other]:
        return f"is a {other} and belongs under {'counters' if other == 'counter' else 'metrics'}"
    near = get_close_matches(name[:64], _NAMES[kind], n=1)
    return _UNKNOWN + (f"; did you mean {near[0]}?" if near else "")


def _value_refusal(series: str, value: Any) -> str | None:
    if not isinstance(value, int | float) or isinstance(value, bool):
        return "must be a number"
    return value_refusal(series.partition("/")[0], value)


def _text_refusal(value: Any, longest: int) -> str | None:
    if not isinstance(value, str):
        return "must be text"
    if len(value) > longest:
        return f"is longer than {longest} characters"
    # Also refuses lone surrogates, which JSON can spell and UTF-8 cannot.
    return None if value.isprintable() else "has characters that cannot be printed"


def _shown(key: str) -> str:
    """A sender's key as it may be repeated in an answer."""
    return ascii(key[:64])[1:-1]
