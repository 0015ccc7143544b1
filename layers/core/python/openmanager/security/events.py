"""What of logging in, and of being refused, becomes a row of the audit log.

Whoever is known may cause a row for each login and each logout, and one a day for what they are refused. Strangers
may cause few, whatever they do: a name's first failure at an address, then a row for each time that it has to wait,
and no more than ROWS in WINDOW_S from all of them together, the last of which says so. The function's log has the rest.
"""

import logging
import time
from hashlib import sha256

from openmanager import acting
from openmanager.errors import StoreUnavailable
from openmanager.settings import settings
from openmanager.stores import admission, limits
from openmanager.stores.redis import CommandFailed

ROWS, WINDOW_S = 60, 900
ONCE_S = 25 * 3600
# After Redis did not answer, nobody waits for it again so soon.
_AWAY_S = 30.0
_HELD = 10_000
# With blanks, so that they are nobody's name.
STRANGER, UNKNOWN, EVERYBODY = "not logged in", "unknown user", "all users"

# What this process knows to have been told of, by when (monotonic).
_told: dict[str, float] = {}

log = logging.getLogger(__name__)


def logged_in(user: str, address: str) -> None:
    """Somebody knew their password."""
    _record("login", user, user, address)


def logged_out(user: str) -> None:
    """The caller ended a token of theirs."""
    by = acting.actor()
    _record("logout", user, by.name, by.address)


def failed(user: str, address: str, failures: int, allowed: int, of_address: int, allowed_address: int) -> None:
    """A login failed: the `failures`th of this name at this address, and the `of_address`th at it.

    `user` is UNKNOWN for a name that nobody has: it may be a password in the wrong field.
    """
    if of_address >= allowed_address:
        action, target = "login.wait", EVERYBODY
    elif failures >= allowed:
        action, target = "login.wait", user
    elif failures == 1:
        action, target = "login.fail", user
    else:
        return
    now_s = time.time()
    room, (count,) = limits.take({"audit|strangers": ROWS}, now_s, WINDOW_S)
    if not room:
        return
    if count.used(now_s, WINDOW_S) > ROWS - 1:
        action, target = "login.flood", EVERYBODY
    _record(action, target, STRANGER, address)


def is_new(action: str, event: str) -> bool:
    """Whether this process does not know yet that the event has been told of."""
    return time.monotonic() - _told.get(_named(action, event), float("-inf")) > ONCE_S


def once(action: str, target: str, event: str, name: str, address: str) -> None:
    """A row for the event unless it had one within a day. Functions that do not know Postgres leave it to others."""
    if not settings().database_url or not is_new(action, event):
        return
    named = _named(action, event)
    try:
        first = admission.tell(named, ONCE_S)
    except (StoreUnavailable, CommandFailed) as error:
        # Nobody could say how many rows it would become.
        log.warning("not in the audit log: %s of %s by %s: %s", action, target, name, error)
        _keep(named, time.monotonic() - ONCE_S + _AWAY_S)
        return
    _keep(named, time.monotonic())
    if first:
        _record(action, target, name, address)


def once_of_caller(action: str, target: str, event: str) -> None:
    """The same of what the caller does, who is known."""
    by = acting.actor()
    once(action, target, event, by.name, by.address)


def forget() -> None:
    """Have everything told again."""
    _told.clear()


def _keep(named: str, told_at: float) -> None:
    _told.pop(named, None)
    _told[named] = told_at
    if len(_told) > _HELD:
        _told.pop(next(iter(_told)), None)


def _named(action: str, event: str) -> str:
    return sha256(f"{action}|{event}".encode()).hexdigest()[:32]


def _record(action: str, target: str, name: str, address: str) -> None:
    # Its driver is slow to load, and doors that only read Redis seldom refuse anybody.
    from openmanager.stores import audit

    before = acting.actor()
    acting.begin(name, address)
    try:
        audit.record(action, target)
    finally:
        acting.begin(before.name, before.address)
