"""What Schemathesis is told of OpenManager (SCHEMATHESIS_HOOKS): who asks, and what no schema says of valid requests.

Only requests that are to be valid are changed here, so that they are: times come in their order, a body in protobuf is
protobuf. Those that are to be refused go out as they were generated.
"""

import os
import time
from collections.abc import Callable
from typing import Any
from zoneinfo import available_timezones

import cramjam
import schemathesis
from hypothesis import strategies as st
from openmanager.errors import InvalidInput
from openmanager.security import tokens
from openmanager.sources import wire
from openmanager.spans import span

from tests import otlp
from tests.contract.run import PASSWORD, USERS

TOKEN = os.environ["OPENMANAGER_TOKEN"]
_DAY_S = 86_400

schemathesis.openapi.format("time-zone", st.sampled_from(sorted(available_timezones())))
schemathesis.openapi.media_type("application/x-protobuf", st.binary(min_size=4, max_size=16))
schemathesis.openapi.media_type(
    "text/csv",
    st.lists(st.floats(0, 100), min_size=1, max_size=200).map(
        lambda values: ("time,cpu_utilization\n" + "".join(f"{60 * i},{v}\n" for i, v in enumerate(values))).encode()
    ),
)

_write = wire.messages(
    "contract",
    {
        "Label": {"name": (1, "string"), "value": (2, "string")},
        "Sample": {"value": (1, "double"), "timestamp": (2, "int64")},
        "TimeSeries": {"labels": (1, "Label*"), "samples": (2, "Sample*")},
        "WriteRequest": {"timeseries": (1, "TimeSeries*")},
    },
)


@schemathesis.auth(refresh_interval=None, retry_on=[]).skip_for(path_regex="^/api/auth/")
class Key:
    """The administrator's key."""

    def get(self, _case: Any, _context: Any) -> str:
        return TOKEN

    def set(self, case: Any, data: str, _context: Any) -> None:
        case.headers = case.headers or {}
        case.headers["Authorization"] = f"Bearer {data}"


@schemathesis.auth(refresh_interval=None, retry_on=[]).apply_to(path_regex="^/api/auth/(refresh|logout|password)")
class FreshToken(Key):
    """A token for one request: these routes end it."""

    def get(self, case: Any, _context: Any) -> str:
        user = USERS[case.operation.path.endswith("password")]
        return tokens.issue(user, "viewer", time.time())[0]


def _in_order(query: dict[str, Any], longest_s: float = 1e11) -> None:
    """Make the span one: both instants exist, the first lies before the second, and not too long."""
    try:
        start, stop = span(query.get("from"), query.get("to"), int(time.time() * 1000), _DAY_S)
    except InvalidInput:
        # No day of the calendar, or not before the other.
        query.pop("from", None)
        query.pop("to", None)
        return
    if stop - start > longest_s:
        query["from"] = f"{stop - longest_s:.3f}"


def _metrics(case: Any, _: Any) -> None:
    _in_order(case.query)
    if "step" in case.query:
        start, stop = span(case.query.get("from"), case.query.get("to"), int(time.time() * 1000), 3600)
        case.query["step"] = max(float(case.query["step"]), 1 + (stop - start) / 1000)


def _samples(case: Any, _: Any) -> None:
    _in_order(case.query)
    # It must lie in the span.
    case.query.pop("cursor", None)


def _replay(case: Any, _: Any) -> None:
    if case.media_type == "application/json":
        times = {name: str(case.body[name]) for name in ("from", "to") if case.body.get(name) is not None}
        # Whole minutes around it are a day at most.
        _in_order(times, _DAY_S - 60)
        # Rules must agree with each other, as those of PUT /api/rules/{id} must.
        case.body = {"server": case.body["server"], **times}


def _remote_write(case: Any, sent: dict[str, Any]) -> None:
    request = _write["WriteRequest"]()
    for i, octet in enumerate(case.body):
        labels = {"__name__": "node_load1", "instance": f"web-{octet}:9100"}
        series = request.timeseries.add()
        for name, value in labels.items():
            series.labels.add(name=name, value=value)
        series.samples.add(value=float(i), timestamp=int(time.time() * 1000) - 1000 * i)
    sent["data"] = bytes(cramjam.snappy.compress_raw(request.SerializeToString()))


def _otlp(case: Any, sent: dict[str, Any]) -> None:
    if case.media_type == otlp.PROTOBUF:
        points = [otlp.point(octet / 255, int(time.time() * 1000) - i) for i, octet in enumerate(case.body)]
        sent["data"] = otlp.encoded(otlp.document(otlp.gauge("system.memory.utilization", *points)), otlp.PROTOBUF)


def _silence(case: Any, _: Any) -> None:
    now = int(time.time())
    if "start" in case.body:
        case.body["start"] = now
    if "end" in case.body:
        case.body["end"] = now + 60 + int(case.body["end"]) % _DAY_S


def _without_id(case: Any, _: Any) -> None:
    case.body.pop("id", None)


def _graph(case: Any, _: Any) -> None:
    # No role may depend on itself in the end.
    case.body = {role: [need for need in needs if need not in case.body] for role, needs in case.body.items()}


def _nowhere(case: Any) -> None:
    """Whatever is to be told, nobody outside hears of it (RFC 2606)."""
    own = case.body.get("settings") if isinstance(case.body, dict) else None
    if not isinstance(own, dict):
        return
    default = {"telegram": "server", "ntfy": "server", "pagerduty": "url"}.get(str(case.body.get("channel")))
    if default:
        own.setdefault(default, "")
    for name in ("url", "server"):
        if own.get(name) == "" or (isinstance(own.get(name), str) and own[name].startswith(("http://", "https://"))):
            own[name] = "https://receiver.invalid/"
    if isinstance(own.get("host"), str):
        own["host"] = "receiver.invalid"


def _password(case: Any, _: Any) -> None:
    case.body["current"] = PASSWORD
    case.body["new"] = PASSWORD


_MADE_VALID: dict[tuple[str, str], Callable[[Any, dict[str, Any]], None]] = {
    ("GET", "/api/alerts/history"): lambda case, _: _in_order(case.query),
    ("GET", "/api/alerts/statistics"): lambda case, _: _in_order(case.query),
    ("GET", "/api/predictions/record"): lambda case, _: _in_order(case.query),
    ("GET", "/api/servers/{id}/metrics"): _metrics,
    ("GET", "/api/servers/{id}/samples"): _samples,
    ("POST", "/api/replay"): _replay,
    ("POST", "/api/v1/write"): _remote_write,
    ("POST", "/v1/metrics"): _otlp,
    ("POST", "/api/silences"): _silence,
    ("PUT", "/api/maintenance/{id}"): _without_id,
    ("PUT", "/api/dependencies"): _graph,
    ("PUT", "/api/auth/password"): _password,
}


@schemathesis.hook
def before_call(_context: Any, case: Any, kwargs: dict[str, Any]) -> None:
    """Make a request valid that is meant to be."""
    if case.operation.path == "/api/notifications/targets/{id}" and case.method == "PUT":
        _nowhere(case)
    make = _MADE_VALID.get((case.method, case.operation.path))
    if make and case.meta is not None and all(part.mode.is_positive for part in case.meta.components.values()):
        make(case, kwargs)
