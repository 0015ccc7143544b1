"""E-mail: plain text and HTML, one Message-ID a notice (RFC 5322, 3.6.4), one thread an alert."""

from datetime import UTC, datetime
from email.message import EmailMessage
from email.policy import SMTP
from email.utils import format_datetime
from html import escape

from openmanager.notify.channels.request import Order, alert_key, short_key
from openmanager.notify.message import cut

_SUBJECT = 200


def mail(order: Order) -> EmailMessage:
    """The mail; the same notice always has the same Message-ID, by which a mailbox knows one that came twice."""
    settings, message = order.target.settings, order.message
    domain = settings["sender"].rpartition("@")[2]
    made = EmailMessage(policy=SMTP)
    made["Subject"] = cut(message.title, _SUBJECT)
    made["From"] = f"OpenManager <{settings['sender']}>"
    made["To"] = ", ".join(settings["to"])
    made["Date"] = format_datetime(datetime.fromtimestamp(order.now_s, UTC))
    made["Message-ID"] = f"<{short_key(order.key)}@{domain}>"
    made["References"] = f"<{short_key(alert_key(order.notice))}@{domain}>"
    # RFC 3834: nobody's out-of-office reply is wanted.
    made["Auto-Submitted"] = "auto-generated"
    made.set_content(f"{message.title}\n\n{message.text}\n")
    made.add_alternative(_html(order), subtype="html")
    return made


def _html(order: Order) -> str:
    rows = "".join(
        f"<tr><td style='padding:2px 12px 2px 0;color:#555'>{escape(label)}</td><td>{escape(value)}</td></tr>"
        for label, value in order.message.lines
    )
    links = " · ".join(f"<a href='{escape(url)}'>{escape(label)}</a>" for label, url in order.message.links)
    return (
        f"<!doctype html><html lang='{order.target.language}'><body style='font-family:sans-serif'>"
        f"<h3>{escape(order.message.title)}</h3><table>{rows}</table><p>{links}</p></body></html>"
    )
