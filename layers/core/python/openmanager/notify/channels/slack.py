"""Slack: an incoming webhook with blocks.

https://docs.slack.dev/messaging/sending-messages-using-incoming-webhooks and …/reference/block-kit/blocks: a header
holds 150 characters, a section ten fields of 2,000. Texts of the type plain_text know no markup and mention nobody; in
mrkdwn, & < > are escaped (…/messaging/formatting-message-text).
"""

from typing import Any

from openmanager.notify.channels.request import Order, Request, json_request
from openmanager.notify.message import cut

_HEADER, _FIELD, _FIELDS, _TEXT, _URL = 150, 2000, 10, 3000, 2000


def request(order: Order) -> Request:
    """A header with the title, a section with the lines, one with the links; `text` is what notifications show."""
    message = order.message
    blocks: list[dict[str, Any]] = [{"type": "header", "text": _plain(message.title, _HEADER)}]
    if message.lines:
        fields = [_plain(f"{label}: {value}", _FIELD) for label, value in message.lines[:_FIELDS]]
        blocks.append({"type": "section", "fields": fields})
    links = [f"<{_escape(url)}|{_escape(cut(label, 75))}>" for label, url in message.links if len(url) <= _URL]
    if links and len(shown := " · ".join(links)) <= _TEXT:
        blocks.append({"type": "section", "text": {"type": "mrkdwn", "text": shown}})
    document = {"text": _escape(cut(message.title, _TEXT)), "blocks": blocks, "unfurl_links": False}
    return json_request(order, order.target.settings["url"], document)


def _plain(text: str, limit: int) -> dict[str, Any]:
    return {"type": "plain_text", "text": cut(text, limit), "emoji": False}


def _escape(text: str) -> str:
    return text.replace("&", "&amp;").replace("<", "&lt;").replace(">", "&gt;").replace("|", "¦")
