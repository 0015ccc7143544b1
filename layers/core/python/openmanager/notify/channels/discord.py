"""Discord: a webhook with one embed.

https://discord.com/developers/docs/resources/webhook#execute-webhook and …/resources/message#embed-object-embed-limits:
content 2,000 characters, 25 fields of 256 + 1,024, 6,000 in the whole embed. With `wait=true` the answer comes once the
message is stored. `allowed_mentions` with an empty `parse` lets no text ping anybody.
"""

import re
from datetime import UTC, datetime

from openmanager.notify.channels.request import Order, Request, json_request
from openmanager.notify.message import cut

_CONTENT, _NAME, _VALUE, _FIELDS, _WHOLE = 2000, 256, 1024, 25, 6000
_COLORS = {"info": 0x3B82F6, "warning": 0xF59E0B, "critical": 0xDC2626}
_RESOLVED = 0x16A34A


def request(order: Order) -> Request:
    """The title as content, so that phones show it; the lines as fields, the links below."""
    notice, message = order.notice, order.message
    fields, left = [], _WHOLE
    rows = [(label, _escape(value)) for label, value in message.lines] + list(message.links)
    for label, value in rows[:_FIELDS]:
        field = {"name": cut(_escape(label), _NAME), "value": cut(value, _VALUE), "inline": len(value) <= 40}
        left -= len(str(field["name"])) + len(str(field["value"]))
        if left < 0:
            break
        fields.append(field)
    embed = {
        "color": _RESOLVED if notice.event == "resolved" else _COLORS[notice.severity],
        "timestamp": datetime.fromtimestamp(notice.at, UTC).isoformat(timespec="seconds"),
        "fields": fields,
    }
    document = {
        "content": cut(_escape(message.title), _CONTENT),
        "embeds": [embed],
        "allowed_mentions": {"parse": []},
    }
    url = order.target.settings["url"]
    return json_request(order, f"{url}{'&' if '?' in url else '?'}wait=true", document)


def _escape(text: str) -> str:
    return re.sub(r"([\\*_~|`>#\[\]()<])", r"\\\1", text)
