"""Sends one notice to one target and says what came of it. Raises nothing: every failure is an outcome."""

import json
import logging
import math
from collections.abc import Callable
from dataclasses import replace
from email.utils import parsedate_to_datetime

import httpcore

from openmanager.errors import InvalidSettings
from openmanager.notify import guard, http
from openmanager.notify.channels import discord, ntfy, pagerduty, slack, telegram, webhook
from openmanager.notify.channels.request import Order, Request
from openmanager.notify.message import compose, one_line
from openmanager.notify.notice import Notice
from openmanager.notify.outcome import LIMIT_S, Outcome
from openmanager.notify.secrecy import readable, without_secrets
from openmanager.notify.targets import Target
from openmanager.security.sealing import CannotOpen

_SHOWN = 200
# Beside 5xx: the receiver asks for patience (RFC 9110, 15.5.9; RFC 8470, 5.2; RFC 6585, 4).
_LATER = (408, 425, 429)

REQUESTS: dict[str, Callable[[Order], Request]] = {
    "webhook": webhook.request,
    "slack": slack.request,
    "discord": discord.request,
    "telegram": telegram.request,
    "pagerduty": pagerduty.request,
    "ntfy": ntfy.request,
}

log = logging.getLogger(__name__)


def send(notice: Notice, target: Target, key: str, now_s: float) -> Outcome:
    """One attempt under the idempotency key. What came of it holds no secret, whatever the receiver repeats."""
    try:
        target = readable(target)
        order = Order(notice, target, compose(notice, target.language, target.timezone), key, now_s)
        if target.channel == "email":
            # The mail packages are slow to import, and most deliveries need none of them.
            from openmanager.notify.mailing import mailed

            outcome = mailed(order)
            return replace(outcome, detail=without_secrets(target, outcome.detail))
        request = REQUESTS[target.channel](order)
        reply = http.post(request.url, request.headers, request.body, LIMIT_S)
        said = without_secrets(target, reply.body.decode("utf-8", "replace"))
        return judge(replace(reply, body=said.encode()), now_s)
    except CannotOpen as error:
        return Outcome("later" if error.may_pass else "refused", str(error))
    except guard.Refused as error:
        return Outcome("refused", str(error))
    except InvalidSettings as error:
        # Whoever deploys may still put it right.
        return Outcome("later", str(error))
    except (guard.Unresolved, httpcore.NetworkError, httpcore.TimeoutException, httpcore.ProtocolError) as error:
        return Outcome("later", f"{type(error).__name__}: {error}")
    except Exception as error:
        # An error of ours must cost neither the notice nor those behind it.
        log.exception("notice %s for %s", notice.id, target.id)
        return Outcome("later", f"an error on our side: {type(error).__name__}")


def judge(reply: http.Reply, now_s: float) -> Outcome:
    """What a receiver's answer means."""
    said = one_line(reply.body.decode("utf-8", "replace"))[:_SHOWN]
    detail = f"answered {reply.status}" + (f": {said}" if said and reply.status >= 300 else "")
    if 200 <= reply.status < 300:
        return Outcome("delivered", detail, reply.status)
    if 300 <= reply.status < 400:
        detail = f"answered {reply.status}, a redirect, which is not followed; give the address that it leads to"
        return Outcome("refused", detail, reply.status)
    if reply.status >= 500 or reply.status in _LATER:
        return Outcome("later", detail, reply.status, retry_after(reply, now_s))
    return Outcome("refused", detail, reply.status)


def retry_after(reply: http.Reply, now_s: float) -> float | None:
    """Seconds that the receiver asks to wait: Retry-After (RFC 9110, 10.2.3), or what Telegram and Discord put into
    the body; None if it names none."""
    text = reply.headers.get("retry-after", "").strip()
    if not text:
        return _in_body(reply.body)
    if text.replace(".", "", 1).isdecimal():
        return float(text)
    try:
        return max(0.0, parsedate_to_datetime(text).timestamp() - now_s)
    except (ValueError, TypeError, OverflowError):
        return None


def _in_body(body: bytes) -> float | None:
    try:
        answer = json.loads(body)
        named = answer.get("parameters", answer).get("retry_after")
    except (ValueError, AttributeError, RecursionError):
        return None
    return float(named) if isinstance(named, int | float) and 0 <= named < math.inf else None
