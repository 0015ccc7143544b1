"""The tools of the assistant: what our routes answer, for the roles that the routes are for."""

from collections.abc import Callable, Mapping
from dataclasses import dataclass
from datetime import datetime
from typing import Any

from openmanager import charts, fleet
from openmanager.assistant.draft import Call, NothingThere, Refused
from openmanager.errors import NotFound
from openmanager.ledger.record import record
from openmanager.oncall import alerts
from openmanager.oncall.explain import explain
from openmanager.oncall.standing import open_alerts
from openmanager.security import fields
from openmanager.stores import audit, ledger

_READERS = ("viewer", "operator", "admin", "auditor")
# The newest rows of the audit log that are looked through.
_ROWS = 500


@dataclass(frozen=True, slots=True)
class Tool:
    """What a tool calls, the route that answers the same, and the roles that the route is for."""

    run: Callable[[Mapping[str, Any], int], Any]
    route: str
    roles: tuple[str, ...] = _READERS


def use(call: Call, role: str, now_ms: int) -> Any:
    """A tool's result, as far as the role sees it.

    Raises Refused, NothingThere and StoreUnavailable.
    """
    tool = TOOLS[call.tool]
    if role not in tool.roles:
        raise Refused(tool.roles)
    try:
        result = tool.run(call.arguments, now_ms)
    except NotFound as error:
        raise NothingThere(str(error)) from error
    return fields.without(result, fields.hidden(tool.route, role))


def _metrics(asked: Mapping[str, Any], now_ms: int) -> Any:
    span = charts.Range.of(asked["from"], asked["to"], asked.get("step"))
    return charts.metrics(asked["server"], span, now_ms, "mean", [asked["metrics"]])


def _record(asked: Mapping[str, Any], _: int) -> Any:
    start, stop, server = asked["from"], asked["to"], asked.get("server")
    return record(
        ledger.episodes(start, stop, server), ledger.incidents(start, stop, server), ledger.sums(start, stop, server)
    )


def _history(asked: Mapping[str, Any], _: int) -> Any:
    return alerts.history(asked["from"], asked["to"], asked.get("server"), asked.get("rule"), None)


def _alerts(asked: Mapping[str, Any], _: int) -> Any:
    return {"alerts": alerts.of_server(asked["server"]) if "server" in asked else open_alerts()}


def _audit(asked: Mapping[str, Any], _: int) -> Any:
    head = audit.head().seq
    rows = audit.read(max(0, head - _ROWS), _ROWS)
    times = [datetime.fromisoformat(row["at"]).timestamp() for row in rows]
    inside = [row for row, at in zip(rows, times, strict=True) if asked["from"] <= at < asked["to"]]
    # Whether nothing of the span is older than what was read.
    return {"rows": inside, "all": head <= _ROWS or times[0] < asked["from"]}


TOOLS: Mapping[str, Tool] = {
    "list_servers": Tool(lambda _, now_ms: {"servers": fleet.listing(now_ms)}, "/api/servers"),
    "get_server": Tool(lambda asked, now_ms: fleet.detail(asked["server"], now_ms), "/api/servers/{id}"),
    "list_predictions": Tool(lambda *_: {"predictions": fleet.predictions()}, "/api/servers/{id}/prediction"),
    "get_prediction": Tool(lambda asked, _: fleet.prediction(asked["server"]), "/api/servers/{id}/prediction"),
    "query_metrics": Tool(_metrics, "/api/servers/{id}/metrics"),
    "explain_server": Tool(lambda asked, _: explain(asked["server"]), "/api/servers/{id}/explanation"),
    "list_alerts": Tool(_alerts, "/api/alerts"),
    "alert_history": Tool(_history, "/api/alerts/history"),
    "prediction_record": Tool(_record, "/api/predictions/record"),
    "read_audit_log": Tool(_audit, "/api/audit", ("auditor", "admin")),
}
