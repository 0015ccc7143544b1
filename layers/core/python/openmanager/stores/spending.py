"""What the assistant's model has cost today, in tokens, in Redis.

om:model|{day}   how many tokens were promised to calls or used by them
"""

from openmanager.stores.redis import connect

_KEPT_S = 2 * 86_400


def promise(day: str, tokens: int, most: int) -> bool:
    """Set so many tokens of a day aside; False, and nothing set aside, where they are more than are left.

    Raises StoreUnavailable.
    """
    spent, _ = connect().run(("INCRBY", _key(day), tokens), ("EXPIRE", _key(day), _KEPT_S))
    if int(spent) <= most:
        return True
    connect().call("DECRBY", _key(day), tokens)
    return False


def settle(day: str, promised: int, used: int) -> None:
    """Count what was used in the place of what was promised. Raises StoreUnavailable."""
    if used != promised:
        connect().call("INCRBY", _key(day), used - promised)


def _key(day: str) -> str:
    return f"om:model|{day}"
