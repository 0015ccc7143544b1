"""Sends one mail and says what came of it."""

import smtplib

from openmanager.notify import smtp
from openmanager.notify.channels import email
from openmanager.notify.channels.request import Order
from openmanager.notify.message import one_line
from openmanager.notify.outcome import LIMIT_S, Kind, Outcome

_SHOWN = 200


def mailed(order: Order) -> Outcome:
    """One attempt. Raises guard.Refused and guard.Unresolved; everything else is an outcome."""
    try:
        refused = smtp.deliver(order.target.settings, email.mail(order), LIMIT_S)
    except smtplib.SMTPRecipientsRefused as error:
        codes = [code for code, _ in error.recipients.values()]
        return Outcome("later" if min(codes) < 500 else "refused", "every recipient was refused", max(codes))
    except smtplib.SMTPResponseException as error:
        text = error.smtp_error if isinstance(error.smtp_error, str) else error.smtp_error.decode("utf-8", "replace")
        kind: Kind = "refused" if error.smtp_code >= 500 else "later"
        return Outcome(kind, f"answered {error.smtp_code}: {one_line(text)[:_SHOWN]}", error.smtp_code)
    except smtplib.SMTPNotSupportedError as error:
        return Outcome("refused", str(error))
    except (smtplib.SMTPException, OSError) as error:
        return Outcome("later", f"{type(error).__name__}: {error}")
    return Outcome("delivered", f"taken; refused: {', '.join(refused)}" if refused else "taken", 250)
