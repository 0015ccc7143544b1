"""Everything that is known of the fleet and of ourselves now, in Prometheus' text format, for whoever scrapes it.

Servers are as /api/servers has them; counters are sums over all instances of all functions, which write down what they
counted once a minute (openmanager.metering): so one scrape says the same as any other, whichever instance answers.
The format: https://prometheus.io/docs/instrumenting/exposition_formats/
"""

import math
from collections import Counter
from collections.abc import Iterable, Iterator, Mapping, Sequence
from typing import Any, Literal

from openmanager.catalog import METRICS, STATUSES, Metric
from openmanager.stages import BOUNDS_S, STAGES, ages, is_age

CONTENT_TYPE = "text/plain; version=0.0.4; charset=utf-8"
# Unit of the catalogue -> how Prometheus' names end, and how many of the unit are one of Prometheus' base units:
# https://prometheus.io/docs/practices/naming/
_UNITS = {
    "%": ("_ratio", 100),
    "B/s": ("_bytes_per_second", 1),
    "1/s": ("_per_second", 1),
    "ms": ("_seconds", 1000),
    "s": ("_seconds", 1),
}
_SEVERITIES = ("critical", "warning")
# What is counted (meter.QUANTITIES) -> (name, help, how many are one).
_COUNTED = {
    "requests": ("invocations_total", "Invocations of a function.", 1),
    "redis_commands": ("redis_commands_total", "Commands of Redis that a function sent.", 1),
    "log_bytes": ("log_bytes_total", "Octets of a function's log, Lambda's own lines with it.", 1),
    "redis_bytes": ("redis_bytes_total", "Octets between a function and Redis.", 1),
    "postgres_statements": ("postgres_statements_total", "Statements of Postgres that a function sent.", 1),
    "postgres_rows": ("postgres_rows_total", "Rows that Postgres answered or changed for a function.", 1),
    "egress_bytes": ("egress_bytes_total", "Octets of a function's answers.", 1),
    "verdicts": ("verdicts_total", "Minutes of servers that were judged.", 1),
    "anomalies": ("anomalous_verdicts_total", "Judged minutes that were anomalous.", 1),
    "inference_us": ("inference_seconds_total", "Seconds in which models computed.", 1e6),
}

Kind = Literal["gauge", "counter", "histogram"]
Labels = Mapping[str, str]


def exposition(
    servers: Sequence[Mapping[str, Any]],
    alerts: Iterable[Mapping[str, Any]],
    counted: Mapping[str, Mapping[str, int]],
    buckets_ms: Sequence[int],
    version: str,
    objectives: Mapping[str, float] | None = None,
) -> str:
    """The text. `servers` as `fleet.listing` has them, `alerts` as `oncall.standing.open_alerts`.

    `counted` is all that was ever counted, by function and quantity, durations in `buckets_ms` among it; `objectives`
    how old what passes each stage may be, in s.
    """

    def lines() -> Iterator[str]:
        yield from _family("build_info", "gauge", "The version that answers.", [({"version": version}, 1)])
        statuses = Counter(server["status"] for server in servers)
        yield from _family(
            "servers", "gauge", "Servers by status.", [({"status": s}, statuses.get(s, 0)) for s in STATUSES]
        )
        open_ = Counter(alert["severity"] for alert in alerts)
        yield from _family(
            "open_alerts",
            "gauge",
            "Open alerts by severity.",
            [({"severity": s}, open_.get(s, 0)) for s in _SEVERITIES],
        )
        yield from _verdicts(servers)
        for metric in METRICS:
            name, scale = _host(metric)
            rows = [
                (_labels(server), server["metrics"][metric.key] / scale)
                for server in servers
                if metric.key in server["metrics"]
            ]
            yield from _family(name, "gauge", metric.description + ".", rows)
        for quantity, (name, text, each) in _COUNTED.items():
            rows = [({"function": f}, sums[quantity] / each) for f, sums in sorted(counted.items()) if quantity in sums]
            yield from _family(name, "counter", text, rows)
        answers = [
            ({"function": function, "status": f"{status}xx"}, sums[f"answers_{status}xx"])
            for function, sums in sorted(counted.items())
            for status in range(2, 6)
            if f"answers_{status}xx" in sums
        ]
        yield from _family("answers_total", "counter", "Answers of a function by their status.", answers)
        yield from _durations(counted, buckets_ms)
        yield from _stages(counted, objectives)

    return "".join(f"{line}\n" for line in lines())


def _verdicts(servers: Sequence[Mapping[str, Any]]) -> Iterator[str]:
    def rows(value: Any) -> list[tuple[Labels, float]]:
        found = ((_labels(server), value(server)) for server in servers)
        return [(labels, float(number)) for labels, number in found if number is not None]

    yield from _family(
        "server_seen_timestamp_seconds", "gauge", "When a server's newest sample is from.",
        rows(lambda s: s["seen"] or None),
    )  # fmt: skip
    yield from _family(
        "server_judged_timestamp_seconds", "gauge", "The last minute of a server that was judged.",
        rows(lambda s: s["judged"]),
    )  # fmt: skip
    yield from _family(
        "failure_probability", "gauge", "Probability of an incident within 30 minutes.",
        rows(lambda s: s["failure"] and s["failure"]["probability"]),
    )  # fmt: skip
    yield from _family(
        "anomaly_score", "gauge", "How unusual the last judged minute is.",
        rows(lambda s: s["anomaly"] and s["anomaly"]["score"]),
    )  # fmt: skip
    yield from _family(
        "anomalous", "gauge", "Whether the last judged minute is anomalous.",
        rows(lambda s: s["anomaly"] and int(s["anomaly"]["anomalous"])),
    )  # fmt: skip
    yield from _family(
        "confidence", "gauge", "How much is known of a server, from 0 to 1.", rows(lambda s: s["confidence"])
    )


def _labels(server: Mapping[str, Any]) -> Labels:
    about = {name: str(server[name]) for name in ("role", "environment") if server.get(name)}
    return {"server": server["id"], **about}


def _host(metric: Metric) -> tuple[str, int]:
    end, scale = _UNITS.get(metric.unit, ("", 1))
    # Its unit is a part of some keys already: network_receive_bytes, of which there are so many a second.
    if metric.key.endswith("_bytes"):
        end = end.removeprefix("_bytes")
    return f"host_{metric.key}{end}", scale


def _durations(counted: Mapping[str, Mapping[str, int]], buckets_ms: Sequence[int]) -> Iterator[str]:
    name = "invocation_duration_seconds"
    rows: list[str] = []
    for function, sums in sorted(counted.items()):
        if not sums.get("requests"):
            continue
        under = 0
        for ms in buckets_ms:
            under += sums.get(f"within_{ms}_ms", 0)
            rows.append(_sample(f"{name}_bucket", {"function": function, "le": f"{ms / 1000:g}"}, under))
        rows.append(_sample(f"{name}_bucket", {"function": function, "le": "+Inf"}, sums["requests"]))
        rows.append(_sample(f"{name}_sum", {"function": function}, sums.get("took_us", 0) / 1e6))
        rows.append(_sample(f"{name}_count", {"function": function}, sums["requests"]))
    if rows:
        yield from _head(name, "histogram", "How long invocations of a function took.")
        yield from rows


def _stages(counted: Mapping[str, Mapping[str, int]], objectives: Mapping[str, float] | None) -> Iterator[str]:
    """The ages of what passed each stage, whichever functions saw it pass."""
    sums: Counter[str] = Counter()
    for of_function in counted.values():
        sums.update({name: amount for name, amount in of_function.items() if is_age(name)})
    found = {stage: passed for stage in STAGES if (passed := ages(sums, stage)).count}
    name, rows = "stage_age_seconds", list[str]()
    for stage, passed in found.items():
        under = 0
        for bound in BOUNDS_S:
            under += passed.within.get(bound, 0)
            rows.append(_sample(f"{name}_bucket", {"stage": stage, "le": f"{bound:g}"}, under))
        rows.append(_sample(f"{name}_bucket", {"stage": stage, "le": "+Inf"}, passed.count))
        rows.append(_sample(f"{name}_sum", {"stage": stage}, passed.sum_s))
        rows.append(_sample(f"{name}_count", {"stage": stage}, passed.count))
    if rows:
        yield from _head(name, "histogram", "How old samples, verdicts, notices and events are as they pass a stage.")
        yield from rows
    late = [({"stage": stage}, float(passed.late)) for stage, passed in found.items()]
    yield from _family("stage_late_total", "counter", "Of these, those older than their stage's objective.", late)
    yield from _family(
        "stage_objective_seconds", "gauge", "How old at most 95 % of what passes a stage may be.",
        [({"stage": stage}, seconds) for stage, seconds in (objectives or {}).items()],
    )  # fmt: skip


def _family(name: str, kind: Kind, text: str, rows: Sequence[tuple[Labels, float]]) -> Iterator[str]:
    if rows:
        yield from _head(name, kind, text)
        for labels, value in rows:
            yield _sample(name, labels, value)


def _head(name: str, kind: Kind, text: str) -> Iterator[str]:
    yield f"# HELP openmanager_{name} {text}"
    yield f"# TYPE openmanager_{name} {kind}"


def _sample(name: str, labels: Labels, value: float) -> str:
    told = ",".join(f'{key}="{_escaped(text)}"' for key, text in labels.items())
    return f"openmanager_{name}{{{told}}} {_number(value)}"


def _escaped(text: str) -> str:
    return text.replace("\\", "\\\\").replace('"', '\\"').replace("\n", "\\n")


def _number(value: float) -> str:
    if math.isfinite(value) and value == int(value) and abs(value) < 1e15:
        return str(int(value))
    return repr(float(value))
