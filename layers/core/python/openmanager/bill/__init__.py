"""What it costs: a price list, the month's statement from what was counted, an estimate before anything runs, a cap.

`prices`, `statement` and `estimate` are pure; the counts come from `stores.usage`.
"""

from openmanager.settings import settings

# How often a round looks at where the month is going.
EVERY_MIN = 15


def heed(minute: int, now_s: float) -> None:
    """Slow senders, or let them go, if a month may cost so much and this minute (since 1970) is one to look at it.

    Raises nothing: the next look is a quarter of an hour away.
    """
    if settings().cost_cap_usd is None or minute % EVERY_MIN:
        return
    # Only where there is a cap does a round pay for what looks at it.
    from openmanager.bill import cap

    cap.look(now_s)
