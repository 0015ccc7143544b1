"""Telegram: the bot's sendMessage.

https://core.telegram.org/bots/api#sendmessage: 1 to 4,096 characters after entities are parsed; in HTML only & < > are
escaped (…#html-style). Too many messages are answered with 429 and `parameters.retry_after`.
"""

from html import escape
from typing import Any

from openmanager.notify.channels.request import Order, Request, json_request
from openmanager.notify.message import cut

_TITLE, _WHOLE = 1024, 4096


def request(order: Order) -> Request:
    """The title in bold, the lines below; silent unless somebody is to act."""
    settings, message = order.target.settings, order.message
    title = cut(message.title, _TITLE)
    # Cut before it is escaped: the limit counts what is seen, and no entity may be cut in two.
    rest = cut(message.text, _WHOLE - _TITLE - 1)
    document: dict[str, Any] = {
        "chat_id": settings["chat_id"],
        "text": f"<b>{escape(title, quote=False)}</b>\n{escape(rest, quote=False)}".rstrip(),
        "parse_mode": "HTML",
        "link_preview_options": {"is_disabled": True},
        "disable_notification": order.notice.event in ("resolved", "acknowledged") or order.notice.severity == "info",
    }
    if settings["thread_id"]:
        document["message_thread_id"] = settings["thread_id"]
    return json_request(order, f"{settings['server'].rstrip('/')}/bot{settings['token']}/sendMessage", document)
