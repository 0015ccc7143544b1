"""ntfy: publishing as JSON, at the server's root.

https://docs.ntfy.sh/publish/#publish-as-json: a message holds 4,096 octets, priority is 1 to 5, tags that name an emoji
are shown as one. `sequence_id` (…/publish/#updating-deleting-notifications) makes a message that comes twice replace
itself on the phone; servers before 2.16 ignore it.
"""

from typing import Any

from openmanager.notify.channels.request import Order, Request, json_request, short_key
from openmanager.notify.message import cut_octets

_TITLE, _MESSAGE = 512, 4096
_PRIORITIES = {"info": 2, "warning": 4, "critical": 5}
_TAGS = {"info": "information_source", "warning": "warning", "critical": "rotating_light"}


def request(order: Order) -> Request:
    """Priority and tag by severity; the end and the care of an alert come quietly."""
    notice, settings = order.notice, order.target.settings
    quiet = notice.event in ("resolved", "acknowledged")
    document: dict[str, Any] = {
        "topic": settings["topic"],
        "title": cut_octets(order.message.title, _TITLE),
        "message": cut_octets(order.message.text or order.message.title, _MESSAGE),
        "priority": 3 if quiet else _PRIORITIES[notice.severity],
        "tags": ["white_check_mark" if quiet else _TAGS[notice.severity]],
        "sequence_id": short_key(order.key),
    }
    if order.message.links:
        document["click"] = order.message.links[0][1]
    headers = {"Authorization": f"Bearer {settings['token']}"} if settings["token"] else {}
    return json_request(order, settings["server"].rstrip("/") + "/", document, **headers)
