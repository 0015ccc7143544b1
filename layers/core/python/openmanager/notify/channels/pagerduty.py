"""PagerDuty: Events API v2.

https://developer.pagerduty.com/docs/events-api-v2-overview and …/send-alert-event: `summary` holds 1,024 characters,
`dedup_key` 255. Events of one alert share the key: a trigger sent twice is one, and the end resolves what was opened.
"""

from datetime import UTC, datetime
from typing import Any

from openmanager.notify.channels.request import Order, Request, alert_key, json_request, short_key
from openmanager.notify.message import cut

_SUMMARY, _KEY, _SOURCE = 1024, 255, 255
_ACTIONS = {"acknowledged": "acknowledge", "resolved": "resolve"}


def request(order: Order) -> Request:
    """Opens, acknowledges or resolves the alert."""
    notice = order.notice
    key = alert_key(notice)
    document: dict[str, Any] = {
        "routing_key": order.target.settings["routing_key"],
        "event_action": _ACTIONS.get(notice.event, "trigger"),
        "dedup_key": key if len(key) <= _KEY else short_key(key),
    }
    if document["event_action"] == "trigger":
        document |= {
            "client": "OpenManager",
            "payload": {
                "summary": cut(order.message.title, _SUMMARY),
                "source": cut(notice.server or "OpenManager", _SOURCE),
                "severity": notice.severity,
                "timestamp": datetime.fromtimestamp(notice.at, UTC).isoformat(timespec="milliseconds"),
                "class": notice.rule,
                "custom_details": {**dict(order.message.lines), "incident": notice.incident},
                **({"group": notice.role} if notice.role else {}),
            },
            "links": [{"href": url, "text": label} for label, url in order.message.links],
        }
    return json_request(order, order.target.settings["url"], document)
