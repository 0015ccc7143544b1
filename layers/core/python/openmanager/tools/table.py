"""The tools: what our routes answer, for the roles that the routes are for."""

from collections.abc import Callable, Mapping
from datetime import datetime
from typing import Any

from openmanager import charts, fleet, predictions
from openmanager.ledger.record import record
from openmanager.oncall import alerts
from openmanager.oncall import settings as desk
from openmanager.oncall.explain import explain
from openmanager.oncall.report import report
from openmanager.oncall.standing import open_alerts
from openmanager.security import fields
from openmanager.stores import audit, config, ledger
from openmanager.tools.call import Call, Caller, Refused
from openmanager.values import frozen

_READERS = ("viewer", "operator", "admin", "auditor")
_ACTORS = ("operator", "admin")
# The newest rows of the audit log that are looked through.
_ROWS = 500
_REPORT = "/api/incidents/{id}/report"


@frozen
class Tool:
    """What a tool calls, the route that answers the same, and the roles that the route is for."""

    run: Callable[[Mapping[str, Any], Caller], Any]
    route: str
    roles: tuple[str, ...] = _READERS
    method: str = "GET"


def use(call: Call, caller: Caller) -> Any:
    """A tool's result, as far as the caller's role sees it.

    Raises Refused, and what the route answers as a problem: InvalidInput, NotFound, StoreUnavailable, ….
    """
    tool, role = TOOLS[call.tool], caller.who.role
    if role not in tool.roles:
        raise Refused(call.tool, role, tool.roles)
    return fields.without(tool.run(call.arguments, caller), fields.hidden(tool.route, role))


def _metrics(asked: Mapping[str, Any], caller: Caller) -> Any:
    span = charts.Range.of(asked["from"], asked["to"], asked.get("step"))
    return charts.metrics(asked["server"], span, caller.now_ms, asked.get("stat", "mean"), asked["metrics"].split(","))


def _record(asked: Mapping[str, Any], _: Caller) -> Any:
    start, stop, server = asked["from"], asked["to"], asked.get("server")
    return record(
        ledger.episodes(start, stop, server), ledger.incidents(start, stop, server), ledger.sums(start, stop, server)
    )


def _history(asked: Mapping[str, Any], _: Caller) -> Any:
    return alerts.history(asked["from"], asked["to"], asked.get("server"), asked.get("rule"), None)


def _alerts(asked: Mapping[str, Any], _: Caller) -> Any:
    return {"alerts": alerts.of_server(asked["server"]) if "server" in asked else open_alerts()}


def _audit(asked: Mapping[str, Any], _: Caller) -> Any:
    head = audit.head().seq
    rows = audit.read(max(0, head - _ROWS), _ROWS)
    times = [datetime.fromisoformat(row["at"]).timestamp() for row in rows]
    inside = [row for row, at in zip(rows, times, strict=True) if asked["from"] <= at < asked["to"]]
    # Whether nothing of the span is older than what was read.
    return {"rows": inside, "all": head <= _ROWS or times[0] < asked["from"]}


def _report(asked: Mapping[str, Any], caller: Caller) -> Any:
    # It says what was left out for the role, so it has to know.
    return report(asked["id"], caller.now_ms, fields.hidden(_REPORT, caller.who.role))


def _replay(asked: Mapping[str, Any], caller: Caller) -> Any:
    # With it come the models, which no other tool needs.
    from openmanager.watch import replaying

    rules, settled = asked.get("rules"), config.read()
    return replaying.stored(asked["server"], asked["from"], asked["to"], rules, settled, caller.now_ms).as_dict()


def _acknowledge(asked: Mapping[str, Any], caller: Caller) -> Any:
    return alerts.acknowledge(asked["server"], asked["rule"], caller.who.name, alerts.read_note(asked))


def _silence(asked: Mapping[str, Any], caller: Caller) -> Any:
    return desk.add_silence(dict(asked), caller.who.name)


TOOLS: Mapping[str, Tool] = {
    "list_servers": Tool(lambda _, caller: {"servers": fleet.listing(caller.now_ms)}, "/api/servers"),
    "get_server": Tool(lambda asked, caller: fleet.detail(asked["server"], caller.now_ms), "/api/servers/{id}"),
    "list_predictions": Tool(lambda *_: {"predictions": predictions.predictions()}, "/api/servers/{id}/prediction"),
    "get_prediction": Tool(lambda asked, _: predictions.prediction(asked["server"]), "/api/servers/{id}/prediction"),
    "query_metrics": Tool(_metrics, "/api/servers/{id}/metrics"),
    "explain_server": Tool(lambda asked, _: explain(asked["server"]), "/api/servers/{id}/explanation"),
    "list_alerts": Tool(_alerts, "/api/alerts"),
    "alert_history": Tool(_history, "/api/alerts/history"),
    "prediction_record": Tool(_record, "/api/predictions/record"),
    "list_incidents": Tool(lambda *_: {"incidents": alerts.open_incidents()}, "/api/incidents"),
    "get_incident": Tool(lambda asked, _: alerts.incident(asked["id"]), "/api/incidents/{id}"),
    "incident_report": Tool(_report, _REPORT),
    "replay": Tool(_replay, "/api/replay", _ACTORS, "POST"),
    "acknowledge": Tool(_acknowledge, "/api/alerts/{server}/{rule}/acknowledge", _ACTORS, "POST"),
    "silence": Tool(_silence, "/api/silences", _ACTORS, "POST"),
    "read_audit_log": Tool(_audit, "/api/audit", ("auditor", "admin")),
}
