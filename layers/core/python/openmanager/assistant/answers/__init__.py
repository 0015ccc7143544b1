"""One answer an intent: a generator that yields the calls it needs, is sent their results, and fills in a draft."""

from collections.abc import Callable, Mapping

from openmanager.assistant.answers import ahead, fleet, past, troubles
from openmanager.assistant.answers.steps import Steps
from openmanager.assistant.draft import Draft

BY_INTENT: Mapping[str, Callable[[Draft], Steps]] = {
    "status": fleet.status,
    "server": fleet.server,
    "performance": fleet.performance,
    "trend": past.trend,
    "record": past.record,
    "security": past.security,
    "capacity": ahead.capacity,
    "predictions": ahead.risks,
    "anomalies": troubles.anomalies,
    "alerts": troubles.alerts,
    "causes": troubles.causes,
    "advice": troubles.advice,
    "logs": troubles.logs,
}
