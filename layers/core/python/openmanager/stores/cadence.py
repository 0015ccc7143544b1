"""How often senders are asked to push while a month would cost more than it may (bill.cap).

om:cadence   `{seconds}|{grace}`: the pace, 0 for the usual one; and how long after its end a minute is judged, which
             must cover it. Gone some time after the last look at the bill, and then everything is as usual.

Whoever stores a push reads it in the one command that this is anyway, and remembers it.
"""

from openmanager.settings import settings
from openmanager.stores.redis import connect
from openmanager.values import frozen

KEY = "om:cadence"
# A push takes so long to come and to be stored, at most.
WAY_S = 15


@frozen
class Cadence:
    """`push_s` is 0 where nothing is asked for; `grace_s` 0 where the settings' grace is long enough."""

    push_s: int = 0
    grace_s: int = 0


_known = Cadence()


def known() -> Cadence:
    """What this process heard last."""
    return _known


def grace_s() -> int:
    """How long after its end a minute is judged."""
    return max(settings().grace_s, _known.grace_s)


def remember(text: str | None) -> Cadence:
    """Take what stands in Redis for what is asked for; what does not read is nothing."""
    global _known
    push, _, grace = (text or "").partition("|")
    _known = Cadence(int(push), int(grace)) if push.isdecimal() and grace.isdecimal() else Cadence()
    return _known


def read() -> Cadence:
    """What is asked for now. Raises StoreUnavailable."""
    return remember(connect().call("GET", KEY, repeatable=True))


def write(cadence: Cadence, keep_s: int) -> None:
    """Ask for it, for so long. Raises StoreUnavailable."""
    text = f"{cadence.push_s}|{cadence.grace_s}"
    connect().call("SET", KEY, text, "EX", keep_s, repeatable=True)
    remember(text)
